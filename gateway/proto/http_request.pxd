# One HTTP request that is no CONNECT of the classic form: its destination, credentials and answers, read from a message.
from gateway.proto.codec cimport Codec
from gateway.proto.message cimport Message

cdef class HttpRequest(Codec):
    cdef bint secure           # the target's scheme is https: TLS towards the outside
    # Reads target, Host and credentials (CONTRACT.md section 5, DECISIONS.md section 7). Answers a CodecStatus:
    # REQUEST, CREDENTIALS, or FAILED with outcome and detail.
    cdef int take(self, Message message) noexcept
