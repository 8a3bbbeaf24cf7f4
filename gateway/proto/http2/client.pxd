# The client's side of one HTTP/2 connection as bytes (RFC 9113): CONNECT streams that are asked of a parent gateway.
# See core.pxd.
from libc.stdint cimport uint32_t, uint64_t

from gateway.proto.http2.core cimport EventKind, H2Core, H2Event
from gateway.proto.http2.frames cimport Frame
from gateway.proto.http2.hpack cimport Field
from gateway.proto.http2.streams cimport H2Stream

cdef enum:
    CLIENT_STREAMS = 100       # open at once on one connection, or fewer where the parent's SETTINGS say so

cdef class H2Client(H2Core):
    cdef uint32_t status       # of the block: 0 when it has none
    cdef bint regular          # of the block: a field that is not a pseudo-header was read
    cdef bint malformed        # the block is

    # The preface, SETTINGS and the window go out first.
    cdef bint begin(self, uint64_t now) noexcept
    # How many streams may be opened now.
    cdef uint32_t free_streams(self) noexcept
    # A request by its header block; NULL where none may be opened.
    cdef H2Stream *ask(self, bytes block) noexcept
    cdef void ping(self) noexcept
