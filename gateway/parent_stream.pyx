"""One tunnel's way through a connection to a parent gateway. See parent_stream.pxd.

A tunnel joins two descriptors, and the relay, the inner phase and their limits know nothing else. So a stream gets a
pair of local sockets: one end is the tunnel's upstream, the other is carried here to frames and back. END_STREAM and
end of file are carried over to each other. What a descriptor cannot say goes by calls: a tunnel that is reset calls
cut(), a stream that is reset calls the tunnel's on_cut().

Bytes up are read straight behind the headers of their frames, as far as windows go. Bytes down go from the
connection's input to the pair; what it does not take is kept, and the stream's window is returned only as bytes leave:
no more than a window waits here.
"""

from libc.errno cimport EAGAIN, EINTR, EMFILE, ENFILE, errno
from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint32_t
from posix cimport unistd

from gateway.csrc cimport (
    SL_COUNTER_HTTP2_STALLS, SL_OUTCOME_CONNECTED, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_INTERNAL,
    SL_OUTCOME_UPSTREAM_FAILED, sl_addr,
)
from gateway.h2_frames cimport (
    FLAG_END_STREAM, FRAME_DATA, FRAME_HEADER, H2_CANCEL, H2_INTERNAL_ERROR, free_bytes, put_bytes, sent_bytes,
    write_header,
)
from gateway.h2_streams cimport END_BOTH, STREAM_LOCAL_ENDED, STREAM_STALLED, ring_out, ring_park
from gateway.sockets cimport (
    EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, SHUT_WR,
    SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, recv, send, shutdown,
)

cdef extern from "<sys/socket.h>" nogil:
    int socketpair(int domain, int kind, int protocol, int *pair)
    enum:
        AF_UNIX

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t readv(int fd, const iovec *pieces, int count)

cdef enum:
    FRAMES_MOST = 32           # of one read
    FILES_KEPT = 16            # descriptors that are left to others
    FLUSH = 60000              # milliseconds for a parent to take the last bytes of a tunnel that has ended
    DOUBTFUL = 1000            # milliseconds of silence while a request is unanswered


cdef class ParentCarrier(Handler):
    """What a stream needs of its connection; see parent_stream.pxd."""

    cdef void schedule(self, H2Stream *stream) noexcept:
        pass

    cdef void write_later(self) noexcept:
        pass

    cdef void reset_stream(self, H2Stream *stream, uint32_t code) noexcept:
        pass

    cdef void drop_stream(self, H2Stream *stream, StreamEnd how) noexcept:
        pass

    cdef void doubt(self) noexcept:
        pass


cdef class ParentKeeper(Handler):
    """Who finds a stream its connection; see parent_stream.pxd."""

    cdef void queue(self, ParentStream stream) noexcept:
        pass

    cdef void unqueue(self, ParentStream stream) noexcept:
        pass


