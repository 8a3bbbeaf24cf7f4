"""One request for a tunnel, whatever protocol it came by. See request.pxd.

* Success is said only by on_opened, when the upstream is connected; no payload byte went anywhere before.
* Limits, decision, log and the first look inside are the same for every protocol, so they are here.
"""

cimport cython
from libc.stdint cimport uint8_t, uint64_t
from posix cimport unistd

from gateway.context cimport Context, ListenerSpec
from gateway.csrc cimport (
    SL_DENY, SL_FAMILY_TUNNELS, SL_LOG_DECISION, SL_OUTCOME_CLIENT_GONE, SL_OUTCOME_GATEWAY_LIMIT,
    SL_OUTCOME_INTERNAL, SL_OUTCOME_SOURCE_LIMIT, SL_REASON_DRAINING, SL_REASON_SOURCE_ADDRESS, SL_SCOPE_DRAINING,
)
from gateway.logins cimport LOGIN_WAITS
from gateway.opening cimport LEG_EVENTS
from gateway.record cimport Record
from gateway.tunnel cimport UPSTREAM


@cython.no_gc_clear
cdef class Request(InspectedTunnel):
    """The base of connections and streams that ask for a tunnel and become one."""

    cdef void verify(self, bytes user, bytes password) noexcept:
        cdef Context context = self.context
        cdef uint64_t credential = context.generation.credential(user)
        cdef int result
        self.state = VERIFYING
        result = context.logins.ask(self.source, user, password, credential, self)
        if result != LOGIN_WAITS:
            self.on_verified(result, credential)

    cdef void note(self, Codec codec, int kind) noexcept:
        cdef Record record = Record(self.context)
        record.listener = self.listener
        if codec.sequence:
            record.sequence = codec.sequence
        record.protocol = codec.protocol
        record.kind = <uint8_t> kind
        record.peer = self.peer
        record.peer_port = self.peer_port
        record.port = codec.port
        if codec.address.family:
            record.address = codec.address
        else:
            record.name = codec.name[:codec.name_length]
        self.record = record

    cdef void open(self) noexcept:
        cdef Context context = self.context
        cdef ListenerSpec spec = context.listeners[self.listener]
        cdef Record record = self.record
        record.user = self.user
        record.generation = context.generation  # a new one may have come while credentials were verified
        self.state = OPENING
        context.loop.disarm(self)
        if context.draining and not self.opens_late():
            self.over_limit(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_DRAINING, SL_REASON_DRAINING)
            self.answer(SL_OUTCOME_GATEWAY_LIMIT)
            return
        # Those who share a user's address do not pay for the user.
        record.source = self.source if record.user is None else context.limits.of_user(record.user)
        self.opening = Opening(context, self, record, spec.audit)
        self.opening.start()

    cdef bint opens_late(self) noexcept:
        return False

    cdef void drained_away(self) noexcept:
        if self.opening is not None:
            self.opening.cancel()
            self.opening = None
        self.over_limit(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_DRAINING, SL_REASON_DRAINING)

    cdef void over_limit(self, int outcome, int scope, int reason) noexcept:
        cdef Context context = self.context
        cdef Record record = self.record
        context.limited(scope)
        context.labelled(SL_FAMILY_TUNNELS, record.kind, outcome, 0, 0)[0] += 1
        record.decision.reason = <uint8_t> reason
        record.write_refused(self.source, outcome, None, None)

    cdef void on_opened(self, int fd) noexcept:
        """Connected: answer, then relay; early payload goes first."""
        cdef Context context = self.context
        cdef bytes early
        if self.state != OPENING or self.closed:
            unistd.close(fd)  # it was refused or given up before
            return
        self.opening = None
        self.upstream = fd
        self.state = RELAYING
        self.begin()
        early = self.succeed(fd)
        # Edges of the client that came before were not acted upon. Those of the upstream are at hand in dialed_event,
        # or reported again by rewatch.
        if not self.upstream_leg and not context.loop.rewatch(fd, self, UPSTREAM, LEG_EVENTS):
            self.end(SL_OUTCOME_INTERNAL, True)
            return
        self.inspect_first((<ListenerSpec> context.listeners[self.listener]).inner, early)

    cdef void on_refused(self, int outcome) noexcept:
        if self.state != OPENING or self.closed:
            return
        self.opening = None
        self.record.write(SL_LOG_DECISION, outcome, 0, 0)
        self.answer(outcome)

    cdef void answer(self, int outcome) noexcept:
        cdef str rule = None
        cdef str reason = None
        cdef Record record = self.record
        if record is not None and record.decision.reason == SL_REASON_DRAINING:
            reason = record.reason()
        # What was allowed and could not be connected has no reason to name but one: where it would have come from.
        elif record is not None and outcome != SL_OUTCOME_SOURCE_LIMIT and outcome != SL_OUTCOME_GATEWAY_LIMIT and (
                record.decision.verdict == SL_DENY or record.decision.reason == SL_REASON_SOURCE_ADDRESS):
            rule, reason = record.rule, record.reason()
        self.refuse(outcome, rule, reason)

    cdef void give_up(self) noexcept:
        if self.opening is not None:
            self.opening.cancel()
            self.opening = None
            self.context.labelled(SL_FAMILY_TUNNELS, self.record.kind, SL_OUTCOME_CLIENT_GONE, 0, 0)[0] += 1
            self.record.write(SL_LOG_DECISION, SL_OUTCOME_CLIENT_GONE, 0, 0)

    cdef bytes succeed(self, int fd):
        return None

    cdef void refuse(self, int outcome, str rule, str reason) noexcept:
        pass

    cdef void rejudge_opening(self) noexcept:
        if self.opening is not None:
            self.opening.review()
