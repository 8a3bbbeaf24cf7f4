# A CONNECT stream of an HTTP/2 connection: the request that asked for it, its answer and its end.
from libc.stdint cimport uint32_t

from gateway.h2_flow cimport H2Flow, Piece

cdef class H2Tunnel(H2Flow):
    cdef bint carries          # counted among its tunnels
    cdef bytes early           # DATA that came before the answer, or None

    cdef void enter(self) noexcept
    cdef void ask(self) noexcept
    # DATA, `total` bytes in `count` pieces; they are gone after the call.
    cdef void received(self, Piece *pieces, int count, uint32_t total) noexcept
    # The client has reset the stream, or its connection is gone: there is nobody to answer.
    cdef void lost(self) noexcept
