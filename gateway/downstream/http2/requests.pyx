"""The requests on a client's HTTP/2 connection. See requests.pxd."""

import os

cimport cython
from libc.stdint cimport uint64_t

from gateway.c.contract cimport (
    SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_GATEWAY_LIMIT, SL_REASON_DRAINING, SL_REASON_TOO_MANY_STREAMS,
)
from gateway.c.message cimport sl_message
from gateway.c.segment cimport (
    SL_COUNTER_PROTOCOL_ERRORS, SL_FAMILY_PROTOCOL_ERRORS, SL_PROTOCOL_HBONE, SL_PROTOCOL_HTTP2, SL_SCOPE_DRAINING,
    SL_SCOPE_STREAMS,
)
from gateway.proto.codec cimport CODEC_CREDENTIALS, CODEC_REQUEST
from gateway.proto.grpc cimport is_grpc
from gateway.proto.http2.head cimport DIALECT_PIPY, HEAD_CONNECT, HEAD_GET, HEAD_HEAD, HEAD_POST, H2Head
from gateway.proto.http2.streams cimport STREAM_GRPC, STREAM_PAGE
from gateway.proto.http2.websocket cimport becomes_upgrade
from gateway.routing.exchange cimport exchange_of
from gateway.state.meter cimport Meter
from gateway.state.record cimport count_login, log_refused
from gateway.state.request cimport Request
from gateway.state.settings cimport PROTOCOL_AUTO, PROTOCOL_HBONE, ListenerSpec
from gateway.state.speakers cimport take_claims
from gateway.tunnel.request cimport note, over_limit


@cython.final
cdef class H2Requests:
    """A part of a client's connection: it may touch what the session has read, the log and the counters."""

    def __cinit__(self, WorkerParts parts, H2Server server, int listener, int auth):
        self.parts, self.server, self.listener, self.auth = parts, server, listener, auth
        self.protocol = (SL_PROTOCOL_HBONE if parts.settings.listener(listener).protocol == PROTOCOL_HBONE
                         else SL_PROTOCOL_HTTP2)

    cdef void go_inside(self, Record tunnel) noexcept:
        self.inside = tunnel
        self.protocol = SL_PROTOCOL_HTTP2 if tunnel.kind == SL_PROTOCOL_HBONE else tunnel.kind

    cdef Asked kind(self, int status) noexcept:
        cdef H2Head head = self.server.head
        if status != CODEC_REQUEST and status != CODEC_CREDENTIALS:
            return ASKED_BROKEN
        if head.method == HEAD_CONNECT and not head.has_protocol:
            return ASKED_TUNNEL if self.inside is None else ASKED_OTHER
        if head.message is not None and self.server.dialect != DIALECT_PIPY:
            return ASKED_EXCHANGE
        return ASKED_PAGE if self.is_page() else ASKED_OTHER

    cdef bint takes_requests(self) noexcept:
        cdef ListenerSpec spec = self.parts.settings.listener(self.listener)
        return self.inside is not None or (spec.protocol == PROTOCOL_AUTO and spec.requests)

    cdef bint is_page(self) noexcept:
        cdef H2Head head = self.server.head
        return (self.inside is None and self.parts.settings.listener(self.listener).diagnostics
                and head.method in (HEAD_GET, HEAD_HEAD, HEAD_POST)
                and head.path.length == 1 and head.path.text[0] == c"/")

    cdef H2Request asked_for(self, H2Carrier carrier):
        cdef H2Request request = H2Request.__new__(H2Request)
        request.parts = self.parts
        request.carrier = carrier
        request.listener = self.listener
        request.peer = self.peer
        request.peer_port = self.peer_port
        request.source = self.source
        request.user = self.server.head.user
        request.tls, request.relayed, request.forwarded = self.tls, self.relayed, self.forwarded
        take_claims(self.parts, request, self.server.head)
        request.record = note(self.parts, request, self.server.head, self.protocol)
        return request

    cdef H2ExchangeStream exchange_for(self, H2Carrier carrier, H2Stream *stream):
        cdef sl_message *head = &self.server.head.message.head
        cdef H2ExchangeStream side = H2ExchangeStream.__new__(H2ExchangeStream)
        cdef Request who = self.who
        if who is None:
            who = self.who = Request.__new__(Request)
            who.listener, who.tls, who.relayed = self.listener, self.tls, self.relayed
            who.forwarded, who.peer, who.peer_port, who.source = self.forwarded, self.peer, self.peer_port, self.source
            who.inside = self.inside
        if is_grpc(head):
            stream.flags |= STREAM_GRPC
        if self.is_page():
            stream.flags |= STREAM_PAGE
        if head.upgrades and not becomes_upgrade(head, os.urandom(16)):
            return None
        side.upgrading = head.upgrades
        side.parts, side.carrier = self.parts, carrier
        side.exchange = exchange_of(self.parts, side, who, self.protocol, self.auth)
        return side

    cdef void one_too_many(self, H2Carrier carrier, int status) noexcept:
        cdef bint leaving = self.server.leaving
        cdef int scope = SL_SCOPE_DRAINING if leaving else SL_SCOPE_STREAMS
        if self.kind(status) == ASKED_TUNNEL:
            over_limit(self.asked_for(carrier).record, self.source, SL_OUTCOME_GATEWAY_LIMIT, scope,
                       SL_REASON_DRAINING if leaving else SL_REASON_TOO_MANY_STREAMS)
        else:
            self.parts.meter.limited(scope)

    cdef uint64_t turned_away(self, int outcome, bytes tried, str detail, int reason) noexcept:
        cdef uint64_t sequence = self.parts.meter.number()
        log_refused(self.parts, self.listener, self.protocol, &self.peer, self.peer_port, self.source, sequence,
                    outcome, tried, detail, self.tls, reason)
        return sequence

    cdef uint64_t protocol_error(self, int outcome, bytes tried, str detail, int reason) noexcept:
        cdef Meter meter = self.parts.meter
        if outcome == SL_OUTCOME_AUTH_FAILED:
            count_login(self.parts, reason, tried, detail)
        else:
            meter.count(SL_COUNTER_PROTOCOL_ERRORS)
        meter.labelled(SL_FAMILY_PROTOCOL_ERRORS, self.protocol, outcome, 0, 0)[0] += 1
        return self.turned_away(outcome, tried, detail, reason)
