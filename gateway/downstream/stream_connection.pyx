"""One client connection of a byte-stream protocol (SOCKS, HTTP/1), from its first byte until it is a tunnel or refused.

READING -> (VERIFYING -> READING) -> OPENING -> a tunnel, or from any of them -> LINGERING -> closed.

* Nothing is read while credentials are verified or an upstream is dialed: early payload waits in `held` or in the
  kernel.
* Success is answered only by on_opened, when the upstream is connected; no payload byte went anywhere before. A
  SocketTunnel takes both sockets over, and this is gone.
* What the client does not take of an answer waits in `answers`, in front of all that the upstream will send.
* A refusal is followed by a short linger, so that unread bytes do not turn the close into a reset that eats the answer.
"""

cimport cython
from libc.errno cimport EAGAIN, EPROTO, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from gateway.parent.parent cimport ParentStream
from gateway.proto.codec cimport (
    AUTH_OPTIONAL, AUTH_REQUIRED, CODEC_CREDENTIALS, CODEC_FAILED, CODEC_MORE, CODEC_REQUEST,
)
from gateway.state.settings cimport ListenerSpec
from gateway.c.addr cimport sl_addr
from gateway.c.contract cimport (
    SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_CONNECTED, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_MALFORMED,
    SL_OUTCOME_NOT_BUILT, SL_OUTCOME_REQUEST_TIMEOUT, SL_OUTCOME_SOURCE_LIMIT, SL_REASON_INTERNAL,
    SL_REASON_PROXY_HEADER, SL_TLS_RESULT_ENDED, SL_TLS_RESULT_TIMEOUT,
)
from gateway.c.leg cimport (
    sl_leg_broken, sl_leg_close, sl_leg_events, sl_leg_pending, sl_leg_reason, sl_leg_receive,
    sl_leg_reset, sl_leg_send, sl_plain_leg,
)
from gateway.c.proxy_header cimport SL_PROXY_BROKEN, sl_proxy_header, sl_proxy_header_read
from gateway.c.relay cimport (
    SL_PUMP_BUDGET, SL_PUMP_DONE, SL_PUMP_FULL, sl_direction_answer, sl_direction_free, sl_direction_waits, sl_pump,
)
from gateway.c.segment cimport (
    SL_COUNTER_PROTOCOL_ERRORS, SL_COUNTER_REQUEST_TIMEOUTS, SL_FAMILY_PROTOCOL_ERRORS,
    SL_LOG_DECISION, SL_PROTOCOL_HTTP, SL_SCOPE_CREDENTIALS, SL_SCOPE_SOURCE_LOGINS,
)
from gateway.downstream.codecs cimport codec_at_once, codec_for, kind_of, takes_http2
from gateway.downstream.entrance cimport ENTRANCE_FAILED, ENTRANCE_PASSED, EntranceStep, entrance_of
from gateway.downstream.http1_connection cimport Http1Connection, http1_connection_of
from gateway.downstream.http2.connection cimport H2Connection, http2_connection_of
from gateway.state.logins cimport LOGIN_BUSY, LOGIN_LIMITED, LOGIN_RIGHT
from gateway.io.loop cimport SCRATCH_SIZE
from gateway.dial.race cimport LEG_EVENTS
from gateway.state.record cimport count_login, log_refused
from gateway.state.speakers cimport may_speak, source_of_speaker, take_claims
from gateway.state.request cimport LINGERING, OPENING, READING, VERIFYING
from gateway.proto.direct cimport ServerNameCodec
from gateway.tunnel.held cimport Held, held_of
from gateway.tunnel.inner cimport inspect_first
from gateway.tunnel.request cimport drained_away, give_up, note, may_open, told_reason, told_rule, verify, verify_token
from gateway.tunnel.socket_tunnel cimport SocketTunnel
from gateway.proto.sniff cimport (
    SNIFF_HTTP1, SNIFF_HTTP2_PREFACE, SNIFF_MORE, SNIFF_REQUEST, http2_refusal, sniff, sniff_method,
)
from gateway.io.leg cimport hand_leg, leg_of
from gateway.io.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, local_address
from gateway.tunnel.tunnel cimport CLIENT, UPSTREAM

