# The parts that the requests of one worker share, each a class of its own. A request, its record and its tunnel refer
# to all of them by one pointer, as an idle tunnel is to have no more; others are given what they need.
from gateway.c.judge cimport sl_field, sl_request, sl_source
from gateway.c.message cimport sl_message
from gateway.dns.resolver cimport Resolver
from gateway.io.loop cimport Loop
from gateway.parent.parent cimport ParentStreams
from gateway.proto.http2.work cimport H2Work
from gateway.state.credentials cimport Credentials
from gateway.state.file_budget cimport FileBudget
from gateway.state.generation cimport Generation
from gateway.state.handshakes cimport Handshakes
from gateway.state.limits cimport Limits
from gateway.state.local_routes cimport LocalRoutes
from gateway.state.log cimport AccessLog
from gateway.state.logins cimport Logins
from gateway.state.meter cimport Meter
from gateway.state.prefixes cimport Prefixes
from gateway.state.queues cimport PlaceQueues
from gateway.state.roster cimport Roster
from gateway.state.settings cimport Settings
from gateway.tls.client cimport TlsClients
from gateway.tls.server cimport TlsWork
from gateway.tracing.trace cimport Numbers
from gateway.tracing.tracer cimport Tracer

cdef class WorkerParts:
    cdef Loop loop
    cdef readonly Meter meter        # counters, and numbers of requests
    cdef readonly FileBudget files   # descriptors, and pipes
    cdef readonly Roster roster      # connections, and the drain
    cdef readonly Settings settings  # of the active generation
    cdef Generation generation       # the active one; None before the first
    cdef readonly Limits limits
    cdef PlaceQueues queues          # of those that wait for a place below them
    cdef readonly Logins logins      # passwords and tokens that were right, and those that are being verified
    cdef readonly Credentials credentials  # that rules set in requests
    cdef Resolver resolver
    cdef object dns                  # the settings that it was made from
    cdef LocalRoutes routes          # which destinations are this machine
    cdef readonly object origins     # OriginPools: connections to origins that are kept
    cdef readonly object beginnings  # Beginnings (gateway/tunnel): of connections on a leg that was read from
    cdef ParentStreams parent_streams  # through connections to parents that many tunnels share
    cdef AccessLog log               # None before attach()
    cdef sl_source source            # scratch: the source being judged, valid within one call
    cdef sl_request request          # scratch: the HTTP request being judged, valid within one call
    cdef sl_field *fields            # its fields
    cdef Handshakes handshakes       # TLS handshakes, under way
    cdef readonly bint certified     # a client has shown a certificate or a token, whose time will be over
    cdef Prefixes proxies            # peers that have to send a PROXY header
    cdef Prefixes speakers           # those of them whose header may have an identity
    cdef TlsWork tls_work            # buffers of TLS legs; None before the first settings that have TLS
    cdef TlsWork inner_tls_work      # of those on another TLS leg, to a parent; None before the first rule that has TLS
    cdef TlsClients clients          # TLS towards parents and origins; None before the first generation
    cdef Tracer tracer               # None: tracing is off
    cdef Numbers numbers             # for ids of traces; None before the first tracer
    cdef H2Work work                 # buffers of HTTP/2 connections; None before the first one

    cdef H2Work http2_work(self)
    # A message as the judge takes it; NULL without memory, as if none was there.
    cdef const sl_request *show(self, const sl_message *head) noexcept
