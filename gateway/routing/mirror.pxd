# A copy of a request to a backend of its own; its response is read and dropped.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.proto.message cimport Message
from gateway.routing.approach cimport Approach
from gateway.routing.route cimport Backend
from gateway.state.parts cimport WorkerParts
from gateway.upstream.origin cimport OriginRequest, ResponseTaker

cdef enum MirrorResult:
    MIRROR_SENT = 0            # the request was taken whole, and a response came
    MIRROR_FAILED = 1          # no connection, or it ended before
    MIRROR_DROPPED = 2         # it was slower than the request that it copies

cdef class Mirror(ResponseTaker):
    cdef WorkerParts parts
    cdef Approach approach     # None once it is over
    cdef Backend backend
    cdef OriginRequest origin  # None before there is a connection
    cdef Message head          # as it leaves; None once it has left
    cdef list held             # content that it has not taken yet; None: none
    cdef uint64_t size         # of that
    cdef Message trailers
    cdef uint8_t whole         # bool: all of the content is here
    cdef uint8_t full          # bool: its origin holds some
    cdef uint8_t sent          # bool: the request has left whole

    # The content of the request, as its main origin takes it.
    cdef void offer(self, const uint8_t *data, size_t length) noexcept
    cdef void offer_end(self, Message trailers) noexcept
    # The request that it copies has come to nothing.
    cdef void give_up(self) noexcept

    cdef void push(self) noexcept
    cdef void note_sent(self) noexcept
    cdef void finish(self, MirrorResult result) noexcept

# Begins; `head`: as the request leaves, whose fields it shares. `ends`: no content follows. None: it is dropped, as too
# many are under way to that backend, or for lack of memory.
cdef Mirror mirror_of(Approach main, Backend backend, Message head, bint ends)
