# One request on a stream of a connection to an origin that speaks HTTP/2.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.http2.carrier cimport H2Carrier
from gateway.http2.sending cimport Sending
from gateway.proto.http2.frames cimport Outgoing
from gateway.proto.http2.streams cimport H2Stream
from gateway.proto.message cimport Message
from gateway.state.parts cimport WorkerParts
from gateway.upstream.origin cimport OriginRequest, ResponseTaker
from gateway.upstream.origin_pool cimport OriginConnection

cdef class Http2OriginRequest(OriginRequest):
    cdef WorkerParts parts
    cdef OriginConnection origin
    cdef H2Carrier carrier
    cdef uint64_t source       # that it counts for
    cdef uint8_t secure        # bool: over TLS
    cdef H2Stream *stream      # NULL before the head, and once it is forgotten
    cdef Sending sending       # content of the request
    cdef Message end_out       # trailers of it
    cdef Outgoing held         # content of the response that the taker has not got
    cdef Message end_in        # trailers of it
    cdef uint32_t owed         # bytes that the taker has, and whose window is not returned
    cdef uint8_t paused        # bool: the taker takes no content
    cdef uint8_t came_whole    # bool: END_STREAM came
    cdef uint8_t reused        # bool: the connection had carried others
    cdef int outcome           # sl_outcome that the taker is to hear in the next turn; -1: none

    # What the carrier hears.
    cdef void answered(self, Message head, bint end) noexcept
    cdef void informed(self, Message head) noexcept
    cdef void received(self, const uint8_t *data, uint32_t size, bint end) noexcept
    # The stream is forgotten: by its origin, or with its connection.
    cdef void lost(self, int outcome, bint untouched) noexcept
    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept

    cdef void take(self, const uint8_t *data, uint32_t size) noexcept
    cdef void release(self, uint32_t size) noexcept
    cdef void give(self) noexcept
    cdef void whole(self, Message head) noexcept
    cdef void leave(self, uint32_t code) noexcept
