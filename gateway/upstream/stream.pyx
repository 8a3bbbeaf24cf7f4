"""One tunnel's way through a connection to a parent gateway. See stream.pxd.

A tunnel joins two descriptors, and the relay, the inner phase and their limits know nothing else. So a stream gets a
pair of local sockets: one end is the tunnel's upstream, the other is carried here to frames and back. END_STREAM and
end of file are carried over to each other. What a descriptor cannot say goes by calls: a tunnel that is reset calls
cut(), a stream that is reset is `broken`, and its tunnel has its turn.

Bytes up are read straight behind the headers of their frames, as far as windows go. Bytes down go from the
connection's input to the pair; what it does not take is kept, and the stream's window is returned only as bytes leave:
no more than a window waits here.
"""

cimport cython
from libc.errno cimport EAGAIN, EMFILE, ENFILE, errno
from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint32_t
from posix cimport unistd

from gateway.c.addr cimport sl_addr
from gateway.c.leg cimport sl_leg_end_writing, sl_leg_reset, sl_leg_send, sl_plain_leg
from gateway.c.contract cimport (
    SL_OUTCOME_CONNECTED, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_INTERNAL, SL_OUTCOME_UPSTREAM_FAILED,
)
from gateway.http2.carrier cimport H2Carrier
from gateway.http2.framing cimport (
    FRAMED_BYTES, FRAMED_END, FRAMED_FAILED, FRAMED_STALLED, Framed, Reading, read_frames,
)
from gateway.proto.http2.client cimport H2Client
from gateway.proto.http2.frames cimport (
    FRAME_HEADER, H2_CANCEL, H2_INTERNAL_ERROR, free_bytes, put_bytes, sent_bytes,
)
from gateway.proto.http2.streams cimport END_BOTH, STREAM_LOCAL_ENDED, ring_out
from gateway.io.sockets cimport (
    EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM,
)

cdef extern from "<sys/socket.h>" nogil:
    int socketpair(int domain, int kind, int protocol, int *pair)
    enum:
        AF_UNIX

cdef enum:
    FILES_KEPT = 16            # descriptors that are left to others
    FLUSH = 60000              # milliseconds for a parent to take the last bytes of a tunnel that has ended
    DOUBTFUL = 1000            # milliseconds of silence while a request is unanswered


cdef class ParentConnections(Handler):
    """The connections to one parent; see stream.pxd."""

    cdef void queue(self, ConnectStream stream) noexcept:
        pass

    cdef void unqueue(self, ConnectStream stream) noexcept:
        pass

    cdef void on_room(self, Handler connection) noexcept:
        pass

    cdef void on_proved(self, Handler connection) noexcept:
        pass

    cdef void on_gone(self, Handler connection, int outcome, str detail) noexcept:
        pass


