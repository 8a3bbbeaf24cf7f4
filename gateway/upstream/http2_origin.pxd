# A connection to an origin that speaks HTTP/2: its place among the pools, and the client's side of an H2Carrier.
#
#   OriginPools ──▶ Http2Origin ──▶ OriginCarrier ──▶ stream ──▶ Http2OriginRequest ──▶ ResponseTaker
from libc.stdint cimport uint8_t, uint32_t

from gateway.http2.carrier cimport H2Carrier
from gateway.proto.http2.client cimport H2Client
from gateway.proto.http2.core cimport H2Event
from gateway.proto.http2.streams cimport H2Stream
from gateway.state.settings cimport Settings
from gateway.upstream.origin_pool cimport OriginConnection

cdef class Http2Origin(OriginConnection):
    cdef OriginCarrier carrier  # None once it is gone
    cdef uint32_t under_way    # requests
    cdef uint8_t greets        # bool: its pool waits for its limits

    # It takes no more requests; it ends with the last one.
    cdef void drop(self) noexcept
    cdef void gone(self) noexcept
    # The origin has told its limits.
    cdef void greeted(self) noexcept

cdef class OriginCarrier(H2Carrier):
    cdef Settings settings
    cdef H2Client client       # `session`, by its own type
    cdef Http2Origin origin    # None once it takes no more requests
    cdef bint proved           # has answered a request

    # Sends the preface; False: it has ended at once.
    cdef bint start(self) noexcept
    # Streams that it carries at once, and those that may begin now.
    cdef uint32_t most(self) noexcept
    cdef uint32_t room(self) noexcept
    # Ends with its last stream.
    cdef void retire(self) noexcept

    cdef void end_stream(self, H2Stream *stream, uint32_t code, int side) noexcept
    cdef void go_away(self, uint32_t last) noexcept
    cdef void take_room(self) noexcept
