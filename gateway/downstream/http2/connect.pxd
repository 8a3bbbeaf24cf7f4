# A CONNECT on a client's HTTP/2 connection, until a tunnel takes its stream over or it is refused.
from libc.stdint cimport uint8_t, uint32_t

from gateway.dial.opening cimport Opening
from gateway.http2.carrier cimport H2Carrier
from gateway.proto.http2.streams cimport H2Stream
from gateway.proto.http2.work cimport Piece
from gateway.state.claims cimport Token
from gateway.state.parts cimport WorkerParts
from gateway.state.record cimport Record
from gateway.state.request cimport Request

cdef class H2Request(Request):
    cdef WorkerParts parts
    cdef Record record
    cdef Opening opening       # the opening under way; None: none
    cdef H2Carrier carrier
    cdef H2Stream *stream      # stream of the request; NULL once it is forgotten
    cdef uint8_t client_ended  # bool: END_STREAM came
    cdef uint32_t held         # bytes of DATA received before the answer
    cdef bytes early           # those bytes; None: there are none

    # Takes its place for `stream`; its credentials are not looked at yet.
    cdef void enter(self, H2Stream *stream) noexcept
    cdef void ask(self) noexcept
    # DATA, `total` bytes in `count` pieces; they are gone after the call.
    cdef void received(self, Piece *pieces, int count, uint32_t total) noexcept
    # The client has reset the stream, or its connection is gone: no client is left to answer.
    cdef void lost(self) noexcept

    # Whether credentials were verified, and the request still waits for that; else it is answered.
    cdef bint is_verdict(self, int result) noexcept
    cdef void refuse_login(self, bytes tried, int reason, str detail) noexcept
    cdef void limited(self, int outcome, int scope) noexcept
    cdef void answer(self, int outcome) noexcept
    cdef void refuse(self, int outcome, str rule, str reason) noexcept
    cdef void drop(self) noexcept
    cdef void leave(self) noexcept
