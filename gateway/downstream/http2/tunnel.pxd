# A tunnel between a stream of a client's HTTP/2 connection and a socket.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from gateway.http2.carrier cimport H2Carrier
from gateway.c.pipe_pool cimport sl_pipe
from gateway.c.relay cimport sl_way
from gateway.proto.http2.streams cimport H2Stream
from gateway.proto.http2.work cimport Piece
from gateway.tunnel.tunnel cimport Tunnel

cdef class H2Tunnel(Tunnel):
    cdef H2Carrier carrier
    cdef H2Stream *stream      # the client's end; NULL once it is forgotten
    cdef uint8_t readable      # bool: the upstream may have bytes
    cdef uint8_t client_ended  # bool: END_STREAM came
    cdef uint32_t held         # bytes received from the client and not sent on
    cdef uint32_t room         # capacity of up.pending, bytes, where it was allocated here; 0: that of its content

    # DATA, `total` bytes in `count` pieces; they are gone after the call.
    cdef void received(self, Piece *pieces, int count, uint32_t total) noexcept
    # The client has reset the stream, or its connection is gone. The carrier has forgotten the stream, or will.
    cdef void lost(self) noexcept

    # The pieces to the upstream; what it does not take is kept.
    cdef void put(self, Piece *pieces, int count, uint32_t total) noexcept
    cdef void keep(self, Piece *pieces, int count, size_t skip) noexcept
    cdef bint flush_up(self) noexcept
    cdef bint end_up(self) noexcept
    cdef void put_out(self, uint64_t before) noexcept
    # Frames of bytes of the upstream, at most `room` bytes of them and `most` of payload; the bytes written. Takes the
    # stream out of the ring when there is nothing more now. May end the tunnel, and with it the stream.
    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept
    # Bytes of the upstream, at most `most`, into an empty pipe; the bytes. 0: nothing now, and maybe the
    # end of the tunnel, as with fill(). -1: it is for fill() to see how things stand.
    cdef int64_t fill_pipe(self, sl_pipe *pipe, uint32_t most) noexcept
    cdef void leave_splice(self, sl_way way) noexcept
    # `size` bytes from the upstream are on their way down.
    cdef void took(self, uint32_t size) noexcept

# The bytes of pieces as one object.
cdef bytes joined(Piece *pieces, int count)
