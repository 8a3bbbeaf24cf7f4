"""The way from a complete request to a connected socket: decide by name, resolve, judge each address, dial.

Every protocol asks through here, so one code path decides for all (DECISIONS.md section 3): phases.pyx judges, the
addresses that remain race (race.pyx), and the decision that counts is that of the address that answered. What it holds
is counted for its source (places.pyx), and each step judges again when a generation has come (review.pyx).

A rule with an upstream leads to a parent gateway instead (DECISIONS.md section 3): a name goes there unresolved, an
address after it was judged here, and the parent's own addresses are those that race, as configured.
"""

cimport cython
from libc.stdint cimport uint32_t

from gateway.c.addr cimport sl_addr
from gateway.c.contract cimport (
    SL_ATTR_HEADERS, SL_ATTR_ROUTE, SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_DENIED, SL_OUTCOME_DIAL_TIMEOUT,
    SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_INTERNAL, SL_OUTCOME_ROUTE_LIMIT, SL_OUTCOME_SOURCE_LIMIT,
    SL_OUTCOME_UNAVAILABLE, SL_OUTCOME_UPSTREAM_FAILED, SL_PHASE_DELEGATED, SL_REASON_SOURCE_ADDRESS,
    SL_REASON_TLS_UPSTREAM,
)
from gateway.c.judge cimport (
    SL_DECISION_PENDING, SL_DECISION_PROVISIONAL, sl_decision, sl_judged_tls, sl_judged_upstream,
    sl_waits_for_http,
)
from gateway.c.leg cimport sl_leg_reset, sl_plain_leg
from gateway.c.limit_table cimport SL_LIMIT_DIALS, SL_LIMIT_LOOKUPS, SL_LIMIT_PROVISIONAL, SL_LIMIT_REQUESTS
from gateway.c.segment cimport (
    SL_COUNTER_DNS_FAILURES, SL_SCOPE_DESCRIPTORS, SL_SCOPE_DNS, SL_SCOPE_RATE, SL_SCOPE_TUNNELS,
    SL_TLS_SIDE_ORIGIN, SL_TLS_SIDE_PARENT,
)
from gateway.dial.origination cimport ORIGINATION_DONE, ORIGINATION_WAITS, late_refusal, origination_of
from gateway.dial.parent_way cimport way_through
from gateway.dial.phases cimport deny_own_address, judge_addresses, judge_endpoints, judge_name, unresolved_outcome
from gateway.dial.places cimport (
    address_text, count_refusal, destination_of, is_in_turn, note_connected, note_resolved, note_source,
    reserve_tunnel, scope_of,
)
from gateway.dial.race cimport RACE_LOST, RACE_NEXT, RACE_STUCK, RACE_WON, Candidate, race_of
from gateway.dial.review cimport (
    REVIEW_KEPT, REVIEW_NEXT, REVIEW_REFUSED, REVIEW_RESTART, STAGE_ADDRESS, STAGE_HELD, STAGE_NAME, STAGE_PARENT,
    STAGE_RESOLVING, Review, review_request,
)
from gateway.dns.resolution cimport MAX_ADDRESSES, RESOLVE_FULL, RESOLVE_OK, RESOLVE_UNKNOWN
from gateway.io.leg cimport leg_of
from gateway.io.loop cimport clock_us
from gateway.io.sockets cimport EPOLLOUT
from gateway.parent.parent cimport PARENT_CONNECTED, PARENT_WAITS, ParentStream
from gateway.state.queues cimport ENTER_DONE, ENTER_QUEUED, NOT_QUEUED, EnterResult
from gateway.state.request cimport KEPT_FOUND, KEPT_FULL, KEPT_NONE, KeptStep

cdef enum:
    MAX_RESTARTS = 8           # by reloads that change its way


cdef Opening opening_of(WorkerParts parts, Record record):
    cdef Opening opening = Opening.__new__(Opening)
    opening.parts, opening.record = parts, record
    opening.race = race_of(parts, opening, opening, record)
    return opening