cdef enum:
    LINGER = 1000              # milliseconds for the client to read a refusal and close
    LINGER_BYTES = 1048576     # dropped in that time, at most
    PROXY_WORD = 6             # bytes by which a PROXY header is known: "PROXY ", or half of a binary signature
    ANSWERS_MOST = 16384       # bytes of answers that a client did not take yet: one that never reads asks for no more


@cython.final
cdef class StreamConnection(Request):
    """See stream_connection.pxd. Made by a listener; keeps itself alive through the parts until it has ended."""

    def __dealloc__(self):
        sl_direction_free(&self.answers)

    cdef void enter(self, int fd) noexcept:
        """Takes its place: watched, counted, with the time a request may take running."""
        self.leg = leg_of(fd)
        self.parts.loop.keep(self)
        self.parts.roster.entered(self)
        self.entrance = entrance_of(self.parts, self)
        if ((self.entrance is not None and self.entrance.begin(self, &self.leg) == ENTRANCE_FAILED)
                or not self.parts.loop.watch(self.leg.fd, self, CLIENT, LEG_EVENTS)):
            self.drop()
            return
        self.parts.loop.arm(self, self.parts.settings.request_timeout)
        if self.entrance is None:
            self.open_at_once()

    cdef void begin_again(self, const uint8_t *data, size_t length) noexcept:
        self.parts.loop.keep(self)
        self.parts.roster.entered(self)
        hand_leg(self.parts.loop, &self.leg, self, CLIENT)
        self.parts.loop.arm(self, self.parts.settings.request_timeout)
        self.feed(data, length)
        if not self.drained:
            self.read()

    cdef void open_at_once(self) noexcept:
        """Where the listener has a fixed destination: no byte of the client's is waited for."""
        self.codec = codec_at_once(self.parts.settings.listener(self.listener))
        if self.codec is not None:
            self.advance(self.codec.status, NULL, 0)

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        events = sl_leg_events(&self.leg, events)
        if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            self.hangup = True
        if events & EPOLLPRI:
            self.urgent = True
        if events & EPOLLOUT and sl_direction_waits(&self.answers) and not self.put_rest():
            return
        if events & (EPOLLHUP | EPOLLERR) and self.state != LINGERING:
            # Both directions are gone: no client is left to answer. After a half-close alone (EPOLLRDHUP) one is.
            if self.entrance is not None:
                self.entrance.fail(self, &self.leg, SL_TLS_RESULT_ENDED)
            self.abandon()
        elif self.state == READING and events & (EPOLLIN | EPOLLRDHUP):
            if self.advance_leg():
                self.read()
        elif self.state == LINGERING and events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            self.linger_read()
        elif events & (EPOLLIN | EPOLLRDHUP):
            self.drained = False

    cdef bint advance_leg(self) noexcept:
        """Whether the client's request comes next; what stands before it goes a step further."""
        return self.entrance is None or self.passed(self.entrance.go_on(self, &self.leg))

    cdef bint passed(self, EntranceStep step) noexcept:
        if step == ENTRANCE_FAILED:
            self.drop()
        elif step == ENTRANCE_PASSED:
            self.tls, self.entrance = self.entrance.tls, None
            self.source = source_of_speaker(self.parts, self.tls, &self.peer) or self.source
            self.open_at_once()
        return step == ENTRANCE_PASSED

    cdef void on_turn(self) noexcept:
        """The handshake has its turn."""
        if self.state == READING and self.entrance is not None and \
                self.passed(self.entrance.take_turn(self, &self.leg)):
            self.read()

    cdef void read(self) noexcept:
        """Reads and feeds until the leg is dry or the request is complete."""
        cdef ssize_t got
        while self.state == READING and not self.closed:
            got = sl_leg_receive(&self.leg, self.parts.loop.scratch, SCRATCH_SIZE)
            if got > 0:
                self.feed(self.parts.loop.scratch, got)
                self.drained = got < SCRATCH_SIZE and not self.hangup and not sl_leg_pending(&self.leg)
                if self.drained:
                    return
            elif got < 0 and errno == EAGAIN:
                return
            else:
                if got < 0 and errno == EPROTO and self.tls is not None:
                    self.refuse_record()
                self.drop()
                return

    cdef void refuse_record(self) noexcept:
        """Bytes that are not records of the session: TLS fails behind its handshake, and has sent its alert."""
        cdef const char *reason = sl_leg_reason(&self.leg)
        self.protocol_error(SL_OUTCOME_MALFORMED, None if reason is NULL else reason.decode("ascii", "replace"))

    cdef void feed(self, const uint8_t *data, size_t length) noexcept:
        """Bytes of the request: to the codec, once it is known which."""
        cdef bytes joined
        cdef size_t used
        cdef int status
        if self.codec is None:
            if self.held is not None:
                joined, self.held = self.held + data[:length], None
                data, length = <const uint8_t *> PyBytes_AS_STRING(joined), PyBytes_GET_SIZE(joined)
            if not self.detect(data, length):
                return
        used = 0
        status = self.codec.feed(data, length, &used)
        self.advance(status, data + used, length - used)

    cdef bint detect(self, const uint8_t *data, size_t length) noexcept:
        """Chooses the codec by the first bytes and the listener's protocol; False when there is none (yet)."""
        cdef ListenerSpec spec = self.parts.settings.listener(self.listener)
        cdef sl_proxy_header header
        cdef int found = sniff(data, length)
        if length >= PROXY_WORD and sl_proxy_header_read(data, length, &header) != SL_PROXY_BROKEN:
            self.refuse_proxy_header()
            return False
        if found == SNIFF_MORE:
            self.held = PyBytes_FromStringAndSize(<const char *> data, length)
            return False
        if found == SNIFF_HTTP2_PREFACE and takes_http2(spec):
            self.hand_over(data, length)
            return False
        if found == SNIFF_HTTP1 and spec.requests:
            found = sniff_method(data, length)
            if found == SNIFF_MORE:
                self.held = PyBytes_FromStringAndSize(<const char *> data, length)
                return False
            if found == SNIFF_REQUEST:
                self.route(data, length)
                return False
        self.codec = codec_for(found, self.parts.settings, spec, self.auth())
        if self.codec is None:
            self.protocol_error(SL_OUTCOME_NOT_BUILT if found == SNIFF_HTTP2_PREFACE else SL_OUTCOME_MALFORMED,
                                "not the listener's protocol")
            if found == SNIFF_HTTP2_PREFACE:
                self.say(http2_refusal())
            self.linger()
            return False
        self.codec.trusted = may_speak(self.parts, self.tls)
        self.codec.traced = &self.parts.settings.traced
        if kind_of(self.codec) == SL_PROTOCOL_HTTP:  # its answers are signed, before there is a record
            self.codec.sign(self.parts.meter.prefix, self.parts.meter.number(), self.parts.settings.deny_message,
                            len(self.parts.settings.token_keys) > 0)
        return True

    cdef int auth(self) noexcept:
        """An identity, of a certificate or forwarded, does for the credentials that a listener requires."""
        cdef int asked = self.parts.settings.listener(self.listener).auth
        if asked == AUTH_REQUIRED and (self.forwarded is not None or (self.tls is not None
                                                                      and self.tls.identity is not None)):
            return AUTH_OPTIONAL
        return asked

    cdef void refuse_proxy_header(self) noexcept:
        """Nothing says that this peer may speak for others."""
        self.parts.meter.count(SL_COUNTER_PROTOCOL_ERRORS)
        self.parts.meter.labelled(SL_FAMILY_PROTOCOL_ERRORS, kind_of(None), SL_OUTCOME_MALFORMED, 0, 0)[0] += 1
        log_refused(self.parts, self.listener, kind_of(None), &self.peer, self.peer_port, self.source, 0,
                    SL_OUTCOME_MALFORMED, None, "a PROXY header from a peer that may not send one", self.tls,
                    SL_REASON_PROXY_HEADER)
        self.linger()

    cdef void route(self, const uint8_t *data, size_t length) noexcept:
        """A request that is no CONNECT: the socket goes to a connection that carries many, and this one is over."""
        cdef Http1Connection connection = http1_connection_of(self.parts, self, self.auth())
        connection.leg, self.leg = self.leg, sl_plain_leg(-1)
        connection.hangup, connection.urgent = self.hangup, self.urgent
        connection.readable = length >= SCRATCH_SIZE or self.hangup or sl_leg_pending(&connection.leg)
        connection.enter(data, length)
        self.drop()

    cdef void hand_over(self, const uint8_t *data, size_t length) noexcept:
        """HTTP/2 carries many requests: the socket goes to a connection of that kind, and this one is over."""
        cdef H2Connection connection = http2_connection_of(self.parts, self, self.auth(), &self.leg)
        self.leg = sl_plain_leg(-1)
        connection.enter(data, length)
        self.drop()

    cdef void protocol_error(self, int outcome, str detail) noexcept:
        """Counts and logs a request that never became one."""
        self.turned_away(outcome, detail)
        if outcome == SL_OUTCOME_AUTH_FAILED:
            count_login(self.parts, 0 if self.codec is None else self.codec.reason,
                        None if self.codec is None else self.codec.user, detail)
        else:
            self.parts.meter.count(SL_COUNTER_PROTOCOL_ERRORS)
        self.parts.meter.labelled(SL_FAMILY_PROTOCOL_ERRORS, kind_of(self.codec), outcome, 0, 0)[0] += 1

    cdef void turned_away(self, int outcome, str detail) noexcept:
        """The `refused` line."""
        cdef Codec codec = self.codec
        log_refused(self.parts, self.listener, kind_of(codec), &self.peer, self.peer_port, self.source,
                    codec.sequence if codec is not None else 0, outcome, codec.user if codec is not None else None,
                    detail, self.tls, SL_REASON_INTERNAL if codec is None else codec.reason)

    cdef void advance(self, int status, const uint8_t *rest, size_t length) noexcept:
        """Acts on what the codec says; `rest` are the bytes it has not used."""
        if not self.flush():
            return
        if status == CODEC_MORE:
            return
        self.held = PyBytes_FromStringAndSize(<const char *> rest, length) if length else None
        if self.codec.trusted and status != CODEC_FAILED:
            take_claims(self.parts, self, self.codec)
            self.codec.trusted = False  # they are taken once
        if status == CODEC_CREDENTIALS:
            if self.codec.token is not None:
                verify_token(self.parts, self, self.codec.token)
            else:
                verify(self.parts, self, self.codec.user, self.codec.password)
        elif status == CODEC_REQUEST:
            if self.codec.early is not None:
                self.held = self.codec.early if self.held is None else self.codec.early + self.held
            self.record = note(self.parts, self, self.codec, kind_of(self.codec))
            if self.user is None or self.parts.generation.credential(self.user) == self.codec.credential:
                self.open()
            else:  # a reload came between the login and the request
                self.protocol_error(SL_OUTCOME_AUTH_FAILED, "the password was changed")
                self.refuse(SL_OUTCOME_AUTH_FAILED, None, "the password was changed")
        else:
            self.protocol_error(self.codec.outcome, self.codec.detail)
            self.linger()

    cdef void on_verified(self, int result, uint64_t credential) noexcept:
        if not self.is_verdict(result):
            return
        if result == LOGIN_RIGHT:
            self.user = self.codec.user
            self.codec.credential = credential
        self.go_on(self.codec.verified(result == LOGIN_RIGHT))

    cdef void on_token(self, int result, Token token, int reason) noexcept:
        if self.is_verdict(result):
            self.token = token
            self.go_on(self.codec.turn_down(reason) if token is None else self.codec.verified(True))

    cdef bint is_verdict(self, int result) noexcept:
        """Whether credentials were verified, and the request still waits for that; else it is answered."""
        cdef int outcome
        if self.state != VERIFYING:
            return False  # it was refused before, and its client still reads that
        self.state = READING
        if result == LOGIN_BUSY or result == LOGIN_LIMITED:
            self.parts.meter.limited(SL_SCOPE_CREDENTIALS if result == LOGIN_BUSY else SL_SCOPE_SOURCE_LOGINS)
            outcome = SL_OUTCOME_GATEWAY_LIMIT if result == LOGIN_BUSY else SL_OUTCOME_SOURCE_LIMIT
            self.turned_away(outcome, None)
            self.answer(outcome)
            return False
        return True

    cdef void go_on(self, int status) noexcept:
        cdef bytes rest = b"" if self.held is None else self.held
        cdef size_t used = 0
        self.held = None
        if status == CODEC_MORE and rest:
            status = self.codec.feed(<const uint8_t *> PyBytes_AS_STRING(rest), PyBytes_GET_SIZE(rest), &used)
        self.advance(status, <const uint8_t *> PyBytes_AS_STRING(rest) + used, PyBytes_GET_SIZE(rest) - used)
        if self.state == READING and not self.closed:
            self.read()

    cdef void open(self) noexcept:
        self.state = OPENING
        self.parts.loop.disarm(self)
        self.opening = may_open(self.parts, self, self.record, False)
        if self.opening is None:
            self.answer(SL_OUTCOME_GATEWAY_LIMIT)
        else:
            self.opening.start(self)

    cdef void rejudge(self) noexcept:
        if self.opening is not None:
            self.opening.review()

    cdef void on_opened(self, sl_leg *leg, uint32_t events, ParentStream parent_stream) noexcept:
        """Connected: answer, then relay; early payload goes first. What the upstream has sent already comes last."""
        cdef SocketTunnel tunnel
        cdef sl_addr bound
        cdef uint16_t bound_port = 0
        cdef bytes answer, early = self.held
        if self.state != OPENING or self.closed:
            sl_leg_reset(leg)  # it was refused or given up before
            return
        bound.family = 0
        if self.codec.tells_bound:
            local_address(leg.fd, &bound, &bound_port)
        answer = self.codec.answer(SL_OUTCOME_CONNECTED, &bound, bound_port, None, None)
        tunnel = SocketTunnel.__new__(SocketTunnel)
        tunnel.client, self.leg = self.leg, sl_plain_leg(-1)
        tunnel.down = self.answers
        memset(&self.answers, 0, sizeof(self.answers))
        tunnel.up.hangup, tunnel.up.urgent = self.hangup, self.urgent
        tunnel.take_over(self, self.record, leg, parent_stream)
        self.parts.loop.pass_on(tunnel.client.fd, tunnel, CLIENT)
        self.leave()
        tunnel.begin()
        if answer:
            tunnel.answer(answer)
        # Edges of the client that came before were not acted upon.
        inspect_first(tunnel, early, self.drained)
        if events and not tunnel.closed:
            tunnel.on_event(events, UPSTREAM)

    cdef bint may_be_held(self) noexcept:
        """A ClientHello was the first that it showed, where it has no request of its own."""
        return not isinstance(self.codec, ServerNameCodec)

    cdef void on_held(self) noexcept:
        """Answered, and looked into: nothing is connected yet."""
        cdef Held held
        cdef sl_addr nowhere
        cdef bytes early = self.held
        cdef bytes answer
        if self.state != OPENING or self.closed:
            return
        nowhere.family = 0
        answer = self.codec.answer(SL_OUTCOME_CONNECTED, &nowhere, 0, None, None)
        if sl_direction_waits(&self.answers):  # that of a login, of which it has not taken all
            answer = (<char *> self.answers.pending)[self.answers.pending_from:self.answers.pending_to] + answer
        held = held_of(self.parts, self.record, self)
        held.leg, self.leg = self.leg, sl_plain_leg(-1)
        held.state.hangup, held.state.urgent, held.state.readable = self.hangup, self.urgent, not self.drained
        held.begin(self, answer, early)
        self.leave()

    cdef void on_refused(self, int outcome) noexcept:
        if self.state != OPENING or self.closed:
            return
        self.opening = None
        self.record.write(SL_LOG_DECISION, outcome, 0, 0)
        self.answer(outcome)

    cdef void answer(self, int outcome) noexcept:
        self.refuse(outcome, told_rule(self.record, outcome), told_reason(self.record, outcome))

    cdef void refuse(self, int outcome, str rule, str reason) noexcept:
        """The codec's row for `outcome`, then a linger."""
        cdef sl_addr nowhere
        cdef bytes answer
        memset(&nowhere, 0, sizeof(nowhere))
        if self.codec is not None:
            if self.codec.resets:
                sl_leg_reset(&self.leg)
                self.drop()
                return
            answer = self.codec.answer(outcome, &nowhere, 0, rule, reason)
            if answer:
                self.say(answer)
        self.linger()

    cdef bint flush(self) noexcept:
        """Sends what the codec has to say; False when the client cannot take it, which ends the connection."""
        cdef bytes out = self.codec.take_out()
        if out is None:
            return True
        if sl_leg_broken(&self.leg) is not NULL:  # by a record right behind: no answer leaves any more
            self.refuse_record()
            self.drop()
            return False
        return self.say(out)

    cdef bint say(self, bytes text) noexcept:
        """Sends a short answer, or keeps what the client does not take; False when that ended the connection."""
        cdef ssize_t sent = 0
        if not sl_direction_waits(&self.answers):
            sent = sl_leg_send(&self.leg, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), False)
            if sent == PyBytes_GET_SIZE(text):
                return True
            if sent < 0 and errno != EAGAIN:
                self.drop()
                return False
        sent = max(sent, 0)
        if self.answers.answers + PyBytes_GET_SIZE(text) > ANSWERS_MOST or not sl_direction_answer(
                &self.answers, <const uint8_t *> PyBytes_AS_STRING(text) + sent, PyBytes_GET_SIZE(text) - sent):
            self.drop()
            return False
        return self.put_rest()

    cdef bint put_rest(self) noexcept:
        """Sends what waits of answers, and the end behind the last one; False: the client is gone."""
        cdef sl_leg none = sl_plain_leg(-1)
        cdef int status = sl_pump(&self.answers, &none, &self.leg, self.parts.loop.scratch, SCRATCH_SIZE, 0)
        if status == SL_PUMP_BUDGET or status == SL_PUMP_FULL or status == SL_PUMP_DONE:
            return True
        self.abandon()
        return False

    cdef void linger(self) noexcept:
        """No more to say: end our side, and give the client a moment to read and close."""
        if self.closed:
            return
        self.state = LINGERING
        self.codec = None
        self.held = None
        self.answers.ended = 1
        self.parts.loop.arm(self, LINGER)
        if self.put_rest():
            self.linger_read()

    cdef void linger_read(self) noexcept:
        cdef ssize_t got
        while True:
            got = sl_leg_receive(&self.leg, self.parts.loop.scratch, SCRATCH_SIZE)
            if got > 0:
                self.dropped += <uint32_t> got
                if self.dropped < LINGER_BYTES:
                    continue
            elif got < 0 and errno == EAGAIN:
                return
            self.drop()
            return

    cdef void on_timer(self) noexcept:
        if self.state == LINGERING:
            self.drop()
        elif self.entrance is not None:
            self.parts.meter.count(SL_COUNTER_REQUEST_TIMEOUTS)
            self.entrance.fail(self, &self.leg, SL_TLS_RESULT_TIMEOUT)
            self.drop()
        elif self.state == READING or self.state == VERIFYING:
            self.parts.meter.count(SL_COUNTER_REQUEST_TIMEOUTS)
            self.parts.meter.labelled(SL_FAMILY_PROTOCOL_ERRORS, kind_of(self.codec), SL_OUTCOME_REQUEST_TIMEOUT, 0,
                                      0)[0] += 1
            self.turned_away(SL_OUTCOME_REQUEST_TIMEOUT, None)
            self.answer(SL_OUTCOME_REQUEST_TIMEOUT)

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void abandon(self) noexcept:
        """The client is gone before there was a tunnel."""
        if self.opening is not None:
            give_up(self.opening)
            self.opening = None
        self.drop()

    cdef void drop(self) noexcept:
        """Closes the socket, and everything with it."""
        if self.closed:
            return
        if self.opening is not None:
            self.opening.cancel()
        sl_leg_close(&self.leg)
        self.leg = sl_plain_leg(-1)
        sl_direction_free(&self.answers)
        if self.entrance is not None:
            self.entrance.release()
            self.entrance = None
        if self.record is not None:
            self.record.leave_limits()
        self.parts.roster.left(self)
        self.leave()

    cdef void leave(self) noexcept:
        """The last step of every end: the object is parked, and nothing finds it any more."""
        self.closed = True
        self.state = LINGERING
        self.opening = None
        self.codec = None
        self.held = None
        self.parts.loop.park(self)

    cdef void close(self) noexcept:
        """Ends at once, whatever the state: an internal error, or the end of the worker."""
        if self.parts.roster.draining and self.record is not None and self.state != LINGERING and not self.closed:
            if self.opening is not None:
                self.opening.cancel()
                self.opening = None
            drained_away(self.record, self.source)
            self.answer(SL_OUTCOME_GATEWAY_LIMIT)
        self.drop()
