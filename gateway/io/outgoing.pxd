# Bytes that leave by one leg, in order: what it does not take now is kept.
from libc.stdint cimport uint8_t

from gateway.c.leg cimport iovec, sl_leg
from gateway.c.message cimport sl_message, sl_out

cdef enum OutgoingStep:
    OUTGOING_FAILED = 0        # the leg is broken, or there is no memory: errno
    OUTGOING_HOLDS = 1         # some are kept: flush() when the leg takes more
    OUTGOING_EMPTY = 2

cdef enum:
    PIECES_MOST = 4

cdef class Outgoing:
    cdef sl_out kept
    cdef size_t taken          # bytes of `kept` that have left

    cdef inline bint is_empty(self) noexcept:
        return self.kept.length == 0
    # Bytes for a later send: a head, that leaves with its content.
    cdef bint add(self, const uint8_t *data, size_t length) noexcept
    # Sends what is kept, then the pieces, by one call where that is enough.
    cdef OutgoingStep put(self, sl_leg *leg, iovec *pieces, int count) noexcept
    # The same with content of an HTTP/1 message, in a chunk of its own where it is `chunked` (RFC 9112 section 7.1).
    cdef OutgoingStep put_content(self, sl_leg *leg, const uint8_t *data, size_t length, bint chunked) noexcept
    # The last chunk, for a later send; `trailers` may be NULL. False without memory.
    cdef bint add_last_chunk(self, const sl_message *trailers) noexcept
    cdef OutgoingStep flush(self, sl_leg *leg) noexcept
    cdef void clear(self) noexcept
