# A stream of a client's HTTP/2 connection as a leg (csrc/relay/leg.h): what stands on it reads and writes it as it
# would a socket.
from libc.stdint cimport uint8_t, uint32_t

from gateway.c.leg cimport sl_leg
from gateway.http2.carrier cimport H2Carrier
from gateway.http2.sending cimport Sending
from gateway.io.leg cimport LegEnd
from gateway.proto.http2.frames cimport Outgoing
from gateway.proto.http2.streams cimport H2Stream
from gateway.proto.http2.work cimport Piece
from gateway.state.parts cimport WorkerParts

cdef class StreamLeg(LegEnd):
    cdef WorkerParts parts
    cdef H2Carrier carrier
    cdef H2Stream *stream      # NULL once it is forgotten
    cdef Outgoing came         # DATA that was not received: its window is not returned
    cdef Sending sending
    cdef uint32_t owed         # events that the front is to be told of in a turn of its own
    cdef uint8_t ended         # bool: END_STREAM came
    cdef uint8_t broken        # bool: the stream was reset, or its connection is gone
    cdef uint8_t released      # bool: the leg is closed: what is outgoing leaves yet

    # On a stream that is answered. `early`: bytes that came before, or None; `ended`: the client's side has ended.
    cdef sl_leg enter(self, H2Stream *stream, bytes early, bint ended) noexcept
    # DATA, `total` bytes in `count` pieces; they are gone after the call.
    cdef void received(self, Piece *pieces, int count, uint32_t total) noexcept
    # The client has reset the stream, or its connection is gone.
    cdef void lost(self) noexcept
    # Frames of what the stream has to send; as those of a tunnel.
    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept

    # ---- calls of the leg --------------------------------------------------------------------------------------------
    cdef ssize_t take(self, uint8_t *to, size_t most, bint stays) noexcept
    cdef ssize_t put(self, const uint8_t *data, size_t length) noexcept
    cdef void end(self) noexcept
    cdef void release(self) noexcept
    cdef void reset(self) noexcept

    cdef void owe(self, uint32_t events) noexcept
    cdef void cut(self, uint32_t code) noexcept
    cdef void consume(self, uint32_t size) noexcept
    cdef void settle(self) noexcept
    cdef void leave(self) noexcept
