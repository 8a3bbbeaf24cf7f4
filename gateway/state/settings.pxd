# Settings of the active generation, as connections need them.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.tls.server cimport TlsServer

cdef enum Protocol:
    PROTOCOL_AUTO = 0
    PROTOCOL_SOCKS5 = 1
    PROTOCOL_HTTP = 2
    PROTOCOL_HTTP2 = 3
    PROTOCOL_HBONE = 4         # HTTP/2 over mTLS, as ztunnel speaks it
    PROTOCOL_TLS = 5           # by the server name of the client's own TLS
    PROTOCOL_TCP = 6           # to a fixed destination

cdef class ListenerSpec:
    # One listener of the settings: what its connections may speak and how they are judged.
    cdef readonly str name
    cdef bytes label                 # the name, as the judge takes it
    cdef readonly int protocol       # Protocol
    cdef readonly int auth           # AuthMode of codec.pxd
    cdef readonly bint audit
    cdef readonly int inner          # sl_inner_mode
    cdef readonly bint requests      # plain HTTP requests are routed
    cdef readonly bint diagnostics   # GET and POST of / are answered on HTTP/2
    cdef TlsServer tls               # None: cleartext, or removed
    cdef bytes destination           # host of `tcp`; None: the client names it
    cdef int destination_port        # of `tcp`, and of a destination by server name
    cdef readonly bint removed       # by a reload: it takes no client, and those that it let in live on

cdef class Settings:
    cdef list listeners              # ListenerSpec, at the places that their names keep
    cdef dict parents                # name as bytes -> Parent
    cdef uint64_t request_timeout    # milliseconds, as the rest
    cdef uint64_t dial_timeout
    cdef uint64_t idle_timeout
    cdef uint64_t half_close_timeout
    cdef readonly int keep_alive     # seconds without a byte until a peer is probed
    cdef uint32_t streams_per_connection   # of HTTP/2, of RFC form
    cdef uint64_t drain_time         # shutdown.drain: also how long a tunnel revoked with `drain` may go on
    cdef readonly uint64_t identity_max_age  # seconds since it was verified that a tunnel outlives a certificate
    cdef dict trusted                # identities of certificates that may speak for others -> sources of each
    cdef list trust_domains          # names, of which the first one has namespaces
    cdef frozenset token_keys        # marks of the keys whose tokens stand; empty: there are no tokens
    cdef bint insecure_tokens        # tokens are accepted over clear text from anywhere
    cdef uint8_t traced              # bool: tracing is on; codecs look at it
    cdef bint access_log
    cdef bint log_query              # request lines have the query
    cdef bytes via                   # this gateway's name in Via; None: it adds none
    cdef uint64_t pool_idle          # milliseconds that a connection to an origin is kept
    cdef uint64_t pool_age           # and that it takes requests
    cdef uint32_t pool_most          # of them to one destination
    cdef uint32_t pool_pending       # requests that wait for one of them
    cdef frozenset own_names         # names in bytes that stand for the gateway itself
    cdef readonly str deny_message   # gateway.denyMessage, or None
    cdef readonly uint64_t log_interval   # 0: no interval lines

    # Those of a generation that becomes active; what of them may fail was made before.
    cdef void take(self, dict settings, list listeners, dict parents) except *

    cdef inline ListenerSpec listener(self, int index):
        return <ListenerSpec> self.listeners[index]
