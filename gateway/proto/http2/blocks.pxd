# Header blocks as messages and messages as header blocks (RFC 9113 section 8): what requests, responses and trailers of
# both sides of a connection have in common. Pseudo-headers of a request are read by head.pxd, those of a response by
# client.pxd.
from libc.stdint cimport uint8_t, uint32_t

from gateway.c.message cimport sl_message
from gateway.proto.http2.frames cimport Outgoing
from gateway.proto.http2.hpack cimport Deflater, Field

cdef enum:
    MESSAGE_LIST_MAX = 65536   # MAX_HEADER_LIST_SIZE where messages are collected

cdef enum BlockPart:
    PART_REQUEST = 0
    PART_RESPONSE = 1
    PART_TRAILERS = 2

cdef const char *TOO_MANY      # fault: more fields than a message has

# One field behind the others of a message. NULL, or the rule that it breaks as a static text; TOO_MANY: there is no
# room for it.
cdef const char *collect_field(sl_message *message, const Field *field) noexcept nogil
# Fields `cookie` become one (section 8.2.3). False without memory.
cdef bint join_cookies(sl_message *message) noexcept nogil

# The head, or the trailers, as HEADERS of `stream` and as many CONTINUATION as its length takes; `most` is the peer's
# MAX_FRAME_SIZE. `secure`: the connection has TLS, and so the scheme of a request is https. Fields of one connection do
# not leave. False without memory.
cdef bint put_message(Outgoing *out, Deflater deflater, uint32_t stream, const sl_message *message, BlockPart part,
                      bint secure, bint end, uint32_t most) noexcept
# A header block as frames.
cdef bint put_block(Outgoing *out, uint32_t stream, const uint8_t *block, size_t length, bint end,
                    uint32_t most) noexcept nogil
