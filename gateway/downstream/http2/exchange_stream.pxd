# The client's side of an exchange on a stream of an HTTP/2 connection.
from libc.stdint cimport uint8_t, uint32_t

from gateway.http2.carrier cimport H2Carrier
from gateway.http2.sending cimport Sending
from gateway.proto.http2.frames cimport Outgoing
from gateway.proto.http2.streams cimport H2Stream
from gateway.proto.http2.work cimport Piece
from gateway.proto.message cimport Message
from gateway.routing.client cimport ClientSide
from gateway.routing.exchange cimport Exchange
from gateway.state.parts cimport WorkerParts

cdef class H2ExchangeStream(ClientSide):
    cdef WorkerParts parts
    cdef H2Carrier carrier
    cdef H2Stream *stream      # NULL once it is forgotten
    cdef Exchange exchange     # None once it needs nothing more of this
    cdef Outgoing held         # content of the request that the exchange has not got
    cdef Sending sending       # content of the response
    cdef Message end_in        # trailers of the request; None: none, or given away
    cdef Message end_out       # trailers of the response
    cdef uint32_t owed         # bytes that the exchange has, and whose window is not returned
    cdef uint8_t paused        # bool: the exchange takes no content
    cdef uint8_t came_whole    # bool: END_STREAM came
    cdef uint8_t gave_whole    # bool: and the exchange knows
    cdef uint8_t finished      # bool: the exchange is over on both sides
    cdef uint8_t upgrading     # bool: the request asks for another protocol: its content is for a tunnel

    # A request on `stream`, which is this one's from now on. May end it.
    cdef void enter(self, H2Stream *stream, Message head, bint ends) noexcept
    # DATA, `total` bytes in `count` pieces; they are gone after the call.
    cdef void received(self, Piece *pieces, int count, uint32_t total) noexcept
    # The client has reset the stream, or its connection is gone: no client is left to answer.
    cdef void lost(self) noexcept
    # Frames of what the stream has to send, at most `room` bytes of them and `most` of payload; the bytes written.
    # Takes the stream out of the ring when there is nothing more now. May end the stream.
    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept

    cdef void take(self, const uint8_t *data, uint32_t size) noexcept
    cdef void give_held(self) noexcept
    cdef void give_end(self) noexcept
    cdef void release(self, uint32_t size) noexcept
    cdef void settle(self) noexcept
    cdef void reset(self, uint32_t code) noexcept
    cdef void leave(self) noexcept
    cdef void free_content(self) noexcept
