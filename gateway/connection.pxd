# One client connection of a byte-stream protocol (SOCKS, HTTP/1), from its first byte until it is a tunnel or refused.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway.codec cimport Codec
from gateway.context cimport Context, ListenerSpec
from gateway.csrc cimport sl_addr
from gateway.opening cimport Opening
from gateway.inner cimport InspectedTunnel

cdef enum State:
    READING = 0                # bytes of the request are missing
    VERIFYING = 1              # credentials are with the supervisor
    OPENING = 2                # decided, resolved, dialed by an Opening
    RELAYING = 3               # a tunnel
    LINGERING = 4              # refused; the answer is on its way, what still comes is dropped

cdef class Connection(InspectedTunnel):
    cdef uint8_t state
    cdef uint8_t listener      # index into context.listeners
    cdef uint16_t peer_port
    cdef uint64_t source       # the peer, as limits know it
    cdef uint32_t place        # among the source's connections that are no tunnels; given by the listener
    cdef uint32_t asking       # among its requests that were not answered; 0: answered, or one too many
    cdef sl_addr peer
    cdef Codec codec           # None before the protocol is known and after it has ended
    cdef Opening opening
    cdef bytes held            # bytes not yet used: an unclear beginning, a request behind credentials, early payload
    cdef bytes user            # verified

    cdef void enter(self) noexcept
    cdef void read(self) noexcept
    cdef void feed(self, const uint8_t *data, size_t length) noexcept
    cdef bint detect(self, const uint8_t *data, size_t length) noexcept
    cdef void protocol_error(self, int outcome) noexcept
    cdef void advance(self, int status, const uint8_t *rest, size_t length) noexcept
    cdef void ask_verifier(self) noexcept
    cdef void open(self) noexcept
    cdef int limit(self) noexcept
    cdef bint flush(self) noexcept
    cdef bint say(self, bytes text) noexcept
    cdef void answer(self, int outcome) noexcept
    cdef void linger(self) noexcept
    cdef void linger_read(self) noexcept
    cdef void abandon(self) noexcept
    cdef void drop(self) noexcept
