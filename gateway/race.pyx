"""Happy Eyeballs (RFC 8305): the addresses that may be dialed race, and the first to connect wins.

Families alternate, IPv6 first; a new attempt starts each 250 ms or as soon as one fails, and one deadline bounds them
all. Attempts are counted for their source (limits.pxd) until 250 ms have passed: what waits for the network any longer
is a dial that others do not wait for. They come from the addresses that the rule gives. What a race is for, its
subclass knows.
"""

from libc.errno cimport ECONNREFUSED, errno
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp
from posix cimport unistd

from gateway.csrc cimport (
    SL_COUNTER_DIALS, SL_DIAL_OWN, SL_DIAL_SOURCELESS, SL_LIMIT_DIALS, SL_OUTCOME_DIAL_TIMEOUT,
    SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_INTERNAL, SL_OUTCOME_SOURCE_LIMIT, SL_REASON_SOURCE_ADDRESS,
    SL_SCOPE_SOURCE_DIALS, sl_dial_outcome, sl_dial_scope, sl_dial_telling,
)
from gateway.sockets cimport EPOLLERR, EPOLLET, EPOLLHUP, EPOLLOUT, dial, dial_error, local_address
from gateway.source_pool cimport SourcePool

cdef enum:
    ATTEMPT_DELAY = 250        # milliseconds, RFC 8305 section 5; and how long an attempt is counted
    FILES_KEPT = 16            # descriptors that further attempts of a race leave to others


