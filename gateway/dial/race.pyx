"""Happy Eyeballs (RFC 8305): the addresses that may be dialed race, and the first to connect wins.

Families alternate, IPv6 first; a new attempt starts each 250 ms or as soon as one fails, and one deadline bounds them
all. Attempts are counted for their source (limits.pxd) until 250 ms have passed: what waits for the network any longer
is a dial that others do not wait for. They come from the addresses that the rule gives. What a race is for, its owner
knows.

A socket that may become a tunnel's is watched as one from the start, so that it is handed over as it is.
"""

cimport cython
from libc.errno cimport ECONNREFUSED, errno
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp
from posix cimport unistd

from gateway.c.contract cimport SL_OUTCOME_DIAL_TIMEOUT, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_INTERNAL
from gateway.c.dial_error cimport SL_DIAL_OWN, SL_DIAL_SOURCELESS, sl_dial_outcome, sl_dial_scope, sl_dial_telling
from gateway.c.limit_table cimport SL_LIMIT_DIALS
from gateway.c.segment cimport SL_COUNTER_DIALS
from gateway.io.sockets cimport EPOLLERR, EPOLLHUP, dial, dial_error, local_address

cdef enum:
    ATTEMPT_DELAY = 250        # milliseconds, RFC 8305 section 5; and how long an attempt is counted
    FILES_KEPT = 16            # descriptors that further attempts of a race leave to others


cdef Race race_of(WorkerParts parts, Handler owner, QueueEntry entry, Record record):
    cdef Race race = Race.__new__(Race)
    race.parts, race.owner, race.entry, race.record = parts, owner, entry, record
    return race


