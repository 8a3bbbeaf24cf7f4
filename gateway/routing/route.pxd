# The route of a request and the changes of its fields, as the policy image has them (sl_judged_route and
# sl_judged_headers).
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from gateway.c.judge cimport sl_decision
from gateway.c.message cimport sl_message
from gateway.routing.retry cimport Retry
from gateway.state.generation cimport Generation

cdef enum BackendKind:
    BACKEND_INVALID = 0        # its share of requests is answered 500
    BACKEND_ASKED = 1          # the destination that was asked for
    BACKEND_SERVICE = 2        # endpoints, or a name of the cluster that has them
    BACKEND_NAME = 3           # a destination of its own

# Fields that are set, added and taken out.
cdef class Changes:
    cdef list sets             # (name, value), in bytes
    cdef list adds
    cdef list removes
    cdef bint apply(self, sl_message *head) noexcept

cdef class Backend:
    cdef BackendKind kind
    cdef uint32_t weight
    cdef str name              # "namespace/name:port", as logs have it
    cdef bytes host            # to be resolved; None: endpoints
    cdef uint16_t port
    cdef bytes endpoints       # sl_addr each; None: none are known
    cdef list ports            # of each endpoint
    cdef list lifts            # bool of each: the guard's private ranges are open to it
    cdef bint clear_http2      # it speaks HTTP/2 without TLS
    cdef bytes tls             # of a Service: TLS towards it, b"" = cleartext; None: as rules of the destination say
    cdef Steps steps           # filters of its share; None: none
    cdef uint32_t copies       # under way to it, where it is a mirror's

# A mirror: the backend, and its share of requests.
cdef class MirrorTo:
    cdef Backend backend
    cdef uint32_t numerator
    cdef uint32_t denominator

# Filters, in the order of the document.
cdef class Steps:
    cdef list requests         # Changes, and rewrites: (hostname, full, prefix, matched)
    cdef list responses        # Changes
    cdef list mirrors          # MirrorTo
    cdef dict redirect         # None: none
    cdef dict cors             # None: none
    # The request's head as it leaves. False without memory, or where a rewrite does not fit.
    cdef bint leave(self, sl_message *head) noexcept
    cdef bint come_back(self, sl_message *head) noexcept
    # Whether the request may leave with another host than it came with.
    cdef bint renames_host(self) noexcept

cdef class Route:
    cdef readonly str name     # Kind/namespace/name
    cdef Steps steps
    cdef list backends         # Backend; empty: the destination asked for
    cdef uint32_t weights      # of all of them
    cdef uint64_t request_timeout   # milliseconds; 0: none
    cdef uint64_t backend_timeout
    cdef Retry retry           # None: there is one try
    # By weight; `draw`: any number. None: none has a weight.
    cdef Backend choose(self, uint64_t draw)

# A field whose value has credentials in it.
cdef class SecretField:
    cdef bytes name
    cdef list parts            # of the value: bytes as they stand; str: the name of a credential
    cdef list found            # the same with the Credential itself, None where there is none, of those in `among`
    cdef dict among

# What a rule changes in the fields of requests.
cdef class HeaderChanges:
    cdef Changes changes
    cdef list secrets          # SecretField; None: none
    cdef Changes elsewhere     # for all but the destination asked for: a mirror gets no field that is set here
    cdef frozenset kept        # names that leave all the same
    cdef bint read_only

# A path with another one, or another beginning, in place of `matched`; None: it stays.
cdef bytes rewritten(const sl_message *head, bytes full, bytes prefix, bytes matched)
cdef Route route_of(Generation generation, const sl_decision *decision)
cdef HeaderChanges headers_of(Generation generation, const sl_decision *decision)
