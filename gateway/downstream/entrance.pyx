"""The way of a client's connection to its first request: a PROXY header where one is required, and a TLS handshake.

A PROXY header comes in the clear, before TLS (proxy-protocol.txt, section 2), and is read off the socket to its last
byte and no further. From then on the peer is the client that it names: for policy, limits and logs.

A handshake holds a place among those of the gateway (`limits.handshakes`), and its steps take turns with those of
others (gateway/state/handshakes.pxd). All this shares the time of one request.
"""

cimport cython
from libc.errno cimport EAGAIN, errno

from gateway.c.contract cimport (
    SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_INTERNAL, SL_OUTCOME_MALFORMED,
    SL_OUTCOME_REQUEST_TIMEOUT, SL_REASON_INTERNAL, SL_REASON_LIMIT, SL_REASON_PROXY_HEADER,
    SL_REASON_REQUEST_TIMEOUT, SL_REASON_TLS_HANDSHAKE, SL_TLS_RESULT_CERTIFICATE_MISSING, SL_TLS_RESULT_INTERNAL,
    SL_TLS_RESULT_LIMIT, SL_TLS_RESULT_NAME_MISMATCH, SL_TLS_RESULT_TIMEOUT, sl_tls_result,
)
from gateway.c.leg cimport (
    SL_LEG_FAILED, SL_LEG_READY, sl_leg_advance, sl_leg_peek, sl_leg_progress, sl_leg_reason, sl_leg_receive,
)
from gateway.c.limit_table cimport SL_LIMIT_HANDSHAKES
from gateway.c.proxy_header cimport (
    SL_PROXY_BROKEN, SL_PROXY_HEADER_MOST, SL_PROXY_MORE, sl_proxy_header, sl_proxy_header_identity,
    sl_proxy_header_read, sl_proxy_status,
)
from gateway.c.segment cimport (
    SL_COUNTER_PROTOCOL_ERRORS, SL_FAMILY_PROTOCOL_ERRORS, SL_FAMILY_TLS_HANDSHAKES, SL_HISTOGRAM_HANDSHAKE_CLIENT,
    SL_PROTOCOL_UNKNOWN, SL_SCOPE_HANDSHAKES, SL_TLS_SIDE_CLIENT, sl_segment_observe,
)
from gateway.io.loop cimport clock_us
from gateway.state.claims cimport Forwarded
from gateway.state.record cimport log_refused
from gateway.state.speakers cimport source_of, unmap
from gateway.tls.server cimport unfinished


cdef Entrance entrance_of(WorkerParts parts, Request request):
    cdef TlsServer server = parts.settings.listener(request.listener).tls
    cdef bint header = parts.proxies.contain(&request.peer)
    cdef Entrance entrance
    if server is None and not header:
        return None
    entrance = Entrance.__new__(Entrance)
    entrance.parts, entrance.server, entrance.header = parts, server, header
    return entrance


