# The client's side of one HTTP/2 connection as bytes (RFC 9113): CONNECT streams that are asked of a parent gateway, or
# requests of an origin. See core.pxd.
from libc.stdint cimport uint32_t, uint64_t

from gateway.c.message cimport sl_message
from gateway.proto.http2.core cimport EventKind, H2Core, H2Event
from gateway.proto.http2.frames cimport Frame
from gateway.proto.http2.hpack cimport Field
from gateway.proto.http2.streams cimport H2Stream
from gateway.proto.message cimport Message

cdef enum:
    CLIENT_STREAMS = 100       # open at once on one connection, or fewer where the parent's SETTINGS say so

cdef class H2Client(H2Core):
    cdef uint32_t status       # of the block: 0 when it has none
    cdef bint regular          # of the block: a field that is not a pseudo-header was read
    cdef bint malformed        # the block is
    cdef bint collects         # answers become messages: an origin's; the caller's to set, before begin()
    cdef Message message       # of the last block, where they are collected; None: it has none, or no trailers

    # The preface, SETTINGS and the window go out first.
    cdef bint begin(self, uint64_t now) noexcept
    # How many streams the peer allows at once, and how many may be opened now.
    cdef uint32_t most_streams(self) noexcept
    cdef uint32_t free_streams(self) noexcept
    # A request by its header block; NULL where none may be opened.
    cdef H2Stream *ask(self, bytes block) noexcept
    # The same by a message; `secure`: the connection has TLS, and so its scheme is https. NULL without memory as well:
    # the connection has ended.
    cdef H2Stream *ask_message(self, const sl_message *head, bint secure, bint end) noexcept
    cdef void ping(self) noexcept

    cdef H2Stream *open_stream(self) noexcept
    cdef size_t list_most(self) noexcept
    cdef EventKind end_trailers(self, H2Stream *stream, H2Event *event, bint end) noexcept
    cdef EventKind end_answer(self, H2Stream *stream, H2Event *event, bint end) noexcept
    cdef void collect(self, const Field *field) noexcept
    cdef bint settle(self, H2Stream *stream, bint end) noexcept
