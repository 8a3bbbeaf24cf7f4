# The writing half of a client's HTTP/2 connection: streams have their turns, and what they say leaves by one socket.
from libc.stdint cimport uint8_t, uint32_t

from gateway.csrc cimport sl_pipe
from gateway.h2_flow cimport H2Carrier
from gateway.h2_frames cimport Outgoing
from gateway.h2_streams cimport H2Stream
from gateway.h2_work cimport H2Work

cdef class H2Writer(H2Carrier):
    cdef int fd
    cdef H2Work work
    cdef Outgoing partial      # frames the socket did not take whole: they go before anything else
    cdef sl_pipe *pipe         # bytes of one stream on their way: they follow `partial`, and go before anything else
    cdef uint32_t pipe_stream  # whose they are
    cdef uint32_t pipe_frame   # bytes of the frame that was begun, still in the pipe
    cdef sl_pipe *framed       # small frames made of them, headers and all: they go before what is in the pipe
    cdef bint pipe_cut         # the stream is gone: no further frame is begun
    cdef bint copies           # the socket cannot be spliced to
    cdef bint blocked          # until EPOLLOUT
    cdef bint leaving          # ends when everything outgoing is out

    # The transport: everything above speaks of frames. `more`: further bytes follow at once.
    cdef ssize_t transmit(self, const uint8_t *data, size_t length, bint more) noexcept
    cdef void opened_window(self, H2Stream *stream) noexcept
    cdef void serve(self) noexcept
    cdef size_t take_frames(self) noexcept
    cdef size_t gather(self, size_t used) noexcept
    cdef size_t fill_body(self, H2Stream *stream, uint8_t *at, size_t room) noexcept
    cdef void end_answer(self, H2Stream *stream) noexcept
    # A turn of the bulk stream at the head of the ring; the bytes of payload it had.
    cdef size_t splice(self) noexcept
    cdef bint drain_pipe(self) noexcept
    cdef bint begin_frame(self) noexcept
    # The same for small frames: by way of a second pipe, which leaves as one.
    cdef bint drain_framed(self) noexcept
    cdef void fill_framed(self) noexcept
    # What a call that should have drained a pipe means for the socket; False when it takes nothing more.
    cdef bint undrained(self) noexcept
    cdef bint pour(self, sl_pipe *pipe, uint32_t *left) noexcept
    # Nothing more is said on `stream`, of what is not begun.
    cdef void cut_pipe(self, const H2Stream *stream) noexcept
    cdef void release_pipe(self) noexcept
    cdef bint put(self, const uint8_t *data, size_t length, bint more) noexcept
    cdef bint flush_partial(self) noexcept
    # The last frame is out.
    cdef void finish(self) noexcept
    # The connection is gone.
    cdef void drop(self) noexcept
