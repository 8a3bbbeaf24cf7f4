# Two sockets and the bytes between them: relay, half-close, back-pressure, resets, idle and half-close time limits.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.context cimport Context
from gateway.csrc cimport sl_direction
from gateway.opening cimport Requester
from gateway.record cimport Record

cdef enum Leg:
    CLIENT = 0
    UPSTREAM = 1

cdef class Tunnel(Requester):
    cdef Context context
    cdef Record record
    cdef int client            # descriptors; -1 when closed
    cdef int upstream
    cdef sl_direction up       # client to upstream
    cdef sl_direction down
    cdef uint64_t active       # loop milliseconds of the last byte
    cdef uint64_t deadline     # loop milliseconds when a revoked tunnel ends; 0: not revoked
    cdef uint8_t again         # bit per leg: its direction was stopped by the budget
    cdef uint8_t silence[2]    # by leg: what was seen of its acknowledgements (silence.h)
    cdef bint broken           # its passage has broken: it ends when what was received before is on its way

    cdef void begin(self) noexcept
    cdef void relay_event(self, uint32_t events, int leg) noexcept
    cdef void note_end(self, uint32_t events, int leg) noexcept
    cdef bint pump(self, int leg) noexcept
    cdef uint64_t quiet_limit(self) noexcept
    # Loop milliseconds of the earliest deadline: the one that rearm() arms the tunnel's timer for. Whatever adds a
    # deadline says so here, and nothing else arms the timer of a tunnel.
    cdef uint64_t due(self) noexcept
    cdef void rearm(self) noexcept
    cdef void relist(self) noexcept
    cdef void revoke_in(self, uint64_t delay) noexcept
    cdef void relay_timer(self) noexcept
    cdef bint half_closed(self, bint other_done) noexcept
    cdef void end(self, int outcome, bint reset) noexcept
    cdef void close_legs(self, int outcome, bint reset) noexcept
    cdef void closed_sockets(self) noexcept