@cython.final
cdef class Opening(QueueEntry):
    """One request on its way, made by opening_of(). Lives until the request was told, or until cancel()."""

    def __cinit__(self):
        self.leg.fd = self.late = -1

    cdef void start(self, Request request) noexcept:
        self.request = request
        self.parts.loop.keep(self)
        self.began = self.parts.loop.now
        self.source = self.record.source
        self.set_out()

    cdef void set_out(self) noexcept:
        """Judges the name, or the literal address; goes on to DNS or dialing."""
        if self.record.name is None:
            self.judge(&self.record.address, 1)
        elif not judge_name(self.record, &self.by_name):
            self.denied(SL_OUTCOME_DENIED)
        elif self.in_turn() and not self.request.diverts(&self.by_name) and self.get(SL_LIMIT_REQUESTS):
            self.go_on_by_name()

    # ---- what only a request inside can be let pass ------------------------------------------------------------------

    cdef void denied(self, int outcome) noexcept:
        """By policy. Where conditions on requests are all that denies, a tunnel may show them yet."""
        if not sl_waits_for_http(&self.record.decision) or not self.request.may_be_held():
            self.refuse(outcome)
            return
        self.stage = STAGE_HELD
        self.hold()

    cdef void hold(self) noexcept:
        """As many as a source's provisional tunnels: until it shows what it carries, this is one of them."""
        cdef Request request = self.request
        if not self.get(SL_LIMIT_REQUESTS) or not self.get(SL_LIMIT_PROVISIONAL):
            return
        self.finish()
        request.on_held()
        self.parts.loop.settle(request)

    # ---- names -------------------------------------------------------------------------------------------------------

    cdef void go_on_by_name(self) noexcept:
        if self.by_name.phase == SL_PHASE_DELEGATED and self.detour is None:
            self.through(&self.by_name)
        elif self.reserve():
            self.stage = STAGE_RESOLVING
            if not self.known() and self.get(SL_LIMIT_LOOKUPS):
                self.resolve()

    cdef bytes host(self):
        """The name to be resolved."""
        return self.record.name if self.detour is None else self.detour.host

    cdef bint known(self) noexcept:
        """Goes on where the addresses of the name are known; False where DNS has to be asked."""
        cdef sl_addr addresses[MAX_ADDRESSES]
        cdef int count, status
        if self.detour is not None and self.detour.host is None:
            self.judge(NULL, 0)
            return True
        status = self.parts.resolver.names.find(self.host(), addresses, &count)
        if status != RESOLVE_UNKNOWN:
            self.resolved(status, addresses, count)
        return status != RESOLVE_UNKNOWN

    cdef void resolve(self) noexcept:
        """Asks for the name; its addresses may be known by now."""
        if not self.known():
            self.resolution = OpeningResolution.__new__(OpeningResolution)
            self.resolution.opening = self
            self.parts.resolver.wait(self.host(), self.resolution, self.source)

    cdef void resolved(self, int status, const sl_addr *addresses, int count) noexcept:
        self.resolution = None
        self.parts.queues.leave(self, SL_LIMIT_LOOKUPS)
        if self.closed or self.stage != STAGE_RESOLVING or self.queued_for != NOT_QUEUED or not self.review():
            return  # an answer to what a reload has made it give up
        if status == RESOLVE_FULL:
            self.over(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_DNS)
            return
        note_resolved(self.record, self.began)
        if status == RESOLVE_OK:
            self.judge(addresses, count)
            return
        self.parts.meter.count(SL_COUNTER_DNS_FAILURES)
        self.refuse(unresolved_outcome(status))

    # ---- addresses ---------------------------------------------------------------------------------------------------

    cdef void judge(self, const sl_addr *addresses, int count) noexcept:
        """Lines up the addresses that may be dialed; none left is a denial."""
        cdef const sl_decision *by_name = NULL if self.record.name is None else &self.by_name
        cdef int outcome
        if self.detour is None:
            outcome = judge_addresses(self.race, by_name, addresses, count)
        else:
            outcome = judge_endpoints(self.race, by_name, self.detour, addresses, count)
        if outcome >= 0:
            self.denied(outcome)
        else:
            self.stage = STAGE_ADDRESS
            self.go_on_by_address()

    cdef void go_on_by_address(self) noexcept:
        """The addresses that may be dialed are lined up."""
        if not self.in_turn():
            return
        if self.detour is None and self.leads_on() and self.turns_off():
            return
        if not self.get(SL_LIMIT_REQUESTS):
            return
        if self.record.decision.flags & SL_DECISION_PROVISIONAL and not self.get(SL_LIMIT_PROVISIONAL):
            return
        if (self.detour is not None or not self.through(&self.record.decision)) and self.reserve() and not self.reuse():
            self.dial()

    cdef bint leads_on(self) noexcept:
        """Whether the address has brought a way or changes of a request that its name did not."""
        cdef sl_decision *decided = &self.record.decision
        return (self.record.name is None or self.by_name.flags & SL_DECISION_PENDING
                or decided.sets[<int> SL_ATTR_ROUTE] != self.by_name.sets[<int> SL_ATTR_ROUTE]
                or decided.sets[<int> SL_ATTR_HEADERS] != self.by_name.sets[<int> SL_ATTR_HEADERS])

    cdef bint turns_off(self) noexcept:
        """Whether the request goes another way, now that its address has decided."""
        if self.request.diverts(&self.record.decision):
            return True
        if self.detour is None:
            return False
        self.by_name = self.record.decision
        self.stage = STAGE_NAME
        if self.get(SL_LIMIT_REQUESTS):
            self.go_on_by_name()
        return True

    cdef bint reuse(self) noexcept:
        """Goes on over a connection that is kept, to an address that has passed, or waits; False where it dials."""
        cdef Request request = self.request
        cdef int found = -1
        cdef KeptStep step = request.finds_kept(self.race, &found)
        if step == KEPT_FULL:
            self.refuse(SL_OUTCOME_UNAVAILABLE)
        if step != KEPT_FOUND:
            return step != KEPT_NONE
        if self.way is None:
            self.record.address = self.race.candidates[found].address
            self.record.decided(&self.race.candidates[found].decision)
            if self.race.candidates[found].lifted:
                request.lifted()
        self.record.opened = self.parts.loop.now
        self.record.count_decision()
        self.finish()
        request.on_kept()
        self.parts.loop.settle(request)
        return True

    cdef void wait(self, uint64_t patience, int late) noexcept:
        self.late = late
        self.parts.loop.arm(self, patience)

    cdef void go_on_pooled(self) noexcept:
        self.late = -1
        self.parts.loop.disarm(self)
        if self.review() and not self.reuse():
            self.set_off()

    # ---- the race ----------------------------------------------------------------------------------------------------

    cdef void set_off(self) noexcept:
        """A new connection, or a stream of one to a parent that many share."""
        if self.way is not None and self.way.parent.shared:
            self.began = self.parts.loop.now
            self.parts.loop.arm(self, self.parts.settings.dial_timeout)
            self.asked(self.way.ask_shared(self.parts, self.record, self))
        else:
            self.dial()

    cdef void dial(self) noexcept:
        self.began = self.parts.loop.now
        self.act(self.race.run())

    cdef void advance(self) noexcept:
        if self.review():
            self.act(self.race.advance())

    cdef void act(self, RaceStep step) noexcept:
        if step == RACE_WON:
            self.won()
        elif step == RACE_NEXT:
            self.advance()
        elif step == RACE_STUCK:
            if self.get(SL_LIMIT_DIALS):
                self.advance()
        elif step == RACE_LOST:
            if self.race.is_sourceless():
                self.record.decision.reason = SL_REASON_SOURCE_ADDRESS
            self.scope = self.race.scope
            self.lost(self.race.failure)

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        if self.origination is not None:
            self.originated(self.origination.on_event(events))
        elif self.way is not None and self.way.asking is not None:
            self.asked(self.way.on_event(events))
        else:
            self.events = events & ~<uint32_t> EPOLLOUT  # that it is connected
            self.act(self.race.on_event(events, leg))

    cdef void on_timer(self) noexcept:
        if self.queued_for != NOT_QUEUED:
            self.over(SL_OUTCOME_SOURCE_LIMIT, scope_of(self.queued_for))
        elif self.late >= 0:
            self.refuse(self.late)
        elif self.origination is not None:
            self.origination.expire()
            self.blame_tls(self.origination.tls)
            self.lost(SL_OUTCOME_DIAL_TIMEOUT)
        elif self.way is not None and self.way.waits():
            self.lost(SL_OUTCOME_DIAL_TIMEOUT)
        else:
            self.act(self.race.on_time())

    cdef void lost(self, int outcome) noexcept:
        if outcome == SL_OUTCOME_ADDRESS_PROHIBITED and self.way is not None:
            outcome = SL_OUTCOME_UPSTREAM_FAILED  # the parent's address has become this machine's
        elif outcome == SL_OUTCOME_ADDRESS_PROHIBITED:
            deny_own_address(self.record)
        self.refuse(outcome)

    cdef void won(self) noexcept:
        """A parent is to be asked yet; else this is the destination."""
        cdef Candidate *candidate = &self.race.candidates[self.race.targets[self.race.winner]]
        if not self.review():
            return
        if self.way is not None:
            self.ask()
            return
        self.record.address = candidate.address
        self.record.decided(&candidate.decision)
        if candidate.lifted:
            self.request.lifted()
        self.connected()

    # ---- parents -----------------------------------------------------------------------------------------------------

    cdef bint through(self, const sl_decision *decision) noexcept:
        """Goes on to the parent gateway of a decision; False where it has none."""
        cdef const char *upstream = sl_judged_upstream(&self.record.generation.image.image, decision)
        if upstream is NULL:
            return False
        self.stage = STAGE_PARENT
        self.way = way_through(self.parts, self.race, decision, upstream)
        if self.way is None:
            self.refuse(SL_OUTCOME_INTERNAL)
        elif self.reserve() and not self.reuse():
            self.set_off()
        return True

    cdef void ask(self) noexcept:
        """Asks the parent for the tunnel, before the deadline of the whole race."""
        cdef Candidate *candidate = &self.race.candidates[self.race.targets[self.race.winner]]
        self.leg = leg_of(self.race.take_winner())
        self.parts.loop.arm(self, self.race.deadline - min(self.race.deadline, self.parts.loop.now))
        if self.way.parent.tls is None and not self.way.forwards:
            self.asked(self.way.ask(self.parts, self.record, &self.leg, 0))
        elif not self.way.announce(self.record, &self.leg):
            self.refuse(SL_OUTCOME_UPSTREAM_FAILED)
        elif self.way.parent.tls is None:
            self.opened()
        else:
            self.originate(self.way.parent.tls, address_text(&candidate.address), SL_TLS_SIDE_PARENT)

    cdef void on_turn(self) noexcept:
        if self.origination is not None:
            self.originated(self.origination.on_turn())
        elif self.way is not None:
            self.asked(self.way.on_turn(self.parts, self.record, self, &self.leg))

    cdef void asked(self, ParentStep step) noexcept:
        cdef TlsSession refused
        if step == PARENT_CONNECTED:
            self.events = self.way.events
            if self.review():
                self.connected()
        elif step != PARENT_WAITS:
            refused = late_refusal(self.parts, self.way.parent.tls, &self.leg)
            if refused is not None:
                self.blame_tls(refused)
            self.over(self.way.outcome, SL_SCOPE_DESCRIPTORS)  # that scope where a limit is what it failed for

    # ---- TLS ---------------------------------------------------------------------------------------------------------

    cdef void connected(self) noexcept:
        """This is the destination, or a way to it: TLS comes next where a rule originates it."""
        cdef TlsClient client = self.record.origination(&self.record.decision)
        if client is not None:
            self.begin_tls(client)
        elif self.record.originates(&self.record.decision):
            self.refuse(SL_OUTCOME_INTERNAL)
        else:
            self.opened()

    cdef void begin_tls(self, TlsClient client) noexcept:
        if self.leg.fd < 0:
            self.leg = leg_of(self.race.take_winner())
            self.parts.loop.arm(self, self.race.deadline - min(self.race.deadline, self.parts.loop.now))
        self.originate(client, self.record.name if self.record.name is not None else
                       address_text(&self.record.address), SL_TLS_SIDE_ORIGIN)

    cdef void originate(self, TlsClient client, bytes name, sl_tls_side side) noexcept:
        """Begins TLS on the connected leg, within the time that is left."""
        self.origination = origination_of(self.parts, self, client, &self.leg, name, side)
        self.originated(self.origination.on_event(0))

    cdef void originated(self, OriginationStep step) noexcept:
        cdef Origination origination = self.origination
        cdef const char *settings
        if step == ORIGINATION_WAITS or not self.review() or self.origination is not origination:
            return
        self.origination = None
        if step != ORIGINATION_DONE:
            self.blame_tls(origination.tls)
            self.refuse(SL_OUTCOME_UPSTREAM_FAILED)
            return
        self.record.upstream_tls = origination.tls
        if self.record.trace is not None:
            self.record.trace.tls_ms = <int> ((clock_us() - origination.began_us) // 1000)
        if origination.side == SL_TLS_SIDE_ORIGIN:
            if self.way is None:  # a review may have named another address
                self.record.decided(&self.race.candidates[self.race.targets[self.race.winner]].decision)
            settings = sl_judged_tls(&self.record.generation.image.image, &self.record.decision)
            origination.tls.settings = b"" if settings is NULL else <bytes> settings
            self.events |= origination.events
            self.opened()
            return
        if self.way.forwards:
            self.events |= origination.events
            self.opened()
            return
        self.asked(self.way.ask(self.parts, self.record, &self.leg, origination.events))

    cdef void blame_tls(self, TlsSession failed) noexcept:
        self.record.upstream_tls = failed
        self.record.decision.reason = SL_REASON_TLS_UPSTREAM

    # ---- places ------------------------------------------------------------------------------------------------------

    cdef uint32_t *place(self, int kind) noexcept:
        if kind == SL_LIMIT_REQUESTS:
            return &self.request_place
        if kind == SL_LIMIT_LOOKUPS:
            return &self.lookup_place
        return &self.record.provisional_place if kind == SL_LIMIT_PROVISIONAL else &self.race.places[0]

    cdef bytes destination(self, int kind):
        return destination_of(self.record, self.way.parent if self.way is not None else None, kind)

    cdef bint get(self, int kind) noexcept:
        """Whether it has a place of `kind`. If not, it waits for one and on_place follows, or it is refused."""
        cdef EnterResult result
        if self.place(kind)[0]:
            return True
        result = self.parts.queues.enter(self, kind)
        if result == ENTER_QUEUED:
            self.parts.loop.arm(self, self.parts.settings.dial_timeout)
        elif result != ENTER_DONE:
            self.over(SL_OUTCOME_SOURCE_LIMIT, scope_of(kind))
        return result == ENTER_DONE

    cdef void on_place(self, int kind) noexcept:
        self.parts.loop.disarm(self)
        if not self.review():
            return
        if self.stage == STAGE_HELD:
            self.hold()
        elif kind == SL_LIMIT_LOOKUPS:
            self.resolve()
        elif kind == SL_LIMIT_DIALS and self.race.next_candidate == 0:
            self.dial()  # its time begins now
        elif kind == SL_LIMIT_DIALS:
            self.advance()
        elif kind == SL_LIMIT_REQUESTS and self.stage == STAGE_NAME:
            self.go_on_by_name()
        else:
            self.go_on_by_address()

    cdef bint reserve(self) noexcept:
        """Places for the tunnel this is to become, before the outside is asked for anything; False when refused."""
        cdef int scope = reserve_tunnel(self.record)
        return scope < 0 or self.over(SL_OUTCOME_GATEWAY_LIMIT if scope == SL_SCOPE_TUNNELS else
                                      SL_OUTCOME_SOURCE_LIMIT, scope)

    cdef bint in_turn(self) noexcept:
        """Whether the rates of its listener let it pass; False when refused. Asked once of each request."""
        if self.counted or not self.parts.limits.rates.by_listener:
            return True
        self.counted = True
        return is_in_turn(self.record) or self.over(SL_OUTCOME_ROUTE_LIMIT, SL_SCOPE_RATE)

    cdef bint over(self, int outcome, int scope) noexcept:
        """Refuses for a limit; False."""
        self.scope = scope
        self.refuse(outcome)
        return False

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void opened(self) noexcept:
        """Hands the leg over."""
        cdef Request request = self.request
        cdef Record record = self.record
        cdef ParentStream parent_stream = None
        cdef sl_leg leg
        if not self.review():
            return
        leg = self.leg if self.leg.fd >= 0 else leg_of(self.race.take_winner())
        self.leg = sl_plain_leg(-1)
        if self.way is not None:
            parent_stream, self.way.parent_stream = self.way.parent_stream, None
        note_connected(record, self.began)
        note_source(record, parent_stream, leg.fd)
        self.finish()
        request.on_opened(&leg, self.events, parent_stream)
        self.parts.loop.settle(request)

    cdef void refuse(self, int outcome) noexcept:
        cdef Request request = self.request
        count_refusal(self.record, outcome, self.scope)
        self.cancel()
        request.on_refused(outcome)
        self.parts.loop.settle(request)

    cdef void finish(self) noexcept:
        """Every attempt is closed, a late DNS answer finds this closed. The tunnel's places stay taken."""
        self.closed = True
        self.request = None
        self.give_up_way()
        self.race.end()
        self.parts.queues.leave(self, SL_LIMIT_REQUESTS)
        self.parts.loop.park(self)

    cdef void give_up_way(self) noexcept:
        """Leaves the queue, and closes everything that leads to the destination."""
        if self.queued_for != NOT_QUEUED:
            self.parts.queues.quit(self)
        if self.resolution is not None:
            self.resolution.closed = True
            self.resolution = None
        if self.way is not None:
            self.way.give_up()
        self.origination = None
        sl_leg_reset(&self.leg)
        self.leg = sl_plain_leg(-1)
        self.race.give_up()

    cdef void cancel(self) noexcept:
        if not self.closed:
            self.record.leave_limits()
            self.finish()

    cdef void close(self) noexcept:
        """An internal error on the way."""
        if not self.closed:
            self.refuse(SL_OUTCOME_INTERNAL)

    # ---- a generation that comes meanwhile ---------------------------------------------------------------------------

    cdef bint review(self) noexcept:
        """Judges by the active generation what an earlier one allowed; see opening.pxd."""
        cdef int outcome = SL_OUTCOME_DENIED
        cdef Review found
        if self.closed or self.record.generation is self.parts.generation:
            return not self.closed
        if self.detour is not None or self.stage == STAGE_HELD:  # its route, or its name, may say another thing now
            self.record.stand(self.parts.generation, False)
            self.record.generation = self.parts.generation
            self.restart()
            return False
        found = review_request(self.race, self.way.parent if self.way is not None else None, self.stage,
                               self.parts.generation, &self.by_name, &outcome)
        if found == REVIEW_REFUSED:
            self.refuse(outcome)
        elif found == REVIEW_RESTART:
            self.restart()
        elif found == REVIEW_NEXT:
            self.act(self.race.advance())
        return found == REVIEW_KEPT

    cdef void restart(self) noexcept:
        """Another way leads there now: everything is given up but its place among the requests."""
        cdef Record record = self.record
        self.parts.loop.disarm(self)
        if self.resolution is not None:
            self.resolution.opening = None  # its place is given back here: it is not to give another one back
        self.give_up_way()
        self.parts.queues.leave(self, SL_LIMIT_LOOKUPS)
        record.leave_limits()
        self.late = -1
        self.way = record.upstream = record.upstream_tls = None
        if record.name is not None:
            record.address.family = 0
        self.stage = STAGE_NAME
        self.restarts += 1
        if self.restarts > MAX_RESTARTS:
            self.refuse(SL_OUTCOME_DIAL_TIMEOUT)
        else:
            self.set_out()


@cython.final
cdef class OpeningResolution(Resolution):
    """Made by an opening; dropped with its answer, or when both its opening and DNS have given it up."""

    cdef void on_resolved(self, int status, const sl_addr *addresses, int count) noexcept:
        cdef Opening opening = self.opening
        self.closed = True
        self.opening = None
        if opening is not None:
            opening.resolved(status, addresses, count)

    cdef void on_slow(self) noexcept:
        if self.opening is not None:
            self.opening.parts.queues.leave(self.opening, SL_LIMIT_LOOKUPS)

    cdef void on_left(self) noexcept:
        # Until now the query was under way, whether its answer was still wanted or not.
        self.on_slow()
        self.opening = None

    cdef void close(self) noexcept:
        """An internal error on the way."""
        if self.opening is not None:
            self.opening.close()