@cython.final
cdef class Entrance:
    """A part of a client's connection, gone once it is passed. It may touch the leg, the peer, limits and the log."""

    cdef EntranceStep begin(self, Request request, sl_leg *leg) noexcept:
        return ENTRANCE_WAITS if self.header else self.begin_handshake(request, leg)

    cdef EntranceStep go_on(self, Request request, sl_leg *leg) noexcept:
        cdef EntranceStep found
        if self.header:
            found = self.take_header(request, leg)
            if found != ENTRANCE_PASSED or self.server is None:
                return found
            if self.begin_handshake(request, leg) == ENTRANCE_FAILED:
                return ENTRANCE_FAILED
        if self.steps_later or not self.parts.handshakes.may_step(request):
            self.steps_later = True
            return ENTRANCE_WAITS
        return self.step(request, leg)

    cdef EntranceStep take_turn(self, Request request, sl_leg *leg) noexcept:
        self.steps_later = False
        return self.step(request, leg)

    # ---- TLS ---------------------------------------------------------------------------------------------------------

    cdef EntranceStep begin_handshake(self, Request request, sl_leg *leg) noexcept:
        """Puts TLS on the leg, where the gateway has room for one handshake more."""
        if not self.parts.limits.enter_gateway(SL_LIMIT_HANDSHAKES, &self.place):
            self.parts.meter.limited(SL_SCOPE_HANDSHAKES)
            self.fail(request, leg, SL_TLS_RESULT_LIMIT)
            return ENTRANCE_FAILED
        if not self.server.begin(leg, self.parts.tls_work):
            self.fail(request, leg, SL_TLS_RESULT_INTERNAL)
            return ENTRANCE_FAILED
        self.began_us = clock_us()
        return ENTRANCE_WAITS

    cdef EntranceStep step(self, Request request, sl_leg *leg) noexcept:
        cdef sl_leg_progress progress = sl_leg_advance(leg)
        if progress == SL_LEG_FAILED:
            self.fail(request, leg, self.server.result(leg))
            return ENTRANCE_FAILED
        if progress != SL_LEG_READY:
            return ENTRANCE_WAITS
        self.finish(leg)
        return ENTRANCE_PASSED

    cdef void finish(self, sl_leg *leg) noexcept:
        """The handshake is done: from here on the leg is as any other."""
        cdef WorkerParts parts = self.parts
        self.tls = self.server.finished(leg)
        self.release()
        parts.meter.labelled(SL_FAMILY_TLS_HANDSHAKES, SL_TLS_SIDE_CLIENT, self.server.result(leg), 0, 0)[0] += 1
        sl_segment_observe(parts.meter.segment, SL_HISTOGRAM_HANDSHAKE_CLIENT, clock_us() - self.began_us)
        if self.tls.leaf is not NULL:
            parts.certified = True

    cdef void fail(self, Request request, const sl_leg *leg, int result) noexcept:
        """Counts and logs a handshake that came to nothing, or a header that never came."""
        cdef const char *reason = sl_leg_reason(leg)
        cdef int outcome = SL_OUTCOME_MALFORMED
        cdef int told = SL_REASON_TLS_HANDSHAKE
        if result == SL_TLS_RESULT_LIMIT:
            outcome, told = SL_OUTCOME_GATEWAY_LIMIT, SL_REASON_LIMIT
        elif result == SL_TLS_RESULT_TIMEOUT:
            outcome, told = SL_OUTCOME_REQUEST_TIMEOUT, SL_REASON_REQUEST_TIMEOUT
        elif result == SL_TLS_RESULT_INTERNAL:
            outcome, told = SL_OUTCOME_INTERNAL, SL_REASON_INTERNAL
        elif SL_TLS_RESULT_CERTIFICATE_MISSING <= result <= SL_TLS_RESULT_NAME_MISMATCH:
            outcome = SL_OUTCOME_AUTH_FAILED
        if self.header:
            told = SL_REASON_PROXY_HEADER
        else:
            self.parts.meter.labelled(SL_FAMILY_TLS_HANDSHAKES, SL_TLS_SIDE_CLIENT, result, 0, 0)[0] += 1
        log_refused(self.parts, request.listener, SL_PROTOCOL_UNKNOWN, &request.peer, request.peer_port,
                    request.source, 0, outcome, None, None if reason is NULL else reason.decode("ascii", "replace"),
                    None if self.header else unfinished(leg, <sl_tls_result> result), told)

    cdef void release(self) noexcept:
        self.parts.limits.leave(SL_LIMIT_HANDSHAKES, &self.place)

    # ---- the PROXY header --------------------------------------------------------------------------------------------

    cdef EntranceStep take_header(self, Request request, sl_leg *leg) noexcept:
        cdef sl_proxy_header found
        cdef sl_proxy_status status
        cdef size_t left
        cdef ssize_t got = sl_leg_peek(leg, self.parts.loop.scratch, SL_PROXY_HEADER_MOST)
        if got < 0 and errno == EAGAIN:
            return ENTRANCE_WAITS
        status = sl_proxy_header_read(self.parts.loop.scratch, <size_t> got, &found) if got > 0 else SL_PROXY_BROKEN
        if status == SL_PROXY_BROKEN:
            return self.refuse_header(request, "expected a PROXY header")
        if status == SL_PROXY_MORE:
            return ENTRANCE_WAITS
        if self.parts.speakers.contain(&request.peer) and not self.take_identity(request, found.length):
            return self.refuse_header(request, "the identity in the PROXY header is not one of a trust domain")
        left = found.length
        while left:
            got = sl_leg_receive(leg, self.parts.loop.scratch, left)
            if got <= 0:
                return self.refuse_header(request, "expected a PROXY header")
            left -= <size_t> got
        self.header, request.relayed = False, True
        if found.source.family:
            request.peer, request.peer_port = found.source, found.port
            unmap(&request.peer)
            request.source = source_of(self.parts, &request.peer)
        return ENTRANCE_PASSED

    cdef bint take_identity(self, Request request, size_t length) noexcept:
        """From the header in the scratch, before it is read off; False where it has one that does not count."""
        cdef const char *identity = NULL
        cdef size_t size = 0
        cdef Forwarded claims
        if not sl_proxy_header_identity(self.parts.loop.scratch, length, &identity, &size):
            return False
        if identity is NULL:
            return True
        claims = Forwarded.__new__(Forwarded)
        claims.identity, claims.speaker = identity[:size], request.peer
        request.forwarded = claims
        return claims.rename(self.parts.settings.trust_domains)

    cdef EntranceStep refuse_header(self, Request request, str detail) noexcept:
        """Counts and logs a peer that has to send one and does not."""
        self.parts.meter.count(SL_COUNTER_PROTOCOL_ERRORS)
        self.parts.meter.labelled(SL_FAMILY_PROTOCOL_ERRORS, SL_PROTOCOL_UNKNOWN, SL_OUTCOME_MALFORMED, 0, 0)[0] += 1
        log_refused(self.parts, request.listener, SL_PROTOCOL_UNKNOWN, &request.peer, request.peer_port,
                    request.source, 0, SL_OUTCOME_MALFORMED, None, detail, None,
                    SL_REASON_PROXY_HEADER)
        return ENTRANCE_FAILED
