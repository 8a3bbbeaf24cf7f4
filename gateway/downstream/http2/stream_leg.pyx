"""A stream of a client's HTTP/2 connection as a leg. See stream_leg.pxd.

Bytes up: DATA waits here until it is received, and the stream's window is returned for what was: no more than a window
waits. Bytes down: what is sent waits in `sending` until windows and the socket let it leave, at the end of the turn;
from 64 KiB on the leg takes no more. No descriptor and no call of the system is spent on it.

It lives as long as the stream, or the leg: a leg that is closed leaves behind what it has sent, then the stream's end.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from libc cimport errno as c_errno
from libc.errno cimport EAGAIN, ECONNRESET, ENOMEM, EPIPE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from gateway.c.leg cimport (
    SL_LEG_READY, iovec, sl_leg, sl_leg_progress, sl_leg_table, sl_plain_leg,
)
from gateway.http2.sending cimport sending_fill, sending_free, sending_put
from gateway.io.leg cimport end_of
from gateway.io.loop cimport Handler
from gateway.io.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from gateway.proto.http2.frames cimport (
    H2_CANCEL, H2_INTERNAL_ERROR, H2_NO_ERROR, free_bytes, put_bytes, sent_bytes,
)
from gateway.proto.http2.streams cimport (
    END_RESET_BY_PEER, STREAM_LOCAL_ENDED, STREAM_REMOTE_ENDED,
)


# ---- the table of the leg --------------------------------------------------------------------------------------------

cdef ssize_t leg_receive(sl_leg *leg, void *to, size_t most) noexcept:
    return (<StreamLeg> end_of(leg)).take(<uint8_t *> to, most, False)


cdef ssize_t leg_receive_parts(sl_leg *leg, const iovec *parts, int count) noexcept:
    return leg_receive(leg, parts[0].iov_base, parts[0].iov_len)


cdef ssize_t leg_send(sl_leg *leg, const void *data, size_t length, int more) noexcept:
    return (<StreamLeg> end_of(leg)).put(<const uint8_t *> data, length)


cdef ssize_t leg_send_parts(sl_leg *leg, const iovec *parts, int count) noexcept:
    cdef StreamLeg end = <StreamLeg> end_of(leg)
    cdef ssize_t sent, total = 0
    cdef int i
    for i in range(count):
        sent = end.put(<const uint8_t *> parts[i].iov_base, parts[i].iov_len)
        if sent < 0:
            return total if total else -1
        total += sent
    return total


cdef ssize_t leg_peek(sl_leg *leg, void *to, size_t most) noexcept:
    return (<StreamLeg> end_of(leg)).take(<uint8_t *> to, most, True)


cdef int leg_end_writing(sl_leg *leg) noexcept:
    (<StreamLeg> end_of(leg)).end()
    return 0


cdef void leg_close(sl_leg *leg) noexcept:
    cdef StreamLeg end = <StreamLeg> end_of(leg)
    leg[0] = sl_plain_leg(-1)
    end.release()


cdef void leg_reset(sl_leg *leg) noexcept:
    cdef StreamLeg end = <StreamLeg> end_of(leg)
    leg[0] = sl_plain_leg(-1)
    end.reset()


cdef sl_leg_progress leg_advance(sl_leg *leg) noexcept:
    return SL_LEG_READY


cdef unsigned leg_wants(const sl_leg *leg) noexcept:
    return 0


cdef int leg_pending(const sl_leg *leg) noexcept:
    return (<StreamLeg> end_of(leg)).came.data is not NULL


cdef int leg_ended(const sl_leg *leg) noexcept:
    return (<StreamLeg> end_of(leg)).ended


cdef const char *leg_reason(const sl_leg *leg) noexcept:
    return NULL


cdef sl_leg_table TABLE
TABLE.receive, TABLE.receive_parts = leg_receive, leg_receive_parts
TABLE.send, TABLE.send_parts = leg_send, leg_send_parts
TABLE.peek, TABLE.end_writing = leg_peek, leg_end_writing
TABLE.close, TABLE.reset = leg_close, leg_reset
TABLE.advance, TABLE.wants, TABLE.pending, TABLE.ended = leg_advance, leg_wants, leg_pending, leg_ended
TABLE.reason = leg_reason


@cython.final
cdef class StreamLeg(LegEnd):
    """Made by the request of a stream, with `parts` and `carrier`."""

    def __dealloc__(self):
        free_bytes(&self.came)
        sending_free(&self.sending)

    cdef sl_leg enter(self, H2Stream *stream, bytes early, bint ended) noexcept:
        self.stream, self.ended = stream, ended
        stream.owner = <PyObject *> self
        self.parts.loop.keep(self)
        if early is not None and not put_bytes(&self.came, <const uint8_t *> PyBytes_AS_STRING(early),
                                               PyBytes_GET_SIZE(early)):
            self.broken = True
        self.carrier.tunnel_began()
        return self.leg(&TABLE)

    # ---- what stands on the leg --------------------------------------------------------------------------------------

    cdef void handed(self) noexcept:
        if self.came.data is not NULL or self.ended or self.broken:
            self.owe(EPOLLIN)

    cdef void owe(self, uint32_t events) noexcept:
        self.owed |= events
        self.parts.loop.later(self)

    cdef void on_turn(self) noexcept:
        cdef uint32_t owed = self.owed
        self.owed = 0
        if owed:
            self.tell(owed)

    cdef void tell(self, uint32_t events) noexcept:
        cdef Handler front = self.front
        if self.ended:
            events |= EPOLLRDHUP
        if self.broken:
            events |= EPOLLHUP | EPOLLERR
        if front is not None and not front.closed:
            front.on_event(events, self.number)
            self.parts.loop.settle(front)

    # ---- the stream --------------------------------------------------------------------------------------------------

    cdef void received(self, Piece *pieces, int count, uint32_t total) noexcept:
        cdef int i
        if self.stream is not NULL and self.stream.flags & STREAM_REMOTE_ENDED:
            self.ended = True
        if self.released:
            self.consume(total)
            self.settle()
            return
        for i in range(count):
            if not put_bytes(&self.came, <const uint8_t *> pieces[i].base, pieces[i].size):
                self.close()
                return
        self.tell(EPOLLIN)

    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept:
        cdef bint drained = False
        cdef size_t written = sending_fill(&self.sending, self.carrier, self.stream, None, at, room, most, &drained)
        if drained:
            self.owe(EPOLLOUT)
        self.settle()
        return written

    cdef void lost(self) noexcept:
        if self.closed:
            return
        self.carrier.forget_stream(&self.stream, END_RESET_BY_PEER)  # with its connection: no frame, and none counted
        self.broken = True
        if self.released:
            self.leave()
        else:
            self.tell(EPOLLIN)

    cdef void settle(self) noexcept:
        """Behind the leg's end: all that it has sent has left, and so has the end."""
        if not self.released or self.stream is NULL or not self.stream.flags & STREAM_LOCAL_ENDED:
            return
        self.carrier.settle_stream(&self.stream, H2_NO_ERROR)
        self.leave()

    # ---- calls of the leg --------------------------------------------------------------------------------------------

    cdef ssize_t take(self, uint8_t *to, size_t most, bint stays) noexcept:
        cdef size_t size = min(most, self.came.end - self.came.begin)
        if self.broken or size == 0:
            c_errno.errno = ECONNRESET if self.broken else EAGAIN
            return 0 if self.ended and not self.broken else -1
        memcpy(to, self.came.data + self.came.begin, size)
        if not stays:
            sent_bytes(&self.came, size)
            self.consume(<uint32_t> size)
        return <ssize_t> size

    cdef void consume(self, uint32_t size) noexcept:
        """The window of what has gone on is returned."""
        if size == 0:
            return
        if self.stream is NULL:
            self.carrier.session.consumed_late(size)
        else:
            self.carrier.session.consumed(self.stream, size)
            self.carrier.write_later()

    cdef ssize_t put(self, const uint8_t *data, size_t length) noexcept:
        if self.broken or self.stream is NULL:
            c_errno.errno = EPIPE
            return -1
        if self.sending.full:
            c_errno.errno = EAGAIN
            return -1
        sending_put(&self.sending, self.carrier, self.stream, data, length)
        if self.sending.failed:
            c_errno.errno = ENOMEM
            return -1
        return <ssize_t> length

    cdef void end(self) noexcept:
        if self.stream is not NULL and not self.sending.ending:
            self.sending.ending = True
            self.carrier.schedule(self.stream)

    cdef void release(self) noexcept:
        """The leg is closed: what it has sent leaves, and the stream's end behind it, in the time of an idle tunnel."""
        self.front, self.released = None, True
        self.consume(<uint32_t> (self.came.end - self.came.begin))
        free_bytes(&self.came)
        if self.stream is NULL:
            self.leave()
            return
        self.parts.loop.arm(self, self.parts.settings.half_close_timeout)
        self.end()
        self.settle()  # it may have ended its side before

    cdef void reset(self) noexcept:
        self.front, self.released = None, True
        self.cut(H2_CANCEL)

    cdef void cut(self, uint32_t code) noexcept:
        if self.closed:
            return
        self.carrier.cut_stream(&self.stream, code)
        self.leave()

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void on_timer(self) noexcept:
        """The client does not take the rest."""
        self.cut(H2_CANCEL)

    cdef void leave(self) noexcept:
        """The last step of every end: the object is parked, and nothing finds it any more."""
        if self.closed:
            return
        self.closed = True
        self.front = None
        self.carrier.session.consumed_late(self.came.end - self.came.begin)
        free_bytes(&self.came)
        sending_free(&self.sending)
        self.parts.roster.stream_left()
        self.parts.loop.park(self)
        self.carrier.tunnel_ended()

    cdef void close(self) noexcept:
        """Ends at once: an internal error, or the end of the worker. What stands on the leg goes first."""
        cdef Handler front = self.front
        if self.closed:
            return
        if front is not None and not front.closed:
            front.close()
        self.broken = True
        self.cut(H2_INTERNAL_ERROR)
