"""The way from a complete request to a connected socket: decide by name, resolve, judge each address, dial.

Every protocol asks through here, so one code path decides for all (DECISIONS.md section 3):

* a name is judged before any DNS query; a denied one is never asked for;
* every address of the answer is judged; what is dialed is exactly an address that was judged, never a second look-up;
* the addresses that remain race (race.pyx);
* the decision that counts is that of the address that answered.

A rule with an upstream leads to a parent gateway instead (DECISIONS.md section 3): a name goes there unresolved, an
address after it was judged here, and the parent's own addresses are those that race, as configured.

It counts what it holds for its source: the request, look-ups, dials, and the tunnel it is to become (limits.pxd). The
tunnel's places stay with the record; everything else is given back here, whatever the end. What is over the limits of
its source waits (queues.pxd), at most dialTimeout for each place. A look-up is counted while it is fresh: one that
DNS leaves unanswered is waited for by its own request alone, and so it is with dials (race.pyx).

A decision is never older than the generation that is active: each step judges again when another one has come, and a
reload has every opening judged before it is acknowledged (rejudge.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from posix cimport unistd

from gateway.context cimport Context, Generation
from gateway.csrc cimport (
    SL_COUNTER_DNS_FAILURES, SL_COUNTER_REQUESTS_FAILED, SL_DECISION_GUARD, SL_DECISION_PENDING,
    SL_DECISION_PROVISIONAL, SL_DENY, SL_FAMILY_TUNNELS, SL_HISTOGRAM_DIAL, SL_HISTOGRAM_DNS, SL_LIMIT_DIALS,
    SL_LIMIT_LOOKUPS, SL_LIMIT_PROVISIONAL, SL_LIMIT_REQUESTS, SL_LIMIT_TUNNELS, SL_NO_RULE,
    SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_CONNECTED, SL_OUTCOME_DENIED, SL_OUTCOME_DIAL_TIMEOUT,
    SL_OUTCOME_DNS_FAILED, SL_OUTCOME_DNS_TIMEOUT, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_INTERNAL,
    SL_OUTCOME_NAME_NOT_FOUND, SL_OUTCOME_SOURCE_LIMIT, SL_OUTCOME_UPSTREAM_FAILED, SL_PHASE_ADDRESS,
    SL_PHASE_DELEGATED, SL_PHASE_NAME, SL_REASON_OWN_ADDRESS, SL_REASON_UNAUTHORIZED, SL_SCOPE_DESCRIPTORS,
    SL_SCOPE_DNS, SL_SCOPE_SOURCE_DIALS, SL_SCOPE_SOURCE_DNS, SL_SCOPE_SOURCE_PROVISIONAL,
    SL_SCOPE_SOURCE_REQUESTS, SL_SCOPE_SOURCE_TUNNELS, SL_SCOPE_TUNNELS, sl_addr, sl_decide_address,
    sl_decide_name, sl_decision, sl_decision_upstream, sl_image, sl_refused_address, sl_segment_observe,
)
from gateway.local_routes cimport LocalRoutes
from gateway.parent cimport Introduction, Parent
from gateway.queues cimport ENTER_DONE, ENTER_QUEUED, NOT_QUEUED, EnterResult
from gateway.race cimport MAX_ATTEMPTS, Candidate
from gateway.record cimport Record
from gateway.resolver cimport MAX_ADDRESSES, RESOLVE_BROKEN, RESOLVE_FULL, RESOLVE_OK, RESOLVE_TIMEOUT
from gateway.sockets cimport keep_alive, local_address
from gateway.source_pool cimport SourcePool

cdef enum:
    MAX_RESTARTS = 8           # by reloads that change its way


cdef class Requester(Credentials):
    """Whoever asked; see opening.pxd."""

    cdef void on_opened(self, int fd) noexcept:
        pass

    cdef void on_refused(self, int outcome) noexcept:
        pass

    cdef void on_cut(self) noexcept:
        pass

    cdef void rejudge_opening(self) noexcept:
        pass


cdef int scope_of(int kind) noexcept:
    """The sl_scope that refusals for a source's limit are counted by."""
    if kind == SL_LIMIT_LOOKUPS:
        return SL_SCOPE_SOURCE_DNS
    if kind == SL_LIMIT_DIALS:
        return SL_SCOPE_SOURCE_DIALS
    return SL_SCOPE_SOURCE_PROVISIONAL if kind == SL_LIMIT_PROVISIONAL else SL_SCOPE_SOURCE_REQUESTS


