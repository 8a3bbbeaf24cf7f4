# A connection to an origin that speaks HTTP/1.1: one request after the other.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway.c.addr cimport sl_addr
from gateway.c.leg cimport sl_leg
from gateway.c.pipe_pool cimport sl_pipe
from gateway.io.bulk cimport Bulk
from gateway.io.outgoing cimport Outgoing, OutgoingStep
from gateway.proto.http1_input cimport Http1Event, Http1Input
from gateway.proto.message cimport Message
from gateway.state.parts cimport WorkerParts
from gateway.upstream.origin cimport OriginRequest, ResponseTaker
from gateway.upstream.origin_pool cimport OriginConnection

# The request that it carries: one object for all of them, as they come one after the other.
cdef class Http1Request(OriginRequest):
    cdef Http1Origin connection  # None once that has ended

cdef class Http1Origin(OriginConnection):
    cdef Http1Request carried
    cdef ResponseTaker taker   # of the request under way; None: there is none
    cdef Outgoing out
    cdef Http1Input input
    cdef uint8_t carries       # bool: a request is under way
    cdef uint8_t sending       # SendStage: of the request
    cdef uint8_t chunked       # bool: the request's content leaves in chunks
    cdef uint8_t answered      # bool: a byte of a response has come to this request
    cdef uint8_t paused        # bool: the taker takes no more content now
    cdef uint8_t stopped       # bool: the input may hold more that was not looked at when it was paused
    cdef uint8_t readable      # bool: an edge has not been acted upon
    cdef uint8_t hangup        # bool: EPOLLRDHUP, EPOLLHUP or EPOLLERR was reported
    cdef uint8_t lasts         # bool: both sides let it live on behind this exchange
    cdef uint8_t urgent        # bool: EPOLLPRI was reported, which no pipe gets past
    cdef uint8_t piped         # bool: a pipe of the taker waits for the leg to take more
    cdef uint8_t forwards      # bool: it leads to a parent that gets targets in absolute-form
    cdef bytes login           # credentials for that; None: none
    cdef Bulk bulk             # content of the response
    cdef uint8_t upgrading     # bool: the request asks for another protocol

    cdef void begin(self, ResponseTaker taker) noexcept
    cdef void send_head(self, Message head, bint ends) noexcept
    cdef bint send_body(self, const uint8_t *data, size_t length) noexcept
    cdef bint takes_pipes(self) noexcept
    cdef ssize_t send_pipe(self, sl_pipe *pipe) noexcept
    cdef void send_end(self, Message trailers) noexcept
    cdef void resume(self) noexcept
    cdef void cancel(self) noexcept
    cdef void drain(self) noexcept
    cdef bint push(self) noexcept
    cdef bint pushed(self, OutgoingStep step) noexcept
    cdef void go_on(self) noexcept
    cdef void read(self) noexcept
    cdef bint move(self, size_t *total) noexcept
    cdef void look_behind(self) noexcept
    cdef void work_through(self) noexcept
    cdef bint write_head(self, Message head) noexcept
    cdef void on_head(self) noexcept
    cdef void whole(self, Message head) noexcept
    cdef void settle_exchange(self) noexcept
    cdef void upgraded(self, Message head) noexcept
    cdef void lose(self, int outcome) noexcept
    cdef void drop(self) noexcept
