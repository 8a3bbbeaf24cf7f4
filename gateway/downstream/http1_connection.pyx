"""A client's connection that carries HTTP/1 requests, one after the other. See http1_connection.pxd.

A request is read to the end of its head and handed to an exchange; what follows the request waits until the response is
whole, so answers leave in order. With a CONNECT the connection is given away. Inside a tunnel that is refused.

Between two requests the connection has `requestTimeout` for the next head once its first byte came, and is idle before.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.contract cimport (
    SL_OUTCOME_HEAD_TOO_LARGE, SL_OUTCOME_MALFORMED, SL_OUTCOME_REQUEST_TIMEOUT, SL_REASON_INTERNAL,
)
from gateway.c.leg cimport (
    sl_leg_close, sl_leg_drains_pipes, sl_leg_end_writing, sl_leg_events,
    sl_leg_pending, sl_leg_receive, sl_leg_reset, sl_plain_leg,
)
from gateway.c.relay cimport sl_direction_preload
from gateway.c.message cimport (
    SL_FORM_AUTHORITY, SL_FRAMING_CHUNKED, SL_FRAMING_CLOSE, SL_KEEP_ALIVE, SL_KEEP_CLOSE, SL_KEEP_SAID, sl_keep,
    sl_message, sl_message_write_response,
)
from gateway.c.segment cimport (
    SL_COUNTER_PROTOCOL_ERRORS, SL_COUNTER_REQUEST_TIMEOUTS, SL_FAMILY_PROTOCOL_ERRORS, SL_PROTOCOL_HTTP,
)
from gateway.c.pipe_pool cimport sl_pipe
from gateway.io.bulk cimport BULK_DRY, BULK_FILLED, BULK_LEAST, BulkStep, bulk_begin, bulk_end, bulk_load, bulk_send
from gateway.c.silence cimport sl_tcp_silent
from gateway.io.loop cimport SCRATCH_SIZE
from gateway.io.outgoing cimport OUTGOING_EMPTY, OUTGOING_FAILED
from gateway.io.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP
from gateway.proto.answers cimport http1_refusal
from gateway.proto.http1_input cimport H1_DATA, H1_END, H1_HEAD, H1_MORE, H1_TOO_LARGE, STAGE_LENGTH, Http1Event
from gateway.proto.message cimport has_no_content, is_method
from gateway.routing.exchange cimport exchange_of
from gateway.io.leg cimport hand_leg
from gateway.state.record cimport Record, log_refused
from gateway.state.request cimport LINGERING, who_of
from gateway.proto.sniff cimport SNIFF_HTTP1, SNIFF_REQUEST, Sniffed, sniff_method
from gateway.tunnel.beginnings cimport Beginnings, LegState
from gateway.tunnel.socket_tunnel cimport SocketTunnel
from gateway.tunnel.tunnel cimport CLIENT, UPSTREAM

cdef enum:
    LINGER = 1000              # milliseconds for the client to read the last answer and close
    LINGER_BYTES = 1048576     # dropped in that time, at most
    READ_BUDGET = 1048576      # bytes of one turn


cdef Http1Connection http1_connection_of(WorkerParts parts, Request other, int auth):
    cdef Http1Connection connection = Http1Connection.__new__(Http1Connection)
    connection.parts, connection.auth = parts, <uint8_t> auth
    connection.who, connection.kind = who_of(other), SL_PROTOCOL_HTTP
    if other.inside is not None:
        connection.kind = (<Record> other.inside).kind
    return connection


@cython.final
cdef class Http1Connection(ClientSide):
    """Made by http1_connection_of(). Keeps itself alive through the loop until it has ended."""

    def __cinit__(self):
        self.leg.fd = -1
        self.out = Outgoing.__new__(Outgoing)
        self.input = Http1Input.__new__(Http1Input)
        self.lasts = True

    cdef void enter(self, const uint8_t *data, size_t length) noexcept:
        self.parts.loop.keep(self)
        self.parts.roster.entered(self)
        hand_leg(self.parts.loop, &self.leg, self, CLIENT)
        self.parts.loop.arm(self, self.parts.settings.request_timeout)
        self.input.begin_request()
        self.input.feed(data, length)
        self.work_through()
        if self.readable and not self.closed:
            self.parts.loop.later(self)

    # ---- events ------------------------------------------------------------------------------------------------------

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        events = sl_leg_events(&self.leg, events)
        if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            if self.exchange is not None and not self.hangup:
                self.exchange.on_client_half()
            self.hangup = True
        if events & EPOLLPRI:
            self.urgent = True
        if events & (EPOLLHUP | EPOLLERR) and self.state != LINGERING:
            self.drop()  # both directions are gone: no client is left to answer
            return
        if events & EPOLLOUT:
            self.drain()
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) and not self.closed:
            self.readable = True
            if self.state == LINGERING:
                self.linger_read()
            else:
                self.read()

    cdef void on_turn(self) noexcept:
        self.drain()
        if self.closed or not self.out.is_empty() or self.state == LINGERING:
            return
        if self.exchange is None and self.input.has_rest():
            self.input.feed(NULL, 0)
            self.work_through()
        if self.readable and not self.closed and self.state != LINGERING:
            self.read()

    cdef bint takes_input(self) noexcept:
        """Whether bytes of the client are of use now. While a response is under way nothing is read beyond its
        request."""
        return not self.closed and self.state != LINGERING and not self.paused and (
            self.exchange is None or self.reading)

    cdef void go_on(self) noexcept:
        """Where it was paused: the end of the content may be here, and no further byte may come."""
        if self.stopped and self.takes_input():
            self.stopped = False
            self.input.feed(NULL, 0)
            self.work_through()

    cdef void read(self) noexcept:
        cdef ssize_t got
        cdef size_t total = 0
        self.go_on()
        while self.readable and self.takes_input():
            if total >= READ_BUDGET:
                self.parts.loop.later(self)
                return
            if self.bulk.on and self.move(&total):
                continue
            got = sl_leg_receive(&self.leg, self.parts.loop.scratch, SCRATCH_SIZE)
            if got > 0:
                total += <size_t> got
                self.readable = got == SCRATCH_SIZE or self.hangup or sl_leg_pending(&self.leg)
                if self.exchange is None and self.input.is_between():
                    self.parts.loop.arm(self, self.parts.settings.request_timeout)
                if not self.input.feed(self.parts.loop.scratch, <size_t> got):
                    self.drop()
                    return
                self.work_through()
                if (got == SCRATCH_SIZE and self.reading and self.input.stage == STAGE_LENGTH
                        and self.input.left >= BULK_LEAST and not self.urgent and self.takes_input()
                        and self.exchange.takes_request_pipes()):
                    bulk_begin(&self.bulk, &self.parts.files.pipes)
            elif got < 0 and errno == EAGAIN:
                self.readable = False
            else:
                self.drop()
                return

    cdef bint move(self, size_t *total) noexcept:
        """Content by a pipe; False where it is to be received."""
        cdef BulkStep step = bulk_load(&self.bulk, &self.parts.files.pipes, &self.leg, &self.input.left, self.urgent,
                                       total)
        if step != BULK_FILLED:
            self.readable = step != BULK_DRY
            return step == BULK_DRY
        if self.exchange.on_request_pipe(self.bulk.pipe) < 0:
            bulk_end(&self.bulk, &self.parts.files.pipes)
            return True
        self.paused = self.bulk.pipe.held != 0
        if not self.paused and self.input.left == 0:
            bulk_end(&self.bulk, &self.parts.files.pipes)
            self.input.feed(NULL, 0)
            self.work_through()
        return True

    cdef void work_through(self) noexcept:
        """All messages in the input, as far as they can be served now."""
        cdef Http1Event event
        while self.takes_input():
            if self.input.is_fresh() and self.who.inside is None and self.meets_connect():
                break
            event = self.input.next()
            if event == H1_DATA:
                if self.exchange is not None and not self.exchange.on_request_body(self.input.piece,
                                                                                   self.input.piece_length):
                    self.paused = self.stopped = True
            elif event == H1_HEAD:
                self.ask()
            elif event == H1_END:
                self.reading = False
                if self.exchange is not None:
                    self.exchange.on_request_end(self.input.trailers)
                else:
                    self.next_request()
            elif event == H1_MORE:
                break
            elif event == H1_TOO_LARGE:
                self.malformed(SL_OUTCOME_HEAD_TOO_LARGE, "the head is larger than 64 KiB, or has over 1,000 fields")
            else:
                self.malformed(SL_OUTCOME_MALFORMED, self.input.fault.decode("ascii", "replace"))
        if not self.closed and not self.input.keep():
            self.drop()

    cdef bint meets_connect(self) noexcept:
        """Whether the next request is a CONNECT, or may be one yet. Its bytes wait until the last response has left, as
        they are: it is read as that of a new connection."""
        cdef Sniffed found = sniff_method(self.input.data, self.input.length)
        cdef LegState state
        cdef sl_leg leg = self.leg
        cdef bytes rest
        if found != SNIFF_HTTP1 or not self.out.is_empty():
            return found != SNIFF_REQUEST
        state.readable, state.hangup, state.urgent = self.readable, self.hangup, self.urgent
        rest = self.input.take_rest()
        self.leg = sl_plain_leg(-1)
        (<Beginnings> self.parts.beginnings).connect(self.who, &leg, state, rest)
        self.drop()
        return True

    # ---- requests ----------------------------------------------------------------------------------------------------

    cdef void ask(self) noexcept:
        """A head is whole."""
        cdef Message head = self.input.message
        cdef sl_message *given = &head.head
        cdef Exchange exchange
        self.input.message = None
        if given.form == SL_FORM_AUTHORITY:
            self.malformed(SL_OUTCOME_MALFORMED, "CONNECT inside a tunnel")
            return
        self.parts.loop.disarm(self)
        self.old = given.minor == 0
        self.lasts = given.keeps_alive and not self.parts.roster.draining
        self.parting = not given.keeps_alive
        self.to_head = is_method(given, b"HEAD", 4)
        self.reading = not has_no_content(given)
        exchange = self.exchange = exchange_of(self.parts, self, self.who, self.kind, self.auth)
        exchange.begin(head, not self.reading)
        if self.hangup and self.exchange is exchange:
            exchange.on_client_half()

    cdef void next_request(self) noexcept:
        """The exchange is over, on both sides: what has come meanwhile is the next request."""
        self.exchange = None
        self.paused = self.stopped = self.piped = False
        bulk_end(&self.bulk, &self.parts.files.pipes)
        if not self.lasts:
            # Nothing comes behind the last request that could turn the close into a reset; TLS has its own end.
            if self.parting and self.who.tls is None and self.out.is_empty() and not self.input.has_rest():
                self.drop()
            else:
                self.linger()
            return
        self.input.begin_request()
        self.parts.loop.arm(self, self.parts.settings.request_timeout if self.input.has_rest()
                            else self.parts.settings.idle_timeout)
        if self.readable or self.input.has_rest():
            self.parts.loop.later(self)

    cdef void done(self) noexcept:
        self.exchange = None
        if self.closed:
            return
        if self.reading:
            self.lasts = self.parting = False  # the rest of the request is not wanted, and may come all the same
        self.reading = False
        self.next_request()

    cdef void resume(self) noexcept:
        if self.paused:
            self.paused = False
            self.readable = True
            self.parts.loop.later(self)

    cdef void rejudge(self) noexcept:
        if self.who.inside is not None:
            (<Record> self.who.inside).follow()
        if self.exchange is not None:
            self.exchange.rejudge()

    # ---- the response ------------------------------------------------------------------------------------------------

    cdef void send_interim(self, Message head) noexcept:
        if not self.old and sl_message_write_response(&head.head, SL_KEEP_ALIVE, &self.out.kept):
            self.push()

    cdef void respond(self, Message head, bint ends) noexcept:
        cdef sl_message *given = &head.head
        if not ends and given.framing in (SL_FRAMING_CHUNKED, SL_FRAMING_CLOSE):
            given.framing = SL_FRAMING_CLOSE if self.old else SL_FRAMING_CHUNKED
            self.lasts = self.lasts and not self.old
        self.chunked = not ends and given.framing == SL_FRAMING_CHUNKED
        if self.reading or self.parts.roster.draining:
            self.lasts = False
        if not sl_message_write_response(given, self.keep(), &self.out.kept):
            self.drop()
        elif ends:
            self.push()
        else:
            self.parts.loop.later(self)  # it leaves with the first content, or at the end of this turn

    cdef sl_keep keep(self) noexcept:
        if not self.lasts:
            return SL_KEEP_CLOSE
        return SL_KEEP_SAID if self.old else SL_KEEP_ALIVE

    cdef bint send_body(self, const uint8_t *data, size_t length) noexcept:
        return self.pushed(self.out.put_content(&self.leg, data, length, self.chunked))

    cdef bint takes_pipes(self) noexcept:
        return not self.chunked and self.out.is_empty() and sl_leg_drains_pipes(&self.leg)

    cdef ssize_t send_pipe(self, sl_pipe *pipe) noexcept:
        cdef ssize_t sent = bulk_send(pipe, &self.leg)
        if sent < 0:
            self.drop()
        else:
            self.piped = pipe.held != 0
        return sent

    cdef void send_end(self, Message trailers) noexcept:
        if self.chunked and not self.out.add_last_chunk(NULL if trailers is None else &trailers.head):
            self.drop()
        else:
            self.push()

    cdef void drain(self) noexcept:
        """The leg may take more: what is kept, and then what the exchange has, or the next request."""
        if not self.piped and (self.out.is_empty() or not self.push()):
            return
        self.piped = False
        if self.exchange is not None:
            self.exchange.on_client_ready()
        elif self.input.has_rest() and not self.closed:
            self.parts.loop.later(self)

    cdef bint push(self) noexcept:
        """Sends what is kept; True when nothing is any more."""
        return self.pushed(self.out.flush(&self.leg))

    cdef bint pushed(self, OutgoingStep step) noexcept:
        """Acts upon what came of sending; True when nothing is kept."""
        if step == OUTGOING_FAILED:
            self.drop()
            return False
        if step == OUTGOING_EMPTY and self.state == LINGERING:
            sl_leg_end_writing(&self.leg)
        return step == OUTGOING_EMPTY

    cdef void refuse(self, int outcome, str rule, str reason, str detail, uint64_t sequence) noexcept:
        self.lasts = self.lasts and not self.reading and not self.parts.roster.draining
        self.say(outcome, rule, reason, detail, sequence)
        self.done()

    cdef void say(self, int outcome, str rule, str reason, str detail, uint64_t sequence) noexcept:
        cdef bytes text
        if self.closed:
            return
        text = http1_refusal(outcome, rule, reason, detail, not self.to_head, f"{self.parts.meter.prefix}{sequence}",
                             self.parts.settings.deny_message, len(self.parts.settings.token_keys) > 0, self.lasts)
        if self.out.add(<const uint8_t *> PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)):
            self.push()
        else:
            self.drop()

    cdef void cut(self) noexcept:
        """A reset where the length was not told, or was: either way it is not whole."""
        self.exchange = None
        if not self.closed:
            sl_leg_reset(&self.leg)
            self.leg = sl_plain_leg(-1)
            self.drop()

    cdef void tunnel(self, Message head, sl_leg *upstream, bytes early, bint hangup) noexcept:
        cdef Exchange exchange = self.exchange
        cdef SocketTunnel tunnel = SocketTunnel.__new__(SocketTunnel)
        cdef bytes rest = self.input.take_rest()
        cdef bytes answer
        self.exchange = None
        head.head.minor = 1
        if not sl_message_write_response(&head.head, SL_KEEP_ALIVE, &self.out.kept):
            sl_leg_reset(upstream)
            self.drop()
            return
        answer = self.out.kept.bytes[self.out.taken:self.out.kept.length]
        self.out.clear()
        tunnel.client, self.leg = self.leg, sl_plain_leg(-1)
        tunnel.up.hangup, tunnel.up.urgent, tunnel.down.hangup = self.hangup, self.urgent, hangup
        tunnel.take_over(self, exchange.approach.record, upstream, None)
        hand_leg(self.parts.loop, &tunnel.client, tunnel, CLIENT)
        self.leave()
        tunnel.begin()
        tunnel.answer(answer)
        if early is not None:
            sl_direction_preload(&tunnel.down, <const uint8_t *> PyBytes_AS_STRING(early), PyBytes_GET_SIZE(early))
        if rest is not None:
            sl_direction_preload(&tunnel.up, <const uint8_t *> PyBytes_AS_STRING(rest), PyBytes_GET_SIZE(rest))
        if tunnel.pump(CLIENT):
            tunnel.pump(UPSTREAM)

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void malformed(self, int outcome, str detail) noexcept:
        """A request that breaks its protocol: counted, answered, and the last one of its connection."""
        cdef WorkerParts parts = self.parts
        cdef Exchange exchange = self.exchange
        cdef uint64_t sequence = parts.meter.number()
        self.lasts = self.reading = False
        parts.meter.count(SL_COUNTER_PROTOCOL_ERRORS)
        parts.meter.labelled(SL_FAMILY_PROTOCOL_ERRORS, self.kind, outcome, 0, 0)[0] += 1
        log_refused(parts, self.who.listener, self.kind, &self.who.peer, self.who.peer_port, self.who.source,
                    sequence, outcome, None, detail, self.who.tls, SL_REASON_INTERNAL)
        if exchange is not None:
            self.exchange = None  # within its content: what the origin has got of it is not whole
            exchange.on_client_gone()
            if exchange.status:
                self.cut()
                return
        self.say(outcome, None, None, detail, sequence)
        self.linger()

    cdef void on_timer(self) noexcept:
        cdef uint64_t sequence
        if self.state == LINGERING or self.input.is_between():
            self.drop()
        elif self.exchange is None:
            sequence = self.parts.meter.number()
            self.parts.meter.count(SL_COUNTER_REQUEST_TIMEOUTS)
            self.parts.meter.labelled(SL_FAMILY_PROTOCOL_ERRORS, self.kind, SL_OUTCOME_REQUEST_TIMEOUT, 0, 0)[0] += 1
            log_refused(self.parts, self.who.listener, self.kind, &self.who.peer, self.who.peer_port,
                        self.who.source, sequence, SL_OUTCOME_REQUEST_TIMEOUT, None, None, self.who.tls, 0)
            self.lasts = False
            self.say(SL_OUTCOME_REQUEST_TIMEOUT, None, None, None, sequence)
            self.linger()

    cdef void on_look(self, uint32_t since) noexcept:
        if self.leg.fd >= 0 and (self.exchange is not None or not self.out.is_empty()):
            if sl_tcp_silent(self.leg.fd, since, &self.silence):
                self.drop()

    cdef void on_drain(self) noexcept:
        """Between two requests it ends; else behind the response."""
        self.lasts = False
        if self.exchange is None and self.input.is_between() and self.state != LINGERING:
            self.drop()

    cdef void linger(self) noexcept:
        """No more to say: end our side, and give the client a moment to read and close."""
        if self.closed:
            return
        self.state = LINGERING
        self.parts.loop.arm(self, LINGER)
        if self.push():
            self.linger_read()

    cdef void linger_read(self) noexcept:
        cdef ssize_t got
        while not self.closed:
            got = sl_leg_receive(&self.leg, self.parts.loop.scratch, SCRATCH_SIZE)
            if got > 0:
                self.dropped += <uint32_t> got
                if self.dropped < LINGER_BYTES:
                    continue
            elif got < 0 and errno == EAGAIN:
                return
            self.drop()

    cdef void drop(self) noexcept:
        cdef Exchange exchange = self.exchange
        if self.closed:
            return
        self.exchange = None
        sl_leg_close(&self.leg)
        self.leg = sl_plain_leg(-1)
        self.parts.roster.left(self)
        self.leave()
        if exchange is not None:
            exchange.on_client_gone()

    cdef void leave(self) noexcept:
        """The last step of every end: the object is parked, and nothing finds it any more."""
        self.closed = True
        self.state = LINGERING
        bulk_end(&self.bulk, &self.parts.files.pipes)
        self.out.clear()
        self.parts.loop.park(self)

    cdef void close(self) noexcept:
        cdef Exchange exchange = self.exchange
        if exchange is not None and not self.closed and self.parts.roster.draining:
            self.lasts = False
            exchange.close()
        self.drop()
