# A client's connection that carries HTTP/1 requests, one after the other.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.leg cimport sl_leg
from gateway.c.message cimport sl_keep
from gateway.io.bulk cimport Bulk
from gateway.io.outgoing cimport Outgoing, OutgoingStep
from gateway.proto.http1_input cimport Http1Input
from gateway.proto.message cimport Message
from gateway.routing.client cimport ClientSide
from gateway.routing.exchange cimport Exchange
from gateway.state.parts cimport WorkerParts
from gateway.state.request cimport Request

cdef class Http1Connection(ClientSide):
    cdef WorkerParts parts
    cdef Request who           # the facts of who asks
    cdef sl_leg leg
    cdef Exchange exchange     # under way; None: between two
    cdef Outgoing out
    cdef Http1Input input
    cdef uint8_t state         # RequestState: READING, or LINGERING behind the last answer
    cdef uint8_t auth          # AuthMode
    cdef uint8_t kind          # sl_protocol: HTTP, or that of the tunnel that it is in
    cdef uint8_t chunked       # bool: the response's content leaves in chunks
    cdef uint8_t lasts         # bool: it lives on behind this exchange
    cdef uint8_t parting       # bool: the client has said that it sends no further request
    cdef uint8_t old           # bool: the request is HTTP/1.0
    cdef uint8_t to_head       # bool: the request is HEAD
    cdef uint8_t reading       # bool: the request's content is not whole
    cdef uint8_t paused        # bool: the exchange takes no more of it now
    cdef uint8_t stopped       # bool: the input may hold more that was not looked at when it was paused
    cdef uint8_t readable      # bool: an edge has not been acted upon
    cdef uint8_t hangup        # bool: EPOLLRDHUP, EPOLLHUP or EPOLLERR was reported
    cdef uint8_t urgent        # bool: EPOLLPRI was reported
    cdef uint8_t piped         # bool: a pipe of the exchange waits for the leg to take more
    cdef Bulk bulk             # content of the request
    cdef uint8_t silence       # what was seen of its acknowledgements (silence.h)
    cdef uint32_t dropped      # bytes received behind the last answer

    # In place of the connection that saw the first bytes: facts of who asks, the leg and its state are set.
    cdef void enter(self, const uint8_t *data, size_t length) noexcept
    cdef bint takes_input(self) noexcept
    cdef void go_on(self) noexcept
    cdef void read(self) noexcept
    cdef bint move(self, size_t *total) noexcept
    cdef void work_through(self) noexcept
    cdef bint meets_connect(self) noexcept
    cdef void next_request(self) noexcept
    cdef void ask(self) noexcept
    cdef sl_keep keep(self) noexcept
    cdef void drain(self) noexcept
    cdef bint push(self) noexcept
    cdef bint pushed(self, OutgoingStep step) noexcept
    cdef void malformed(self, int outcome, str detail) noexcept
    cdef void say(self, int outcome, str rule, str reason, str detail, uint64_t sequence) noexcept
    cdef void linger(self) noexcept
    cdef void linger_read(self) noexcept
    cdef void drop(self) noexcept
    cdef void leave(self) noexcept

# Takes over the client of a connection that has seen `data`, the first bytes of a request.
cdef Http1Connection http1_connection_of(WorkerParts parts, Request other, int auth)
