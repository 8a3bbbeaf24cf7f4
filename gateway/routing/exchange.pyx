"""One HTTP request and its response, whichever versions both sides speak. See exchange.pxd.

BEGINS (credentials, decision, dial) -> CARRIES -> RESPONDS -> OVER, and from each of them to OVER.

* Content flows only as fast as the other side takes it: what one side cannot send stops the other one's reading.
* What is sent is a copy of what was judged: fields of one connection and of the mesh taken out, Via added.
* A connection that was kept and closes before any byte of an answer is one free try (RFC 9110 section 9.2.2): the
  request goes out once more over a new one, as long as all of its content is still here.
* A route may want further tries, after answers that it names, and failures before any: back to BEGINS, after a pause.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, uint8_t, uint64_t

from gateway.c.contract cimport (
    SL_OUTCOME_CLIENT_GONE, SL_OUTCOME_CLOSED, SL_OUTCOME_CREDENTIAL_UNAVAILABLE, SL_OUTCOME_DIAL_TIMEOUT,
    SL_OUTCOME_DRAINED, SL_OUTCOME_HOST_UNREACHABLE, SL_OUTCOME_IDLE_TIMEOUT, SL_OUTCOME_INTERNAL,
    SL_OUTCOME_NET_UNREACHABLE, SL_OUTCOME_REFUSED, SL_OUTCOME_REQUEST_TIMEOUT, SL_OUTCOME_RESPONSE_TIMEOUT,
    SL_OUTCOME_REVOKED, sl_outcome_text,
)
from gateway.c.leg cimport sl_leg, sl_leg_reset
from gateway.c.message cimport sl_message_clear
from gateway.c.segment cimport (
    SL_RETRY_FAILURE, SL_RETRY_FREE, SL_RETRY_LIMITED, SL_RETRY_SUCCESS, SL_RULE_SLOT_NONE,
)
from gateway.proto.answers cimport http_status
from gateway.routing.approach cimport approach_of
from gateway.routing.answers cimport let_in
from gateway.routing.credentials cimport clear_trailers, lacking, set_secrets
from gateway.routing.fields cimport come_back
from gateway.routing.leaving cimport prepare
from gateway.routing.mirror cimport Mirror, mirror_of
from gateway.routing.retry cimport ATTEMPT_LIMITED, ATTEMPT_WAITS, AttemptStep, attempts_of
from gateway.routing.route cimport Backend, HeaderChanges, MirrorTo, Route
from gateway.routing.standing cimport STANDING_DRAINS, STANDING_ENDS, Standing, standing_of
from gateway.routing.telling cimport route_slot, tell_request, trace_connected
from gateway.state.record cimport Record
from gateway.state.request_line cimport Answered, count_retry, nothing_answered
from gateway.tunnel.request cimport told_reason, told_rule
from gateway.upstream.origin_pool cimport OriginConnection

cdef enum:
    REPEAT_MOST = 65536        # bytes of content that are kept for a second try
    LASTING = 1000             # milliseconds after which a reload is for it as well

# Outcomes of connections that never were, after which another try may find one.
cdef frozenset UNREACHED = frozenset((
    SL_OUTCOME_REFUSED, SL_OUTCOME_NET_UNREACHABLE, SL_OUTCOME_HOST_UNREACHABLE, SL_OUTCOME_DIAL_TIMEOUT))


cdef Exchange exchange_of(WorkerParts parts, ClientSide client, Request who, int kind, int auth):
    cdef Exchange made = Exchange.__new__(Exchange)
    made.parts, made.client = parts, client
    made.approach = approach_of(parts, who, made, kind, auth)
    made.approach.guess = client.pool
    return made


@cython.final
cdef class Exchange(ResponseTaker):
    """Made by the client's side. Keeps itself alive through the loop until it is over."""

    cdef void begin(self, Message head, bint ends) noexcept:
        self.whole, self.repeatable = ends, True
        self.active = self.began = self.parts.loop.now
        self.parts.loop.keep(self)
        self.approach.begin(head)

    cdef void on_route(self) noexcept:
        self.deadline = self.latest()
        self.wait()

    cdef void on_way(self, object connection) noexcept:
        self.plan()
        self.stage = EXCHANGE_CARRIES
        self.tries += 1
        self.origin = (<OriginConnection> connection).request(self)
        if self.client is not None:
            self.client.pool = self.approach.guess
        if self.approach.record.trace is not None:
            trace_connected(self.approach, self.origin.is_reused())
        self.send()

    cdef void send(self) noexcept:
        """The head, and what has come of the content."""
        cdef Message head = self.approach.pools.head
        cdef OriginRequest origin = self.origin
        cdef HeaderChanges changes = self.approach.changes
        cdef bytes early = self.early
        if self.approach.route is not None and self.approach.route.steps.mirrors:
            head = Message.__new__(Message)  # a mirror's way may let another request go in between
        if not prepare(self.approach, head, False):
            self.fail(SL_OUTCOME_INTERNAL)
            return
        if changes is not None and changes.secrets is not None and not self.add_credentials(head, changes):
            return
        if self.approach.route is not None:
            self.limit(self.approach.route)
            if self.approach.route.steps.mirrors and self.tries == 1:
                self.mirror(head)
        self.wait()
        origin.send_head(head, self.whole and early is None and self.trailers is None)
        if head.head.secret:
            sl_message_clear(&head.head)  # the next request of the worker has the same head
        if self.origin is not origin:
            return
        if not origin.is_reused() and self.attempts is None:
            self.early, self.repeatable = None, False
        if early is not None:
            origin.send_body(<const uint8_t *> PyBytes_AS_STRING(early), PyBytes_GET_SIZE(early))
        if self.origin is origin and self.whole and (early is not None or self.trailers is not None):
            origin.send_end(self.trailers)
        if self.holding and self.origin is origin:
            self.on_ready()

    cdef bint add_credentials(self, Message head, HeaderChanges changes) noexcept:
        """Fields with credentials, as the connection may have them. False: the request was refused."""
        cdef Approach approach = self.approach
        cdef int reason = 0
        clear_trailers(self.trailers, changes.secrets)
        if approach.is_elsewhere():
            return True
        approach.lacks = lacking(changes.secrets, self.parts.credentials, approach.record, &head.head, &reason)
        if approach.lacks is not None:
            approach.record.decision.reason = <uint8_t> reason
            self.fail(SL_OUTCOME_CREDENTIAL_UNAVAILABLE)
            return False
        if not set_secrets(&head.head, changes.secrets, self.parts.credentials):
            self.fail(SL_OUTCOME_INTERNAL)
            return False
        return True

    cdef void limit(self, Route route) noexcept:
        """The earlier of the route's limits of a request and of a try."""
        cdef uint64_t each = route.backend_timeout
        self.deadline = self.latest()
        if self.attempts is not None and self.attempts.retry.timeout:
            each = self.attempts.retry.timeout
        if each and (not self.deadline or self.parts.loop.now + each < self.deadline):
            self.deadline = self.parts.loop.now + each

    cdef uint64_t latest(self) noexcept:
        """The limit of its route for all tries; 0: none."""
        cdef Route route = self.approach.route
        return self.began + route.request_timeout if route is not None and route.request_timeout else 0

    cdef void mirror(self, Message head) noexcept:
        cdef HeaderChanges changes = self.approach.changes
        cdef MirrorTo one
        cdef Mirror made
        if changes is not None:
            head = Message.__new__(Message)
            if not prepare(self.approach, head, True):
                return
        for one in self.approach.route.steps.mirrors:
            if self.approach.pools.draw() % one.denominator >= one.numerator:
                continue
            made = mirror_of(self.approach, one.backend, head, self.whole and self.early is None)
            if made is not None and not made.closed:
                if self.mirrors is None:
                    self.mirrors = []
                self.mirrors.append(made)
                if self.early is not None:
                    made.offer(<const uint8_t *> PyBytes_AS_STRING(self.early), PyBytes_GET_SIZE(self.early))
                    if self.whole:
                        made.offer_end(self.trailers)

    # ---- the request's content ---------------------------------------------------------------------------------------

    cdef bint on_request_body(self, const uint8_t *data, size_t length) noexcept:
        cdef bytes piece
        cdef bint takes = True
        self.up += length
        self.active = self.parts.loop.now
        if self.repeatable:
            if self.early is None or PyBytes_GET_SIZE(self.early) + length <= REPEAT_MOST or self.origin is None:
                piece = PyBytes_FromStringAndSize(<const char *> data, length)
                self.early = piece if self.early is None else self.early + piece
            else:
                self.early, self.repeatable = None, False
        if self.origin is not None:
            takes = self.origin.send_body(data, length)
            if self.mirrors is not None:
                for mirror in self.mirrors:
                    (<Mirror> mirror).offer(data, length)
        elif self.stage == EXCHANGE_BEGINS:
            takes = False
        self.holding = not takes
        return takes

    cdef bint takes_request_pipes(self) noexcept:
        return (self.origin is not None and self.mirrors is None and not self.repeatable and not self.holding
                and self.origin.takes_pipes())

    cdef ssize_t on_request_pipe(self, sl_pipe *pipe) noexcept:
        cdef ssize_t moved = self.origin.send_pipe(pipe)
        if moved >= 0:
            self.up += <size_t> moved
            self.active = self.parts.loop.now
            self.holding = pipe.held != 0
        return moved

    cdef void on_request_end(self, Message trailers) noexcept:
        cdef HeaderChanges changes = self.approach.changes
        self.whole = True
        self.trailers = trailers
        if trailers is not None and changes is not None and changes.secrets is not None:
            clear_trailers(trailers, changes.secrets)
        if self.origin is not None:
            if self.mirrors is not None:
                for mirror in self.mirrors:
                    (<Mirror> mirror).offer_end(trailers)
            self.origin.send_end(trailers)

    cdef void on_ready(self) noexcept:
        if self.holding and self.client is not None:
            self.holding = False
            self.client.resume()

    # ---- the response ------------------------------------------------------------------------------------------------

    cdef void on_interim(self, Message head) noexcept:
        if self.client is not None and come_back(&head.head, None):
            self.client.send_interim(head)

    cdef void on_response(self, Message head, bint ends) noexcept:
        cdef ClientSide client = self.client
        if self.attempts is not None:
            if ends:
                self.origin = None
            if self.attempts.retry.follows(&head.head, ends):
                if self.try_again(SL_OUTCOME_CLOSED):
                    return
                self.count(SL_RETRY_FAILURE)
            else:
                self.count(SL_RETRY_SUCCESS)
        self.status = head.head.status
        self.first_byte = self.active = self.parts.loop.now
        self.stage = EXCHANGE_RESPONDS
        if self.approach.record.trace is not None:
            self.approach.record.trace.try_answers(self.status, self.parts.loop.now)
        self.early, self.repeatable = None, False
        if ends:
            self.origin = None
        if not come_back(&head.head, self.parts.settings.via) or not self.change(head):
            self.fail(SL_OUTCOME_INTERNAL)
            return
        client.respond(head, ends)
        if ends and self.client is client:
            self.finish(SL_OUTCOME_CLOSED)
            client.done()

    cdef bint change(self, Message head) noexcept:
        """The response as its route wants it."""
        cdef Route route = self.approach.route
        cdef Backend backend = self.approach.backend
        if route is None:
            return True
        if backend is not None and backend.steps is not None and not backend.steps.come_back(&head.head):
            return False
        return route.steps.come_back(&head.head) and let_in(route, &self.approach.message.head, &head.head)

    cdef void on_answer(self, Message head) noexcept:
        """A redirection, or another answer of the route's own."""
        cdef ClientSide client = self.client
        self.status, self.first_byte = head.head.status, self.parts.loop.now
        self.finish(SL_OUTCOME_CLOSED)
        if client is not None:
            client.respond(head, True)
            client.done()

    cdef bint on_body(self, const uint8_t *data, size_t length) noexcept:
        self.down += length
        self.active = self.parts.loop.now
        return self.client is not None and self.client.send_body(data, length)

    cdef bint takes_pipes(self) noexcept:
        return self.client is not None and self.client.takes_pipes()

    cdef void on_pipe(self, sl_pipe *pipe) noexcept:
        cdef ssize_t moved = self.client.send_pipe(pipe)
        if moved > 0:
            self.down += <size_t> moved
            self.active = self.parts.loop.now

    cdef void on_end(self, Message trailers) noexcept:
        cdef ClientSide client = self.client
        self.origin = None
        client.send_end(trailers)
        if self.client is client:
            self.finish(SL_OUTCOME_CLOSED)
            client.done()

    cdef void on_client_ready(self) noexcept:
        if self.origin is not None:
            self.origin.resume()

    cdef void on_upgraded(self, Message head, sl_leg *leg, bytes early, bint hangup) noexcept:
        cdef ClientSide client = self.client
        self.status = 101
        self.origin = None
        if not come_back(&head.head, None):
            sl_leg_reset(leg)
            self.fail(SL_OUTCOME_INTERNAL)
            return
        self.client = None
        self.stage, self.closed = EXCHANGE_OVER, True
        self.first_byte = self.parts.loop.now
        if self.approach.record.trace is not None:
            self.approach.record.trace.try_answers(101, self.first_byte)
        self.tell(SL_OUTCOME_CLOSED)
        if self.approach.record.trace is not None:
            self.approach.record.trace.go_on()
        self.approach.cancel()
        client.tunnel(head, leg, early, hangup)
        self.parts.loop.park(self)

    cdef void on_lost(self, int outcome, bint untouched) noexcept:
        self.origin = None
        if untouched and self.repeatable and self.stage == EXCHANGE_CARRIES and not self.approach.fresh:
            # Over a new connection: the one that was kept has closed under it.
            self.stage = EXCHANGE_BEGINS
            if self.approach.record.trace is not None:
                self.approach.record.trace.try_ends(sl_outcome_text(outcome), self.parts.loop.now)
            count_retry(self.parts, SL_RULE_SLOT_NONE, SL_RETRY_FREE)
            self.approach.begin_again(self, True)
        elif self.stage != EXCHANGE_CARRIES or not self.try_again(outcome):
            self.fail(outcome)

    # ---- further tries -----------------------------------------------------------------------------------------------

    cdef void plan(self) noexcept:
        """It is sent for the first time, or would be: how often it may be."""
        cdef Route route = self.approach.route
        if self.tries == 0 and self.attempts is None and route is not None and route.retry is not None:
            self.attempts = attempts_of(route.retry, &self.approach.message.head, self.parts.loop.now)

    cdef bint try_again(self, int outcome) noexcept:
        """After a try that failed with an outcome: whether another one follows, which waits by now."""
        cdef OriginRequest origin = self.origin
        cdef AttemptStep step
        if self.attempts is None or not self.repeatable or self.client is None or self.parts.roster.draining:
            return False
        step = self.attempts.next(self.parts.loop.now, self.latest(), self.approach.pools.draw())
        if step == ATTEMPT_LIMITED:
            count_retry(self.parts, route_slot(self.approach.record), SL_RETRY_LIMITED)
        if step != ATTEMPT_WAITS:
            return False
        if self.attempts.made > 1:
            count_retry(self.parts, route_slot(self.approach.record), SL_RETRY_FAILURE)
        if self.approach.record.trace is not None:
            self.approach.record.trace.try_ends(sl_outcome_text(outcome), self.parts.loop.now)
        if origin is not None:
            self.origin = None
            origin.cancel()
        self.approach.cancel()
        self.stage = EXCHANGE_BEGINS
        self.deadline = self.latest()
        self.wait()
        return True

    cdef void count(self, sl_retry_result result) noexcept:
        """The end of the last of several tries."""
        if self.attempts is not None and self.attempts.made:
            count_retry(self.parts, route_slot(self.approach.record), result)

    # ---- times, and judging again ------------------------------------------------------------------------------------

    cdef uint64_t quiet_limit(self) noexcept:
        """A client that has ended its side may be gone: its response has the time of a half-closed tunnel."""
        return self.active + (self.parts.settings.half_close_timeout if self.half else self.parts.settings.idle_timeout)

    cdef bint is_stale(self) noexcept:
        """It was judged by a generation that is not active any more; before it has a connection its opening sees to
        that."""
        return self.stage > EXCHANGE_BEGINS and self.approach.record.generation is not self.parts.generation

    cdef void wait(self) noexcept:
        cdef uint64_t at = self.quiet_limit()
        cdef uint64_t now = self.parts.loop.now
        if self.deadline:
            at = min(at, self.deadline)
        if self.revoked_at:
            at = min(at, self.revoked_at)
        if self.is_stale():
            at = min(at, self.began + LASTING)
        if self.attempts is not None and self.attempts.at:
            at = min(at, self.attempts.at)
        self.parts.loop.arm(self, at - now if at > now else 0)

    cdef void on_timer(self) noexcept:
        cdef uint64_t now = self.parts.loop.now
        if self.attempts is not None and self.attempts.at and now >= self.attempts.at:
            self.attempts.at = 0
            self.wait()
            self.approach.begin_again(self, False)
        elif self.is_stale() and now >= self.began + LASTING:
            self.stand()
        elif self.revoked_at and now >= self.revoked_at:
            self.revoke()
        elif self.deadline and now >= self.deadline:
            if self.stage != EXCHANGE_CARRIES or not self.try_again(SL_OUTCOME_RESPONSE_TIMEOUT):
                self.fail(SL_OUTCOME_RESPONSE_TIMEOUT)
        elif now < self.quiet_limit():
            self.wait()
        else:
            self.fail(self.stalled())

    cdef int stalled(self) noexcept:
        """Nothing has moved for too long: who is to blame."""
        if self.stage == EXCHANGE_RESPONDS:
            return SL_OUTCOME_IDLE_TIMEOUT
        return SL_OUTCOME_RESPONSE_TIMEOUT if self.whole or self.holding else SL_OUTCOME_REQUEST_TIMEOUT

    cdef void rejudge(self) noexcept:
        if self.stage == EXCHANGE_BEGINS:
            self.approach.rejudge()
        elif self.stage != EXCHANGE_OVER and self.is_stale():
            if self.parts.loop.now >= self.began + LASTING:
                self.stand()
            else:
                self.wait()  # most are over before

    cdef void stand(self) noexcept:
        cdef Standing standing = standing_of(self.approach)
        if standing == STANDING_ENDS:
            self.revoke()
            return
        if standing != STANDING_DRAINS:
            self.revoked_at = 0
        elif not self.revoked_at:
            self.revoked_at = self.parts.loop.now + self.parts.settings.drain_time
        self.wait()

    cdef void revoke(self) noexcept:
        """The policy has turned against it: both sides are reset, of connections that carry several a stream."""
        cdef ClientSide client = self.client
        self.finish(SL_OUTCOME_REVOKED)
        if client is not None:
            client.revoke()

    cdef void on_client_half(self) noexcept:
        self.half = True
        if self.stage > EXCHANGE_BEGINS and self.stage != EXCHANGE_OVER:
            self.wait()

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void on_no_way(self, int outcome) noexcept:
        if self.stage == EXCHANGE_OVER:
            return
        if outcome in UNREACHED:
            self.plan()
            if self.try_again(outcome):
                return
        self.refuse(outcome)

    cdef void on_turned_away(self, int outcome, str detail, uint64_t sequence) noexcept:
        cdef ClientSide client = self.client
        if self.stage == EXCHANGE_OVER:
            return
        self.finish(-1)
        if client is not None:
            client.refuse(outcome, None, None, detail, sequence)

    cdef void refuse(self, int outcome) noexcept:
        """The gateway's own answer to a request that was judged."""
        cdef ClientSide client = self.client
        cdef Record record = self.approach.record
        self.count(SL_RETRY_FAILURE)
        self.status = http_status(outcome)
        self.finish(outcome)
        if client is not None:
            client.refuse(outcome, told_rule(record, outcome), self.reason(record, outcome), None, record.sequence)

    cdef str reason(self, Record record, int outcome):
        cdef str text = told_reason(record, outcome)
        if outcome == SL_OUTCOME_CREDENTIAL_UNAVAILABLE:
            text = f"{text}: ${{credential:{self.approach.lacks}}}"
        return text

    cdef void fail(self, int outcome) noexcept:
        """The origin has failed it, or the gateway."""
        cdef ClientSide client = self.client
        if self.stage == EXCHANGE_OVER:
            return
        if self.stage < EXCHANGE_RESPONDS:
            self.refuse(outcome)
            return
        self.finish(outcome)
        if client is not None:
            client.cut()

    cdef void on_client_gone(self) noexcept:
        self.client = None
        if self.stage != EXCHANGE_OVER:
            self.finish(SL_OUTCOME_CLIENT_GONE)

    cdef void finish(self, int outcome) noexcept:
        """The last step of every end: its line (without one for -1), its places, its origin."""
        cdef OriginRequest origin = self.origin
        cdef Record record = self.approach.record
        if self.stage == EXCHANGE_OVER:
            return
        self.stage = EXCHANGE_OVER
        self.client = None
        self.early = None
        if origin is not None:
            self.origin = None
            origin.cancel()
        if self.mirrors is not None and not self.whole:
            for mirror in self.mirrors:
                (<Mirror> mirror).give_up()
        self.approach.cancel()
        if record is not None:
            record.leave_limits()
            if outcome >= 0:
                self.tell(outcome)
        self.mirrors = None
        self.closed = True
        self.parts.loop.park(self)

    cdef void tell(self, int outcome) noexcept:
        """Its line, and what it counts."""
        cdef Answered answered
        nothing_answered(&answered, &self.approach.message.head)
        answered.status, answered.tries = self.status, self.tries
        answered.mirrored = 0 if self.mirrors is None else <uint8_t> len(self.mirrors)
        if self.first_byte:
            answered.first_byte_ms = <int32_t> (self.first_byte - self.began)
        answered.up, answered.down = self.up, self.down
        tell_request(self.approach, &answered, outcome)

    cdef void close(self) noexcept:
        """An internal error, or the end of the worker."""
        if self.stage != EXCHANGE_OVER:
            self.fail(SL_OUTCOME_DRAINED if self.parts.roster.draining else SL_OUTCOME_INTERNAL)