@cython.final
cdef class ConnectStream(ParentStream):
    """Made by a pool for `owner`; `request` are the fields of its header block. Keeps itself alive until its end."""

    def __cinit__(self, WorkerParts parts, ParentConnections pool, Handler owner, list request):
        self.parts, self.pool, self.owner, self.request = parts, pool, owner, request
        self.leg.fd = -1
        parts.loop.keep(self)

    def __dealloc__(self):
        free_bytes(&self.waiting)

    # ---- the request -------------------------------------------------------------------------------------------------

    cdef bint go(self, H2Carrier carrier) noexcept:
        self.asked = self.parts.loop.now
        try:
            self.stream = (<H2Client> carrier.session).ask(carrier.session.deflater.encode(self.request))
        except Exception:
            self.stream = NULL
        if self.stream is NULL:
            return False
        self.carrier = carrier
        self.stream.owner = <PyObject *> self
        carrier.write_later()
        return True

    cdef void take_answer(self, uint32_t status, bint end) noexcept:
        cdef int fd
        self.ended = end
        if not 200 <= status < 300:
            # The body of the parent's answer would reach no log and no client (CONTRACT.md section 5).
            self.answer(-1, SL_OUTCOME_UPSTREAM_FAILED, -1)
            self.finish(H2_CANCEL)
            return
        fd = self.connected()
        if fd < 0:
            self.answer(-1, SL_OUTCOME_GATEWAY_LIMIT if fd == -EMFILE else SL_OUTCOME_INTERNAL, -1)
            self.finish(H2_CANCEL)
            return
        self.answer(fd, SL_OUTCOME_CONNECTED, -1)
        if end and not self.closed:
            self.put()

    cdef int connected(self) noexcept:
        """Makes the pair: the tunnel's end, or -EMFILE for want of descriptors, or -1."""
        cdef int pair[2]
        if not self.parts.files.has_room(0, 1, FILES_KEPT):
            return -EMFILE
        if socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0:
            return -EMFILE if errno in (EMFILE, ENFILE) else -1
        if not self.parts.loop.watch(pair[0], self, 0, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET):
            unistd.close(pair[0])
            unistd.close(pair[1])
            return -1
        self.leg = sl_plain_leg(pair[0])
        self.parts.roster.flow_entered()
        return pair[1]

    cdef void answer(self, int fd, int outcome, int reason) noexcept:
        """Notifies the owner of the result, once."""
        cdef Handler owner = self.owner
        self.owner = None
        self.request = None
        if owner is not None:
            self.answered = True
            self.fd, self.outcome, self.reason = fd, outcome, reason
            self.parts.loop.later(owner)

    cdef void refused(self, int outcome, int reason) noexcept:
        if not self.closed:
            self.answer(-1, outcome, reason)
            self.finish(H2_CANCEL)

    cdef void returned(self) noexcept:
        self.stream = NULL
        self.carrier = None
        if self.owner is None or self.retried:
            self.lost()
            return
        self.retried = True
        self.pool.queue(self)

    cdef void cancel(self) noexcept:
        if self.closed:
            return
        self.owner = None
        if self.carrier is not None and self.stream is not NULL and self.carrier.heard < self.asked \
                and self.parts.loop.now - self.asked >= DOUBTFUL:
            self.carrier.doubt()
        self.finish(H2_CANCEL)

    cdef void lead(self, Handler tunnel) noexcept:
        self.front = tunnel
        if self.broken:
            self.parts.loop.later(tunnel)

    cdef void local(self, sl_addr *address) noexcept:
        address.family = 0
        if self.carrier is not None:
            address[0] = self.carrier.here

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void cut(self) noexcept:
        self.front = None
        self.finish(H2_CANCEL)

    cdef void lost(self) noexcept:
        cdef Handler front = self.front
        self.stream = NULL
        self.front = None
        if self.closed:
            return
        if self.carrier is not None:
            self.why = self.carrier.broken
        if self.fd >= 0:
            self.broken = True  # answered, and not taken yet: the tunnel is to have what was received before
            return
        if front is None or front.closed:
            self.answer(-1, SL_OUTCOME_UPSTREAM_FAILED, -1)
            self.finish(0)
            return
        # Bytes that lie in the pair may still be taken; the tunnel's end, which follows, comes back as cut().
        self.broken = True
        self.parts.loop.later(front)

    cdef void close_untaken(self) noexcept:
        """The tunnel's descriptor, where the owner did not take it yet: there is no way behind it any more."""
        if self.fd >= 0:
            unistd.close(self.take())
            self.outcome = SL_OUTCOME_UPSTREAM_FAILED

    cdef void settle(self) noexcept:
        """Both sides have ended: so has this."""
        if self.shut and self.stream is not NULL and self.stream.flags & STREAM_LOCAL_ENDED:
            self.carrier.forget_stream(&self.stream, END_BOTH)
            self.finish(0)

    cdef void finish(self, uint32_t code) noexcept:
        """The last step of every end; a stream that is still there is reset."""
        cdef bint flowed = self.leg.fd >= 0
        if self.closed:
            return
        self.closed = True
        self.close_untaken()
        if self.carrier is None:
            self.pool.unqueue(self)
        else:
            self.carrier.cut_stream(&self.stream, code)
        sl_leg_reset(&self.leg)
        free_bytes(&self.waiting)
        self.owner = None
        self.front = None
        self.carrier = None
        self.pool = None
        self.parts.loop.park(self)
        if flowed:
            self.parts.roster.flow_left()

    cdef void on_timer(self) noexcept:
        self.finish(H2_CANCEL)

    cdef void close(self) noexcept:
        """An internal error on the way."""
        if self.closed:
            return
        self.answer(-1, SL_OUTCOME_INTERNAL, -1)
        if self.carrier is not None:
            self.carrier.cut_stream(&self.stream, H2_INTERNAL_ERROR)
        self.lost()

    # ---- bytes -------------------------------------------------------------------------------------------------------

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        if events & (EPOLLHUP | EPOLLERR) and self.stream is NULL:
            self.finish(0)
            return
        if events & (EPOLLHUP | EPOLLERR) and not self.hangup:
            # The tunnel has closed its end, and was not cut: what it sent last has to leave in a bounded time.
            self.parts.loop.arm(self, FLUSH)
            self.front = None
        if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            self.hangup = True
        if events & EPOLLOUT and self.waiting.data is not NULL and not self.put():
            return
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) and self.stream is not NULL:
            self.readable = True
            self.carrier.schedule(self.stream)

    cdef void received(self, const uint8_t *data, uint32_t size, bint end) noexcept:
        cdef ssize_t sent
        cdef uint32_t done = 0
        if end:
            self.ended = True
        while self.waiting.data is NULL and done < size:
            sent = sl_leg_send(&self.leg, data + done, size - done, False)
            if sent < 0:
                if errno != EAGAIN:
                    self.finish(H2_CANCEL)
                    return
                break
            done += <uint32_t> sent
        if done < size and not put_bytes(&self.waiting, data + done, size - done):
            self.close()
            return
        if done:
            self.carrier.session.consumed(self.stream, done)
        if self.ended:
            self.put()

    cdef bint put(self) noexcept:
        """Puts out what waits for the tunnel, then the end; False when that was the end of all."""
        cdef ssize_t sent
        while self.waiting.data is not NULL:
            sent = sl_leg_send(&self.leg, self.waiting.data + self.waiting.begin,
                               self.waiting.end - self.waiting.begin, False)
            if sent < 0:
                if errno == EAGAIN:
                    return True
                self.finish(H2_CANCEL)
                return False
            sent_bytes(&self.waiting, sent)
            if self.stream is not NULL:
                self.carrier.session.consumed(self.stream, <uint32_t> sent)
                self.carrier.write_later()
        if self.ended and not self.shut:
            self.shut = True
            sl_leg_end_writing(&self.leg)
            self.settle()
        return not self.closed

    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept:
        cdef H2Stream *stream = self.stream
        cdef Reading reading
        cdef Framed kind
        if not self.readable or stream.flags & STREAM_LOCAL_ENDED or room <= FRAME_HEADER:
            ring_out(&self.carrier.session.streams, stream)
            return 0
        kind = read_frames(self.parts.meter, self.carrier.session, stream, &self.leg, at, room, most, &reading)
        if kind == FRAMED_BYTES:
            if reading.got < reading.asked and not self.hangup:
                self.readable = False  # new bytes make a new edge
                ring_out(&self.carrier.session.streams, stream)
            self.carrier.session.sent(stream, reading.got, False)
            return reading.written
        if kind != FRAMED_STALLED:
            self.readable = False
        if kind == FRAMED_END:
            self.settle()
            return reading.written
        if kind == FRAMED_FAILED:
            self.cut()
        return 0
