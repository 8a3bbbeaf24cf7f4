"""The outgoing half of an HTTP/2 connection's socket. See writer.pxd.

What the socket does not take is kept, and no stream is read before it is out. The bytes of a bulk stream go through a
pipe, a frame's header by send(), its payload by splice(2), so that they are never copied. Where frames are small, two
calls for each cost more than the copies: headers and payload are put in turns into a second pipe, which leaves by one
splice(2).

* Bytes leave in one order: what was left over (`partial`), the pipes, then everything else. So frames never mix, and
  SETTINGS are acknowledged behind what was taken up under the older ones.
* Payload is charged to the windows as it is taken from the upstream. A frame that was begun is always ended, whatever
  becomes of its stream, as its payload is in the pipe already. Further bytes in the pipe leave as well, in front of
  the RST_STREAM, when the upstream was reset; when the peer has reset the stream, or it is taken away, it is dropped
  and the connection's window has it back.
* Pipes are borrowed for one turn, and kept only while bytes are left in them because the socket is full: a peer that
  does not read holds one pipe, or two.
"""

cimport cython
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from gateway.c.leg cimport sl_leg_out_of_pipe, sl_leg_send
from gateway.c.pipe_pool cimport (
    sl_pipe, sl_pipe_give, sl_pipe_move, sl_pipe_put, sl_pipe_read, sl_pipe_take, sl_pipe_unfit,
)
from gateway.proto.http2.frames cimport FRAME_DATA, FRAME_HEADER, free_bytes, put_bytes, sent_bytes, write_header
from gateway.proto.http2.streams cimport ring_unpark
from gateway.proto.http2.work cimport OUTPUT_SIZE

cdef extern from "string.h" nogil:
    void explicit_bzero(void *data, size_t length)

cdef enum:
    SPLICED = 262144           # of a bulk stream: all that a pipe holds
    FRAMED = 245760            # where frames are small: fifteen of 16 KiB
    FRAMED_ALONE = 32768       # frames of this size and more leave by a send() and a splice(2) each


@cython.final
cdef class H2Writer:
    """A part of one connection: it may touch the socket, the session's windows and the worker's pipes and buffers."""

    def __dealloc__(self):
        free_bytes(&self.partial)

    cdef bint drain(self) noexcept:
        return self.flush_partial() and self.drain_pipe()

    cdef size_t take_frames(self) noexcept:
        cdef size_t size = min(self.session.out.end - self.session.out.begin, <size_t> OUTPUT_SIZE // 2)
        if size:
            memcpy(self.work.output, self.session.out.data + self.session.out.begin, size)
            self.secret |= self.session.out.secret
            sent_bytes(&self.session.out, size)
        return size

    cdef void forget(self, size_t size) noexcept:
        if self.secret:
            explicit_bzero(self.work.output, size)
            self.secret = False

    cdef bint put(self, const uint8_t *data, size_t length, bint more) noexcept:
        """Sends, and keeps what the socket does not take; False when it is full, or gone."""
        cdef ssize_t sent
        cdef size_t done = 0
        while done < length:
            sent = sl_leg_send(self.leg, data + done, length - done, more)
            if sent < 0 and errno == EAGAIN:
                self.partial.secret |= self.secret
                if not put_bytes(&self.partial, data + done, length - done):
                    self.failed = True
                self.blocked = True
                return False
            if sent < 0:
                self.failed = True
                return False
            done += sent
        return True

    cdef bint flush_partial(self) noexcept:
        cdef ssize_t sent
        while self.partial.data is not NULL:
            sent = sl_leg_send(self.leg, self.partial.data + self.partial.begin,
                               self.partial.end - self.partial.begin, self.pipe_frame != 0)
            if sent < 0 and errno == EAGAIN:
                self.blocked = True
                return False
            if sent < 0:
                self.failed = True
                return False
            sent_bytes(&self.partial, sent)
        return True

    # ---- bulk --------------------------------------------------------------------------------------------------------

    cdef sl_pipe *borrow_pipe(self) noexcept:
        self.pipe = NULL if self.copies else sl_pipe_take(self.pipes)
        return self.pipe

    cdef uint32_t pipe_share(self) noexcept:
        return SPLICED if self.session.frame_size() >= FRAMED_ALONE else FRAMED

    cdef bint send_pipe(self, uint32_t stream) noexcept:
        self.pipe_stream = stream
        return self.drain_pipe()

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
                    self.framed = sl_pipe_take(self.pipes)
                    if self.framed is not NULL:
                        continue
                if not self.begin_frame():
                    return False
            if self.copies:
                if not self.pour(self.pipe, &self.pipe_frame):
                    return False
                continue
            sent = sl_leg_out_of_pipe(self.leg, self.pipe, self.pipe_frame, self.pipe.held > self.pipe_frame)
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
                sent = sl_leg_out_of_pipe(self.leg, self.framed, self.framed.held,
                                          self.pipe is not NULL and self.pipe.held > 0)
                if sent <= 0 and not self.undrained():
                    return False
            if self.pipe is not NULL:
                self.fill_framed()
            if self.framed.held == 0:
                sl_pipe_give(self.pipes, self.framed)
                self.framed = NULL
                if self.pipe is not NULL and self.pipe.held and not self.pipe_cut:
                    self.failed = True  # neither header nor payload went into an empty pipe: an internal error
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
                if sl_pipe_put(self.pipes, self.framed, header, FRAME_HEADER) != FRAME_HEADER:
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
            self.pipes.counts.refused += 1
            self.copies = True
            return True
        self.failed = True
        return False

    cdef bint pour(self, sl_pipe *pipe, uint32_t *left) noexcept:
        """Copies from a pipe, at most `left` bytes, to a socket that turned out not to take a splice."""
        cdef ssize_t got = sl_pipe_read(pipe, self.work.output, min(left[0], <uint32_t> OUTPUT_SIZE))
        if got <= 0:
            self.failed = True
            return False
        left[0] -= <uint32_t> got
        return self.put(self.work.output, got, False)

    cdef bint cut(self, const H2Stream *stream) noexcept:
        if self.pipe is NULL or self.pipe_stream != stream.id:
            return False
        self.pipe_cut = True
        return self.pipe_frame == 0 and self.release_pipe()

    cdef bint release_pipe(self) noexcept:
        cdef uint32_t left = self.pipe.held
        sl_pipe_give(self.pipes, self.pipe)
        self.pipe = NULL
        self.pipe_cut = False
        if left:
            self.session.send_window += left
            ring_unpark(&self.session.streams, NULL)
        return left != 0

    cdef void free_output(self) noexcept:
        free_bytes(&self.partial)
        sl_pipe_give(self.pipes, self.pipe)
        sl_pipe_give(self.pipes, self.framed)
        self.pipe = self.framed = NULL