@cython.final
cdef class Race:
    """Made by race_of()."""

    def __cinit__(self):
        cdef int leg
        self.failure = SL_OUTCOME_INTERNAL
        self.winner = -1
        for leg in range(MAX_ATTEMPTS):
            self.fds[leg] = -1

    def __dealloc__(self):
        free(self.candidates)

    # ---- candidates --------------------------------------------------------------------------------------------------

    cdef bint enter(self, int count) noexcept:
        free(self.candidates)
        self.candidate_count = 0
        self.candidates = <Candidate *> malloc(max(count, 1) * sizeof(Candidate))
        return self.candidates is not NULL

    cdef bint line_up(self, Candidate *kept, int total) noexcept:
        cdef int i, family = 6
        if not self.enter(total):
            return False
        while self.candidate_count < total:
            i = self.take(kept, total, family)
            if i < 0:
                i = self.take(kept, total, 10 - family)
            self.candidates[self.candidate_count] = kept[i]
            kept[i].address.family = 0
            self.candidate_count += 1
            family = 10 - family
        return True

    cdef int take(self, Candidate *kept, int total, int family) noexcept:
        """The first candidate of a family that is not taken yet, or -1."""
        cdef int i
        for i in range(total):
            if kept[i].address.family == family:
                return i
        return -1

    # ---- steps -------------------------------------------------------------------------------------------------------

    cdef RaceStep run(self) noexcept:
        self.deadline = self.parts.loop.now + self.parts.settings.dial_timeout
        return self.advance()

    cdef RaceStep advance(self) noexcept:
        cdef uint64_t left = self.deadline - min(self.parts.loop.now, self.deadline)
        cdef int leg
        while self.next_candidate < self.candidate_count and self.dialing < MAX_ATTEMPTS:
            if self.candidates[self.next_candidate].address.family == 0:
                self.next_candidate += 1  # a reload forbids it
                continue
            leg = 0
            while self.fds[leg] >= 0:
                leg += 1
            if not self.may_dial(leg):
                if self.dialing == 0:
                    return RACE_STUCK
                break
            if self.attempt(leg):
                break
        if self.dialing == 0:
            return RACE_LOST
        if self.next_candidate < self.candidate_count or self.counted:
            left = min(<uint64_t> ATTEMPT_DELAY, left)
        self.parts.loop.arm(self.owner, left)
        return RACE_GOES_ON

    cdef RaceStep on_event(self, uint32_t events, int leg) noexcept:
        if self.winner >= 0 or self.fds[leg] < 0:
            return RACE_GOES_ON
        if events & (EPOLLERR | EPOLLHUP):
            return self.settle_attempt(leg, dial_error(self.fds[leg]))
        return self.settle_attempt(leg, 0) if events & EPOLLOUT else RACE_GOES_ON

    cdef RaceStep on_time(self) noexcept:
        if self.parts.loop.now >= self.deadline:
            self.failure = SL_OUTCOME_DIAL_TIMEOUT
            return RACE_LOST
        self.leave_dials()
        return RACE_NEXT

    cdef RaceStep settle_attempt(self, int leg, int code) noexcept:
        """An attempt has ended, by an errno or by 0: connected."""
        if code == 0 and self.met_itself(leg):
            code = ECONNREFUSED
        if code == 0:
            self.winner = leg
            self.close_attempts()
            return RACE_WON
        self.close_attempt(leg)
        self.note(code)
        return RACE_NEXT

    cdef bint is_sourceless(self) noexcept:
        return self.unbound and self.failure == SL_OUTCOME_INTERNAL

    cdef void note(self, int error) noexcept:
        """An attempt has failed by an errno, or a number of dial_error.h."""
        cdef int outcome = sl_dial_outcome(error)
        if sl_dial_telling(outcome) > sl_dial_telling(self.failure):
            self.failure = outcome
            if outcome == SL_OUTCOME_GATEWAY_LIMIT:
                self.scope = sl_dial_scope(error)

    # ---- limits ------------------------------------------------------------------------------------------------------

    cdef bint may_dial(self, int leg) noexcept:
        """Whether limits have room for one more attempt. The first one was promised its descriptor: a request's at
        accept."""
        if self.dialing and not self.parts.files.has_room(0, 1, FILES_KEPT):
            return False
        if self.entry is None:
            return True
        if not self.dialing and self.parts.queues.count and not self.places[leg]:
            return False  # maybe behind others
        if not self.parts.limits.enter_at_once(self.entry.source, SL_LIMIT_DIALS, &self.places[leg]):
            return False
        self.counted = True
        return True

    cdef void leave_dials(self) noexcept:
        cdef int leg
        if self.counted or self.places[0]:
            self.counted = False
            for leg in range(MAX_ATTEMPTS):
                if self.places[leg]:
                    self.leave_dial(leg)

    cdef void leave_dial(self, int leg) noexcept:
        if self.entry is None:
            return
        if leg == 0:
            self.parts.queues.leave(self.entry, SL_LIMIT_DIALS)
        elif self.places[leg]:
            self.parts.limits.leave(SL_LIMIT_DIALS, &self.places[leg])
            self.parts.queues.freed(self.entry.source, SL_LIMIT_DIALS)

    # ---- attempts ----------------------------------------------------------------------------------------------------

    cdef bint attempt(self, int leg) noexcept:
        """Dials the next candidate; False when it failed at once."""
        cdef Candidate *candidate = &self.candidates[self.next_candidate]
        cdef int fd
        self.targets[leg] = self.next_candidate
        self.next_candidate += 1
        self.parts.meter.count(SL_COUNTER_DIALS)
        fd = self.connect(candidate)
        if fd >= 0 and not self.parts.loop.watch(fd, self.owner, leg, LEG_EVENTS):
            unistd.close(fd)
            fd = -errno
        if fd < 0:
            self.note(-fd)
            self.leave_dial(leg)
            return False
        self.fds[leg] = fd
        if self.dialing:
            self.parts.files.extra_dials += 1
        self.dialing += 1
        return True

    cdef int connect(self, Candidate *candidate) noexcept:
        """Starts the connection, from where the rule says: the descriptor, else -errno or a number of dial_error.h. An
        address may have become this machine's after it was judged."""
        cdef SourcePool pool = self.sources
        cdef WorkerParts parts = self.parts
        cdef int fd
        if self.record is not None:
            pool = self.record.generation.pool(&candidate.decision)
        if parts.routes.is_own(&parts.generation.image.image, &candidate.address, candidate.port, pool):
            return -SL_DIAL_OWN
        if pool is None:
            return dial(&candidate.address, candidate.port, NULL)
        fd = pool.connect(&candidate.address, candidate.port)
        if fd == -SL_DIAL_SOURCELESS:
            self.unbound = True
        return fd

    cdef bint met_itself(self, int leg) noexcept:
        """Whether a socket is connected to itself: the kernel gave it the very port that it dialed (RFC 9293, figure 8:
        simultaneous opening). Only a port that the kernel may give, on this machine, is worth the question."""
        cdef Candidate *candidate = &self.candidates[self.targets[leg]]
        cdef sl_addr here
        cdef uint16_t port
        if not self.parts.routes.may_meet_itself(&candidate.address, candidate.port):
            return False
        local_address(self.fds[leg], &here, &port)
        return (port == candidate.port and here.family == candidate.address.family
                and memcmp(here.bytes, candidate.address.bytes, sizeof(here.bytes)) == 0)

    cdef void close_attempt(self, int leg) noexcept:
        unistd.close(self.fds[leg])
        self.fds[leg] = -1
        self.leave_dial(leg)
        self.dialing -= 1
        if self.dialing:
            self.parts.files.extra_dials -= 1

    cdef void forbid(self, int candidate) noexcept:
        cdef int leg
        self.candidates[candidate].address.family = 0
        for leg in range(MAX_ATTEMPTS):
            if self.fds[leg] >= 0 and self.targets[leg] == candidate:
                self.close_attempt(leg)

    cdef void close_attempts(self) noexcept:
        """All but the winner's."""
        cdef int leg
        self.leave_dials()
        if self.dialing <= (self.winner >= 0):
            return  # none is left: most races have one attempt
        for leg in range(MAX_ATTEMPTS):
            if leg != self.winner and self.fds[leg] >= 0:
                unistd.close(self.fds[leg])
                self.fds[leg] = -1
        if self.dialing > 1:
            self.parts.files.extra_dials -= self.dialing - 1
        self.dialing = 1 if self.winner >= 0 else 0

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef int take_winner(self) noexcept:
        cdef int fd = self.fds[self.winner]
        self.fds[self.winner] = -1
        return fd

    cdef void give_up(self) noexcept:
        self.winner = -1
        self.close_attempts()
        self.candidate_count = self.next_candidate = 0
        self.failure, self.unbound = SL_OUTCOME_INTERNAL, False

    cdef void end(self) noexcept:
        self.winner = -1
        self.close_attempts()
        self.owner = self.entry = None
