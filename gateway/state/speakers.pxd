# Peers that may speak for others, and the source that limits count a client for.
from libc.stdint cimport uint64_t

from gateway.c.addr cimport sl_addr
from gateway.proto.codec cimport Codec
from gateway.state.claims cimport Forwarded
from gateway.state.parts cimport WorkerParts
from gateway.state.request cimport Request
from gateway.tls.session cimport TlsSession

# Whether the certificate of a connection is one of identity.trusted.
cdef bint may_speak(WorkerParts parts, TlsSession tls) noexcept
# The fields of a request by which a trusted peer names its client: from here on the request is the client's.
cdef void take_claims(WorkerParts parts, Request request, Codec codec) noexcept
# Whether claims stand under the active settings; their identity is derived anew. They may be None.
cdef bint claims_stand(WorkerParts parts, Forwarded claims, TlsSession tls) noexcept
# The source of a connection with a trusted certificate that names no client; 0 for any other one.
cdef uint64_t source_of_speaker(WorkerParts parts, TlsSession tls, const sl_addr *peer) noexcept
# The source that limits count for a peer without credentials.
cdef uint64_t source_of(WorkerParts parts, const sl_addr *peer) noexcept
# A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d; policy and logs know them as a.b.c.d.
cdef void unmap(sl_addr *peer) noexcept
