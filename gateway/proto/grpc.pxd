# Refusals as clients of gRPC read them: its status in a block of HEADERS that ends the stream ("Trailers-Only" of the
# gRPC protocol over HTTP/2), in place of a status of HTTP.
from gateway.c.message cimport sl_message

# Whether a request is one of gRPC: content-type application/grpc, with or without a subtype.
cdef bint is_grpc(const sl_message *head) noexcept
# The block for an answer of http2_answer(): its fields but those of the body, which becomes the message.
cdef list grpc_refusal(int outcome, str reason, list block, bytes body)
