"""The writing half of a client's HTTP/2 connection. See h2_writer.pxd.

At the end of a turn everything outgoing is put into one buffer, frames of the session first, then a share of every
stream that has something, and leaves by one send(). What the socket does not take is kept, and no stream is read
before it is out. A stream that is bulk has its turn by itself: what its upstream said goes through a pipe, a frame's
header by send(), its payload by splice(2), so that it is never copied. Where frames are small, two calls for each cost
more than the copies: headers and payload are put in turns into a second pipe, which leaves by one splice(2).

* Bytes leave in one order: what was left over (`partial`), the pipes, then everything else. So frames never mix, and
  SETTINGS are acknowledged behind what was taken up under the older ones.
* Payload is charged to the windows as it is taken from the upstream. A frame that was begun is always ended, whatever
  becomes of its stream, as its payload is in the pipe already. What is in the pipe beyond it leaves, too, in front of
  the RST_STREAM, when the upstream was reset; when the client has reset the stream, or we take it away, it is dropped
  and the connection's window has it back.
* Pipes are borrowed for one turn, and kept only while bytes are left in them because the socket is full: a client that
  does not read holds one pipe, or two.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from gateway.csrc cimport (
    SL_SPLICING, sl_pipe, sl_pipe_drain, sl_pipe_give, sl_pipe_move, sl_pipe_put, sl_pipe_read, sl_pipe_take,
    sl_pipe_unfit,
)
from gateway.h2_flow cimport H2Flow
from gateway.h2_frames cimport (
    FLAG_END_STREAM, FRAME_DATA, FRAME_HEADER, H2_NO_ERROR, H2_PROTOCOL_ERROR, free_bytes, put_bytes, sent_bytes,
    write_header,
)
from gateway.h2_session cimport H2Session
from gateway.h2_streams cimport (
    END_BOTH, STREAM_MALFORMED, STREAM_PARKED, STREAM_REMOTE_ENDED, ring_add, ring_out, ring_park, ring_unpark,
)
from gateway.h2_work cimport OUTPUT_SIZE
from gateway.sockets cimport MSG_DONTWAIT, MSG_NOSIGNAL, send

cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_MORE

cdef enum:
    WRITE_BUDGET = 1048576     # bytes of one turn
    SHARE = 65536              # payload of one stream before the next one has its turn
    SHARE_ALONE = 262144       # where it is the only one
    SPLICED = 262144           # of a bulk stream: all that a pipe holds
    FRAMED = 245760            # where frames are small: fifteen of 16 KiB
    FRAMED_ALONE = 32768       # frames of this size and more leave by a send() and a splice(2) each


cdef class H2Writer(H2Carrier):
    """The base of a client's connection; see h2_writer.pxd."""

    def __dealloc__(self):
        free_bytes(&self.partial)

    cdef ssize_t transmit(self, const uint8_t *data, size_t length, bint more) noexcept:
        cdef ssize_t sent
        cdef int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (MSG_MORE if more else 0)
        while True:
            sent = send(self.fd, data, length, flags)
            if sent >= 0 or errno != EINTR:
                return sent

    cdef void finish(self) noexcept:
        pass

    cdef void drop(self) noexcept:
        pass

    # ---- turns -------------------------------------------------------------------------------------------------------

    cdef void schedule(self, H2Stream *stream) noexcept:
        ring_add(&self.session.streams, stream)
        self.write_later()

    cdef void write_later(self) noexcept:
        """At the end of this turn: whatever else becomes outgoing in it leaves with the same send()."""
        if not self.closed:
            self.context.loop.later(self)

    cdef void opened_window(self, H2Stream *stream) noexcept:
        if stream is NULL:
            ring_unpark(&self.session.streams)
        elif stream.flags & STREAM_PARKED:
            ring_add(&self.session.streams, stream)

    cdef void serve(self) noexcept:
        """Sends until there is nothing to send, the socket is full, or the turn's budget is used up."""
        cdef H2Session session = self.session
        cdef size_t size, total = 0
        while not self.closed and not self.blocked:
            if not self.flush_partial() or not self.drain_pipe():
                return
            size = self.gather(self.take_frames())
            if size:
                if not self.put(self.work.output, size, False):
                    return
            elif session.streams.ring is not NULL and not session.ended:
                size = self.splice()
            else:
                if self.leaving and session.out.data is NULL:
                    self.finish()
                return
            total += size
            if total >= WRITE_BUDGET:
                self.context.loop.share(self)
                return

    cdef size_t take_frames(self) noexcept:
        """Frames of the session, at the start of the output; the bytes."""
        cdef size_t size = min(self.session.out.end - self.session.out.begin, <size_t> OUTPUT_SIZE // 2)
        if size:
            memcpy(self.work.output, self.session.out.data + self.session.out.begin, size)
            sent_bytes(&self.session.out, size)
        return size

    cdef size_t gather(self, size_t used) noexcept:
        """A share of every stream whose turn it is, behind the `used` bytes of the output; the bytes then. Ends at a
        bulk stream: what is gathered leaves first, then that one has its turn."""
        cdef H2Session session = self.session
        cdef uint8_t *output = self.work.output
        cdef H2Stream *stream
        cdef size_t written
        while session.streams.ring is not NULL and OUTPUT_SIZE - used > SHARE and not session.ended:
            stream = session.streams.ring
            if stream.owner is not NULL and (<H2Flow> stream.owner).down.way == SL_SPLICING:
                break
            session.streams.ring = stream.next
            if stream.body is not NULL:
                written = self.fill_body(stream, output + used, OUTPUT_SIZE - used)
            elif stream.owner is not NULL:
                written = (<H2Flow> stream.owner).fill(
                    output + used, OUTPUT_SIZE - used, SHARE_ALONE if stream.next is stream else SHARE)
            else:
                ring_out(&session.streams, stream)
                written = 0
            used += written
        return used

    # ---- short answers -----------------------------------------------------------------------------------------------

    cdef size_t fill_body(self, H2Stream *stream, uint8_t *at, size_t room) noexcept:
        """The rest of a short answer, as windows allow; then the stream is over."""
        cdef H2Session session = self.session
        cdef bytes body = <bytes> stream.body
        cdef uint32_t left = <uint32_t> PyBytes_GET_SIZE(body) - stream.body_from
        cdef uint32_t size = session.sendable(stream, min(min(left, <uint32_t> room - FRAME_HEADER),
                                                          session.frame_size()))
        cdef bint end = size == left
        if size == 0 and left:
            ring_park(&session.streams, stream)
            return 0
        write_header(at, size, FRAME_DATA, FLAG_END_STREAM if end else 0, stream.id)
        memcpy(at + FRAME_HEADER, PyBytes_AS_STRING(body) + stream.body_from, size)
        session.sent(stream, size, end)
        stream.body_from += size
        if end:
            self.end_answer(stream)
        return size + FRAME_HEADER

    cdef void end_answer(self, H2Stream *stream) noexcept:
        """RFC 9113 section 8.1: what the client still wants to send is of no use."""
        if stream.flags & STREAM_MALFORMED:
            self.reset_stream(stream, H2_PROTOCOL_ERROR)
        elif stream.flags & STREAM_REMOTE_ENDED:
            self.drop_stream(stream, END_BOTH)
        else:
            self.reset_stream(stream, H2_NO_ERROR)

    # ---- bulk --------------------------------------------------------------------------------------------------------

    cdef size_t splice(self) noexcept:
        cdef H2Stream *stream = self.session.streams.ring
        cdef H2Flow flow = <H2Flow> stream.owner
        cdef uint32_t identifier = stream.id
        cdef bint alone = stream.next is stream
        cdef int64_t got = -1
        cdef size_t written
        self.session.streams.ring = stream.next
        self.pipe = NULL if self.copies else sl_pipe_take(&self.context.pipes)
        if self.pipe is not NULL:
            got = flow.fill_pipe(self.pipe, SPLICED if self.session.frame_size() >= FRAMED_ALONE else FRAMED)
            if got > 0:
                self.pipe_stream = identifier
                self.drain_pipe()
                return got
            self.release_pipe()
        if got == 0:
            return 0
        written = flow.fill(self.work.output, OUTPUT_SIZE, SHARE_ALONE if alone else SHARE)
        if written:
            self.put(self.work.output, written, False)
        return written

    cdef bint drain_pipe(self) noexcept:
        """Frames of what is in the pipe; False when the socket is full, or gone."""
        cdef ssize_t sent
        while self.pipe is not NULL or self.framed is not NULL:
            if self.framed is not NULL:
                if not self.drain_framed():
                    return False
                continue
            if self.pipe_frame == 0:
                if self.pipe.held == 0 or self.pipe_cut:
                    self.release_pipe()
                    return True
                if self.session.frame_size() < FRAMED_ALONE and not self.copies:
                    self.framed = sl_pipe_take(&self.context.pipes)
                    if self.framed is not NULL:
                        continue
                if not self.begin_frame():
                    return False
            if self.copies:
                if not self.pour(self.pipe, &self.pipe_frame):
                    return False
                continue
            sent = sl_pipe_drain(self.pipe, self.fd, self.pipe_frame, self.pipe.held > self.pipe_frame)
            if sent > 0:
                self.pipe_frame -= <uint32_t> sent
            elif not self.undrained():
                return False
        return True

    cdef bint begin_frame(self) noexcept:
        cdef uint8_t header[FRAME_HEADER]
        self.pipe_frame = min(self.pipe.held, self.session.frame_size())
        write_header(header, self.pipe_frame, FRAME_DATA, 0, self.pipe_stream)
        return self.put(header, FRAME_HEADER, True)

    cdef bint drain_framed(self) noexcept:
        """Puts out what is framed and frames more, until nothing is left to be framed; then that pipe goes back."""
        cdef ssize_t sent
        cdef uint32_t left
        while True:
            while self.framed.held:
                if self.copies:
                    left = self.framed.held
                    if not self.pour(self.framed, &left):
                        return False
                    continue
                sent = sl_pipe_drain(self.framed, self.fd, self.framed.held,
                                     self.pipe is not NULL and self.pipe.held > 0)
                if sent <= 0 and not self.undrained():
                    return False
            if self.pipe is not NULL:
                self.fill_framed()
            if self.framed.held == 0:
                sl_pipe_give(&self.context.pipes, self.framed)
                self.framed = NULL
                if self.pipe is not NULL and self.pipe.held and not self.pipe_cut:
                    self.drop()  # neither header nor payload went into an empty pipe: an error of ours
                    return False
                return True

    cdef void fill_framed(self) noexcept:
        """As many frames as there is payload, and room. One may be begun and go on when there is room again."""
        cdef uint8_t header[FRAME_HEADER]
        cdef uint32_t size
        cdef ssize_t moved
        while self.pipe.held:
            if self.pipe_frame == 0:
                if self.pipe_cut:
                    return
                size = min(self.pipe.held, self.session.frame_size())
                write_header(header, size, FRAME_DATA, 0, self.pipe_stream)
                if sl_pipe_put(&self.context.pipes, self.framed, header, FRAME_HEADER) != FRAME_HEADER:
                    return
                self.pipe_frame = size
            moved = sl_pipe_move(self.pipe, self.framed, self.pipe_frame)
            if moved <= 0:
                return
            self.pipe_frame -= <uint32_t> moved

    cdef bint undrained(self) noexcept:
        if errno == EAGAIN:
            self.blocked = True
            return False
        if sl_pipe_unfit(errno):
            self.context.pipes.counts.refused += 1
            self.copies = True
            return True
        self.drop()
        return False

    cdef bint pour(self, sl_pipe *pipe, uint32_t *left) noexcept:
        """Copies from a pipe, at most `left` bytes, to a socket that turned out not to take a splice."""
        cdef ssize_t got = sl_pipe_read(pipe, self.work.output, min(left[0], <uint32_t> OUTPUT_SIZE))
        if got <= 0:
            self.drop()
            return False
        left[0] -= <uint32_t> got
        return self.put(self.work.output, got, False)

    cdef void cut_pipe(self, const H2Stream *stream) noexcept:
        if self.pipe is not NULL and self.pipe_stream == stream.id:
            self.pipe_cut = True
            if self.pipe_frame == 0:
                self.release_pipe()

    cdef void release_pipe(self) noexcept:
        """Gives it back. What is left in it goes nowhere."""
        cdef uint32_t left = self.pipe.held
        sl_pipe_give(&self.context.pipes, self.pipe)
        self.pipe = NULL
        self.pipe_cut = False
        if left:
            self.session.send_window += left
            self.opened_window(NULL)
            self.write_later()

    # ---- the socket --------------------------------------------------------------------------------------------------

    cdef bint put(self, const uint8_t *data, size_t length, bint more) noexcept:
        """Sends, and keeps what the socket does not take; False when it is full, or gone."""
        cdef ssize_t sent
        cdef size_t done = 0
        while done < length:
            sent = self.transmit(data + done, length - done, more)
            if sent < 0 and errno == EAGAIN:
                if not put_bytes(&self.partial, data + done, length - done):
                    self.drop()
                self.blocked = True
                return False
            if sent < 0:
                self.drop()
                return False
            done += sent
        return True

    cdef bint flush_partial(self) noexcept:
        cdef ssize_t sent
        while self.partial.data is not NULL:
            sent = self.transmit(self.partial.data + self.partial.begin, self.partial.end - self.partial.begin,
                                 self.pipe_frame != 0)
            if sent < 0 and errno == EAGAIN:
                self.blocked = True
                return False
            if sent < 0:
                self.drop()
                return False
            sent_bytes(&self.partial, sent)
        return True
