"""Peers that may speak for others (DECISIONS.md section 1). See speakers.pxd.

A certificate of `identity.trusted` is believed in the fields of its requests, a peer of `proxyProtocolFrom` with
`identity: true` in its PROXY header. What either says stands as long as the active settings trust it.
"""

from libc.string cimport memmove, memset
from libc.stdint cimport uint64_t

from gateway.c.judge cimport sl_source_network


cdef void unmap(sl_addr *peer) noexcept:
    cdef int i
    for i in range(10):
        if peer.bytes[i] != 0:
            return
    if peer.family != 6 or peer.bytes[10] != 0xFF or peer.bytes[11] != 0xFF:
        return
    memmove(peer.bytes, peer.bytes + 12, 4)
    memset(peer.bytes + 4, 0, 12)
    peer.family = 4


cdef uint64_t source_of(WorkerParts parts, const sl_addr *peer) noexcept:
    """The source that limits count for a peer without credentials."""
    cdef const char *namespace = NULL
    cdef const char *account = NULL
    cdef bint known = peer.family == 6 and sl_source_network(&parts.generation.image.image, peer, &namespace, &account)
    return parts.limits.of_peer(peer, known)


cdef bint may_speak(WorkerParts parts, TlsSession tls) noexcept:
    return tls is not None and tls.identity is not None and tls.identity in parts.settings.trusted


cdef void take_claims(WorkerParts parts, Request request, Codec codec) noexcept:
    cdef Forwarded claims
    if not codec.trusted or (codec.forwarded.family == 0 and codec.baggage is None):
        return
    if not may_speak(parts, request.tls):
        return  # not any more
    claims = Forwarded.__new__(Forwarded)
    if request.forwarded is not None:  # of the connection, which other requests share
        claims.identity, claims.speaker = request.forwarded.identity, request.forwarded.speaker
        claims.namespace, claims.account = request.forwarded.namespace, request.forwarded.account
    claims.baggage = codec.baggage
    if codec.forwarded.family:
        claims.addressed = True
        request.peer, request.peer_port = codec.forwarded, codec.forwarded_port
        unmap(&request.peer)
        request.relayed = True
        request.source = source_of(parts, &request.peer)
    request.forwarded = claims


cdef bint claims_stand(WorkerParts parts, Forwarded claims, TlsSession tls) noexcept:
    if claims is None:
        return True
    if claims.addressed and not may_speak(parts, tls):
        return False
    if claims.identity is None:
        return True
    return parts.speakers.contain(&claims.speaker) and claims.rename(parts.settings.trust_domains)


cdef uint64_t source_of_speaker(WorkerParts parts, TlsSession tls, const sl_addr *peer) noexcept:
    cdef uint64_t source
    if not may_speak(parts, tls):
        return 0
    source = parts.limits.of_identity(tls.identity, peer)
    parts.limits.multiply(source, parts.settings.trusted[tls.identity])
    return source