cdef class Opening(Race):
    """One request on its way. Lives until the requester was told, or until cancel()."""

    def __cinit__(self, Context context, Requester requester, Record record, bint audit):
        self.requester = requester
        self.record = record
        self.audit = audit

    cdef void start(self) noexcept:
        self.context.loop.keep(self)
        self.began = self.context.loop.now
        self.source = self.record.source
        self.set_out()

    cdef void set_out(self) noexcept:
        """Judges the name, or the literal address; goes on to DNS or dialing."""
        cdef Record record = self.record
        if record.name is None:
            self.judge(&record.address, 1)
            return
        record.resolve_source()
        sl_decide_name(&record.generation.image.image, &self.context.source, PyBytes_AS_STRING(record.name),
                       PyBytes_GET_SIZE(record.name), record.port, self.audit, &self.by_name, NULL)
        record.decided(&self.by_name)
        if self.by_name.verdict == SL_DENY and not self.by_name.flags & SL_DECISION_PENDING:
            self.refuse(SL_OUTCOME_DENIED)
        elif self.get(SL_LIMIT_REQUESTS):
            self.go_on_by_name()

    cdef void go_on_by_name(self) noexcept:
        cdef Record record = self.record
        if self.by_name.phase == SL_PHASE_DELEGATED:
            self.through(&self.by_name)
            return
        if not self.reserve():
            return
        self.stage = STAGE_RESOLVING
        if not self.context.resolver.known(record.name, self) and self.get(SL_LIMIT_LOOKUPS):
            self.resolve()

    cdef void resolve(self) noexcept:
        """Asks for the name; its addresses may be known by now."""
        if not self.context.resolver.known(self.record.name, self):
            self.context.resolver.wait(self.record.name, self, self.source)

    # ---- places ------------------------------------------------------------------------------------------------------

    cdef uint32_t *place(self, int kind) noexcept:
        if kind == SL_LIMIT_REQUESTS:
            return &self.request_place
        if kind == SL_LIMIT_LOOKUPS:
            return &self.lookup_place
        return &self.record.provisional_place if kind == SL_LIMIT_PROVISIONAL else &self.places[0]

    cdef bytes destination(self, int kind):
        """For look-ups the domain that the name lies in: its servers answer for all of it, or for nothing."""
        cdef Record record = self.record
        if kind == SL_LIMIT_DIALS and self.parent is not None:
            return self.parent.name.encode("ascii")
        if kind == SL_LIMIT_LOOKUPS:
            domain = record.name.partition(b".")[2]
            return domain if b"." in domain else record.name
        host = record.name if record.name is not None else (<const char *> &record.address)[:sizeof(sl_addr)]
        return b"%d:%b" % (record.port, host)

    cdef bint get(self, int kind) noexcept:
        """Whether it has a place of `kind`. If not, it waits for one and on_place follows, or it is refused."""
        cdef EnterResult result
        if self.place(kind)[0]:
            return True
        result = self.context.queues.enter(self, kind)
        if result == ENTER_QUEUED:
            self.context.loop.arm(self, self.context.dial_timeout)
        elif result != ENTER_DONE:
            self.over(SL_OUTCOME_SOURCE_LIMIT, scope_of(kind))
        return result == ENTER_DONE

    cdef void on_place(self, int kind) noexcept:
        self.context.loop.disarm(self)
        if not self.review():
            return
        if kind == SL_LIMIT_LOOKUPS:
            self.resolve()
        elif kind == SL_LIMIT_DIALS and self.next_candidate == 0:
            self.run()  # its time begins now
        elif kind == SL_LIMIT_DIALS:
            self.advance()
        elif kind == SL_LIMIT_REQUESTS and self.stage == STAGE_NAME:
            self.go_on_by_name()
        else:
            self.go_on_by_address()

    cdef void stuck(self) noexcept:
        if self.get(SL_LIMIT_DIALS):
            self.advance()

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
        self.context.queues.leave(self, SL_LIMIT_LOOKUPS)
        if self.closed or self.stage != STAGE_RESOLVING or self.queued_for != NOT_QUEUED or not self.review():
            return  # an answer to what a reload has made it give up
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

    cdef void on_slow(self) noexcept:
        self.context.queues.leave(self, SL_LIMIT_LOOKUPS)

    cdef void on_left(self) noexcept:
        # Until now the query was under way, whether anybody still wanted its answer or not.
        self.context.queues.leave(self, SL_LIMIT_LOOKUPS)

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
        if total == 0:
            record.decided(&refused)
            self.refuse(SL_OUTCOME_ADDRESS_PROHIBITED if guarded else SL_OUTCOME_DENIED)
            return
        if not self.line_up(kept, total):
            self.refuse(SL_OUTCOME_INTERNAL)
            return
        self.stage = STAGE_ADDRESS
        record.decided(&self.candidates[0].decision)
        self.go_on_by_address()

    cdef void go_on_by_address(self) noexcept:
        """The addresses that may be dialed are lined up."""
        if not self.get(SL_LIMIT_REQUESTS):
            return
        if self.record.decision.flags & SL_DECISION_PROVISIONAL and not self.get(SL_LIMIT_PROVISIONAL):
            return
        if not self.through(&self.record.decision):
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
        self.stage = STAGE_PARENT
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
        if self.reserve():
            self.run()

    cdef void advance(self) noexcept:
        if self.review():
            Race.advance(self)

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
        if not self.review():
            return
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
        if self.queued_for != NOT_QUEUED:
            self.over(SL_OUTCOME_SOURCE_LIMIT, scope_of(self.queued_for))
        elif self.passage is not None:
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
        cdef int fd
        cdef uint16_t port
        if not self.review():
            return
        fd = self.fds[self.winner]
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
        self.give_up_way()
        self.context.queues.leave(self, SL_LIMIT_REQUESTS)
        self.context.loop.park(self)

    cdef void give_up_way(self) noexcept:
        """Leaves the queue, and closes everything that leads to the destination."""
        if self.queued_for != NOT_QUEUED:
            self.context.queues.quit(self)
        if self.asking is not None:
            self.asking.cancel()
            self.asking = None
        if self.passage is not None:
            self.passage.cancel()
            self.passage = None
        self.winner = -1
        self.close_attempts()

    cdef void cancel(self) noexcept:
        """Ends without telling anybody, and without a tunnel."""
        if not self.closed:
            self.record.leave_limits()
            self.finish()

    cdef void close(self) noexcept:
        """An error of ours on the way."""
        if not self.closed:
            self.refuse(SL_OUTCOME_INTERNAL)

    # ---- a generation that comes meanwhile ---------------------------------------------------------------------------

    cdef bint review(self) noexcept:
        """Judges by the active generation what an earlier one allowed; see opening.pxd."""
        cdef Record record = self.record
        cdef Generation before = record.generation
        cdef bint same
        cdef bint delegated = self.stage == STAGE_PARENT and record.address.family == 0
        if self.closed:
            return False
        if before is self.context.generation:
            return True
        same = record.same_login(self.context.generation)
        record.generation = self.context.generation
        self.audit = self.context.listener_audits(record.listener)
        if not same:
            record.decision.verdict, record.decision.rule = SL_DENY, SL_NO_RULE
            record.decision.phase, record.decision.reason = SL_PHASE_NAME, SL_REASON_UNAUTHORIZED
            record.decided(&record.decision)
            self.refuse(SL_OUTCOME_DENIED)
            return False
        record.resolve_source()
        if record.name is not None:
            sl_decide_name(&record.generation.image.image, &self.context.source, PyBytes_AS_STRING(record.name),
                           PyBytes_GET_SIZE(record.name), record.port, self.audit, &self.by_name, NULL)
            if self.by_name.verdict == SL_DENY and not self.by_name.flags & SL_DECISION_PENDING:
                record.decided(&self.by_name)
                self.refuse(SL_OUTCOME_DENIED)
                return False
            if self.stage != STAGE_NAME and (self.by_name.phase == SL_PHASE_DELEGATED) != delegated:
                self.restart()
                return False
        if self.stage == STAGE_ADDRESS:
            return self.review_addresses(before)
        if self.stage == STAGE_PARENT:
            return self.review_parent(before)
        record.decided(&self.by_name)
        return True

    cdef bint review_addresses(self, Generation before) noexcept:
        """What may not be dialed any more is given up, even where it has connected."""
        cdef Record record = self.record
        cdef sl_decision decision, refused
        cdef Candidate *candidate
        cdef int i, first = -1, dialed = self.dialing
        cdef bint guarded = True, denied = False, same = True
        for i in range(self.candidate_count):
            candidate = &self.candidates[i]
            if candidate.address.family == 0:
                continue
            self.decide(&candidate.address, &decision)
            if decision.verdict == SL_DENY and not decision.flags & SL_DECISION_PROVISIONAL:
                if not denied or (guarded and not decision.flags & SL_DECISION_GUARD):
                    refused = decision
                denied = True
                guarded = guarded and decision.flags & SL_DECISION_GUARD
                self.forbid(i)
                continue
            same = same and self.same_way(before, &candidate.decision, &decision)
            candidate.decision = decision
            if first < 0:
                first = i
        if first < 0 or (self.winner >= 0 and self.fds[self.winner] < 0):
            record.decided(&refused)
            self.refuse(SL_OUTCOME_ADDRESS_PROHIBITED if guarded else SL_OUTCOME_DENIED)
            return False
        record.decided(&self.candidates[first].decision)
        if not same:
            self.restart()
            return False
        if self.dialing == 0 and dialed:
            Race.advance(self)  # the next one, at once
            return False
        return True

    cdef void forbid(self, int candidate) noexcept:
        """An address that may not be dialed any more: its attempt ends."""
        cdef int leg
        self.candidates[candidate].address.family = 0
        for leg in range(MAX_ATTEMPTS):
            if self.fds[leg] >= 0 and self.targets[leg] == candidate:
                unistd.close(self.fds[leg])
                self.fds[leg] = -1
                self.leave_dial(leg)
                self.dialing -= 1
                if self.dialing:
                    self.context.extra_dials -= 1

    cdef bint review_parent(self, Generation before) noexcept:
        """The parent carries on if it is still the way, and from the same addresses."""
        cdef Record record = self.record
        cdef sl_decision decision = self.by_name
        cdef const char *upstream
        cdef Parent parent
        cdef int i
        if record.address.family:
            self.decide(&record.address, &decision)
            if decision.verdict == SL_DENY:
                record.decided(&decision)
                self.refuse(SL_OUTCOME_ADDRESS_PROHIBITED if decision.flags & SL_DECISION_GUARD else SL_OUTCOME_DENIED)
                return False
        upstream = sl_decision_upstream(&record.generation.image.image, &decision)
        parent = self.context.parents.get(record.upstream)
        if (upstream is NULL or record.upstream != upstream or parent is None or parent.kind != self.parent.kind
                or parent.identity != self.parent.identity or not self.same_way(before, &record.decision, &decision)):
            self.restart()
            return False
        record.decided(&decision)
        for i in range(self.candidate_count):
            self.candidates[i].decision = decision
        return True

    cdef bint same_way(self, Generation before, const sl_decision *one, const sl_decision *other):
        """Whether two decisions lead out by the same parent, or none, and from the same addresses."""
        cdef Generation after = self.record.generation
        cdef const char *old = sl_decision_upstream(&before.image.image, one)
        cdef const char *new = sl_decision_upstream(&after.image.image, other)
        cdef SourcePool source = before.pool(one.rule), other_source = after.pool(other.rule)
        if (old is NULL) != (new is NULL) or (old is not NULL and <bytes> old != <bytes> new):
            return False
        if (one.flags ^ other.flags) & SL_DECISION_PROVISIONAL or (source is None) != (other_source is None):
            return False
        return source is None or source.addresses == other_source.addresses

    cdef void restart(self) noexcept:
        """Another way leads there now: everything is given up but its place among the requests."""
        cdef Record record = self.record
        self.context.loop.disarm(self)
        self.give_up_way()
        self.context.queues.leave(self, SL_LIMIT_LOOKUPS)
        record.leave_limits()
        self.parent = None
        record.upstream = None
        if record.name is not None:
            record.address.family = 0
        self.candidate_count = self.next_candidate = 0
        self.failure, self.unbound = SL_OUTCOME_INTERNAL, False
        self.stage = STAGE_NAME
        self.restarts += 1
        if self.restarts > MAX_RESTARTS:
            self.refuse(SL_OUTCOME_DIAL_TIMEOUT)
        else:
            self.set_out()
