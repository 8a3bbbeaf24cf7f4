# The outgoing half of an HTTP/2 connection's socket: bytes in one order, and what of them the socket did not take. It
# calls nothing of its connection: it answers whether more may be sent, and `blocked` and `failed` say how it stands.
from libc.stdint cimport uint8_t, uint32_t

from gateway.c.leg cimport sl_leg
from gateway.c.pipe_pool cimport sl_pipe, sl_pipe_pool
from gateway.proto.http2.frames cimport Outgoing
from gateway.proto.http2.outbound cimport H2Outbound
from gateway.proto.http2.streams cimport H2Stream
from gateway.proto.http2.work cimport H2Work

cdef class H2Writer:
    cdef sl_leg *leg           # of the connection, which this is a part of; borrowed
    cdef sl_pipe_pool *pipes   # of the worker; borrowed
    cdef H2Outbound session
    cdef H2Work work
    cdef Outgoing partial      # frames the socket did not take whole: they go before anything else
    cdef sl_pipe *pipe         # bytes of one stream on their way, behind `partial`, before anything else; NULL: none
    cdef uint32_t pipe_stream  # number of that stream
    cdef uint32_t pipe_frame   # bytes of the frame that was begun, still in the pipe
    cdef sl_pipe *framed       # small frames made of them, headers and all, before what is in the pipe; NULL: none
    cdef bint pipe_cut         # the stream is gone: no further frame is begun
    cdef bint copies           # the socket cannot be spliced to
    cdef bint blocked          # until EPOLLOUT
    cdef bint secret           # a block with a credential is among the frames in the worker's output
    cdef bint failed           # the socket takes nothing any more: the connection is to be dropped

    # Frames of the session, to the start of the worker's output; the bytes.
    cdef size_t take_frames(self) noexcept
    # Sends, and keeps what the socket does not take; False when it is full, or gone. `more` is about to follow.
    cdef bint put(self, const uint8_t *data, size_t length, bint more) noexcept
    # The frames have left, or wait elsewhere: a secret among the `size` bytes is wiped.
    cdef void forget(self, size_t size) noexcept
    # Whether bytes were left over: they go before anything else.
    cdef inline bint owes(self) noexcept:
        return self.partial.data is not NULL or self.pipe is not NULL or self.framed is not NULL

    # Sends them; False when the socket is full, or gone.
    cdef bint drain(self) noexcept
    # An empty pipe for the bytes of a stream; NULL: they are to be copied.
    cdef sl_pipe *borrow_pipe(self) noexcept
    # The most of a stream's bytes that the pipe is to have.
    cdef uint32_t pipe_share(self) noexcept
    # Frames of what is in the pipe now, of stream number `stream`; False when the socket is full, or gone.
    cdef bint send_pipe(self, uint32_t stream) noexcept
    # Gives the pipe back. What is left in it goes nowhere, and the connection's window has it back: True when it had.
    cdef bint release_pipe(self) noexcept
    # Nothing more is sent on `stream` of what is not begun; True when windows have opened by that.
    cdef bint cut(self, const H2Stream *stream) noexcept
    # Gives back all that waits to be sent: the connection is gone.
    cdef void free_output(self) noexcept

    cdef bint flush_partial(self) noexcept
    cdef bint drain_pipe(self) noexcept
    cdef bint begin_frame(self) noexcept
    # The same for small frames: by way of a second pipe, which leaves as one.
    cdef bint drain_framed(self) noexcept
    cdef void fill_framed(self) noexcept
    # The meaning of a call that should have drained a pipe for the socket; False when it takes nothing more.
    cdef bint undrained(self) noexcept
    cdef bint pour(self, sl_pipe *pipe, uint32_t *left) noexcept
