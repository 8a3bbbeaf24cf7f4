# One HTTP request and its response, whichever versions both sides speak.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway.dial.opening cimport Opening
from gateway.proto.http_request cimport HttpRequest
from gateway.proto.message cimport Message
from gateway.routing.client cimport ClientSide
from gateway.state.parts cimport WorkerParts
from gateway.state.record cimport Record
from gateway.upstream.origin cimport OriginRequest, ResponseTaker

cdef class Exchange(ResponseTaker):
    cdef WorkerParts parts
    cdef Record record         # None before its target is known
    cdef ClientSide client     # None once the client is gone, or done with
    cdef OriginRequest origin  # None before there is a connection, and once the response is whole
    cdef Opening opening       # under way; None: none
    cdef HttpRequest codec     # target, credentials and answers
    cdef Message message       # the request's head
    cdef uint8_t stage         # ExchangeStage
    cdef uint8_t kind          # sl_protocol of the client's connection
    cdef uint8_t request_whole  # bool: all of the request's content has come
    cdef uint8_t responded     # bool: the final head went to the client
    cdef bytes early           # content that came before the origin was connected; or None
    cdef Message early_end     # trailers that came so; None: none
    cdef uint16_t status       # of the response

    # From the client's side, which has set who asks (Request's fields), `parts`, `client`, `codec` and `kind`. The head
    # is whole; `ends`: no content follows.
    cdef void begin(self, Message head, bint ends) noexcept
    # Content; valid within the call. False: no more before client.resume().
    cdef bint on_request_body(self, const uint8_t *data, size_t length) noexcept
    cdef void on_request_end(self, Message trailers) noexcept
    # The client takes more of the response again.
    cdef void on_client_ready(self) noexcept
    # The client is gone, or has broken its protocol; nothing is called on it any more.
    cdef void on_client_gone(self) noexcept
