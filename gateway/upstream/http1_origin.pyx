"""A connection to an origin that speaks HTTP/1.1 (RFC 9112), one request after the other. See http1_origin.pxd.

* Content is read no faster than its taker takes it, and the request's is sent no faster than the origin takes it: at
  most what one receive brought is kept here.
* It is kept for a further request only where both messages were whole, in order, and left no doubt: an answer that came
  before the request was whole, bytes that belong to no message and a challenge by connection (NTLM, Negotiate) end it.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint8_t, uint32_t

from gateway.c.contract cimport (
    SL_OUTCOME_INTERNAL, SL_OUTCOME_RESPONSE_INCOMPLETE, SL_OUTCOME_RESPONSE_INVALID, SL_OUTCOME_UPSTREAM_FAILED,
)
from gateway.c.leg cimport (
    sl_leg_close, sl_leg_drains_pipes, sl_leg_events, sl_leg_peek, sl_leg_pending, sl_leg_receive, sl_leg_reset,
    sl_plain_leg,
)
from gateway.c.message cimport (
    SL_FIELD_PROXY_AUTHENTICATE, SL_FIELD_WWW_AUTHENTICATE, SL_FRAMING_CHUNKED, SL_KEEP_ALIVE, sl_message,
    sl_message_at, sl_message_find, sl_message_remove, sl_message_set, sl_message_write_request,
)
from gateway.io.bulk cimport BULK_DRY, BULK_FILLED, BULK_LEAST, BulkStep, bulk_begin, bulk_end, bulk_load, bulk_send
from gateway.io.loop cimport SCRATCH_SIZE
from gateway.io.outgoing cimport OUTGOING_EMPTY, OUTGOING_FAILED
from gateway.io.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP
from gateway.proto.http1_input cimport H1_DATA, H1_END, H1_HEAD, H1_MORE, STAGE_LENGTH
from gateway.proto.message cimport has_no_content, is_method
from gateway.upstream.origin_pool cimport UPSTREAM_ACTIVE, UPSTREAM_NOWHERE

cdef enum SendStage:
    SEND_NOTHING = 0           # no request, or it is whole
    SEND_CONTENT = 1

cdef enum:
    READ_BUDGET = 1048576      # bytes of one turn


@cython.final
cdef class Http1Request(OriginRequest):
    """A part of its connection."""

    cdef void send_head(self, Message head, bint ends) noexcept:
        if self.connection is not None:
            self.connection.send_head(head, ends)

    cdef bint send_body(self, const uint8_t *data, size_t length) noexcept:
        return self.connection is None or self.connection.send_body(data, length)

    cdef bint takes_pipes(self) noexcept:
        return self.connection is not None and self.connection.takes_pipes()

    cdef ssize_t send_pipe(self, sl_pipe *pipe) noexcept:
        return -1 if self.connection is None else self.connection.send_pipe(pipe)

    cdef void send_end(self, Message trailers) noexcept:
        if self.connection is not None:
            self.connection.send_end(trailers)

    cdef void resume(self) noexcept:
        if self.connection is not None:
            self.connection.resume()

    cdef void cancel(self) noexcept:
        if self.connection is not None:
            self.connection.cancel()

    cdef bint is_reused(self) noexcept:
        return self.connection is not None and self.connection.requests > 1


@cython.final
cdef class Http1Origin(OriginConnection):
    """Made with a connected leg; keeps itself alive through the loop until it has ended."""

    def __cinit__(self):
        self.leg.fd = -1
        self.out = Outgoing.__new__(Outgoing)
        self.input = Http1Input.__new__(Http1Input)
        self.carried = Http1Request.__new__(Http1Request)
        self.carried.connection = self

    cdef void enter(self, sl_leg *leg, uint32_t events) noexcept:
        self.leg = leg[0]
        self.opened = self.parts.loop.now
        self.show(UPSTREAM_ACTIVE)
        self.readable = events & (EPOLLIN | EPOLLRDHUP) or sl_leg_pending(&self.leg)
        self.hangup = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0
        self.parts.loop.keep(self)
        self.parts.loop.pass_on(self.leg.fd, self, 0)

    cdef bint has_room(self) noexcept:
        return self.taker is None and not self.closed

    cdef OriginRequest request(self, ResponseTaker taker):
        self.begin(taker)
        return self.carried

    cdef void begin(self, ResponseTaker taker) noexcept:
        self.taker = taker
        self.requests += 1
        self.carries = True
        if self.pool is not None:
            self.pool.took(self.asker)
        self.answered = self.paused = self.stopped = self.piped = False
        self.lasts = True
        self.parts.loop.disarm(self)

    # ---- the request -------------------------------------------------------------------------------------------------

    cdef void send_head(self, Message head, bint ends) noexcept:
        cdef const sl_message *given = &head.head
        self.chunked = given.framing == SL_FRAMING_CHUNKED and not ends
        self.upgrading = given.upgrades
        self.sending = SEND_NOTHING if ends else SEND_CONTENT
        self.input.begin_response(is_method(given, b"HEAD", 4))
        if not self.write_head(head):
            self.lose(SL_OUTCOME_INTERNAL)
        elif ends:
            self.push()
        else:
            self.parts.loop.later(self)  # it leaves with the first content, or at the end of this turn
        if not self.closed and self.readable:
            self.parts.loop.later(self)

    cdef bint write_head(self, Message head) noexcept:
        if self.forwards:
            sl_message_remove(&head.head, b"proxy-authorization", 19)
            if self.login is not None and not sl_message_set(
                    &head.head, b"proxy-authorization", 19, PyBytes_AS_STRING(self.login),
                    PyBytes_GET_SIZE(self.login)):
                return False
        return sl_message_write_request(&head.head, self.forwards, SL_KEEP_ALIVE, &self.out.kept)

    cdef bint send_body(self, const uint8_t *data, size_t length) noexcept:
        return self.pushed(self.out.put_content(&self.leg, data, length, self.chunked))

    cdef bint takes_pipes(self) noexcept:
        return (self.sending == SEND_CONTENT and not self.chunked and self.out.is_empty()
                and sl_leg_drains_pipes(&self.leg))

    cdef ssize_t send_pipe(self, sl_pipe *pipe) noexcept:
        cdef ssize_t sent = bulk_send(pipe, &self.leg)
        if sent < 0:
            self.pushed(OUTGOING_FAILED)
        else:
            self.piped = pipe.held != 0
        return sent

    cdef void send_end(self, Message trailers) noexcept:
        self.sending = SEND_NOTHING
        if self.chunked and not self.out.add_last_chunk(NULL if trailers is None else &trailers.head):
            self.lose(SL_OUTCOME_INTERNAL)
        else:
            self.push()

    cdef void drain(self) noexcept:
        """The leg may take more: what is kept, and then what the taker has."""
        if self.piped or not self.out.is_empty() and self.push():
            self.piped = False
            if self.taker is not None:
                self.taker.on_ready()

    cdef bint push(self) noexcept:
        """Sends what is kept; True when nothing is any more."""
        return self.pushed(self.out.flush(&self.leg))

    cdef bint pushed(self, OutgoingStep step) noexcept:
        """Acts upon what came of sending; True when nothing is kept."""
        if step != OUTGOING_FAILED:
            return step == OUTGOING_EMPTY
        # Its answer may have come before the reset: what can be read still is.
        self.out.clear()
        self.sending = SEND_NOTHING
        self.lasts = False
        self.hangup = self.readable = True
        self.parts.loop.later(self)
        return True

    # ---- events ------------------------------------------------------------------------------------------------------

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        events = sl_leg_events(&self.leg, events)
        if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            self.hangup = True
        if events & EPOLLPRI:
            self.urgent = True
        if events & EPOLLOUT:
            self.drain()
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) and not self.closed:
            self.readable = True
            self.read()

    cdef void on_turn(self) noexcept:
        if self.parent_stream is not None and self.parent_stream.broken:
            self.readable = self.hangup = True  # what came before still counts
        self.drain()
        if self.readable and not self.closed:
            self.read()

    cdef void on_timer(self) noexcept:
        """Idle for too long."""
        if self.taker is None:
            self.drop()

    cdef void go_on(self) noexcept:
        """Where it was paused: the end of the content may be here, and no further byte may come."""
        if self.stopped and not self.paused and self.taker is not None:
            self.stopped = False
            self.input.feed(NULL, 0)
            self.work_through()

    cdef void read(self) noexcept:
        cdef ssize_t got
        cdef size_t total = 0
        self.go_on()
        while self.readable and not self.paused and not self.closed:
            if self.taker is None:
                # Between two requests nothing may come: an end, or bytes that belong to no message.
                self.drop()
                return
            if total >= READ_BUDGET:
                self.parts.loop.later(self)
                return
            if self.bulk.on and self.move(&total):
                continue
            got = sl_leg_receive(&self.leg, self.parts.loop.scratch, SCRATCH_SIZE)
            if got > 0:
                total += <size_t> got
                self.answered = True
                self.readable = got == SCRATCH_SIZE or self.hangup or sl_leg_pending(&self.leg)
                if not self.input.feed(self.parts.loop.scratch, <size_t> got):
                    self.lose(SL_OUTCOME_INTERNAL)
                    return
                self.work_through()
                if (got == SCRATCH_SIZE and self.taker is not None and self.input.stage == STAGE_LENGTH
                        and self.input.left >= BULK_LEAST and not self.paused and not self.urgent
                        and self.taker.takes_pipes()):
                    bulk_begin(&self.bulk, &self.parts.files.pipes)
            elif got < 0 and errno == EAGAIN:
                self.readable = False
            else:
                self.readable = False
                if got == 0 and self.input.end() == H1_END:
                    self.lasts = False
                    self.whole(None)
                else:
                    self.lose(SL_OUTCOME_RESPONSE_INCOMPLETE)
                return

    cdef bint move(self, size_t *total) noexcept:
        """Content by a pipe; False where it is to be received."""
        cdef BulkStep step = bulk_load(&self.bulk, &self.parts.files.pipes, &self.leg, &self.input.left, self.urgent,
                                       total)
        if step != BULK_FILLED:
            self.readable = step != BULK_DRY
            return step == BULK_DRY
        self.taker.on_pipe(self.bulk.pipe)
        if self.closed:
            return True
        self.paused = self.bulk.pipe.held != 0
        if not self.paused and self.input.left == 0:
            bulk_end(&self.bulk, &self.parts.files.pipes)
            self.look_behind()
            self.input.feed(NULL, 0)
            self.work_through()
        return True

    cdef void look_behind(self) noexcept:
        """Whether bytes follow that belong to no message: they are still in the leg."""
        cdef uint8_t one
        cdef ssize_t got = sl_leg_peek(&self.leg, &one, 1)
        self.readable = got >= 0 or errno != EAGAIN
        if self.readable:
            self.lasts = False

    cdef void work_through(self) noexcept:
        """All messages in the input, as far as the taker takes them."""
        cdef Http1Event event
        while not self.paused and not self.closed and self.taker is not None:
            event = self.input.next()
            if event == H1_DATA:
                if not self.taker.on_body(self.input.piece, self.input.piece_length):
                    self.paused = self.stopped = True
            elif event == H1_HEAD:
                self.on_head()
            elif event == H1_END:
                self.whole(None)
            elif event == H1_MORE:
                break
            else:
                self.lose(SL_OUTCOME_RESPONSE_INVALID)
                return
        if not self.closed and not self.input.keep():
            self.lose(SL_OUTCOME_INTERNAL)
        elif not self.closed and self.taker is None and self.input.has_rest():
            self.drop()

    cdef void on_head(self) noexcept:
        cdef Message head = self.input.message
        cdef bint ends = has_no_content(&head.head)
        self.input.message = None
        if head.head.status < 200 and head.head.status != 101:
            self.taker.on_interim(head)
            return
        if head.head.status == 101:
            if not self.upgrading:
                self.lose(SL_OUTCOME_RESPONSE_INVALID)
            else:
                self.upgraded(head)
            return
        if self.forwards and head.head.status == 407:
            self.lose(SL_OUTCOME_UPSTREAM_FAILED)  # the parent's challenge is for the gateway
            return
        if not head.head.keeps_alive or binds_connection(&head.head):
            self.lasts = False
        if self.sending != SEND_NOTHING:
            self.lasts = False  # an early answer
        if ends:
            self.whole(head)
        else:
            self.taker.on_response(head, False)
            self.input.give_back(head)

    cdef void upgraded(self, Message head) noexcept:
        """The leg is the taker's: this has ended."""
        cdef ResponseTaker taker = self.taker
        cdef sl_leg leg = self.leg
        cdef bytes early = self.input.take_rest()
        cdef bint hangup = self.hangup
        self.leg = sl_plain_leg(-1)
        self.drop()
        taker.on_upgraded(head, &leg, early, hangup)

    cdef void whole(self, Message head) noexcept:
        """The response is; `head`: a head without content. The connection comes first: it may be asked for again."""
        cdef ResponseTaker taker = self.taker
        cdef Message trailers = self.input.trailers
        self.taker = None
        if self.sending == SEND_NOTHING and self.out.is_empty():
            self.settle_exchange()
        else:
            self.drop()  # an early answer: what would be left of the request is not sent
        if head is not None:
            taker.on_response(head, True)
            self.input.give_back(head)
        else:
            taker.on_end(trailers)

    cdef void settle_exchange(self) noexcept:
        """Both messages are whole: it is kept for another request, or ends."""
        if not self.lasts or self.pool is None or self.hangup or self.input.has_rest():
            self.drop()
        else:
            self.carries = False
            self.pool.gave(self.asker)
            self.pool.offer(self)

    cdef void resume(self) noexcept:
        if not self.paused or self.closed:
            return
        self.paused = False
        self.parts.loop.later(self)
        self.readable = True

    cdef void cancel(self) noexcept:
        self.taker = None
        self.drop()

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void lose(self, int outcome) noexcept:
        cdef ResponseTaker taker = self.taker
        cdef bint untouched = self.requests > 1 and not self.answered
        self.taker = None
        self.drop()
        if taker is not None:
            taker.on_lost(outcome, untouched)

    cdef void drop(self) noexcept:
        if self.closed:
            return
        self.closed = True
        if self.pool is not None:
            if self.carries:
                self.pool.gave(self.asker)
            self.pool.lost(self)
        self.show(UPSTREAM_NOWHERE)
        self.carried.connection = None
        if self.parent_stream is not None:
            if not self.lasts:
                self.parent_stream.cut()
            self.parent_stream = None
        if self.leg.fd >= 0:
            if self.lasts:
                sl_leg_close(&self.leg)
            else:
                sl_leg_reset(&self.leg)
        self.leg = sl_plain_leg(-1)
        bulk_end(&self.bulk, &self.parts.files.pipes)
        self.out.clear()
        self.parts.loop.park(self)

    cdef void close(self) noexcept:
        self.lose(SL_OUTCOME_INTERNAL)


cdef bint binds_connection(const sl_message *head) noexcept:
    """A challenge that authenticates the connection instead of a request (RFC 4559): no other client may have it."""
    cdef int at
    cdef const char *value
    cdef size_t length
    if head.status != 401 and head.status != 407:
        return False
    for name in (SL_FIELD_WWW_AUTHENTICATE, SL_FIELD_PROXY_AUTHENTICATE):
        at = sl_message_find(head, name, 0)
        while at >= 0:
            value = sl_message_at(head, head.fields[at].value)
            length = head.fields[at].value.length
            if begins(value, length, b"ntlm", 4) or begins(value, length, b"negotiate", 9):
                return True
            at = sl_message_find(head, name, <uint32_t> at + 1)
    return False


cdef bint begins(const char *text, size_t length, const char *word, size_t size) noexcept:
    cdef size_t i
    if length < size:
        return False
    for i in range(size):
        if (text[i] | 0x20) != word[i]:
            return False
    return True
