"""The common part of all tunnels, whatever their client's end is. See tunnel.pxd.

Legs are watched once, edge-triggered, for reading and writing: nothing is asked of epoll while a tunnel lives. An edge
therefore means "pump until it would block", and an end of file that came together with bytes has no edge of its own:
it is remembered from EPOLLRDHUP (`hangup`) and looked for after the bytes.

A tunnel knows nothing of how it was opened: protocols end before a tunnel begins.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t

from gateway.c.contract cimport (
    SL_OUTCOME_CLOSED, SL_OUTCOME_DRAINED, SL_OUTCOME_HALF_CLOSE_TIMEOUT, SL_OUTCOME_IDLE_TIMEOUT,
    SL_OUTCOME_INTERNAL, SL_OUTCOME_RESET, SL_OUTCOME_REVOKED,
)
from gateway.c.leg cimport sl_plain_leg
from gateway.c.relay cimport sl_direction_free, sl_direction_unpipe
from gateway.c.segment cimport (
    SL_COUNTER_TUNNELS_IDLED, SL_COUNTER_TUNNELS_RESET,
    SL_LOG_CLOSE, SL_LOG_OPEN, SL_TUNNEL_HALF_CLOSED, SL_TUNNEL_OPEN, SL_TUNNEL_REVOKED,
)
from gateway.c.silence cimport sl_tcp_silent
from gateway.io.sockets cimport EPOLLERR, EPOLLHUP, EPOLLPRI, EPOLLRDHUP, keep_alive
from gateway.io.states cimport misstep
from gateway.proto.sniff cimport SNIFF_HTTP2_PREFACE, sniff_inside
from gateway.state.request cimport Request
from gateway.tunnel.beginnings cimport Beginnings
from gateway.tunnel.states cimport INSPECTION_ENDED, INSPECTION_HOLDING, inspection_may_become

cdef enum:
    LASTING = 30000            # milliseconds; most tunnels end before keepalive could say anything about their upstream


cdef class Inspection:
    """See tunnel.pxd."""

    cdef void move(self, Tunnel tunnel, InspectionState state) except *:
        if not inspection_may_become(<InspectionState> self.state, state):
            misstep(tunnel.parts.loop, f"an inspection in state {self.state} may not become {state}")
        self.state = <uint8_t> state

    cdef void on_event(self, Tunnel tunnel, uint32_t events, int leg) noexcept:
        pass

    cdef uint64_t due(self, Tunnel tunnel) noexcept:
        return UINT64_MAX

    cdef bint on_time(self, Tunnel tunnel) noexcept:
        return True

    cdef bint take(self, Tunnel tunnel, bytes more, bint ended) noexcept:
        return True


@cython.no_gc_clear  # its pipes go back to the parts's pool
cdef class Tunnel(Handler):
    """See tunnel.pxd. The base of both kinds."""

    def __dealloc__(self):
        sl_direction_free(&self.up)
        sl_direction_free(&self.down)

    cdef void take_over(self, Handler request, Record record, sl_leg *leg, ParentStream parent_stream) noexcept:
        cdef WorkerParts parts = record.parts
        self.parts, self.record = parts, record
        self.upstream = leg[0]
        self.fresh = True
        self.up.pool = self.down.pool = &parts.files.pipes
        parts.loop.keep(self)
        parts.roster.replaced(request, self)
        parts.loop.pass_on(leg.fd, self, UPSTREAM)
        if parent_stream is not None:
            self.parent_stream = parent_stream
            parent_stream.lead(self)

    cdef void begin(self) noexcept:
        cdef WorkerParts parts = self.parts
        parts.roster.tunnel_began()
        self.active = parts.loop.now
        self.record.admitted()
        self.record.enlist()
        self.rearm()
        self.record.write(SL_LOG_OPEN, 0, 0, 0)

    # ---- bytes -------------------------------------------------------------------------------------------------------

    cdef void note_end(self, uint32_t events, int leg) noexcept:
        """An edge that comes once: the source's peer has ended its sending, maybe behind bytes that are not read yet;
        urgent data are among them."""
        cdef sl_direction *direction = &self.up if leg == CLIENT else &self.down
        if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            direction.hangup = 1
        if events & EPOLLPRI:
            direction.urgent = 1

    cdef void carried(self, bint upward, uint64_t amount) noexcept:
        """`amount` more bytes went one way."""
        self.active = self.parts.loop.now
        self.record.carried(upward, amount, self.up.bytes, self.down.bytes)

    cdef void on_turn(self) noexcept:
        cdef uint8_t again = self.again
        if self.broken:
            self.end(SL_OUTCOME_RESET, True)
        elif self.parent_stream is not None and self.parent_stream.broken:
            self.break_off()
        else:
            self.again = 0
            if again & 1 << CLIENT and not self.pump(CLIENT):
                return
            if again & 1 << UPSTREAM:
                self.pump(UPSTREAM)

    cdef void break_off(self) noexcept:
        """The stream to a parent has failed: what came by it before still reaches the client, then the reset."""
        if self.inspection is not None and self.inspection.state == INSPECTION_HOLDING:
            self.end(SL_OUTCOME_RESET, True)  # nothing may leave before the name is judged
            return
        self.broken = True
        if self.pump(UPSTREAM):
            self.parts.loop.later(self)  # behind the connection that has to send it

    cdef bint pump(self, int leg) noexcept:
        return True

    cdef ssize_t peek(self, uint8_t *buffer, size_t room, bint *ended) noexcept:
        return 0

    cdef size_t receive(self, uint8_t *buffer, size_t length) noexcept:
        return 0

    cdef bint put_pending(self, int leg) noexcept:
        return True

    cdef bint half_closed(self, bint other_done) noexcept:
        """One direction has ended by itself; False when that was the second one, and the tunnel has ended."""
        if other_done:
            self.end(SL_OUTCOME_CLOSED, False)
            return False
        self.active = self.parts.loop.now
        self.rearm()
        self.relist()
        return True

    # ---- times -------------------------------------------------------------------------------------------------------

    cdef uint64_t quiet_limit(self) noexcept:
        """Loop milliseconds when the tunnel has been quiet for too long."""
        cdef bint half = self.up.done or self.down.done
        return self.active + (self.parts.settings.half_close_timeout if half else self.parts.settings.idle_timeout)

    cdef uint64_t due(self) noexcept:
        cdef uint64_t at = self.quiet_limit()
        if self.deadline:
            at = min(at, self.deadline)
        if self.fresh:
            at = min(at, self.record.opened + LASTING)
        if self.inspection is not None:
            at = min(at, self.inspection.due(self))
        return at

    cdef void rearm(self) noexcept:
        """Arms the timer for the earliest deadline."""
        cdef uint64_t at = self.due()
        cdef uint64_t now = self.parts.loop.now
        self.parts.loop.arm(self, at - now if at > now else 0)

    cdef void on_timer(self) noexcept:
        """Revoked, idle or half-closed for too long; otherwise armed again for the rest."""
        cdef uint64_t now = self.parts.loop.now
        cdef Inspection inspection = self.inspection
        if inspection is not None and not inspection.on_time(self):
            return
        if self.fresh and now >= self.record.opened + LASTING:
            self.fresh = False
            keep_alive(self.upstream.fd, self.parts.settings.keep_alive)
        if self.deadline and now >= self.deadline:
            self.end(SL_OUTCOME_REVOKED, True)
        elif now < self.quiet_limit():
            self.rearm()
        else:
            self.parts.meter.count(SL_COUNTER_TUNNELS_IDLED)
            self.end(SL_OUTCOME_HALF_CLOSE_TIMEOUT if self.up.done or self.down.done else SL_OUTCOME_IDLE_TIMEOUT, True)

    cdef void look(self, uint32_t since, int client) noexcept:
        """on_look; `client` is the client's descriptor, -1 where it has none of its own."""
        # Without bytes since the last look, and none on their way at that time, keepalive finds dead peers.
        if (self.active + 2 * since < self.parts.loop.now
                and not self.silence[<int> CLIENT] and not self.silence[<int> UPSTREAM]):
            return
        if (client >= 0 and sl_tcp_silent(client, since, &self.silence[<int> CLIENT])
                or sl_tcp_silent(self.upstream.fd, since, &self.silence[<int> UPSTREAM])):
            self.end(SL_OUTCOME_RESET, True)
        elif self.active + since <= self.parts.loop.now:  # a reader that stalls needs no pipe: bulk that flows does
            sl_direction_unpipe(&self.up)
            sl_direction_unpipe(&self.down)

    # ---- judged again ------------------------------------------------------------------------------------------------

    cdef void relist(self) noexcept:
        """Its state in the table of live tunnels, by what is known."""
        self.record.relist(SL_TUNNEL_REVOKED if self.deadline else SL_TUNNEL_HALF_CLOSED
                           if self.up.done or self.down.done else SL_TUNNEL_OPEN)

    cdef void revoke_in(self, uint64_t delay) noexcept:
        """The policy turned against the tunnel: it ends in `delay` milliseconds at the latest; 0 takes that back."""
        if delay == 0:
            self.deadline = 0
        elif self.deadline == 0:
            self.deadline = self.parts.loop.now + delay
        self.relist()
        self.rearm()

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void carry_requests(self, bytes first) noexcept:
        cdef Record record = self.record
        cdef Request who = Request.__new__(Request)
        cdef LegState state
        cdef sl_leg leg
        cdef bint http2 = sniff_inside(<const uint8_t *> PyBytes_AS_STRING(first),
                                       PyBytes_GET_SIZE(first)) == SNIFF_HTTP2_PREFACE
        who.listener, who.tls, who.forwarded, who.inside = record.listener, record.tls, record.forwarded, record
        who.peer, who.peer_port, who.source = record.peer, record.peer_port, record.source
        leg = self.give_client(&state)
        (<Beginnings> self.parts.beginnings).carry_requests(who, &leg, state, first, http2)
        self.end(SL_OUTCOME_CLOSED, False)

    cdef sl_leg give_client(self, LegState *state) noexcept:
        return sl_plain_leg(-1)

    cdef void end(self, int outcome, bint reset) noexcept:
        """Closes both legs, as resets when the bytes did not end by themselves."""
        cdef WorkerParts parts = self.parts
        if self.closed:
            return
        if reset and outcome == SL_OUTCOME_RESET:
            parts.meter.count(SL_COUNTER_TUNNELS_RESET)
        if self.parent_stream is not None:
            if reset:
                self.record.broken = self.parent_stream.why
                self.parent_stream.cut()
            self.parent_stream = None
        self.close_legs(outcome, reset)
        self.upstream = sl_plain_leg(-1)
        parts.roster.tunnel_ended()
        self.record.write(SL_LOG_CLOSE, outcome, self.up.bytes, self.down.bytes)
        self.record.delist(outcome)
        self.closed = True
        sl_direction_free(&self.up)
        sl_direction_free(&self.down)
        self.record.leave_limits()
        parts.roster.left(self)
        parts.loop.park(self)
        self.left()
        if self.inspection is not None:
            self.inspection.move(self, INSPECTION_ENDED)
            self.inspection = None

    cdef void close_legs(self, int outcome, bint reset) noexcept:
        pass

    cdef void left(self) noexcept:
        pass

    cdef void close(self) noexcept:
        """Ends at once, whatever the state: an internal error, or the end of the worker."""
        self.end(SL_OUTCOME_DRAINED if self.parts.roster.draining else SL_OUTCOME_INTERNAL, True)
