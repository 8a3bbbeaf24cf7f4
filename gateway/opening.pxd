# The way from a complete request to a connected socket: decide by name, resolve, judge each address, dial.
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from gateway.context cimport Context, Credentials
from gateway.csrc cimport sl_addr, sl_decision
from gateway.parent cimport Introduced, Introduction, Parent
from gateway.record cimport Record
from gateway.resolver cimport MAX_ADDRESSES

cdef enum:
    MAX_ATTEMPTS = 8           # sockets that race for one request; fits the legs of loop.pxd

# Whoever asked: a SOCKS or HTTP/1 connection, later an HTTP/2 stream. Exactly one of the two is called, once.
cdef class Requester(Credentials):
    cdef void on_opened(self, int fd) noexcept        # connected, and watched by the Opening until rewatched
    cdef void on_refused(self, int outcome) noexcept  # sl_outcome

cdef struct Candidate:
    sl_addr address
    uint16_t port
    sl_decision decision

cdef class Opening(Introduced):
    cdef Context context
    cdef Requester requester
    cdef Record record
    cdef bint audit            # the listener's
    cdef sl_decision by_name
    cdef Candidate *candidates  # malloc'd: addresses that may be dialed, in the order to try
    cdef int candidate_count
    cdef int next_candidate
    cdef Parent parent         # whom the candidates lead to; None: to the destination itself
    cdef Introduction asking   # the parent is being asked
    cdef int winner            # leg of the attempt that connected
    cdef int fds[MAX_ATTEMPTS]  # -1: free
    cdef int targets[MAX_ATTEMPTS]
    cdef uint32_t places[MAX_ATTEMPTS]  # among the source's dials in flight
    cdef uint32_t lookup_place  # among its look-ups in flight
    cdef int dialing           # descriptors in use
    cdef int scope             # sl_scope of the limit that stopped it last
    cdef int failure           # sl_outcome of the most telling failure so far
    cdef bint unbound          # no given source address could be used for an attempt
    cdef uint64_t began        # of the current step, loop milliseconds
    cdef uint64_t deadline

    cdef void start(self) noexcept
    cdef bint reserve(self) noexcept
    cdef bint over(self, int outcome, int scope) noexcept
    cdef void judge(self, const sl_addr *addresses, int count) noexcept
    cdef bint through(self, const sl_decision *decision) noexcept
    cdef int take(self, Candidate *kept, int total, int family) noexcept
    cdef void race(self) noexcept
    cdef void advance(self) noexcept
    cdef bint may_dial(self, int leg) noexcept
    cdef bint attempt(self, int leg) noexcept
    cdef int connect(self, Candidate *candidate) noexcept
    cdef void note(self, int outcome) noexcept
    cdef void settle_attempt(self, int leg) noexcept
    cdef void won(self, int leg) noexcept
    cdef void ask(self) noexcept
    cdef void opened(self) noexcept
    cdef void close_attempts(self) noexcept
    cdef void refuse(self, int outcome) noexcept
    cdef void finish(self) noexcept
    cdef void cancel(self) noexcept
