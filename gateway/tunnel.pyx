"""Two sockets and the bytes between them.

Both legs are watched once, edge-triggered, for reading and writing: nothing is asked of epoll while a tunnel lives.
An edge therefore means "pump until it would block", and an end of file that came together with bytes has no edge of
its own: it is remembered from EPOLLRDHUP (`hangup`) and looked for after the bytes.

It knows nothing of how it was opened: protocols end before a tunnel begins.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from posix.unistd cimport close

from gateway.csrc cimport (
    SL_COUNTER_TUNNELS_IDLED, SL_COUNTER_TUNNELS_OPEN, SL_COUNTER_TUNNELS_RESET, SL_COUNTER_TUNNELS_TOTAL,
    SL_LOG_CLOSE, SL_LOG_OPEN, SL_OUTCOME_CLOSED, SL_OUTCOME_HALF_CLOSE_TIMEOUT, SL_OUTCOME_IDLE_TIMEOUT,
    SL_OUTCOME_RESET, SL_OUTCOME_REVOKED, SL_PUMP_BUDGET, SL_PUMP_DONE, SL_PUMP_DRY, SL_PUMP_FULL, SL_PUMP_SINK_RESET,
    SL_TUNNEL_HALF_CLOSED, SL_TUNNEL_OPEN, SL_TUNNEL_REVOKED, sl_direction_free, sl_direction_unpipe,
    sl_direction_waits, sl_pump, sl_tcp_silent,
)
from gateway.loop cimport SCRATCH_SIZE
from gateway.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, close_clean, keep_alive

cdef enum:
    TURN_BUDGET = 1048576      # bytes of one direction in one turn: a bulk tunnel lets the others speak
    LASTING = 30000            # milliseconds; most tunnels end before keepalive could say anything about their upstream


@cython.no_gc_clear  # its pipes go back to the context's pool
cdef class Tunnel(Requester):
    """See tunnel.pxd. The base of every connection that becomes a socket-to-socket tunnel."""

    def __cinit__(self, *args, **kwargs):
        self.client = self.upstream = -1

    def __dealloc__(self):
        sl_direction_free(&self.up)
        sl_direction_free(&self.down)

    cdef void begin(self) noexcept:
        """Both legs are connected and watched: from now on bytes flow."""
        cdef Context context = self.context
        self.up.pool = self.down.pool = &context.pipes
        context.tunnels += 1
        context.set_gauge(SL_COUNTER_TUNNELS_OPEN, context.tunnels)
        context.count(SL_COUNTER_TUNNELS_TOTAL)
        self.active = context.loop.now
        self.record.admitted()
        self.record.enlist()
        self.rearm()
        self.record.write(SL_LOG_OPEN, 0, 0, 0)

    cdef void relay_event(self, uint32_t events, int leg) noexcept:
        """What became possible on `leg`: reading it feeds the one direction, writing it drains the other."""
        self.note_end(events, leg)
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            if not self.pump(leg):
                return
        if events & EPOLLOUT and sl_direction_waits(&self.down if leg == CLIENT else &self.up):
            self.pump(1 - leg)

    cdef void note_end(self, uint32_t events, int leg) noexcept:
        """What epoll says once of a source: its peer has ended its sending, maybe behind bytes that are not read yet;
        urgent data are among them."""
        cdef sl_direction *direction = &self.up if leg == CLIENT else &self.down
        if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            direction.hangup = 1
        if events & EPOLLPRI:
            direction.urgent = 1

    cdef void on_turn(self) noexcept:
        cdef uint8_t again = self.again
        if self.broken:
            self.end(SL_OUTCOME_RESET, True)
            return
        self.again = 0
        if again & 1 and not self.pump(CLIENT):
            return
        if again & 2:
            self.pump(UPSTREAM)

    cdef void on_cut(self) noexcept:
        """The far side has failed behind a passage: what it said before still reaches the client, then the reset."""
        if self.closed or self.upstream < 0:
            return
        self.broken = True
        self.pump(UPSTREAM)
        self.context.loop.later(self)  # behind whoever has to send it

    cdef bint pump(self, int leg) noexcept:
        """Carries what `leg` has to say to the other one; False when the tunnel has ended meanwhile."""
        cdef sl_direction *direction = &self.up if leg == CLIENT else &self.down
        cdef sl_direction *back = &self.down if leg == CLIENT else &self.up
        cdef int source = self.client if leg == CLIENT else self.upstream
        cdef int sink = self.upstream if leg == CLIENT else self.client
        cdef uint64_t before = direction.bytes
        cdef int status
        if direction.done:
            return True
        direction.last = back.done
        status = sl_pump(direction, source, sink, self.context.loop.scratch, SCRATCH_SIZE, TURN_BUDGET)
        if direction.bytes != before:
            self.active = self.context.loop.now
            self.record.carried(leg == CLIENT, direction.bytes - before, self.up.bytes, self.down.bytes)
        if status == SL_PUMP_DRY or status == SL_PUMP_FULL:
            return True
        if status == SL_PUMP_BUDGET:
            self.again |= 1 << leg
            self.context.loop.later(self)
            return True
        if status == SL_PUMP_DONE:
            return self.half_closed(back.done)
        if status == SL_PUMP_SINK_RESET and not back.done:
            # What the failed peer said before it failed still reaches the other side, as it would without a gateway.
            sl_pump(back, sink, source, self.context.loop.scratch, SCRATCH_SIZE, TURN_BUDGET)
        self.end(SL_OUTCOME_RESET, True)
        return False

    cdef bint half_closed(self, bint other_done) noexcept:
        """One direction has ended by itself; False when that was the second one, and the tunnel has ended."""
        if other_done:
            self.end(SL_OUTCOME_CLOSED, False)
            return False
        self.active = self.context.loop.now
        self.rearm()
        self.relist()
        return True

    cdef uint64_t quiet_limit(self) noexcept:
        """Loop milliseconds when the tunnel has been quiet for too long."""
        cdef bint half = self.up.done or self.down.done
        return self.active + (self.context.half_close_timeout if half else self.context.idle_timeout)

    cdef uint64_t due(self) noexcept:
        cdef uint64_t at = self.quiet_limit()
        if self.deadline:
            at = min(at, self.deadline)
        if self.takes_bare:
            at = min(at, self.record.opened + LASTING)
        return at

    cdef void rearm(self) noexcept:
        """Arms the timer for the earliest deadline."""
        cdef uint64_t at = self.due()
        cdef uint64_t now = self.context.loop.now
        self.context.loop.arm(self, at - now if at > now else 0)

    cdef void relist(self) noexcept:
        """Its state in the table of live tunnels, by what is known of it."""
        self.record.relist(SL_TUNNEL_REVOKED if self.deadline else SL_TUNNEL_HALF_CLOSED
                           if self.up.done or self.down.done else SL_TUNNEL_OPEN)

    cdef void revoke_in(self, uint64_t delay) noexcept:
        """The policy turned against the tunnel: it ends in `delay` milliseconds at the latest; 0 takes that back."""
        if delay == 0:
            self.deadline = 0
        elif self.deadline == 0:
            self.deadline = self.context.loop.now + delay
        self.relist()
        self.rearm()

    cdef void relay_timer(self) noexcept:
        """Revoked, idle or half-closed for too long; otherwise armed again for the rest."""
        cdef uint64_t now = self.context.loop.now
        if self.takes_bare and now >= self.record.opened + LASTING:
            self.takes_bare = False
            keep_alive(self.upstream, self.context.keep_alive)
        if self.deadline and now >= self.deadline:
            self.end(SL_OUTCOME_REVOKED, True)
        elif now < self.quiet_limit():
            self.rearm()
        else:
            self.context.count(SL_COUNTER_TUNNELS_IDLED)
            self.end(SL_OUTCOME_HALF_CLOSE_TIMEOUT if self.up.done or self.down.done else SL_OUTCOME_IDLE_TIMEOUT, True)

    cdef void on_look(self, uint32_t since) noexcept:
        # Without bytes since the last look, and none on their way then, keepalive says who is gone.
        if self.upstream < 0 or (self.active + 2 * since < self.context.loop.now
                                 and not self.silence[<int> CLIENT] and not self.silence[<int> UPSTREAM]):
            return
        if (self.client >= 0 and sl_tcp_silent(self.client, since, &self.silence[<int> CLIENT])
                or sl_tcp_silent(self.upstream, since, &self.silence[<int> UPSTREAM])):
            self.end(SL_OUTCOME_RESET, True)
        elif self.active + since <= self.context.loop.now:  # a reader that stalls needs no pipe: bulk that flows does
            sl_direction_unpipe(&self.up)
            sl_direction_unpipe(&self.down)

    cdef void end(self, int outcome, bint reset) noexcept:
        """Closes both legs, as resets when the bytes did not end by themselves."""
        cdef Context context = self.context
        if self.closed:
            return
        if reset and outcome == SL_OUTCOME_RESET:
            context.count(SL_COUNTER_TUNNELS_RESET)
        if self.passage is not None:
            if reset:
                self.passage.cut()
            self.passage = None
        self.close_legs(outcome, reset)
        context.tunnels -= 1
        context.set_gauge(SL_COUNTER_TUNNELS_OPEN, context.tunnels)
        self.record.write(SL_LOG_CLOSE, outcome, self.up.bytes, self.down.bytes)
        self.record.delist(outcome)
        self.closed_sockets()

    cdef void close_legs(self, int outcome, bint reset) noexcept:
        """Closes what the tunnel joins; with `reset`, so that both sides see it was cut."""
        if reset:
            close(self.client)  # SO_LINGER is 0 as long as a tunnel lives
            close(self.upstream)
        else:
            close_clean(self.client)
            close_clean(self.upstream)

    cdef void closed_sockets(self) noexcept:
        """The last step of every end: the object is parked, and nothing finds it any more."""
        self.closed = True
        self.client = self.upstream = -1
        sl_direction_free(&self.up)
        sl_direction_free(&self.down)
        if self.record is not None:
            self.record.leave_limits()
        self.context.left(self)
        self.context.loop.park(self)
