# The requests on a client's HTTP/2 connection: what each is, its beginning, and the lines of those that never become
# one. All are the same client's.
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from gateway.c.addr cimport sl_addr
from gateway.downstream.http2.connect cimport H2Request
from gateway.downstream.http2.exchange_stream cimport H2ExchangeStream
from gateway.http2.carrier cimport H2Carrier
from gateway.proto.http2.server cimport H2Server
from gateway.proto.http2.streams cimport H2Stream
from gateway.state.claims cimport Forwarded
from gateway.state.parts cimport WorkerParts
from gateway.state.record cimport Record
from gateway.state.request cimport Request
from gateway.tls.session cimport TlsSession

cdef enum Asked:
    ASKED_BROKEN = 0           # the head breaks the protocol
    ASKED_TUNNEL = 1
    ASKED_PAGE = 2             # the diagnostic page
    ASKED_OTHER = 3
    ASKED_EXCHANGE = 4         # a request for an exchange

cdef class H2Requests:
    cdef WorkerParts parts
    cdef H2Server server
    cdef int auth              # AuthMode
    cdef uint8_t listener      # index into the listeners of the settings
    cdef uint8_t protocol      # sl_protocol: that of HTTP/2, or HBONE
    cdef uint8_t relayed       # the next five: as those of a request (gateway/state/request.pxd)
    cdef uint16_t peer_port
    cdef sl_addr peer
    cdef uint64_t source       # source that limits count the peer for
    cdef TlsSession tls        # session of the connection; None: cleartext
    cdef Forwarded forwarded
    cdef Record inside         # the tunnel that the connection is in; None: it has a socket of its own
    cdef Request who           # the same for exchanges; None before the first one

    # The connection is in a tunnel: it carries nothing but requests, and all that its listener would take.
    cdef void go_inside(self, Record tunnel) noexcept

    # The request in the session's head; `status` is head.finish()'s.
    cdef Asked kind(self, int status) noexcept
    # The same as a CONNECT with its record; its stream is on `carrier`.
    cdef H2Request asked_for(self, H2Carrier carrier)
    # The same as a request of HTTP, which is to enter its stream; None where its :protocol is not served. The form of
    # refusals is noted on the stream: gRPC has its own, and the page stands where nothing else does.
    cdef H2ExchangeStream exchange_for(self, H2Carrier carrier, H2Stream *stream)
    # Whether the listener takes such requests.
    cdef bint takes_requests(self) noexcept
    # Whether the diagnostic page is asked for.
    cdef bint is_page(self) noexcept
    # The session has refused it: one stream too many, or behind the own GOAWAY.
    cdef void one_too_many(self, H2Carrier carrier, int status) noexcept
    # The `refused` line of a request without a record; answers its sequence, which the id of the answer ends in.
    # `reason`: an sl_reason, 0: as the outcome says.
    cdef uint64_t turned_away(self, int outcome, bytes tried, str detail, int reason) noexcept
    # The same for a broken protocol, counted.
    cdef uint64_t protocol_error(self, int outcome, bytes tried, str detail, int reason) noexcept
