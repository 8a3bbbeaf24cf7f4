"""The way of one HTTP request to a connection. See approach.pxd.

READING -> (VERIFYING ->) OPENING -> LINGERING, where it is over. What is asked is judged as every other request is, by
the opening that tunnels have; a connection that is kept is taken where the opening would dial (DECISIONS.md section 7,
"Pools").
"""

import base64

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, strcmp

from gateway.c.contract cimport (
    SL_DENY, SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_BACKEND_INVALID, SL_OUTCOME_CREDENTIAL_UNAVAILABLE, SL_OUTCOME_DENIED,
    SL_OUTCOME_DIAL_TIMEOUT, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_LOOP, SL_OUTCOME_MALFORMED, SL_OUTCOME_MISDIRECTED,
    SL_OUTCOME_NO_ROUTE, SL_OUTCOME_NO_SUCH_METHOD, SL_OUTCOME_RESPONSE_TIMEOUT, SL_OUTCOME_SOURCE_LIMIT,
    SL_OUTCOME_UNAVAILABLE, SL_REASON_CREDENTIAL_TRACE, SL_REASON_DOUBTFUL_TARGET, SL_REASON_INNER_NAME_MISSING,
    SL_REASON_INTERNAL, SL_REASON_LOOP, SL_REASON_MISDIRECTED, SL_REASON_NO_ROUTE, SL_REASON_NO_RULE,
)
from gateway.c.addr cimport sl_addr
from gateway.c.judge cimport SL_DECISION_PROVISIONAL, sl_decision
from gateway.c.leg cimport sl_leg
from gateway.c.message cimport sl_message_strip
from gateway.c.segment cimport (
    SL_COUNTER_PROTOCOL_ERRORS, SL_FAMILY_PROTOCOL_ERRORS, SL_SCOPE_CREDENTIALS, SL_SCOPE_SOURCE_LOGINS,
)
from gateway.dial.detour cimport Detour
from gateway.dial.race cimport Race
from gateway.dial.parent_way cimport ParentWay
from gateway.parent.parent cimport Parent, ParentStream
from gateway.parent.source_pool cimport SourcePool
from gateway.proto.codec cimport CODEC_CREDENTIALS, CODEC_REQUEST
from gateway.proto.message cimport has_no_content, is_method
from gateway.routing.answers cimport answer_of
from gateway.routing.credentials cimport lacking
from gateway.routing.fields cimport has_been_here
from gateway.routing.route cimport (
    BACKEND_ASKED, BACKEND_INVALID, BACKEND_NAME, BACKEND_SERVICE, headers_of, route_of,
)
from gateway.state.claims cimport Token
from gateway.state.logins cimport LOGIN_BUSY, LOGIN_LIMITED, LOGIN_RIGHT
from gateway.state.record cimport Record, count_login, log_refused
from gateway.state.request cimport (
    KEPT_FOUND, KEPT_FULL, KEPT_NONE, KEPT_WAITS, LINGERING, OPENING, READING, VERIFYING, KeptStep,
)
from gateway.state.speakers cimport may_speak, take_claims
from gateway.tunnel.request cimport fill, may_open, verify, verify_token
from gateway.upstream.http1_origin cimport Http1Origin
from gateway.upstream.http2_origin cimport Http2Origin
from gateway.upstream.origin_pool cimport POOL_FULL, POOL_WAITS, PoolStep


cdef Approach approach_of(WorkerParts parts, Request who, ResponseTaker taker, int kind, int auth):
    cdef Approach made = Approach.__new__(Approach)
    made.parts, made.taker, made.kind = parts, taker, <uint8_t> kind
    made.pools = <OriginPools> parts.origins
    made.codec = HttpRequest.__new__(HttpRequest)
    made.codec.auth = auth
    made.codec.trusted = may_speak(parts, who.tls)
    made.listener, made.tls, made.relayed = who.listener, who.tls, who.relayed
    made.forwarded, made.peer, made.peer_port, made.source = who.forwarded, who.peer, who.peer_port, who.source
    if who.inside is not None:
        made.go_inside(<Record> who.inside)
    return made


cdef bint is_key(tuple key, bytes host, int port, int dialed, bytes mark, object addresses, object detour,
                 bint upgrades) noexcept:
    """Whether a pool's key is that of these facts; False where it is not worth a closer look."""
    return (len(key) == 7 and <int> key[1] == port and <int> key[2] == dialed and key[4] is addresses
            and key[5] is detour and <bint> key[6] == upgrades and is_same(<bytes> key[0], host)
            and is_same(<bytes> key[3], mark))


