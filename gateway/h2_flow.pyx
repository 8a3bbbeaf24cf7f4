"""What a stream of an HTTP/2 connection carries, up to the upstream and down from it. See h2_flow.pxd.

Bytes up: DATA goes from the connection's input to the upstream in one sendmsg() for each stream and input; what the
upstream does not take is kept, and the stream's window is returned only as bytes leave, so no more than a window waits.

Bytes down: they are read straight to where they are sent from, with gaps left for the frame headers: what is not
covered by the windows is not read, so nothing of a stream waits here.

END_STREAM and end of file are carried over to each other.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy, memset

from gateway.csrc cimport (
    SL_COPYING, SL_COPY_ONLY, SL_COUNTER_HTTP2_STALLS, SL_OUTCOME_INTERNAL, SL_OUTCOME_RESET, SL_SPLICING,
    sl_direction_free, sl_pipe_fill, sl_pipe_unfit, sl_way,
)
from gateway.h2_frames cimport FLAG_END_STREAM, FRAME_DATA, FRAME_HEADER, write_header
from gateway.h2_streams cimport STREAM_STALLED, ring_out, ring_park
from gateway.request cimport Request
from gateway.sockets cimport MSG_DONTWAIT, MSG_NOSIGNAL, SHUT_WR, recv, send, shutdown

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t readv(int fd, const iovec *pieces, int count)

cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    enum:
        MSG_PEEK

cdef enum:
    FRAMES_MOST = 32           # of one read
    SPLICE_FROM = 60000        # bytes of one read that are a sign of bulk: all that a share or a first window lets pass
    SPLICE_LEAST = 16384       # a splice of fewer costs more than copying them
    LEAN_CALLS = 2             # splices of fewer in a row end the splicing
    PENDING_ROOM = 16384       # first size of what waits for an upstream


cdef class H2Carrier(Handler):
    """What a stream needs of its connection; see h2_flow.pxd."""

    cdef void schedule(self, H2Stream *stream) noexcept:
        pass

    cdef void write_later(self) noexcept:
        pass

    cdef void tunnel_began(self) noexcept:
        pass

    cdef void tunnel_ended(self) noexcept:
        pass

    cdef void reset_stream(self, H2Stream *stream, uint32_t code) noexcept:
        pass

    cdef void drop_stream(self, H2Stream *stream, StreamEnd how) noexcept:
        pass

    cdef void refuse_stream(self, H2Stream *stream, int outcome, str rule, str reason, str detail,
                            uint64_t sequence) noexcept:
        pass


@cython.no_gc_clear
cdef class H2Flow(Request):
    """The bytes of one CONNECT, once it is a tunnel."""

    # ---- up ----------------------------------------------------------------------------------------------------------

    cdef bint put_released(self) noexcept:
        cdef uint64_t before = self.up.bytes
        cdef bint alive = Request.put_released(self)
        if alive:  # else all that was held is accounted for
            self.put_out(before)
            if self.stream is not NULL:
                self.carrier.session.return_stream(self.stream)  # all of it may be needed for a whole head
        return alive

    cdef void put(self, Piece *pieces, int count, uint32_t total) noexcept:
        """Straight to the upstream, unless something waits for it."""
        cdef msghdr message
        cdef ssize_t sent = 0
        cdef uint64_t before = self.up.bytes
        if total and self.up.pending is NULL:
            memset(&message, 0, sizeof(message))
            message.msg_iov, message.msg_iovlen = <iovec *> pieces, count
            while True:
                sent = sendmsg(self.upstream, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
                if sent >= 0 or errno != EINTR:
                    break
            if sent < 0 and errno != EAGAIN:
                self.end(SL_OUTCOME_RESET, True)
                return
            sent = max(sent, 0)
            self.up.bytes += sent
            self.active = self.context.loop.now
            self.record.carried(True, sent, self.up.bytes, self.down.bytes)
            self.put_out(before)
        if sent < <ssize_t> total:
            self.keep(pieces, count, sent)
        if self.client_ended or 0 < sent < <ssize_t> total:
            self.flush_up()

    cdef void keep(self, Piece *pieces, int count, size_t skip) noexcept:
        """What the upstream did not take."""
        cdef size_t i, size, need = 0
        cdef uint8_t *grown
        for i in range(<size_t> count):
            need += pieces[i].size
        need = need - skip + self.up.pending_to
        if self.room < self.up.pending_to:
            self.room = self.up.pending_to
        if need > self.room:
            size = self.room * 2 if self.room else PENDING_ROOM
            while size < need:
                size *= 2
            grown = <uint8_t *> realloc(self.up.pending, size)
            if grown is NULL:
                self.end(SL_OUTCOME_INTERNAL, True)
                return
            self.up.pending, self.room = grown, <uint32_t> size
        for i in range(<size_t> count):
            if skip >= pieces[i].size:
                skip -= pieces[i].size
                continue
            size = pieces[i].size - skip
            memcpy(self.up.pending + self.up.pending_to, <uint8_t *> pieces[i].base + skip, size)
            self.up.pending_to += <uint32_t> size
            skip = 0

    cdef bint flush_up(self) noexcept:
        """Puts out what waits for the upstream, then the end; False when the tunnel has ended."""
        cdef uint64_t before = self.up.bytes
        cdef ssize_t sent
        cdef bint failed = False
        while self.up.pending is not NULL:
            sent = send(self.upstream, self.up.pending + self.up.pending_from,
                        self.up.pending_to - self.up.pending_from, MSG_NOSIGNAL | MSG_DONTWAIT)
            if sent < 0 and errno == EINTR:
                continue
            if sent < 0:
                failed = errno != EAGAIN
                break
            self.up.pending_from += <uint32_t> sent
            self.up.bytes += sent
            if self.up.pending_from == self.up.pending_to:
                sl_direction_free(&self.up)
                self.room = 0
        if self.up.bytes != before:
            self.active = self.context.loop.now
            self.record.carried(True, self.up.bytes - before, self.up.bytes, self.down.bytes)
            self.put_out(before)
        if failed:
            self.end(SL_OUTCOME_RESET, True)
            return False
        if self.client_ended and not self.up.done and self.up.pending is NULL:
            self.up.done = 1
            if shutdown(self.upstream, SHUT_WR) < 0:
                self.end(SL_OUTCOME_RESET, True)
                return False
            return self.half_closed(self.down.done)
        return True

    cdef void put_out(self, uint64_t before) noexcept:
        """Windows are returned for what has left since `before`."""
        cdef uint32_t size = <uint32_t> (self.up.bytes - before)
        if size:
            self.held -= size
            self.carrier.session.consumed(self.stream, size)
            self.carrier.write_later()

    # ---- down --------------------------------------------------------------------------------------------------------

    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept:
        cdef H2Session session = self.carrier.session
        cdef H2Stream *stream = self.stream
        cdef iovec pieces[FRAMES_MOST]
        cdef uint32_t frame = session.frame_size()
        cdef uint32_t size, part, left
        cdef ssize_t got
        cdef int count = 0
        cdef size_t written = 0
        if self.closed or self.down.done or not self.readable or room <= FRAME_HEADER:
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
            got = readv(self.upstream, pieces, count)
            if got >= 0 or errno != EINTR:
                break
        if got == 0:
            return self.fill_end(at)
        if got < 0:
            ring_out(&session.streams, stream)
            self.readable = False
            self.down.urgent = 0
            if errno != EAGAIN:
                self.end(SL_OUTCOME_RESET, True)
            return 0
        if got < <ssize_t> size and not self.down.hangup and not self.down.urgent:
            # New bytes make a new edge; what came with these was told: an end by EPOLLRDHUP, a mark by EPOLLPRI.
            self.readable = False
            ring_out(&session.streams, stream)
        if got >= SPLICE_FROM and self.down.way == SL_COPYING and not self.down.urgent:
            self.down.way = SL_SPLICING
            self.down.lean = 0
            self.context.pipes.counts.begun += 1
        left, written = <uint32_t> got, 0
        while left:
            part = min(left, frame)
            write_header(at + written, part, FRAME_DATA, 0, stream.id)
            written += part + FRAME_HEADER
            left -= part
        self.took(<uint32_t> got)
        return written

    cdef void took(self, uint32_t size) noexcept:
        self.carrier.session.sent(self.stream, size, False)
        self.down.bytes += size
        self.active = self.context.loop.now
        self.record.carried(False, size, self.up.bytes, self.down.bytes)

    cdef int64_t fill_pipe(self, sl_pipe *pipe, uint32_t most) noexcept:
        cdef H2Stream *stream = self.stream
        cdef uint32_t size = self.carrier.session.sendable(stream, min(most, pipe.size))
        cdef ssize_t got
        if self.down.urgent:
            self.leave_splice(SL_COPY_ONLY)  # splice(2) does not get past the mark
        if size < SPLICE_LEAST or self.down.urgent or self.down.done or not self.readable:
            return -1
        got = sl_pipe_fill(pipe, self.upstream, size)
        if got > 0:
            stream.flags &= ~STREAM_STALLED
            self.down.lean = 0 if got >= SPLICE_LEAST else self.down.lean + 1
            if self.down.lean >= LEAN_CALLS:
                self.leave_splice(SL_COPYING)
            self.took(<uint32_t> got)
            return got
        if got == 0:
            return -1  # the end, which fill() carries over
        if sl_pipe_unfit(errno):
            self.context.pipes.counts.refused += 1
            self.leave_splice(SL_COPY_ONLY)
            return -1
        # An empty pipe: EAGAIN is the upstream's, and new bytes make a new edge. A reset is reported once, and here.
        ring_out(&self.carrier.session.streams, stream)
        self.readable = False
        if errno != EAGAIN:
            self.end(SL_OUTCOME_RESET, True)
        return 0

    cdef void leave_splice(self, sl_way way) noexcept:
        if self.down.way == SL_SPLICING:
            self.context.pipes.counts.ended += 1
        self.down.way = way

    cdef size_t fill_end(self, uint8_t *at) noexcept:
        """Nothing can be sent but an end of file, which needs no window."""
        cdef H2Session session = self.carrier.session
        cdef H2Stream *stream = self.stream
        cdef uint8_t byte
        cdef ssize_t got = recv(self.upstream, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
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
                self.end(SL_OUTCOME_RESET, True)
            return 0
        write_header(at, 0, FRAME_DATA, FLAG_END_STREAM, stream.id)
        session.sent(stream, 0, True)
        self.down.ended = self.down.done = 1
        self.half_closed(self.up.done)
        return FRAME_HEADER