cdef class Race(QueueEntry):
    """See race.pxd."""

    def __cinit__(self, Context context, *args):
        cdef int leg
        self.context = context
        self.failure = SL_OUTCOME_INTERNAL
        self.winner = -1
        for leg in range(MAX_ATTEMPTS):
            self.fds[leg] = -1

    def __dealloc__(self):
        free(self.candidates)

    cdef bint enter(self, int count) noexcept:
        """Room for `count` candidates, in place of those that were; False without memory."""
        free(self.candidates)
        self.candidate_count = 0
        self.candidates = <Candidate *> malloc(count * sizeof(Candidate))
        return self.candidates is not NULL

    cdef bint line_up(self, Candidate *kept, int total) noexcept:
        """Takes candidates in, families alternating from IPv6; False without memory."""
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

    cdef void run(self) noexcept:
        """Starts dialing: one attempt now, the next ones by on_timer and by failures."""
        self.began = self.context.loop.now
        self.deadline = self.began + self.context.dial_timeout
        self.advance()

    cdef void advance(self) noexcept:
        """Keeps one more attempt going while there are addresses; refuses when none is left."""
        cdef uint64_t now = self.context.loop.now
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
                    self.stuck()
                    return
                break
            if self.attempt(leg):
                break
        if self.dialing == 0:
            if self.unbound and self.failure == SL_OUTCOME_INTERNAL:
                self.sourceless()
            self.lost(self.failure)
        elif self.next_candidate < self.candidate_count or self.counted:
            self.context.loop.arm(self, min(<uint64_t> ATTEMPT_DELAY, self.deadline - min(now, self.deadline)))
        else:
            self.context.loop.arm(self, self.deadline - min(now, self.deadline))

    cdef void stuck(self) noexcept:
        self.scope = SL_SCOPE_SOURCE_DIALS
        self.lost(SL_OUTCOME_SOURCE_LIMIT)

    cdef bint may_dial(self, int leg) noexcept:
        """Whether limits have room for one more attempt. A request's first was promised its descriptor at accept."""
        if self.dialing and not self.context.has_files(0, 1, FILES_KEPT):
            return False
        if not self.dialing and self.context.queues.count and not self.places[leg]:
            return False  # maybe behind others
        if not self.context.limits.enter_at_once(self.source, SL_LIMIT_DIALS, &self.places[leg]):
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
        if leg == 0:
            self.context.queues.leave(self, SL_LIMIT_DIALS)
        elif self.places[leg]:
            self.context.limits.leave(SL_LIMIT_DIALS, &self.places[leg])
            self.context.queues.freed(self.source, SL_LIMIT_DIALS)

    cdef bint attempt(self, int leg) noexcept:
        """Dials the next candidate; False when it failed at once."""
        cdef Candidate *candidate = &self.candidates[self.next_candidate]
        cdef int fd
        self.targets[leg] = self.next_candidate
        self.next_candidate += 1
        self.context.count(SL_COUNTER_DIALS)
        fd = self.connect(candidate)
        if fd >= 0 and not self.watch_attempt(fd, leg):
            unistd.close(fd)
            fd = -errno
        if fd < 0:
            self.note(-fd)
            self.leave_dial(leg)
            return False
        self.fds[leg] = fd
        if self.dialing:
            self.context.extra_dials += 1
        self.dialing += 1
        return True

    cdef bint watch_attempt(self, int fd, int leg) noexcept:
        return self.context.loop.watch(fd, self, leg, EPOLLOUT | EPOLLET)

    cdef SourcePool sources(self, const Candidate *candidate):
        """Where connections to a candidate come from; None where the system chooses."""
        return self.record.generation.pool(candidate.decision.rule)

    cdef int connect(self, Candidate *candidate) noexcept:
        """Starts the connection, from where the rule says: the descriptor, else -errno or a number of dial_error.h. An
        address may have become this machine's after it was judged."""
        cdef SourcePool pool = self.sources(candidate)
        cdef Context context = self.context
        cdef int fd
        if context.routes.is_own(&context.generation.image.image, &candidate.address, candidate.port, pool):
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
        if not self.context.routes.may_meet_itself(&candidate.address, candidate.port):
            return False
        local_address(self.fds[leg], &here, &port)
        return (port == candidate.port and here.family == candidate.address.family
                and memcmp(here.bytes, candidate.address.bytes, sizeof(here.bytes)) == 0)

    cdef void note(self, int error) noexcept:
        """An attempt has failed by an errno, or a number of dial_error.h."""
        cdef int outcome = sl_dial_outcome(error)
        if sl_dial_telling(outcome) > sl_dial_telling(self.failure):
            self.failure = outcome
            if outcome == SL_OUTCOME_GATEWAY_LIMIT:
                self.scope = sl_dial_scope(error)

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        if self.winner >= 0 or self.fds[leg] < 0:
            return
        if events & (EPOLLERR | EPOLLHUP):
            self.settle_attempt(leg, dial_error(self.fds[leg]))
        elif events & EPOLLOUT:
            self.settle_attempt(leg, 0)

    cdef void settle_attempt(self, int leg, int code) noexcept:
        """An attempt has ended, by an errno or by 0: connected."""
        if code == 0 and self.met_itself(leg):
            code = ECONNREFUSED
        if code == 0:
            self.winner = leg
            self.close_attempts()
            self.won(&self.candidates[self.targets[leg]])
            return
        unistd.close(self.fds[leg])
        self.fds[leg] = -1
        self.leave_dial(leg)
        self.dialing -= 1
        if self.dialing:
            self.context.extra_dials -= 1
        self.note(code)
        self.advance()

    cdef void on_timer(self) noexcept:
        if self.context.loop.now >= self.deadline:
            self.lost(SL_OUTCOME_DIAL_TIMEOUT)
        else:
            self.leave_dials()
            self.advance()

    cdef void close_attempts(self) noexcept:
        """All but the winner's."""
        cdef int leg
        self.leave_dials()
        for leg in range(MAX_ATTEMPTS):
            if leg == self.winner:
                continue
            if self.fds[leg] >= 0:
                unistd.close(self.fds[leg])
                self.fds[leg] = -1
        if self.dialing > 1:
            self.context.extra_dials -= self.dialing - 1
        self.dialing = 1 if self.winner >= 0 else 0

    cdef void sourceless(self) noexcept:
        self.record.decision.reason = SL_REASON_SOURCE_ADDRESS

    cdef void won(self, const Candidate *candidate) noexcept:
        pass

    cdef void lost(self, int outcome) noexcept:
        pass
