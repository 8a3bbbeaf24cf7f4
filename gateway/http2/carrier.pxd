# An HTTP/2 connection on a socket, of either side: turns of what it reads and sends, what it waits for, and its end. It
# carries streams, and has a reader and a writer of its socket.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from gateway.c.addr cimport sl_addr
from gateway.c.leg cimport sl_leg
from gateway.c.pipe_pool cimport sl_pipe
from gateway.http2.deadlines cimport Deadlines
from gateway.http2.reader cimport H2Reader
from gateway.http2.states cimport CarrierState
from gateway.http2.writer cimport H2Writer
from gateway.io.loop cimport Handler, Loop
from gateway.proto.http2.core cimport EventKind, H2Core, H2Event
from gateway.proto.http2.streams cimport H2Stream, StreamEnd
from gateway.proto.http2.work cimport H2Work
from gateway.state.meter cimport Meter
from gateway.state.parts cimport WorkerParts

cdef class H2Carrier(Handler):
    cdef uint8_t silence       # acknowledgements at the last look (silence.h)
    cdef bint stopped          # by the budget of a turn: more is outgoing
    cdef CarrierState state    # from CARRIER_LEAVING on it ends when everything outgoing is out
    cdef Loop loop
    cdef Meter meter           # of the worker
    cdef H2Core session
    cdef H2Work work           # the worker's buffers
    cdef sl_leg leg
    cdef H2Reader reader
    cdef H2Writer writer
    cdef Deadlines deadlines
    cdef H2Remains remains     # ends the streams; None before there are too many for one turn
    cdef uint64_t heard        # loop milliseconds of the last input
    cdef const char *broken    # static text: how the peer has broken its TLS session; NULL: it has not
    cdef sl_addr here          # own address; family 0 when unknown, or of no use

    # The next state; see states.pxd.
    cdef void move(self, CarrierState state) except *
    # For constructors: loop, meter, pipes and buffers are those of `parts`. `leg` is set before any other call, and the
    # loop watches its socket already.
    cdef int take_over(self, WorkerParts parts, H2Core session) except -1
    # Events are its own from now on; False when it has to be dropped.
    cdef bint watch(self) noexcept

    # ---- in ----------------------------------------------------------------------------------------------------------
    cdef void read(self) noexcept
    # With what is left of the share that it has.
    cdef void read_on(self) noexcept
    # It has had its share: it reads on in a later turn.
    cdef void read_again(self) noexcept
    # Drops further input, so that the close is not a reset that eats the last output.
    cdef void linger_read(self) noexcept
    # All frames in new input, as far as the turn's share of this connection goes.
    cdef void process(self, const uint8_t *data, size_t length) noexcept
    cdef void work_through(self) noexcept
    # Wrong transitions of streams.
    cdef void count_missteps(self) except *
    # Puts aside what the share did not reach.
    cdef void keep_rest(self) noexcept

    # ---- out ---------------------------------------------------------------------------------------------------------
    # The stream may have something to send; it gets its turn.
    cdef void schedule(self, H2Stream *stream) noexcept
    # Frames are outgoing.
    cdef void write_later(self) noexcept
    cdef void serve(self) noexcept
    cdef size_t gather(self, size_t used) noexcept
    # A turn of the bulk stream at the head of the ring; the bytes of payload it had.
    cdef size_t splice(self) noexcept

    # ---- streams, and the end ----------------------------------------------------------------------------------------
    # Sends RST_STREAM and forgets the stream.
    cdef void reset_stream(self, H2Stream *stream, uint32_t code) noexcept
    cdef void count_reset(self, int side, uint32_t code) noexcept
    # An owner lets go of its stream, which may be NULL, and is after: forgotten without a frame; by RST_STREAM; or as
    # both its sides have ended it, by RST_STREAM where they have not.
    cdef void forget_stream(self, H2Stream **held, StreamEnd how) noexcept
    cdef void cut_stream(self, H2Stream **held, uint32_t code) noexcept
    cdef void settle_stream(self, H2Stream **held, uint32_t code) noexcept
    # Ends in good order: GOAWAY, then the last frames.
    cdef void leave(self) noexcept
    cdef void end_streams(self) noexcept
    # Ends a few of them; False when none is left.
    cdef bint end_some(self) noexcept
    # The last frame is out.
    cdef void finish(self) noexcept
    # The connection is gone, and everything on it.
    cdef void drop(self) noexcept

    # ---- of each side ------------------------------------------------------------------------------------------------
    # What next() may use up of this turn: as an event, or `late`, in the part of the turn that stopped handlers share.
    cdef void take_share(self, bint late) noexcept
    cdef void act(self, EventKind kind, H2Event *event) noexcept
    # All events of an input were acted on, up to its share.
    cdef void acted(self) noexcept
    # Frames of what `stream` has to send, at most `room` bytes of them and `most` of payload; the bytes written. Takes
    # the stream out of the ring when there is nothing more now. May end the stream.
    cdef size_t fill(self, H2Stream *stream, uint8_t *at, size_t room, uint32_t most) noexcept
    # Bytes of a bulk stream, at most `most`, into an empty pipe; the bytes. 0: nothing now, and maybe the end of the
    # stream, as with fill(). -1: it is for fill() to see how things stand.
    cdef int64_t fill_pipe(self, H2Stream *stream, sl_pipe *pipe, uint32_t most) noexcept
    # Arms the timer for what is awaited now.
    cdef void wait_for(self) noexcept
    # Whether anything is, or was, awaited. Most inputs leave nothing open.
    cdef bint waits(self) noexcept
    cdef void drop_stream(self, H2Stream *stream, StreamEnd how) noexcept
    # The connection carries `stream` no further: the stream is forgotten, and its owner notified.
    cdef void lose_stream(self, H2Stream *stream) noexcept
    # The same, at the end of the worker or behind an internal error.
    cdef void close_stream(self, H2Stream *stream) noexcept
    # The connection takes no further streams; `dropped`: the socket is gone.
    cdef void on_end(self, bint dropped) noexcept
    # The peer has broken its TLS session, as `broken` says; the end follows.
    cdef void on_broken(self) noexcept
    # The connection is gone: its places are given back.
    cdef void release(self) noexcept
    # Server: a stream has become a tunnel, a tunnel has ended, a request is refused.
    cdef void tunnel_began(self) noexcept
    cdef void tunnel_ended(self) noexcept
    cdef void refuse_stream(self, H2Stream *stream, int outcome, str rule, str reason, str detail,
                            uint64_t sequence) noexcept
    # Client: a request was left unanswered for long.
    cdef void doubt(self) noexcept

# The streams of a connection that has ended: they end in turns, a few in each.
cdef class H2Remains(Handler):
    cdef H2Carrier connection
