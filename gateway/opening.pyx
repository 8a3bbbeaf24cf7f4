"""The way from a complete request to a connected socket: decide by name, resolve, judge each address, dial.

Every protocol asks through here, so one code path decides for all (DECISIONS.md section 3):

* a name is judged before any DNS query; a denied one is never asked for;
* every address of the answer is judged; what is dialed is exactly an address that was judged, never a second look-up;
* the addresses that remain race (race.pyx);
* the decision that counts is that of the address that answered.

A rule with an upstream leads to a parent gateway instead (DECISIONS.md section 3): a name goes there unresolved, an
address after it was judged here, and the parent's own addresses are those that race, as configured.

It counts what it holds for its source: look-ups, dials, and the tunnel it is to become (limits.pxd). The tunnel's
places stay with the record; everything else is given back here, whatever the end: a look-up's when the look-up ends,
which may be after the client has left.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t
from posix cimport unistd

from gateway.context cimport Context
from gateway.csrc cimport (
    SL_COUNTER_DNS_FAILURES, SL_COUNTER_REQUESTS_FAILED, SL_DECISION_GUARD, SL_DECISION_PENDING,
    SL_DECISION_PROVISIONAL, SL_DENY, SL_FAMILY_TUNNELS, SL_HISTOGRAM_DIAL, SL_HISTOGRAM_DNS, SL_LIMIT_LOOKUPS,
    SL_LIMIT_PROVISIONAL, SL_LIMIT_TUNNELS, SL_NO_RULE, SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_CONNECTED,
    SL_OUTCOME_DENIED, SL_OUTCOME_DIAL_TIMEOUT, SL_OUTCOME_DNS_FAILED, SL_OUTCOME_DNS_TIMEOUT, SL_OUTCOME_GATEWAY_LIMIT,
    SL_OUTCOME_INTERNAL, SL_OUTCOME_NAME_NOT_FOUND, SL_OUTCOME_SOURCE_LIMIT, SL_OUTCOME_UPSTREAM_FAILED,
    SL_PHASE_ADDRESS, SL_PHASE_DELEGATED, SL_REASON_OWN_ADDRESS, SL_SCOPE_DESCRIPTORS, SL_SCOPE_DNS,
    SL_SCOPE_SOURCE_DNS, SL_SCOPE_SOURCE_PROVISIONAL, SL_SCOPE_SOURCE_TUNNELS, SL_SCOPE_TUNNELS, sl_addr,
    sl_decide_address, sl_decide_name, sl_decision, sl_decision_upstream, sl_image, sl_refused_address,
    sl_segment_observe,
)
from gateway.local_routes cimport LocalRoutes
from gateway.parent cimport Introduction
from gateway.race cimport Candidate
from gateway.record cimport Record
from gateway.resolver cimport MAX_ADDRESSES, RESOLVE_BROKEN, RESOLVE_FULL, RESOLVE_OK, RESOLVE_TIMEOUT
from gateway.sockets cimport keep_alive, local_address


cdef class Requester(Credentials):
    """Whoever asked; see opening.pxd."""

    cdef void on_opened(self, int fd) noexcept:
        pass

    cdef void on_refused(self, int outcome) noexcept:
        pass

    cdef void on_cut(self) noexcept:
        pass


cdef class Opening(Race):
    """One request on its way. Lives until the requester was told, or until cancel()."""

    def __cinit__(self, Context context, Requester requester, Record record, bint audit):
        self.requester = requester
        self.record = record
        self.audit = audit

    cdef void start(self) noexcept:
        """Judges the name, or the literal address; goes on to DNS or dialing."""
        cdef Record record = self.record
        self.context.loop.keep(self)
        self.began = self.context.loop.now
        if record.name is None:
            self.judge(&record.address, 1)
            return
        record.resolve_source()
        sl_decide_name(&record.generation.image.image, &self.context.source, PyBytes_AS_STRING(record.name),
                       PyBytes_GET_SIZE(record.name), record.port, self.audit, &self.by_name, NULL)
        record.decided(&self.by_name)
        if self.by_name.verdict == SL_DENY and not self.by_name.flags & SL_DECISION_PENDING:
            self.refuse(SL_OUTCOME_DENIED)
            return
        if self.by_name.phase == SL_PHASE_DELEGATED:
            self.through(&self.by_name)
            return
        if not self.reserve():
            return
        if not self.context.limits.enter(record.source, SL_LIMIT_LOOKUPS, &self.lookup_place):
            self.over(SL_OUTCOME_SOURCE_LIMIT, SL_SCOPE_SOURCE_DNS)
            return
        self.context.resolver.lookup(PyBytes_AS_STRING(record.name), PyBytes_GET_SIZE(record.name), self)

    cdef bint reserve(self) noexcept:
        """Places for the tunnel this is to become, before the outside is asked for anything; False when refused."""
        cdef Record record = self.record
        if not self.context.limits.enter(record.source, SL_LIMIT_TUNNELS, &record.source_place):
            return self.over(SL_OUTCOME_SOURCE_LIMIT, SL_SCOPE_SOURCE_TUNNELS)
        if not self.context.limits.enter_gateway(SL_LIMIT_TUNNELS, &record.gateway_place):
            return self.over(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_TUNNELS)
        return True

    cdef bint over(self, int outcome, int scope) noexcept:
        """Refuses for a limit; False."""
        self.scope = scope
        self.refuse(outcome)
        return False

    cdef void on_resolved(self, int status, const sl_addr *addresses, int count) noexcept:
        if self.closed or self.candidates is not NULL:
            return
        self.context.limits.leave(SL_LIMIT_LOOKUPS, &self.lookup_place)
        if status == RESOLVE_FULL:
            self.over(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_DNS)
            return
        self.record.dns_ms = <int> (self.context.loop.now - self.began)
        sl_segment_observe(self.context.segment, SL_HISTOGRAM_DNS, (self.context.loop.now - self.began) * 1000)
        if status != RESOLVE_OK:
            self.context.count(SL_COUNTER_DNS_FAILURES)
            self.refuse(SL_OUTCOME_DNS_TIMEOUT if status == RESOLVE_TIMEOUT else
                        SL_OUTCOME_DNS_FAILED if status == RESOLVE_BROKEN else SL_OUTCOME_NAME_NOT_FOUND)
            return
        self.judge(addresses, count)

    cdef void on_left(self) noexcept:
        # Until now the query was under way, whether anybody still wanted its answer or not.
        self.context.limits.leave(SL_LIMIT_LOOKUPS, &self.lookup_place)

    cdef void judge(self, const sl_addr *addresses, int count) noexcept:
        """Keeps the addresses that may be dialed, families alternating from IPv6; none left is a denial."""
        cdef Record record = self.record
        cdef sl_decision decision, refused
        cdef Candidate kept[MAX_ADDRESSES]
        cdef sl_refused_address left_out[MAX_ADDRESSES]
        cdef int i, total = 0, out = 0
        cdef bint guarded = True
        record.resolve_source()
        for i in range(count):
            self.decide(&addresses[i], &decision)
            if decision.verdict == SL_DENY and not decision.flags & SL_DECISION_PROVISIONAL:
                # A refusal by policy is more telling than the guard's: it is the one reported.
                if i == 0 or (guarded and not decision.flags & SL_DECISION_GUARD):
                    refused = decision
                guarded = guarded and decision.flags & SL_DECISION_GUARD
                left_out[out].address = addresses[i]
                left_out[out].reason = decision.reason
                out += 1
                continue
            kept[total].address = addresses[i]
            kept[total].port = record.port
            kept[total].decision = decision
            total += 1
        if out:
            record.refused = (<char *> left_out)[:<size_t> out * sizeof(sl_refused_address)]
        if total and kept[0].decision.flags & SL_DECISION_PROVISIONAL:
            record.decided(&kept[0].decision)
            if not self.context.limits.enter(record.source, SL_LIMIT_PROVISIONAL, &record.provisional_place):
                self.over(SL_OUTCOME_SOURCE_LIMIT, SL_SCOPE_SOURCE_PROVISIONAL)
                return
        if total == 0:
            record.decided(&refused)
            self.refuse(SL_OUTCOME_ADDRESS_PROHIBITED if guarded else SL_OUTCOME_DENIED)
            return
        if not self.line_up(kept, total):
            self.refuse(SL_OUTCOME_INTERNAL)
            return
        if not self.through(&self.candidates[0].decision):
            self.race()

    cdef void decide(self, const sl_addr *address, sl_decision *out) noexcept:
        """The address phase for one address. What a rule's sourceAddress changes of the way there counts as well."""
        cdef Record record = self.record
        cdef const sl_image *image = &record.generation.image.image
        cdef LocalRoutes routes = self.context.routes
        cdef const sl_decision *by_name = NULL if record.name is None else &self.by_name
        cdef bint own = routes.is_own(image, address, record.port, None)
        sl_decide_address(image, &self.context.source, by_name, address, record.port, own, self.audit, out, NULL)
        if out.verdict != SL_DENY and routes.is_own(image, address, record.port, record.generation.pool(out.rule)):
            sl_decide_address(image, &self.context.source, by_name, address, record.port, True, self.audit, out, NULL)

    cdef bint through(self, const sl_decision *decision) noexcept:
        """Goes on to the parent gateway of a decision; False where it has none. An address it is asked for is the first
        that may be dialed: another would be another's decision."""
        cdef const char *upstream = sl_decision_upstream(&self.record.generation.image.image, decision)
        cdef sl_decision by = decision[0]
        cdef int i
        if upstream is NULL:
            return False
        if self.candidate_count:
            self.record.address = self.candidates[0].address
        self.record.decided(&by)
        self.record.upstream = upstream
        self.parent = self.context.parents.get(self.record.upstream)
        if self.parent is not None and self.parent.shared:
            self.ask_passage()
            return True
        if self.parent is None or not self.enter(self.parent.count):
            self.refuse(SL_OUTCOME_INTERNAL)
            return True
        for i in range(self.parent.count):
            self.candidates[i].address = self.parent.addresses[i]
            self.candidates[i].port = self.parent.ports[i]
            self.candidates[i].decision = by
        self.candidate_count = self.parent.count
        self.race()
        return True

    cdef void race(self) noexcept:
        """Dials, once there is room for the tunnel."""
        self.record.decided(&self.candidates[0].decision)
        if not self.reserve():
            return
        self.run()

    cdef bint watch_attempt(self, int fd, int leg) noexcept:
        cdef Requester requester = self.requester
        if requester.takes_bare and self.parent is None:
            return self.context.loop.watch(fd, requester, DIALED + leg, LEG_EVENTS)
        return Race.watch_attempt(self, fd, leg)

    cdef void lost(self, int outcome) noexcept:
        cdef sl_decision *decision = &self.record.decision
        if outcome == SL_OUTCOME_ADDRESS_PROHIBITED and self.parent is not None:
            outcome = SL_OUTCOME_UPSTREAM_FAILED  # the parent's address has become this machine's
        elif outcome == SL_OUTCOME_ADDRESS_PROHIBITED:
            # The destination's address has become this machine's since it was judged.
            decision.verdict, decision.reason, decision.would_deny = SL_DENY, SL_REASON_OWN_ADDRESS, False
            decision.phase, decision.rule = SL_PHASE_ADDRESS, SL_NO_RULE
            self.record.decided(decision)
        self.refuse(outcome)

    cdef void won(self, const Candidate *candidate) noexcept:
        """A parent is to be asked yet; else this is the destination."""
        if self.parent is not None:
            self.ask()
            return
        self.record.address = candidate.address
        self.record.decided(&candidate.decision)
        self.opened()

    cdef void ask(self) noexcept:
        """Asks the parent for the tunnel, before the deadline of the whole race."""
        cdef Record record = self.record
        self.next_candidate = self.candidate_count
        try:
            codec = self.parent.handshake(record.name, &record.address, record.port)
        except Exception:
            self.refuse(SL_OUTCOME_INTERNAL)
            return
        self.asking = Introduction(self.context.loop, self, codec, self.fds[self.winner])
        self.context.loop.arm(self, self.deadline - min(self.deadline, self.context.loop.now))
        self.asking.start()

    cdef void ask_passage(self) noexcept:
        """Asks for a way through one of the connections to the parent, which are dialed as they are needed."""
        cdef Record record = self.record
        if not self.reserve():
            return
        self.began = self.context.loop.now
        self.deadline = self.began + self.context.dial_timeout
        try:
            self.passage = self.context.passages.ask(
                self.parent, record.generation.pool(record.decision.rule), self,
                self.parent.target(record.name, &record.address, record.port))
        except Exception:
            self.refuse(SL_OUTCOME_INTERNAL)
            return
        self.context.loop.arm(self, self.context.dial_timeout)

    cdef void on_timer(self) noexcept:
        if self.passage is not None:
            self.lost(SL_OUTCOME_DIAL_TIMEOUT)
        else:
            Race.on_timer(self)

    cdef void on_passed(self, int fd, int outcome, int reason) noexcept:
        if self.closed or self.passage is None:
            if fd >= 0:
                unistd.close(fd)
            return
        if outcome == SL_OUTCOME_CONNECTED:
            self.winner = 0
            self.fds[0] = fd
            if self.context.loop.watch(fd, self, 0, LEG_EVENTS):
                self.opened()
                return
            outcome = SL_OUTCOME_INTERNAL
        else:
            self.passage = None
        if reason >= 0:
            self.record.decision.reason = <uint8_t> reason
        self.scope = SL_SCOPE_DESCRIPTORS  # heard of only when a limit is what it failed for
        self.refuse(outcome)

    cdef void on_introduced(self, int outcome) noexcept:
        if self.closed or self.asking is None:
            return
        self.asking = None
        if outcome == SL_OUTCOME_CONNECTED:
            self.opened()
        else:
            self.refuse(outcome)

    cdef void opened(self) noexcept:
        """Hands the socket over."""
        cdef Requester requester = self.requester
        cdef Record record = self.record
        cdef int fd = self.fds[self.winner]
        cdef uint16_t port
        self.fds[self.winner] = -1
        if record.generation.pool(record.decision.rule) is not None:
            if self.passage is not None:
                self.passage.local(&record.source_address)
            else:
                local_address(fd, &record.source_address, &port)
        requester.passage, self.passage = self.passage, None
        if requester.passage is not None:
            requester.passage.lead(requester)
        record.opened = self.context.loop.now
        record.dial_ms = <int> (record.opened - self.began)
        sl_segment_observe(self.context.segment, SL_HISTOGRAM_DIAL, (record.opened - self.began) * 1000)
        if not record.decision.flags & SL_DECISION_PROVISIONAL:
            record.leave_provisional()
            record.count_decision()
        self.finish()
        if not requester.takes_bare:
            keep_alive(fd, self.context.keep_alive)
        requester.on_opened(fd)

    cdef void refuse(self, int outcome) noexcept:
        cdef Requester requester = self.requester
        self.record.count_decision()
        self.context.labelled(SL_FAMILY_TUNNELS, self.record.kind, outcome, 0, 0)[0] += 1
        if outcome == SL_OUTCOME_GATEWAY_LIMIT or outcome == SL_OUTCOME_SOURCE_LIMIT:
            self.context.limited(self.scope)
        elif outcome != SL_OUTCOME_DENIED and outcome != SL_OUTCOME_ADDRESS_PROHIBITED:
            self.context.count(SL_COUNTER_REQUESTS_FAILED)
        self.cancel()
        requester.on_refused(outcome)

    cdef void finish(self) noexcept:
        """The end: every attempt is closed, a late DNS answer finds this closed. The tunnel's places stay taken."""
        self.closed = True
        self.requester = None
        if self.asking is not None:
            self.asking.cancel()
            self.asking = None
        if self.passage is not None:
            self.passage.cancel()
            self.passage = None
        self.winner = -1
        self.close_attempts()
        self.context.loop.park(self)

    cdef void cancel(self) noexcept:
        """Ends without telling anybody, and without a tunnel."""
        if not self.closed:
            self.record.leave_limits()
            self.finish()

    cdef void close(self) noexcept:
        """An error of ours on the way."""
        if not self.closed:
            self.refuse(SL_OUTCOME_INTERNAL)
