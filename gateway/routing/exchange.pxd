# One HTTP request and its response, whichever versions both sides speak.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway.c.pipe_pool cimport sl_pipe
from gateway.c.segment cimport sl_retry_result
from gateway.proto.message cimport Message
from gateway.routing.approach cimport Approach
from gateway.routing.client cimport ClientSide
from gateway.routing.retry cimport Attempts
from gateway.routing.route cimport HeaderChanges, Route
from gateway.state.parts cimport WorkerParts
from gateway.state.record cimport Record
from gateway.state.request cimport Request
from gateway.upstream.origin cimport OriginRequest, ResponseTaker

cdef enum ExchangeStage:
    EXCHANGE_BEGINS = 0        # credentials, decision, dial
    EXCHANGE_CARRIES = 1       # the request is at the origin
    EXCHANGE_RESPONDS = 2      # the final head went to the client
    EXCHANGE_OVER = 3

cdef class Exchange(ResponseTaker):
    cdef WorkerParts parts
    cdef Approach approach     # to a connection: credentials, decision, dial; and the record
    cdef ClientSide client     # None once the client is gone, or done with
    cdef OriginRequest origin  # None before there is a connection, and once the response is whole
    cdef uint8_t stage         # ExchangeStage
    cdef uint8_t whole         # bool: all of the request's content has come
    cdef uint8_t holding       # bool: the client's side was told to bring no more content
    cdef uint8_t tries         # connections that the request was sent on
    cdef uint8_t repeatable    # bool: `early` is all of the content so far
    cdef bytes early           # content that no origin has got yet, or that a second try needs; None: none
    cdef Message trailers      # of the request; None: none
    cdef uint16_t status       # of the response; 0: none yet
    cdef uint64_t up           # bytes of content, each way
    cdef uint64_t down
    cdef list mirrors          # Mirror; None: none
    cdef Attempts attempts     # further tries that its route wants; None: none
    cdef uint64_t began        # loop milliseconds
    cdef uint64_t deadline     # loop milliseconds, of the route; 0: none
    cdef uint64_t revoked_at   # loop milliseconds when it ends, as it is denied now; 0: never
    cdef uint8_t half          # bool: the client has ended its side of the connection
    cdef uint64_t active       # loop milliseconds of the last byte
    cdef uint64_t first_byte   # loop milliseconds of the response's head; 0: none

    # With a head that is whole; `ends`: no content follows.
    cdef void begin(self, Message head, bint ends) noexcept
    # Content; valid within the call. False: no more before client.resume().
    cdef bint on_request_body(self, const uint8_t *data, size_t length) noexcept
    # The same by a pipe, as takes_pipes() and send_pipe() of an origin.
    cdef bint takes_request_pipes(self) noexcept
    cdef ssize_t on_request_pipe(self, sl_pipe *pipe) noexcept
    cdef void on_request_end(self, Message trailers) noexcept
    # The client takes more of the response again.
    cdef void on_client_ready(self) noexcept
    # The client is gone, or has broken its protocol; nothing is called on it any more.
    cdef void on_client_gone(self) noexcept

    # The client has ended its side, and may still read.
    cdef void on_client_half(self) noexcept

    # ---- its steps ---------------------------------------------------------------------------------------------------
    cdef void send(self) noexcept
    cdef bint add_credentials(self, Message head, HeaderChanges changes) noexcept
    cdef void plan(self) noexcept
    cdef bint try_again(self, int outcome) noexcept
    cdef void count(self, sl_retry_result result) noexcept
    cdef uint64_t latest(self) noexcept
    cdef void limit(self, Route route) noexcept
    cdef void mirror(self, Message head) noexcept
    cdef bint change(self, Message head) noexcept
    cdef void refuse(self, int outcome) noexcept
    cdef str reason(self, Record record, int outcome)
    cdef void fail(self, int outcome) noexcept
    cdef void finish(self, int outcome) noexcept
    cdef void tell(self, int outcome) noexcept
    cdef uint64_t quiet_limit(self) noexcept
    cdef bint is_stale(self) noexcept
    cdef void wait(self) noexcept
    cdef int stalled(self) noexcept
    cdef void stand(self) noexcept
    cdef void revoke(self) noexcept

# Of a request of the client `who`, which came by `client`; `kind`: sl_protocol, `auth`: AuthMode.
cdef Exchange exchange_of(WorkerParts parts, ClientSide client, Request who, int kind, int auth)