cdef bint is_same(bytes one, bytes other) noexcept:
    cdef Py_ssize_t length = PyBytes_GET_SIZE(one)
    return one is other or (length == PyBytes_GET_SIZE(other) and memcmp(
        PyBytes_AS_STRING(one), PyBytes_AS_STRING(other), length) == 0)


cdef bytes login_of(Parent parent):
    if parent.user is None:
        return None
    return b"Basic " + base64.b64encode(parent.user + b":" + (parent.password or b""))


@cython.final
cdef class Approach(Request):
    """Made by approach_of()."""

    cdef void go_inside(self, Record tunnel) noexcept:
        """It comes in a tunnel: who asks has proved that there."""
        self.inside = tunnel
        self.user, self.token = tunnel.user, tunnel.token
        self.codec.trusted, self.codec.usual = False, tunnel.port

    cdef bint is_misdirected(self) noexcept:
        """For another host or port than its tunnel, or by TLS of its own."""
        cdef Record tunnel = <Record> self.inside
        if self.codec.secure or self.codec.port != tunnel.port:
            return True
        if tunnel.name is None:
            return memcmp(&self.codec.address, &tunnel.address, sizeof(sl_addr)) != 0
        return self.codec.address.family != 0 or tunnel.name != self.codec.name[:self.codec.name_length]

    cdef void begin(self, Message message) noexcept:
        cdef int status
        self.message = message
        status = self.codec.take(message)
        sl_message_strip(&message.head)  # what no origin gets no rule sees either
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
        if self.state != VERIFYING or self.taker is None:
            return False
        self.state = READING
        if result == LOGIN_BUSY:
            self.over_limit(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_CREDENTIALS)
        elif result == LOGIN_LIMITED:
            self.over_limit(SL_OUTCOME_SOURCE_LIMIT, SL_SCOPE_SOURCE_LOGINS)
        return self.taker is not None

    # ---- the decision, and a connection ------------------------------------------------------------------------------

    cdef void ask(self) noexcept:
        """The client is known: its request is judged."""
        if self.inside is not None and self.is_misdirected():
            self.turn_away(SL_OUTCOME_MISDIRECTED, "the request is not for the host and port of its tunnel",
                           SL_REASON_MISDIRECTED)
            return
        if has_been_here(&self.message.head, self.parts.settings.via):
            self.turn_away(SL_OUTCOME_LOOP, "the request has been through this gateway before", SL_REASON_LOOP)
            return
        self.record = RequestRecord.__new__(RequestRecord, self.parts)
        self.record.message, self.record.secure = self.message, self.codec.secure
        self.record.inside = <Record> self.inside
        fill(self.record, self, self.codec, self.kind)
        if self.parts.tracer is not None:
            self.record.trace = self.parts.tracer.of_message(&self.message.head, self.record.asked)
        if self.codec.doubtful and self.record.asks_for_more():
            self.turn_away(SL_OUTCOME_MALFORMED, "two readers may take the path for two paths",
                           SL_REASON_DOUBTFUL_TARGET)
            return
        self.open()

    cdef void open(self) noexcept:
        self.state = OPENING
        if self.record.trace is not None:
            self.record.trace.try_begins(self.parts.loop.now)
        self.opening = may_open(self.parts, self, self.record, False)
        if self.opening is None:
            self.fail(SL_OUTCOME_GATEWAY_LIMIT)
        else:
            self.opening.counted = self.again or self.aimed
            self.opening.start(self)

    cdef void begin_again(self, ResponseTaker taker, bint fresh) noexcept:
        self.taker, self.fresh, self.again = taker, fresh, True
        self.record.leave_limits()
        self.record.begin_again()
        self.open()

    # ---- routes ------------------------------------------------------------------------------------------------------

    cdef bint diverts(self, const sl_decision *decision) noexcept:
        """The route that the decision brings along, as far as it is about the way."""
        cdef Message answer
        self.leave_pool(False)
        if self.aimed or decision.verdict == SL_DENY:
            return False
        self.route = route_of(self.record.generation, decision)
        self.changes = headers_of(self.record.generation, decision)
        if self.changes is not None and self.changes.read_only and self.breaks_read_only():
            self.record.decision.verdict, self.record.decision.reason = SL_DENY, SL_REASON_NO_RULE
            self.record.count_decision()
            self.fail(SL_OUTCOME_DENIED)
            return True
        if self.changes is not None and self.changes.secrets is not None and self.refuses_secrets(decision):
            return True
        self.opening.detour = self.backend = self.record.backend_tls = None
        if self.route is None:
            return False
        if self.route.request_timeout:
            self.taker.on_route()
        answer = answer_of(self.route, self.record, &self.message.head)
        if answer is not None:
            self.record.decided(decision)
            self.record.count_decision()
            self.answer(answer)
            return True
        if not self.route.backends:
            return False
        self.backend = self.route.choose(self.pools.draw())
        if self.backend is None or self.backend.kind == BACKEND_INVALID or (
                self.backend.kind == BACKEND_SERVICE and self.record.name is None):
            self.record.decided(decision)
            self.fail(SL_OUTCOME_BACKEND_INVALID)
            return True
        return self.head_for(self.backend)

    cdef bint head_for(self, Backend backend) noexcept:
        """Sets out to a backend; True where that is another opening."""
        cdef Detour detour
        cdef Opening opening
        cdef HttpRequest target  # of its own: copies of the request may go elsewhere
        if backend.kind == BACKEND_SERVICE:
            detour = Detour.__new__(Detour)
            detour.host, detour.port = backend.host, backend.port
            detour.endpoints, detour.ports, detour.lifts = backend.endpoints, backend.ports, backend.lifts
            detour.key, self.record.backend_tls = backend.name, backend.tls
            self.opening.detour = detour
            return False
        if backend.kind != BACKEND_NAME:
            return False
        opening, self.opening = self.opening, None
        if opening is not None:
            opening.cancel()
        self.aimed = True
        target = HttpRequest.__new__(HttpRequest)
        if not target.set_host(<const uint8_t *> PyBytes_AS_STRING(backend.host), PyBytes_GET_SIZE(backend.host)):
            self.fail(SL_OUTCOME_BACKEND_INVALID)
            return True
        self.record.aim(None if target.address.family else target.name[:target.name_length], &target.address,
                        backend.port)
        self.open()
        return True

    cdef bint breaks_read_only(self) noexcept:
        return not has_no_content(&self.message.head) or self.message.head.upgrades

    cdef bint is_elsewhere(self) noexcept:
        return self.backend is not None and self.backend.kind != BACKEND_ASKED

    cdef bint refuses_secrets(self, const sl_decision *decision) noexcept:
        """Refuses TRACE, and a request whose credential has no value: neither needs a connection to be known."""
        cdef int reason = SL_REASON_CREDENTIAL_TRACE
        cdef bint traces = is_method(&self.message.head, b"TRACE", 5)
        if not traces and self.parts.credentials.complete:
            # A name that no generation has is told by the connection's own question (Exchange.add_credentials).
            return False
        if not traces:
            self.lacks = lacking(self.changes.secrets, self.parts.credentials, self.record, NULL, &reason)
            if self.lacks is None:
                return False
        self.record.decided(decision)
        self.record.decision.reason = <uint8_t> reason
        self.record.count_decision()
        self.fail(SL_OUTCOME_NO_SUCH_METHOD if traces else SL_OUTCOME_CREDENTIAL_UNAVAILABLE)
        return True

    cdef void answer(self, Message head) noexcept:
        cdef ResponseTaker taker = self.taker
        self.cancel()
        taker.on_answer(head)

    cdef void begin_copy(self, Approach main, Backend backend) noexcept:
        self.message, self.codec = main.message, main.codec
        self.user, self.token, self.forwarded = main.user, main.token, main.forwarded
        self.record = RequestRecord.__new__(RequestRecord, self.parts)
        self.record.message, self.record.secure, self.record.quiet = self.message, main.record.secure, True
        self.record.inside = main.record.inside
        fill(self.record, self, self.codec, self.kind)
        self.backend, self.aimed = backend, True
        self.state = OPENING
        if backend.kind == BACKEND_NAME:
            self.head_for(backend)
            return
        self.opening = may_open(self.parts, self, self.record, False)
        if self.opening is None:
            self.fail(SL_OUTCOME_GATEWAY_LIMIT)
        else:
            self.head_for(backend)
            self.opening.counted = True
            self.opening.start(self)

    cdef KeptStep finds_kept(self, object among, int *candidate) noexcept:
        cdef Race race = <Race> among
        cdef OriginPool pool
        cdef PoolStep step
        cdef const sl_decision *decision = &self.record.decision
        self.leave_pool(False)  # of a way before a reload
        if self.opening.way is None:
            decision = &race.candidates[0].decision
            self.dialed = race.candidates[0].port
            pool = self.pool_of(decision, None)
        else:
            self.dialed = 0
            pool = self.parent_pool(self.opening.way)
            if pool is None:
                return KEPT_NONE
        self.guess = pool
        self.kept = None if self.fresh else pool.find(self.record.source, race, candidate)
        if self.kept is not None:
            return KEPT_FOUND
        step = pool.enter(self, self.record.source, self.may_share(decision))
        if step == POOL_FULL:
            return KEPT_FULL
        self.pool, self.waits = pool, step == POOL_WAITS
        if self.waits:
            self.wait()
        return KEPT_WAITS if self.waits else KEPT_NONE

    cdef OriginPool pool_of(self, const sl_decision *decision, object through):
        """That of the destination; `through`: the identity of a parent, or None."""
        cdef SourcePool source = self.record.generation.pool(decision)
        cdef bytes host = self.record.name
        cdef bytes mark = self.record.tls_mark(decision)
        cdef object addresses = None if source is None else source.addresses
        cdef object detour = None if self.opening.detour is None else self.opening.detour.key
        cdef bint upgrades = self.message.head.upgrades
        if host is None:
            host = (<const char *> self.record.address.bytes)[:16]
        if self.guess is not None and through is None and not self.guess.is_empty() and is_key(
                self.guess.key, host, self.record.port, self.dialed, mark, addresses, detour, upgrades):
            return self.guess
        key = (host, self.record.port, self.dialed, mark, addresses, detour, upgrades)
        return self.pools.pool(key if through is None else (*key, through))

    cdef OriginPool parent_pool(self, ParentWay way):
        """Through a parent, whose connections lead to one destination, or to all that it takes requests for. None: its
        connections are for one client alone, which is named to it."""
        cdef SourcePool source
        way.forwards = way.parent.kind == "http" and self.may_forward()
        if way.parent.announces:
            return None
        if not way.forwards:
            return self.pool_of(&self.record.decision, way.parent.identity)
        source = self.record.generation.pool(&self.record.decision)
        return self.pools.pool((way.parent.identity, None if source is None else source.addresses))

    cdef bint may_forward(self) noexcept:
        """Whether a parent may get the request as it is, in absolute-form: in clear text, to the host that it names."""
        if self.message.head.upgrades or self.aimed or self.record.originates(&self.record.decision):
            return False
        if self.backend is not None and self.backend.steps is not None and self.backend.steps.renames_host():
            return False
        return self.route is None or not self.route.steps.renames_host()

    cdef bint may_share(self, const sl_decision *decision) noexcept:
        """Whether the connection that it dials may turn out to carry many requests."""
        if self.message.head.upgrades:
            return False
        if self.record.originates(decision):
            return self.record.offers_http2(decision)
        return self.backend is not None and self.backend.clear_http2

    cdef void wait(self) noexcept:
        """As long as a dial may take, within the time that the route gives."""
        cdef uint64_t patience = self.parts.settings.dial_timeout
        cdef uint64_t spent = self.parts.loop.now - self.record.asked
        cdef int late = SL_OUTCOME_UNAVAILABLE if self.pool.is_full() else SL_OUTCOME_DIAL_TIMEOUT
        if self.route is not None and self.route.request_timeout and self.route.request_timeout < spent + patience:
            late = SL_OUTCOME_RESPONSE_TIMEOUT
            patience = self.route.request_timeout - min(spent, self.route.request_timeout)
        self.opening.wait(patience, late)

    cdef void on_pool(self) noexcept:
        self.pool = None
        self.opening.go_on_pooled()

    cdef void leave_pool(self, bint failed) noexcept:
        cdef OriginPool pool = self.pool
        if pool is not None:
            self.pool = None
            pool.leave(self, self.record.source, self.waits, failed)

    cdef void lifted(self) noexcept:
        self.record.lifted = True

    cdef void on_kept(self) noexcept:
        cdef OriginConnection connection = self.kept
        self.opening = self.kept = None
        self.record.upstream_tls = connection.tls
        self.reach(connection)

    cdef void on_opened(self, sl_leg *leg, uint32_t events, ParentStream parent_stream) noexcept:
        cdef OriginConnection connection
        cdef OriginPool pool = self.pool
        cdef bint http2 = self.speaks_http2()
        cdef ParentWay way = self.opening.way
        self.opening = self.pool = None
        if http2:
            connection = Http2Origin.__new__(Http2Origin)
        else:
            connection = Http1Origin.__new__(Http1Origin)
            if way is not None and way.forwards:
                (<Http1Origin> connection).forwards = True
                (<Http1Origin> connection).login = login_of(way.parent)
        connection.parts, connection.pools = self.parts, self.pools
        connection.tls = self.record.upstream_tls
        if way is None:  # else its key alone says where it leads
            connection.address = self.record.address
        connection.port = self.dialed
        connection.pool = pool
        if pool is not None:
            pool.dialed(self.record.source, http2)
        connection.follow(parent_stream)
        connection.enter(leg, events)
        self.reach(connection)

    cdef bint speaks_http2(self) noexcept:
        """The choice of the origin by ALPN, or of its backend. That of a parent is for the way alone."""
        if self.record.upstream_tls is None and self.backend is not None and self.backend.clear_http2:
            return not self.message.head.upgrades
        return (self.record.upstream_tls is not None and self.record.upstream_tls.alpn is not NULL
                and strcmp(self.record.upstream_tls.alpn, b"h2") == 0
                and self.record.originates(&self.record.decision))

    cdef void reach(self, OriginConnection connection) noexcept:
        self.state = LINGERING
        connection.asker = self.record.source
        if self.taker is None:
            connection.close()
        elif self.record.decision.flags & SL_DECISION_PROVISIONAL:
            # Asked by address, and the only name there could be is that address.
            connection.close()
            self.record.decision.verdict, self.record.decision.reason = SL_DENY, SL_REASON_INNER_NAME_MISSING
            self.fail(SL_OUTCOME_DENIED)
        else:
            self.taker.on_way(connection)

    cdef void on_refused(self, int outcome) noexcept:
        self.opening = None
        self.leave_pool(True)
        if self.taker is not None:
            self.fail(outcome)

    cdef void rejudge(self) noexcept:
        if self.opening is not None:
            self.opening.review()

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void turn_away(self, int outcome, str detail, int reason) noexcept:
        """No question was reached: counted, with a `refused` line."""
        cdef WorkerParts parts = self.parts
        cdef uint64_t sequence = parts.meter.number()
        cdef ResponseTaker taker = self.taker
        log_refused(parts, self.listener, self.kind, &self.peer, self.peer_port, self.source, sequence, outcome,
                    self.codec.user, detail, self.tls, reason)
        if outcome == SL_OUTCOME_AUTH_FAILED:
            count_login(parts, reason, self.codec.user, detail)
        else:
            parts.meter.count(SL_COUNTER_PROTOCOL_ERRORS)
        parts.meter.labelled(SL_FAMILY_PROTOCOL_ERRORS, self.kind, outcome, 0, 0)[0] += 1
        self.cancel()
        taker.on_turned_away(outcome, detail, sequence)

    cdef void over_limit(self, int outcome, int scope) noexcept:
        cdef uint64_t sequence = self.parts.meter.number()
        cdef ResponseTaker taker = self.taker
        self.parts.meter.limited(scope)
        log_refused(self.parts, self.listener, self.kind, &self.peer, self.peer_port, self.source, sequence, outcome,
                    self.codec.user, None, self.tls, SL_REASON_INTERNAL)
        self.cancel()
        taker.on_turned_away(outcome, None, sequence)

    cdef void fail(self, int outcome) noexcept:
        cdef ResponseTaker taker = self.taker
        if outcome == SL_OUTCOME_DENIED and self.record.decision.reason == SL_REASON_NO_ROUTE:
            outcome = SL_OUTCOME_NO_ROUTE
        self.cancel()
        taker.on_no_way(outcome)

    cdef void cancel(self) noexcept:
        cdef Opening opening = self.opening
        self.taker = self.opening = None
        self.state = LINGERING
        if self.pool is not None:
            self.leave_pool(False)
        if opening is not None:
            opening.cancel()
