# Dialing: the addresses that may be dialed race (Happy Eyeballs, RFC 8305). A part of its owner, which hands events and
# times on and acts upon the answers.
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from gateway.c.addr cimport sl_addr
from gateway.c.judge cimport sl_decision
from gateway.io.loop cimport Handler
from gateway.io.sockets cimport EPOLLET, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP
from gateway.parent.source_pool cimport SourcePool
from gateway.state.parts cimport WorkerParts
from gateway.state.queues cimport QueueEntry
from gateway.state.record cimport Record

cdef enum:
    MAX_ATTEMPTS = 8           # sockets that race for one request
    LEG_EVENTS = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET   # asked for once, while a leg lives

cdef struct Candidate:
    sl_addr address            # family 0: it may not be dialed any more
    uint16_t port
    bint lifted                # an endpoint for which the guard's private ranges are open
    sl_decision decision

# How a race stands, for its owner to act upon.
cdef enum RaceStep:
    RACE_LOST = 0              # every address has failed, or the time is over: `failure`, `scope` and `unbound` say how
    RACE_GOES_ON = 1           # until the next event, or the time that the owner's timer is armed for
    RACE_WON = 2               # fds[winner] is connected
    RACE_NEXT = 3              # a further attempt may begin: advance()
    RACE_STUCK = 4             # the source has no place for a first attempt: advance() when it has one

cdef class Race:
    cdef WorkerParts parts
    cdef Handler owner         # handler whose legs, by number, the attempts are (LEG_EVENTS); None: the race is over
    cdef QueueEntry entry      # entry of the source that dials are counted for; None: they are counted for none
    cdef Record record         # facts of the request, whose rule gives the source addresses; None: `sources` does
    cdef SourcePool sources    # addresses to dial from; None: the system chooses
    cdef Candidate *candidates  # addresses that may be dialed, in the order to try; malloc'd, NULL: none
    cdef int candidate_count
    cdef int next_candidate    # index of the next candidate to dial
    cdef int winner            # number of the attempt that connected; -1: none yet
    cdef int fds[MAX_ATTEMPTS]  # descriptors of attempts; -1: free
    cdef int targets[MAX_ATTEMPTS]  # index of the candidate of each attempt
    cdef uint32_t places[MAX_ATTEMPTS]  # place of each attempt among the source's fresh dials; 0: none
    cdef int dialing           # number of descriptors in use
    cdef bint counted          # bool: some of these places are held
    cdef int scope             # sl_scope of the limit that stopped an attempt
    cdef int failure           # sl_outcome of the most telling failure so far
    cdef bint unbound          # bool: an attempt had no source address that can be used
    cdef uint64_t deadline     # loop milliseconds

    # Room for `count` candidates, in place of those that were; False without memory.
    cdef bint enter(self, int count) noexcept
    # Takes candidates in, families alternating from IPv6; False without memory.
    cdef bint line_up(self, Candidate *kept, int total) noexcept
    # Starts dialing: one attempt now, the next ones by on_time() and by failures.
    cdef RaceStep run(self) noexcept
    # Keeps one more attempt going while there are addresses.
    cdef RaceStep advance(self) noexcept
    # For the owner: an attempt's socket has events; the timer has fired.
    cdef RaceStep on_event(self, uint32_t events, int leg) noexcept
    cdef RaceStep on_time(self) noexcept
    # An address that may not be dialed any more: its attempt ends.
    cdef void forbid(self, int candidate) noexcept
    # The winner's descriptor, which is the caller's from now on.
    cdef int take_winner(self) noexcept
    # Every attempt ends; none is left, and every place is given back. It can begin again.
    cdef void give_up(self) noexcept
    # The same for good: the owner is not known any more.
    cdef void end(self) noexcept
    # Whether it was lost because not one of the given source addresses could be used.
    cdef bint is_sourceless(self) noexcept

    # ---- attempts -------------------------------------------------------------------------------------------------
    cdef int take(self, Candidate *kept, int total, int family) noexcept
    cdef bint may_dial(self, int leg) noexcept
    cdef bint attempt(self, int leg) noexcept
    cdef int connect(self, Candidate *candidate) noexcept
    cdef bint met_itself(self, int leg) noexcept
    cdef void note(self, int error) noexcept
    cdef RaceStep settle_attempt(self, int leg, int code) noexcept
    cdef void close_attempt(self, int leg) noexcept
    cdef void close_attempts(self) noexcept
    # Gives the places of all attempts back, or of one.
    cdef void leave_dials(self) noexcept
    cdef void leave_dial(self, int leg) noexcept

# A race for `owner`. `entry` and `record` are None where it is for no request: its dials count for no source.
cdef Race race_of(WorkerParts parts, Handler owner, QueueEntry entry, Record record)
