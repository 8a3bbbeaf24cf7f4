"""The client's side of an exchange on a stream of an HTTP/2 connection. See exchange_stream.pxd.

Content up: DATA goes from the connection's input to the exchange. What it has no room for waits here, and the stream's
window is returned for what was passed on alone: no more than a window waits.

Content down waits in `sending` until windows and the socket let it leave, at the end of the turn.

The response may be whole before the request is: then the rest of that is of no use (RFC 9113 section 8.1).
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF, PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from gateway.c.leg cimport sl_leg
from gateway.c.message cimport sl_message_remove
from gateway.c.segment cimport SL_H2_ABUSE_RESETS
from gateway.downstream.http2.tunnel cimport H2Tunnel
from gateway.http2.sending cimport sending_fill, sending_free, sending_put
from gateway.proto.http2.budget cimport budgets_earn
from gateway.proto.http2.frames cimport (
    H2_CANCEL, H2_INTERNAL_ERROR, H2_NO_ERROR, free_bytes, put_bytes, sent_bytes,
)
from gateway.proto.http2.server cimport H2Server
from gateway.proto.http2.streams cimport (
    END_RESET_BY_PEER, STREAM_CONNECT, STREAM_EARLY, STREAM_LOCAL_ENDED, STREAM_REMOTE_ENDED,
)

cdef enum:
    GIVEN_MOST = 65536         # bytes of a request's content that are passed on at once


@cython.final
cdef class H2ExchangeStream(ClientSide):
    """Made by its connection, with `parts`, `carrier` and `exchange`. Keeps itself alive until it has ended."""

    def __dealloc__(self):
        free_bytes(&self.held)
        sending_free(&self.sending)

    cdef void enter(self, H2Stream *stream, Message head, bint ends) noexcept:
        cdef Exchange exchange = self.exchange
        self.stream = stream
        stream.owner = <PyObject *> self
        self.parts.loop.keep(self)
        self.parts.roster.stream_entered(self)
        self.came_whole = ends
        if self.upgrading:
            self.paused = self.gave_whole = True
        exchange.begin(head, ends or self.upgrading)

    # ---- the request's content ---------------------------------------------------------------------------------------

    cdef void received(self, Piece *pieces, int count, uint32_t total) noexcept:
        cdef int i
        if self.stream is not NULL and self.stream.flags & STREAM_REMOTE_ENDED:
            self.came_whole = True
        for i in range(count):
            self.take(<uint8_t *> pieces[i].base, <uint32_t> pieces[i].size)
        self.give_end()
        self.settle()

    cdef void take(self, const uint8_t *data, uint32_t size) noexcept:
        if self.closed or self.exchange is None:
            self.release(size)
        elif self.paused or self.held.data is not NULL:
            if not put_bytes(&self.held, data, size):
                self.close()
        elif self.exchange.on_request_body(data, size):
            self.release(size)
        elif self.closed:
            self.release(size)
        else:
            self.paused = True
            self.owed += size

    cdef void give_held(self) noexcept:
        """Content that waits here, until the exchange has enough. It may end within."""
        cdef Outgoing content = self.held
        cdef uint32_t part
        memset(&self.held, 0, sizeof(self.held))
        while content.data is not NULL and not self.paused:
            part = <uint32_t> min(content.end - content.begin, <size_t> GIVEN_MOST)
            self.take(content.data + content.begin, part)
            sent_bytes(&content, part)
        if self.closed:
            self.release(<uint32_t> (content.end - content.begin))
            free_bytes(&content)
        else:
            self.held = content

    cdef void give_end(self) noexcept:
        cdef Message trailers = self.end_in
        if self.came_whole and not self.gave_whole and self.held.data is NULL and self.exchange is not None:
            self.gave_whole = True
            self.end_in = None
            self.exchange.on_request_end(trailers)

    cdef void release(self, uint32_t size) noexcept:
        """The window of content that has gone on, or nowhere."""
        if size == 0:
            return
        if self.stream is NULL:
            self.carrier.session.consumed_late(size)
        else:
            self.carrier.session.consumed(self.stream, size)
            self.carrier.write_later()

    cdef void resume(self) noexcept:
        cdef uint32_t owed = self.owed
        if self.paused and not self.upgrading and not self.closed:
            self.paused = False
            self.owed = 0
            self.release(owed)
            if self.held.data is not NULL:
                self.parts.loop.later(self)

    cdef void on_turn(self) noexcept:
        if not self.paused and self.held.data is not NULL:
            self.give_held()
            self.give_end()
        if self.exchange is not None and not self.sending.full and self.sending.waiting.data is NULL:
            self.exchange.on_client_ready()

    # ---- the response ------------------------------------------------------------------------------------------------

    cdef void send_interim(self, Message head) noexcept:
        if self.stream is not NULL:
            (<H2Server> self.carrier.session).inform(self.stream, &head.head)
            self.carrier.write_later()

    cdef void respond(self, Message head, bint ends) noexcept:
        if self.stream is NULL:
            return
        if not (<H2Server> self.carrier.session).respond_message(self.stream, &head.head, ends):
            self.close()
            return
        # However it ends, that is paid for: a reset may cross with the end of the response.
        budgets_earn(&self.carrier.session.budgets, SL_H2_ABUSE_RESETS, 1)
        self.carrier.write_later()

    cdef bint send_body(self, const uint8_t *data, size_t length) noexcept:
        cdef bint takes
        if self.stream is NULL:
            return True
        takes = sending_put(&self.sending, self.carrier, self.stream, data, length)
        if self.sending.failed:
            self.close()
        return takes

    cdef void send_end(self, Message trailers) noexcept:
        if self.stream is not NULL:
            self.end_out, self.sending.ending = trailers, True
            self.carrier.schedule(self.stream)

    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept:
        cdef bint drained = False
        cdef size_t written = sending_fill(&self.sending, self.carrier, self.stream, self.end_out, at, room, most,
                                           &drained)
        if drained:
            self.parts.loop.later(self)
        if self.sending.failed:
            self.close()
        else:
            self.settle()
        return written

    cdef void refuse(self, int outcome, str rule, str reason, str detail, uint64_t sequence) noexcept:
        """The answer is the connection's to send; this is over."""
        cdef H2Stream *stream = self.stream
        if stream is not NULL:
            self.stream = NULL
            stream.owner = NULL
        self.leave()
        if stream is not NULL:
            self.carrier.refuse_stream(stream, outcome, rule, reason, detail, sequence)

    cdef void cut(self) noexcept:
        self.exchange = None
        self.reset(H2_INTERNAL_ERROR)

    cdef void revoke(self) noexcept:
        self.exchange = None
        self.reset(H2_CANCEL)

    cdef void done(self) noexcept:
        self.exchange = None
        self.finished = True
        self.settle()
        if not self.closed:
            self.parts.loop.arm(self, self.parts.settings.idle_timeout)

    cdef void settle(self) noexcept:
        """The response has left, and the exchange is over: so is the stream."""
        if not self.finished or self.stream is NULL or not self.stream.flags & STREAM_LOCAL_ENDED:
            return
        self.carrier.settle_stream(&self.stream, H2_NO_ERROR)
        self.leave()

    cdef void tunnel(self, Message head, sl_leg *upstream, bytes early, bint hangup) noexcept:
        """RFC 8441: 101 of an origin is 200 here."""
        cdef H2Carrier carrier = self.carrier
        cdef H2Stream *stream = self.stream
        cdef Exchange exchange = self.exchange
        cdef H2Tunnel tunnel = H2Tunnel.__new__(H2Tunnel)
        cdef Outgoing content = self.held
        cdef Piece piece
        memset(&self.held, 0, sizeof(self.held))
        self.exchange = None
        self.stream = NULL
        tunnel.carrier, tunnel.stream = carrier, stream
        tunnel.client_ended, tunnel.down.hangup = self.came_whole, hangup
        tunnel.readable = True
        stream.owner = <PyObject *> tunnel
        stream.flags |= STREAM_CONNECT
        tunnel.take_over(self, exchange.approach.record, upstream, None)
        self.closed = True
        self.free_content()
        self.parts.loop.park(self)
        tunnel.begin()
        head.head.status = 200
        sl_message_remove(&head.head, "sec-websocket-accept", 20)
        (<H2Server> carrier.session).respond_message(stream, &head.head, False)
        budgets_earn(&carrier.session.budgets, SL_H2_ABUSE_RESETS, 1)
        carrier.tunnel_began()
        if early is not None:
            Py_INCREF(early)
            stream.body = <PyObject *> early
            stream.flags |= STREAM_EARLY
            tunnel.down.bytes += PyBytes_GET_SIZE(early)
            tunnel.carried(False, PyBytes_GET_SIZE(early))
        carrier.schedule(stream)
        piece.base, piece.size = content.data + content.begin, content.end - content.begin
        if piece.size or tunnel.client_ended:
            tunnel.received(&piece, 1 if piece.size else 0, <uint32_t> piece.size)
        free_bytes(&content)

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void rejudge(self) noexcept:
        if self.exchange is not None:
            self.exchange.rejudge()

    cdef void on_timer(self) noexcept:
        """The client does not take the rest of its response."""
        self.reset(H2_CANCEL)

    cdef void lost(self) noexcept:
        cdef Exchange exchange = self.exchange
        if self.closed:
            return
        self.carrier.forget_stream(&self.stream, END_RESET_BY_PEER)  # with its connection: no frame, and none counted
        self.leave()
        if exchange is not None:
            exchange.on_client_gone()

    cdef void reset(self, uint32_t code) noexcept:
        if self.closed:
            return
        self.carrier.cut_stream(&self.stream, code)
        self.leave()

    cdef void leave(self) noexcept:
        """The last step of every end: the object is parked, and nothing finds it any more."""
        if self.closed:
            return
        self.closed = True
        self.exchange = None
        self.carrier.session.consumed_late(self.owed + (self.held.end - self.held.begin))
        self.free_content()
        self.parts.roster.stream_left()
        self.parts.roster.left(self)
        self.parts.loop.park(self)

    cdef void free_content(self) noexcept:
        free_bytes(&self.held)
        sending_free(&self.sending)
        self.end_in = self.end_out = None
        self.owed = 0

    cdef void close(self) noexcept:
        """Ends at once, whatever the state: an internal error, or the end of the worker."""
        cdef Exchange exchange = self.exchange
        if self.closed:
            return
        if exchange is not None:
            exchange.close()  # answers, or cuts
        if not self.closed:
            self.exchange = None
            self.reset(H2_INTERNAL_ERROR)
            if exchange is not None:
                exchange.on_client_gone()
