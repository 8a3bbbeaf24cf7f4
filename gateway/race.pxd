# Dialing: the addresses that may be dialed race (Happy Eyeballs, RFC 8305).
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from gateway.context cimport Context
from gateway.csrc cimport sl_addr, sl_decision
from gateway.queues cimport QueueEntry
from gateway.record cimport Record
from gateway.source_pool cimport SourcePool

cdef enum:
    MAX_ATTEMPTS = 8           # sockets that race for one request; fits the legs of loop.pxd

cdef struct Candidate:
    sl_addr address
    uint16_t port
    sl_decision decision

cdef class Race(QueueEntry):
    cdef Context context
    cdef Record record
    cdef Candidate *candidates  # malloc'd: addresses that may be dialed, in the order to try
    cdef int candidate_count
    cdef int next_candidate
    cdef int winner            # leg of the attempt that connected; -1: none yet
    cdef int fds[MAX_ATTEMPTS]  # -1: free
    cdef int targets[MAX_ATTEMPTS]
    cdef uint32_t places[MAX_ATTEMPTS]  # among the source's dials that began a moment ago
    cdef int dialing           # descriptors in use
    cdef bint counted          # some of its places are held
    cdef int scope             # sl_scope of the limit that stopped it last
    cdef int failure           # sl_outcome of the most telling failure so far
    cdef bint unbound          # no given source address could be used for an attempt
    cdef uint64_t began        # of the current step, loop milliseconds
    cdef uint64_t deadline

    # ---- for subclasses -------------------------------------------------------------------------------------------
    cdef bint enter(self, int count) noexcept
    cdef bint line_up(self, Candidate *kept, int total) noexcept
    cdef void run(self) noexcept
    # No place for a first attempt is free: lost, unless the subclass waits for one and goes on by advance().
    cdef void stuck(self) noexcept
    # Gives the places of all attempts back.
    cdef void leave_dials(self) noexcept
    cdef void leave_dial(self, int leg) noexcept
    cdef void close_attempts(self) noexcept
    # Has the loop report how an attempt went, to on_event; False with errno.
    cdef bint watch_attempt(self, int fd, int leg) noexcept
    # Exactly one of the two is called, once; the winner's descriptor is fds[winner], watched with that leg.
    cdef void won(self, const Candidate *candidate) noexcept
    cdef void lost(self, int outcome) noexcept
    # It will be lost for this: not one of the given source addresses could be used.
    cdef void sourceless(self) noexcept

    # ---- attempts -------------------------------------------------------------------------------------------------
    cdef int take(self, Candidate *kept, int total, int family) noexcept
    cdef void advance(self) noexcept
    cdef bint may_dial(self, int leg) noexcept
    cdef bint attempt(self, int leg) noexcept
    cdef int connect(self, Candidate *candidate) noexcept
    cdef SourcePool sources(self, const Candidate *candidate)
    cdef bint met_itself(self, int leg) noexcept
    cdef void note(self, int error) noexcept
    cdef void settle_attempt(self, int leg, int code) noexcept
