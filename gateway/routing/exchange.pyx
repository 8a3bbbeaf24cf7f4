"""One HTTP request and its response, whichever versions both sides speak. See exchange.pxd.

BEGINS (credentials, decision, dial) -> CARRIES -> RESPONDS -> OVER, and from each of them to OVER.

* Content flows only as fast as the other side takes it: what one side cannot send stops the other one's reading.
* What is sent is a copy of what was judged: fields of one connection and of the mesh taken out, Via added.
* A connection that was kept and closes before any byte of an answer is one free try (RFC 9110 section 9.2.2): the
  request goes out once more over a new one, as long as all of its content is still here.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.contract cimport (
    SL_DENY, SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_CLIENT_GONE, SL_OUTCOME_CLOSED, SL_OUTCOME_DENIED,
    SL_OUTCOME_DRAINED, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_IDLE_TIMEOUT, SL_OUTCOME_INTERNAL, SL_OUTCOME_LOOP,
    SL_OUTCOME_MALFORMED, SL_OUTCOME_NO_ROUTE, SL_OUTCOME_RESPONSE_TIMEOUT, SL_OUTCOME_SOURCE_LIMIT,
    SL_REASON_DOUBTFUL_TARGET, SL_REASON_INNER_NAME_MISSING, SL_REASON_INTERNAL, SL_REASON_LOOP, SL_REASON_NO_ROUTE,
)
from gateway.c.judge cimport SL_DECISION_PROVISIONAL, sl_judge, sl_judged_port, sl_question
from gateway.c.leg cimport sl_leg, sl_leg_reset
from gateway.c.segment cimport (
    SL_COUNTER_PROTOCOL_ERRORS, SL_FAMILY_PROTOCOL_ERRORS, SL_LOG_DECISION, SL_SCOPE_CREDENTIALS,
    SL_SCOPE_SOURCE_LOGINS,
)
from gateway.dial.race cimport Race
from gateway.parent.parent cimport ParentStream
from gateway.parent.source_pool cimport SourcePool
from gateway.proto.codec cimport CODEC_CREDENTIALS, CODEC_REQUEST
from gateway.c.message cimport sl_message_copy
from gateway.routing.fields cimport come_back, has_been_here, leave_outside
from gateway.state.claims cimport Token
from gateway.state.logins cimport LOGIN_BUSY, LOGIN_LIMITED, LOGIN_RIGHT
from gateway.state.record cimport count_login, log_refused
from gateway.state.request cimport LINGERING, OPENING, READING, VERIFYING
from gateway.state.speakers cimport take_claims
from gateway.tunnel.request cimport drained_away, give_up, may_open, note, told_reason, told_rule, verify, verify_token
from gateway.upstream.http1_origin cimport Http1Origin

cdef enum:
    REPEAT_MOST = 65536        # bytes of content that are kept for a second try


@cython.final
cdef class Exchange(ResponseTaker):
    """Made by the client's side. Keeps itself alive through the loop until it is over."""

    cdef void begin(self, Message head, bint ends) noexcept:
        cdef int status
        self.message, self.whole = head, ends
        self.repeatable = True
        self.parts.loop.keep(self)
        self.active = self.parts.loop.now
        status = self.codec.take(head)
        if self.codec.trusted:
            take_claims(self.parts, self, self.codec)
        if status == CODEC_REQUEST:
            self.ask()
        elif status != CODEC_CREDENTIALS:
            self.turn_away(self.codec.outcome, self.codec.detail, self.codec.reason)
        elif self.codec.token is not None:
            verify_token(self.parts, self, self.codec.token)
        else:
            verify(self.parts, self, self.codec.user, self.codec.password)

    # ---- credentials -------------------------------------------------------------------------------------------------

    cdef void on_verified(self, int result, uint64_t credential) noexcept:
        if not self.is_verdict(result):
            return
        if result == LOGIN_RIGHT and self.parts.generation.credential(self.codec.user) == credential:
            self.user = self.codec.user
            self.ask()
        else:
            self.turn_away(SL_OUTCOME_AUTH_FAILED, "wrong user or password", 0)

    cdef void on_token(self, int result, Token token, int reason) noexcept:
        if not self.is_verdict(result):
            return
        self.token = token
        if token is not None:
            self.ask()
            return
        self.codec.turn_down(reason)
        self.turn_away(SL_OUTCOME_AUTH_FAILED, self.codec.detail, reason)

    cdef bint is_verdict(self, int result) noexcept:
        if self.state != VERIFYING or self.stage == EXCHANGE_OVER:
            return False
        self.state = READING
        if result == LOGIN_BUSY:
            self.over_limit(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_CREDENTIALS)
        elif result == LOGIN_LIMITED:
            self.over_limit(SL_OUTCOME_SOURCE_LIMIT, SL_SCOPE_SOURCE_LOGINS)
        return self.stage != EXCHANGE_OVER

    # ---- the way to the origin ---------------------------------------------------------------------------------------

    cdef void ask(self) noexcept:
        """Who asks is known: what is asked is judged."""
        if has_been_here(&self.message.head, self.parts.settings.via):
            self.turn_away(SL_OUTCOME_LOOP, "the request has been through this gateway before", SL_REASON_LOOP)
            return
        self.record = note(self.parts, self, self.codec, self.kind)
        self.record.message, self.record.secure = self.message, self.codec.secure
        if self.codec.doubtful and self.record.asks_for_paths():
            self.turn_away(SL_OUTCOME_MALFORMED, "two readers may take the path for two paths",
                           SL_REASON_DOUBTFUL_TARGET)
            return
        self.open()

    cdef void open(self) noexcept:
        self.state = OPENING
        self.opening = may_open(self.parts, self, self.record, False)
        if self.opening is None:
            self.refuse(SL_OUTCOME_GATEWAY_LIMIT)
        else:
            self.opening.start(self)

    cdef bint finds_kept(self, Race race, int *candidate) noexcept:
        cdef SourcePool source
        source = self.record.generation.pool(&race.candidates[0].decision)
        self.key = (
            self.record.name if self.record.name is not None else (<const char *> self.record.address.bytes)[:16],
            self.record.port, race.candidates[0].port, self.record.tls_mark(&race.candidates[0].decision),
            None if source is None else source.addresses,
        )
        self.kept = None if self.fresh else self.pools.find(self.key, race, candidate)
        return self.kept is not None

    cdef void on_kept(self) noexcept:
        cdef OriginConnection connection = self.kept
        self.opening = self.kept = None
        if self.stage == EXCHANGE_OVER:
            connection.close()
            return
        self.record.upstream_tls = connection.tls
        self.attach(connection)

    cdef void on_opened(self, sl_leg *leg, uint32_t events, ParentStream parent_stream) noexcept:
        cdef Http1Origin connection
        self.opening = None
        if self.stage == EXCHANGE_OVER:
            sl_leg_reset(leg)
            return
        connection = Http1Origin.__new__(Http1Origin)
        connection.parts, connection.pools = self.parts, self.pools
        connection.address, connection.tls = self.record.address, self.record.upstream_tls
        connection.port = sl_judged_port(&self.record.generation.image.image, &self.record.decision, self.record.port)
        connection.key = self.key if self.record.upstream is None else None
        connection.follow(parent_stream)
        connection.enter(leg, events)
        self.attach(connection)

    cdef void attach(self, OriginConnection connection) noexcept:
        if self.record.decision.flags & SL_DECISION_PROVISIONAL:
            # Asked by address, and the only name there could be is that address.
            connection.close()
            self.record.decision.verdict, self.record.decision.reason = SL_DENY, SL_REASON_INNER_NAME_MISSING
            self.refuse(SL_OUTCOME_DENIED)
            return
        self.stage = EXCHANGE_CARRIES
        self.tries += 1
        self.origin = connection.request(self)
        self.send()

    cdef void send(self) noexcept:
        """The head, and what has come of the content."""
        cdef Message head = Message.__new__(Message)
        cdef OriginRequest origin = self.origin
        cdef bytes early = self.early
        if not sl_message_copy(&head.head, &self.message.head) or not leave_outside(
                &head.head, self.parts.settings.via):
            self.fail(SL_OUTCOME_INTERNAL)
            return
        self.wait()
        origin.send_head(head, self.whole and early is None and self.trailers is None)
        if self.origin is not origin:
            return
        if not origin.is_reused():
            self.early, self.repeatable = None, False
        if early is not None:
            origin.send_body(<const uint8_t *> PyBytes_AS_STRING(early), PyBytes_GET_SIZE(early))
        if self.origin is origin and self.whole and (early is not None or self.trailers is not None):
            origin.send_end(self.trailers)
        if self.holding and self.origin is origin:
            self.on_ready()

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
        elif self.stage == EXCHANGE_BEGINS:
            takes = False
        self.holding = not takes
        return takes

    cdef void on_request_end(self, Message trailers) noexcept:
        self.whole = True
        self.trailers = trailers
        if self.origin is not None:
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
        self.status = head.head.status
        self.first_byte = self.active = self.parts.loop.now
        self.stage = EXCHANGE_RESPONDS
        self.early, self.repeatable = None, False
        if ends:
            self.origin = None
        if not come_back(&head.head, self.parts.settings.via):
            self.fail(SL_OUTCOME_INTERNAL)
            return
        client.respond(head, ends)
        if ends and self.client is client:
            self.finish(SL_OUTCOME_CLOSED)
            client.done()

    cdef bint on_body(self, const uint8_t *data, size_t length) noexcept:
        self.down += length
        self.active = self.parts.loop.now
        return self.client is not None and self.client.send_body(data, length)

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
        self.stage = EXCHANGE_OVER
        client.tunnel(head, leg, early, hangup)
        self.parts.loop.park(self)

    cdef void on_lost(self, int outcome, bint untouched) noexcept:
        self.origin = None
        if untouched and self.repeatable and self.stage == EXCHANGE_CARRIES and not self.fresh:
            self.try_again()
        else:
            self.fail(outcome)

    cdef void try_again(self) noexcept:
        """Over a new connection: the one that was kept has closed under it."""
        self.fresh, self.stage = True, EXCHANGE_BEGINS
        self.record.leave_limits()
        self.record.begin_again()
        self.open()

    # ---- times, and judging again ------------------------------------------------------------------------------------

    cdef void wait(self) noexcept:
        cdef uint64_t quiet = self.active + self.parts.settings.idle_timeout
        cdef uint64_t now = self.parts.loop.now
        self.parts.loop.arm(self, quiet - now if quiet > now else 0)

    cdef void on_timer(self) noexcept:
        if self.parts.loop.now < self.active + self.parts.settings.idle_timeout:
            self.wait()
        else:
            self.fail(SL_OUTCOME_RESPONSE_TIMEOUT if self.stage < EXCHANGE_RESPONDS else SL_OUTCOME_IDLE_TIMEOUT)

    cdef void rejudge(self) noexcept:
        if self.opening is not None:
            self.opening.review()

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void on_refused(self, int outcome) noexcept:
        self.opening = None
        if self.stage != EXCHANGE_OVER:
            self.refuse(outcome)

    cdef void turn_away(self, int outcome, str detail, int reason) noexcept:
        """No question was reached: counted, with a `refused` line."""
        cdef WorkerParts parts = self.parts
        cdef uint64_t sequence = parts.meter.number()
        cdef ClientSide client = self.client
        log_refused(parts, self.listener, self.kind, &self.peer, self.peer_port, self.source, sequence, outcome,
                    self.codec.user, detail, self.tls, reason)
        if outcome == SL_OUTCOME_AUTH_FAILED:
            count_login(parts, reason, self.codec.user, detail)
        else:
            parts.meter.count(SL_COUNTER_PROTOCOL_ERRORS)
        parts.meter.labelled(SL_FAMILY_PROTOCOL_ERRORS, self.kind, outcome, 0, 0)[0] += 1
        self.record = None
        self.finish(outcome)
        client.refuse(outcome, None, None, detail, sequence)

    cdef void over_limit(self, int outcome, int scope) noexcept:
        cdef uint64_t sequence = self.parts.meter.number()
        cdef ClientSide client = self.client
        self.parts.meter.limited(scope)
        log_refused(self.parts, self.listener, self.kind, &self.peer, self.peer_port, self.source, sequence, outcome,
                    self.codec.user, None, self.tls, SL_REASON_INTERNAL)
        self.finish(outcome)
        client.refuse(outcome, None, None, None, sequence)

    cdef void refuse(self, int outcome) noexcept:
        """The gateway's own answer to a request that was judged."""
        cdef ClientSide client = self.client
        cdef Record record = self.record
        if outcome == SL_OUTCOME_DENIED and record.decision.reason == SL_REASON_NO_ROUTE:
            outcome = SL_OUTCOME_NO_ROUTE
        self.finish(outcome)
        if client is not None:
            client.refuse(outcome, told_rule(record, outcome), told_reason(record, outcome), None, record.sequence)

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
        """The last step of every end: its line, its places, its origin."""
        cdef OriginRequest origin = self.origin
        cdef bint begins = self.opening is not None
        if self.stage == EXCHANGE_OVER:
            return
        self.stage, self.state = EXCHANGE_OVER, LINGERING
        self.client = None
        self.early = None
        if origin is not None:
            self.origin = None
            origin.cancel()
        if begins:
            self.opening.cancel()
            self.opening = None
        if self.record is not None:
            self.record.leave_limits()
            self.record.write(SL_LOG_DECISION, outcome, self.up, self.down)
        self.closed = True
        self.parts.loop.park(self)

    cdef void close(self) noexcept:
        """An internal error, or the end of the worker."""
        if self.stage != EXCHANGE_OVER:
            self.fail(SL_OUTCOME_DRAINED if self.parts.roster.draining else SL_OUTCOME_INTERNAL)