cdef class ParentStream(Passage):
    """Made by a pool for `owner`; `request` are the fields of its header block. Keeps itself alive until its end."""

    def __cinit__(self, Context context, ParentKeeper keeper, Introduced owner, list request):
        self.context, self.keeper, self.owner, self.request = context, keeper, owner, request
        self.fd = -1
        context.loop.keep(self)

    def __dealloc__(self):
        free_bytes(&self.waiting)

    # ---- the request -------------------------------------------------------------------------------------------------

    cdef bint go(self, ParentCarrier carrier) noexcept:
        self.asked = self.context.loop.now
        try:
            self.stream = carrier.session.ask(carrier.session.deflater.encode(self.request))
        except Exception:
            self.stream = NULL
        if self.stream is NULL:
            return False
        self.carrier = carrier
        self.stream.owner = <PyObject *> self
        carrier.write_later()
        return True

    cdef void answered(self, uint32_t status, bint end) noexcept:
        cdef int fd
        self.ended = end
        if not 200 <= status < 300:
            # What the parent says beyond its status would be told by nobody (CONTRACT.md section 5).
            self.tell(-1, SL_OUTCOME_UPSTREAM_FAILED, -1)
            self.finish(H2_CANCEL)
            return
        fd = self.connected()
        if fd < 0:
            self.tell(-1, SL_OUTCOME_GATEWAY_LIMIT if fd == -EMFILE else SL_OUTCOME_INTERNAL, -1)
            self.finish(H2_CANCEL)
            return
        self.tell(fd, SL_OUTCOME_CONNECTED, -1)
        if end and not self.closed:
            self.put()

    cdef int connected(self) noexcept:
        """Makes the pair: the tunnel's end, or -EMFILE for want of descriptors, or -1."""
        cdef int pair[2]
        if not self.context.has_files(0, 1, FILES_KEPT):
            return -EMFILE
        if socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0:
            return -EMFILE if errno in (EMFILE, ENFILE) else -1
        if not self.context.loop.watch(pair[0], self, 0, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET):
            unistd.close(pair[0])
            unistd.close(pair[1])
            return -1
        self.fd = pair[0]
        self.context.flow_entered()
        return pair[1]

    cdef void tell(self, int fd, int outcome, int reason) noexcept:
        """The owner hears how it went; nobody is told twice."""
        cdef Introduced owner = self.owner
        self.owner = None
        self.request = None
        if owner is not None:
            owner.on_passed(fd, outcome, reason)

    cdef void refused(self, int outcome, int reason) noexcept:
        if not self.closed:
            self.tell(-1, outcome, reason)
            self.finish(H2_CANCEL)

    cdef void returned(self) noexcept:
        self.stream = NULL
        self.carrier = None
        if self.owner is None or self.retried:
            self.lost()
            return
        self.retried = True
        self.keeper.queue(self)

    cdef void cancel(self) noexcept:
        if self.closed:
            return
        self.owner = None
        if self.carrier is not None and self.stream is not NULL and self.carrier.heard < self.asked \
                and self.context.loop.now - self.asked >= DOUBTFUL:
            self.carrier.doubt()
        self.finish(H2_CANCEL)

    cdef void lead(self, Handler tunnel) noexcept:
        self.front = <Requester?> tunnel

    cdef void local(self, sl_addr *address) noexcept:
        address.family = 0
        if self.carrier is not None:
            address[0] = self.carrier.here

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void cut(self) noexcept:
        self.front = None
        self.finish(H2_CANCEL)

    cdef void lost(self) noexcept:
        cdef Requester front = self.front
        self.stream = NULL
        self.front = None
        if self.closed:
            return
        if front is None or front.closed:
            self.tell(-1, SL_OUTCOME_UPSTREAM_FAILED, -1)
            self.finish(0)
            return
        # Bytes that lie in the pair may still be taken; the tunnel's end, which follows, comes back as cut().
        front.on_cut()

    cdef void settle(self) noexcept:
        """Both sides have ended: so has this."""
        cdef H2Stream *stream = self.stream
        if self.shut and stream is not NULL and stream.flags & STREAM_LOCAL_ENDED:
            self.stream = NULL
            stream.owner = NULL
            self.carrier.drop_stream(stream, END_BOTH)
            self.finish(0)

    cdef void finish(self, uint32_t code) noexcept:
        """The last step of every end; a stream that is still there is reset."""
        cdef H2Stream *stream = self.stream
        cdef bint flowed = self.fd >= 0
        if self.closed:
            return
        self.closed = True
        self.stream = NULL
        if stream is not NULL:
            stream.owner = NULL
            self.carrier.reset_stream(stream, code)
        elif self.carrier is None:
            self.keeper.unqueue(self)
        if flowed:
            unistd.close(self.fd)
            self.fd = -1
        free_bytes(&self.waiting)
        self.owner = None
        self.front = None
        self.carrier = None
        self.keeper = None
        self.context.loop.park(self)
        if flowed:
            self.context.flow_left()

    cdef void on_timer(self) noexcept:
        self.finish(H2_CANCEL)

    cdef void close(self) noexcept:
        """An error of ours on the way."""
        cdef H2Stream *stream = self.stream
        if self.closed:
            return
        self.tell(-1, SL_OUTCOME_INTERNAL, -1)
        if stream is not NULL:
            self.stream = NULL
            stream.owner = NULL
            self.carrier.reset_stream(stream, H2_INTERNAL_ERROR)
        self.lost()

    # ---- bytes -------------------------------------------------------------------------------------------------------

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        if events & (EPOLLHUP | EPOLLERR) and self.stream is NULL:
            self.finish(0)
            return
        if events & (EPOLLHUP | EPOLLERR) and not self.hangup:
            # The tunnel has closed its end, and was not cut: what it sent last has to leave in a bounded time.
            self.context.loop.arm(self, FLUSH)
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
            sent = send(self.fd, data + done, size - done, MSG_NOSIGNAL | MSG_DONTWAIT)
            if sent < 0 and errno == EINTR:
                continue
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
            sent = send(self.fd, self.waiting.data + self.waiting.begin, self.waiting.end - self.waiting.begin,
                        MSG_NOSIGNAL | MSG_DONTWAIT)
            if sent < 0 and errno == EINTR:
                continue
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
            shutdown(self.fd, SHUT_WR)
            self.settle()
        return not self.closed

    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept:
        cdef H2Client session = self.carrier.session
        cdef H2Stream *stream = self.stream
        cdef iovec pieces[FRAMES_MOST]
        cdef uint32_t frame = session.frame_size()
        cdef uint32_t size, part, left
        cdef ssize_t got
        cdef int count = 0
        cdef size_t written = 0
        if not self.readable or stream.flags & STREAM_LOCAL_ENDED or room <= FRAME_HEADER:
            ring_out(&session.streams, stream)
            return 0
        most = min(most, min(<uint32_t> (room - FRAME_HEADER), frame * FRAMES_MOST))
        most -= min(most - 1, FRAME_HEADER * (most // frame))  # room for the headers between frames
        size = session.sendable(stream, most)
        if size == 0:
            return self.fill_end(at)
        stream.flags &= ~STREAM_STALLED
        left = size
        while left:
            part = min(left, frame)
            pieces[count].iov_base = at + written + FRAME_HEADER
            pieces[count].iov_len = part
            written += part + FRAME_HEADER
            left -= part
            count += 1
        while True:
            got = readv(self.fd, pieces, count)
            if got >= 0 or errno != EINTR:
                break
        if got == 0:
            return self.fill_end(at)
        if got < 0:
            ring_out(&session.streams, stream)
            self.readable = False
            if errno != EAGAIN:
                self.cut()
            return 0
        if got < <ssize_t> size and not self.hangup:
            self.readable = False  # new bytes make a new edge
            ring_out(&session.streams, stream)
        left, written = <uint32_t> got, 0
        while left:
            part = min(left, frame)
            write_header(at + written, part, FRAME_DATA, 0, stream.id)
            written += part + FRAME_HEADER
            left -= part
        session.sent(stream, <uint32_t> got, False)
        return written

    cdef size_t fill_end(self, uint8_t *at) noexcept:
        """Nothing can be sent but an end of file, which needs no window."""
        cdef H2Client session = self.carrier.session
        cdef H2Stream *stream = self.stream
        cdef uint8_t byte
        cdef ssize_t got = recv(self.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
        ring_out(&session.streams, stream)
        if got > 0:
            ring_park(&session.streams, stream)
            if not stream.flags & STREAM_STALLED:
                stream.flags |= STREAM_STALLED
                self.context.count(SL_COUNTER_HTTP2_STALLS)
            return 0
        self.readable = False
        if got < 0:
            if errno != EAGAIN and errno != EINTR:
                self.cut()
            return 0
        write_header(at, 0, FRAME_DATA, FLAG_END_STREAM, stream.id)
        session.sent(stream, 0, True)
        self.settle()
        return FRAME_HEADER
