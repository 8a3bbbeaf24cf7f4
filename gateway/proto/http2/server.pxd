# The server's side of one HTTP/2 connection as bytes (RFC 9113): requests come in, answers go out. See core.pxd.
from libc.stdint cimport uint32_t, uint64_t

from gateway.c.message cimport sl_message
from gateway.proto.http2.core cimport EventKind, H2Core, H2Event
from gateway.proto.http2.frames cimport Frame
from gateway.proto.http2.head cimport H2Head
from gateway.proto.http2.streams cimport H2Stream

cdef enum:
    STREAMS_FIRST = 1000       # limits.streamsPerConnection of a session without another value

cdef enum BlockKind:
    BLOCK_NONE = 0
    BLOCK_REQUEST = 1
    BLOCK_TRAILERS = 2
    BLOCK_IGNORED = 3          # decoded, and nothing else
    BLOCK_REFUSED = 4          # a request that is refused, and reported

cdef class H2Server(H2Core):
    cdef H2Head head           # of the last request
    cdef bint offered          # the second SETTINGS went out
    cdef BlockKind block       # purpose of the header block that has begun
    cdef uint32_t block_error  # ErrorCode the stream ends with when the block has ended; 0: none
    cdef bint requests         # plain requests, and extended CONNECT, are taken: SETTINGS say so
    cdef uint32_t streams_most  # open at once on a connection of RFC form: what SETTINGS say

    # SETTINGS and the window go out first.
    cdef bint begin(self, uint64_t now) noexcept
    # A response header block; with `end` this side of the stream has ended.
    cdef bint respond(self, H2Stream *stream, bytes block, bint end) noexcept
    # The same by a message.
    cdef bint respond_message(self, H2Stream *stream, const sl_message *head, bint end) noexcept
    # An interim response (1xx): another one follows.
    cdef bint inform(self, H2Stream *stream, const sl_message *head) noexcept

    cdef EventKind purpose(self, const Frame *frame) noexcept
    cdef EventKind end_request(self, uint32_t number, H2Event *event) noexcept
    cdef EventKind end_trailers(self, uint32_t number, H2Event *event) noexcept
    cdef void offer(self) noexcept
