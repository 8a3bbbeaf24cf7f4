"""A CONNECT on an HTTP/2 connection: what it asks for, and what it is answered. See connect.pxd.

DATA that comes before the answer is kept, at most one window. Success is answered only by on_opened, when the upstream
is connected: an H2Tunnel takes stream and socket over, and this is gone.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.contract cimport (
    SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_INTERNAL, SL_OUTCOME_REQUEST_TIMEOUT,
    SL_OUTCOME_SOURCE_LIMIT, SL_REASON_INTERNAL, sl_reason_text,
)
from gateway.c.leg cimport sl_leg, sl_leg_reset
from gateway.c.segment cimport (
    SL_COUNTER_REQUEST_TIMEOUTS, SL_FAMILY_PROTOCOL_ERRORS, SL_H2_ABUSE_RESETS, SL_LOG_DECISION,
    SL_SCOPE_CREDENTIALS, SL_SCOPE_DESCRIPTORS, SL_SCOPE_SOURCE_LOGINS,
)
from gateway.downstream.http2.stream_leg cimport StreamLeg
from gateway.downstream.http2.tunnel cimport H2Tunnel, joined
from gateway.parent.parent cimport ParentStream
from gateway.proto.http2.budget cimport budgets_earn
from gateway.proto.http2.frames cimport H2_INTERNAL_ERROR
from gateway.proto.http2.head cimport DIALECT_PIPY
from gateway.proto.http2.server cimport H2Server
from gateway.proto.http2.streams cimport END_RESET_BY_PEER, STREAM_REMOTE_ENDED
from gateway.state.logins cimport LOGIN_BUSY, LOGIN_LIMITED, LOGIN_RIGHT
from gateway.state.record cimport count_login
from gateway.state.request cimport LINGERING, OPENING, VERIFYING
from gateway.tunnel.held cimport Held, held_of
from gateway.tunnel.inner cimport inspect_first
from gateway.tunnel.request cimport drained_away, give_up, may_open, over_limit, told_reason, told_rule
from gateway.tunnel.tunnel cimport UPSTREAM

cdef enum:
    FILES_KEPT = 16            # descriptors that are left to others

cdef bytes OK_BLOCK = b"\x88"  # :status 200, from HPACK's static table


@cython.final
cdef class H2Request(Request):
    """Made by its connection, which gives it `parts`, `record`, `carrier`, and who asks."""

    cdef void enter(self, H2Stream *stream) noexcept:
        self.stream = stream
        stream.owner = <PyObject *> self
        self.client_ended = (stream.flags & STREAM_REMOTE_ENDED) != 0
        self.parts.loop.keep(self)
        self.parts.roster.stream_entered(self)

    cdef void ask(self) noexcept:
        if not self.parts.files.has_room(0, 0, FILES_KEPT):
            self.limited(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_DESCRIPTORS)
            return
        self.state = OPENING
        self.parts.loop.disarm(self)
        # A sidecar of the Pipy family has no other way to its target while one stream of the connection lives.
        self.opening = may_open(self.parts, self, self.record, self.carrier.session.dialect == DIALECT_PIPY)
        if self.opening is None:
            self.answer(SL_OUTCOME_GATEWAY_LIMIT)
        else:
            self.opening.start(self)

    cdef void received(self, Piece *pieces, int count, uint32_t total) noexcept:
        if self.stream is not NULL and self.stream.flags & STREAM_REMOTE_ENDED:
            self.client_ended = True
        self.held += total
        if total:
            self.early = joined(pieces, count) if self.early is None else self.early + joined(pieces, count)

    # ---- the answer --------------------------------------------------------------------------------------------------

    cdef void on_verified(self, int result, uint64_t credential) noexcept:
        cdef bytes tried = self.user
        if not self.is_verdict(result):
            return
        if result == LOGIN_RIGHT and self.parts.generation.credential(self.user) == credential:
            self.ask()
        else:
            self.user = None
            self.refuse_login(tried, 0, "wrong user or password")

    cdef void on_token(self, int result, Token token, int reason) noexcept:
        if not self.is_verdict(result):
            return
        if token is not None:
            self.token = token
            self.ask()
        else:
            self.refuse_login(None, reason, sl_reason_text(<unsigned> reason).decode("ascii"))

    cdef bint is_verdict(self, int result) noexcept:
        if self.state != VERIFYING or self.closed:
            return False  # it was refused before
        if result == LOGIN_BUSY:
            self.limited(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_CREDENTIALS)
        elif result == LOGIN_LIMITED:
            self.limited(SL_OUTCOME_SOURCE_LIMIT, SL_SCOPE_SOURCE_LOGINS)
        return result != LOGIN_BUSY and result != LOGIN_LIMITED

    cdef void refuse_login(self, bytes tried, int reason, str detail) noexcept:
        self.record.decision.reason = <uint8_t> reason
        self.record.write_refused(self.source, SL_OUTCOME_AUTH_FAILED, tried, detail)
        count_login(self.parts, reason, tried, detail)
        self.parts.meter.labelled(SL_FAMILY_PROTOCOL_ERRORS, self.record.kind, SL_OUTCOME_AUTH_FAILED, 0, 0)[0] += 1
        self.refuse(SL_OUTCOME_AUTH_FAILED, None, detail)

    cdef void rejudge(self) noexcept:
        if self.opening is not None:
            self.opening.review()

    cdef void on_opened(self, sl_leg *leg, uint32_t events, ParentStream parent_stream) noexcept:
        """Connected: answer, then relay; early payload goes first."""
        cdef H2Carrier carrier = self.carrier
        cdef H2Tunnel tunnel
        cdef bytes early = self.early
        if self.state != OPENING or self.closed or self.stream is NULL:
            sl_leg_reset(leg)  # it was refused or given up before
            return
        tunnel = H2Tunnel.__new__(H2Tunnel)
        tunnel.carrier, tunnel.stream = carrier, self.stream
        tunnel.client_ended, tunnel.held = self.client_ended, self.held
        tunnel.stream.owner = <PyObject *> tunnel
        tunnel.take_over(self, self.record, leg, parent_stream)
        self.stream, self.held = NULL, 0
        self.leave()
        tunnel.begin()
        (<H2Server> carrier.session).respond(tunnel.stream, OK_BLOCK, False)
        # However it ends, that is paid for: a reset may cross with our own end of the stream.
        budgets_earn(&carrier.session.budgets, SL_H2_ABUSE_RESETS, 1)
        carrier.tunnel_began()
        carrier.write_later()
        inspect_first(tunnel, early, False)
        if events and not tunnel.closed:
            tunnel.on_event(events, UPSTREAM)

    cdef bint may_be_held(self) noexcept:
        return True

    cdef void on_held(self) noexcept:
        """Answered, and looked into: nothing is connected yet."""
        cdef H2Carrier carrier = self.carrier
        cdef H2Stream *stream = self.stream
        cdef StreamLeg end
        cdef Held held
        cdef bytes early = self.early
        if self.state != OPENING or self.closed or stream is NULL:
            return
        end = StreamLeg.__new__(StreamLeg)
        end.parts, end.carrier = self.parts, carrier
        held = held_of(self.parts, self.record, self)
        self.stream, self.held = NULL, 0
        (<H2Server> carrier.session).respond(stream, OK_BLOCK, False)
        # However it ends, that is paid for: a reset may cross with our own end of the stream.
        budgets_earn(&carrier.session.budgets, SL_H2_ABUSE_RESETS, 1)
        held.leg = end.enter(stream, early, self.client_ended)
        carrier.write_later()
        held.begin(self, None, None)
        self.leave()

    cdef void on_refused(self, int outcome) noexcept:
        if self.state != OPENING or self.closed:
            return
        self.opening = None
        self.record.write(SL_LOG_DECISION, outcome, 0, 0)
        self.answer(outcome)

    cdef void limited(self, int outcome, int scope) noexcept:
        """Refused for a limit of the gateway, or of the source."""
        over_limit(self.record, self.source, outcome, scope, SL_REASON_INTERNAL)
        self.answer(outcome)

    cdef void answer(self, int outcome) noexcept:
        self.refuse(outcome, told_rule(self.record, outcome), told_reason(self.record, outcome))

    cdef void refuse(self, int outcome, str rule, str reason) noexcept:
        """The answer is the connection's to send; this is over."""
        cdef H2Stream *stream = self.stream
        if self.closed:
            return
        if stream is not NULL:
            self.stream = NULL
            stream.owner = NULL
            self.carrier.session.consumed_late(self.held)
            self.held = 0
            self.carrier.refuse_stream(stream, outcome, rule, reason, None, self.record.sequence)
        self.drop()

    cdef void on_timer(self) noexcept:
        if self.state == VERIFYING:
            self.parts.meter.count(SL_COUNTER_REQUEST_TIMEOUTS)
            self.record.write_refused(self.source, SL_OUTCOME_REQUEST_TIMEOUT, None, None)
            self.refuse(SL_OUTCOME_REQUEST_TIMEOUT, None, None)

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void lost(self) noexcept:
        if self.closed:
            return
        self.carrier.forget_stream(&self.stream, END_RESET_BY_PEER)  # with its connection: no frame, and none counted
        if self.opening is not None:
            give_up(self.opening)
            self.opening = None
        self.drop()

    cdef void drop(self) noexcept:
        """The end without a tunnel. A stream that is still there is reset."""
        if self.closed:
            return
        if self.opening is not None:
            self.opening.cancel()
        self.carrier.cut_stream(&self.stream, H2_INTERNAL_ERROR)
        self.carrier.session.consumed_late(self.held)
        self.held = 0
        self.record.leave_limits()
        self.parts.roster.stream_left()
        self.parts.roster.left(self)
        self.leave()

    cdef void leave(self) noexcept:
        """The last step of every end: the object is parked, and nothing finds it any more."""
        self.closed = True
        self.state = LINGERING
        self.opening = None
        self.early = None
        self.parts.loop.park(self)

    cdef void close(self) noexcept:
        """Ends at once, whatever the state: an internal error, or the end of the worker."""
        if self.closed:
            return
        if self.parts.roster.draining:
            if self.opening is not None:
                self.opening.cancel()
                self.opening = None
            drained_away(self.record, self.source)
            self.answer(SL_OUTCOME_GATEWAY_LIMIT)
            return
        if self.opening is not None:
            give_up(self.opening)
            self.opening = None
        self.refuse(SL_OUTCOME_INTERNAL, None, None)
