# A stream of an HTTP/2 connection as one leg of a tunnel: its bytes both ways.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from gateway.context cimport Context
from gateway.csrc cimport sl_pipe, sl_way
from gateway.h2_session cimport H2Session
from gateway.h2_streams cimport H2Stream, StreamEnd
from gateway.loop cimport Handler
from gateway.request cimport Request

# What a stream needs of its connection.
cdef class H2Carrier(Handler):
    cdef Context context
    cdef H2Session session
    # The stream may have something to send; it gets its turn.
    cdef void schedule(self, H2Stream *stream) noexcept
    # Frames are outgoing.
    cdef void write_later(self) noexcept
    cdef void tunnel_began(self) noexcept
    cdef void tunnel_ended(self) noexcept
    # Says RST_STREAM and forgets the stream.
    cdef void reset_stream(self, H2Stream *stream, uint32_t code) noexcept
    cdef void drop_stream(self, H2Stream *stream, StreamEnd how) noexcept
    cdef void refuse_stream(self, H2Stream *stream, int outcome, str rule, str reason, str detail,
                            uint64_t sequence) noexcept

cdef struct Piece:             # struct iovec
    void *base
    size_t size

cdef class H2Flow(Request):
    cdef H2Carrier carrier
    cdef H2Stream *stream      # NULL once it is forgotten
    cdef bint readable         # the upstream may have bytes
    cdef bint client_ended     # END_STREAM came
    cdef uint32_t held         # bytes received and not put out
    cdef uint32_t room         # of up.pending, where it is ours; 0: as large as what is in it

    # `total` bytes in `count` pieces to the upstream; what it does not take is kept.
    cdef void put(self, Piece *pieces, int count, uint32_t total) noexcept
    cdef void keep(self, Piece *pieces, int count, size_t skip) noexcept
    cdef bint flush_up(self) noexcept
    cdef void put_out(self, uint64_t before) noexcept
    # Frames of what the upstream says, at most `room` bytes of them and `most` of payload; the bytes written. Takes the
    # stream out of the ring when there is nothing more now. May end the tunnel, and with it the stream.
    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept
    cdef size_t fill_end(self, uint8_t *at) noexcept
    # What the upstream says, at most `most` bytes of it, into an empty pipe; the bytes. 0: nothing now, and maybe the
    # end of the tunnel, as with fill(). -1: it is for fill() to see how things stand.
    cdef int64_t fill_pipe(self, sl_pipe *pipe, uint32_t most) noexcept
    cdef void leave_splice(self, sl_way way) noexcept
    # `size` bytes from the upstream are on their way down.
    cdef void took(self, uint32_t size) noexcept
