# One client connection of a byte-stream protocol (SOCKS, HTTP/1), from its first byte until it is a tunnel or refused.
from libc.stdint cimport uint8_t, uint32_t

from gateway.codec cimport Codec
from gateway.request cimport Request

cdef class Connection(Request):
    cdef Codec codec           # None before the protocol is known and after it has ended
    cdef bytes held            # bytes not yet used: an unclear beginning, a request behind credentials, early payload

    cdef void enter(self) noexcept
    cdef void dialed_event(self, uint32_t events, int leg) noexcept
    cdef void read(self) noexcept
    cdef void feed(self, const uint8_t *data, size_t length) noexcept
    cdef bint detect(self, const uint8_t *data, size_t length) noexcept
    cdef void hand_over(self, const uint8_t *data, size_t length) noexcept
    cdef void speak_http(self, int auth) noexcept
    cdef void protocol_error(self, int outcome, str detail) noexcept
    cdef void turned_away(self, int outcome, str detail) noexcept
    cdef void advance(self, int status, const uint8_t *rest, size_t length) noexcept
    cdef bint flush(self) noexcept
    cdef bint say(self, bytes text) noexcept
    cdef void linger(self) noexcept
    cdef void linger_read(self) noexcept
    cdef void abandon(self) noexcept
    cdef void drop(self) noexcept
