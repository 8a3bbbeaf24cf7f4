"""Spans as OpenTelemetry has them, made of the lines that workers write (csrc/bytes/log_line.h, member `span`).

A line of a request becomes a span of kind SERVER and one of kind CLIENT for each try, a line of a tunnel one span.
Attributes have the names of OpenTelemetry's semantic conventions where these have one, else they begin with `sluice.`.
Texts stay escaped as they are in the access log.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

__all__ = ["MOST_SPANS", "Reader"]

METHODS: Final = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))
PORTS: Final = {"http": 80, "https": 443}
MOST_SPANS: Final = 9  # of one line
GOOD: Final = frozenset(("closed", "connected"))
# Ends that are no error of the gateway or the origin: what a client sees of them has a status below 500.
REFUSALS: Final = frozenset(("denied", "address_prohibited", "client_gone", "no_route", "source_limit", "route_limit"))
# Fields of a line, by the attribute that has them.
FIELDS: Final = {
    "sluice.id": "id",
    "sluice.generation": "generation",
    "sluice.listener": "listener",
    "sluice.protocol": "protocol",
    "sluice.verdict": "verdict",
    "sluice.rule": "rule",
    "sluice.rule_item": "rule_item",
    "sluice.phase": "phase",
    "sluice.reason": "reason",
    "sluice.would_deny": "would_deny",
    "sluice.inner": "inner",
    "sluice.outcome": "outcome",
    "sluice.bytes_up": "bytes_up",
    "sluice.bytes_down": "bytes_down",
    "sluice.dns_ms": "dns_ms",
    "sluice.dial_ms": "dial_ms",
    "sluice.first_byte_ms": "first_byte_ms",
    "sluice.route": "route",
    "sluice.backend": "backend",
    "sluice.tries": "tries",
    "sluice.mirrored": "mirrored",
}
TRY_FIELDS: Final = {
    "network.peer.address": "address",
    "network.peer.port": "port",
    "http.response.status_code": "status",
    "sluice.connection_reused": "reused",
    "sluice.dns_ms": "dns_ms",
    "sluice.dial_ms": "dial_ms",
    "sluice.tls_ms": "tls_ms",
    "sluice.first_byte_ms": "first_byte_ms",
    "sluice.outcome": "outcome",
}


class Reader:
    """Makes spans of one gateway, which `resource` names."""

    def __init__(self, resource: Resource, version: str) -> None:
        self._resource = resource
        self._scope = InstrumentationScope("sluice", version)

    def read(self, text: bytes) -> list[ReadableSpan]:
        """Those of one line: the request's or the tunnel's own one first. Raises ValueError for anything else."""
        try:
            line = orjson.loads(text)
            trace = int(line["trace_id"], 16)
            return [self._own(line, trace), *self._tries(line, trace)]
        except (KeyError, TypeError, AttributeError) as wrong:
            raise ValueError(f"it is not a span: {wrong!r}") from None

    def _own(self, line: Mapping[str, Any], trace: int) -> ReadableSpan:
        span, outcome = line["span"], line["outcome"]
        own = _context(trace, line["span_id"])
        parent = _context(trace, span["parent"], remote=True) if span["parent"] is not None else None
        name, failed = "tunnel", outcome not in GOOD and outcome not in REFUSALS
        found = _picked(line, FIELDS) | _parties(line)
        if "method" in line:
            name, about = _request(line)
            found |= about
            failed = failed or (line["status"] or 0) >= 500
        else:
            found |= {} if span["tls_ms"] is None else {"sluice.tls_ms": span["tls_ms"]}
        if failed:
            found["error.type"] = _error(line.get("status"), outcome)
        return self._span(name, own, parent, SpanKind.SERVER, found, span, failed, outcome)

    def _tries(self, line: Mapping[str, Any], trace: int) -> Iterator[ReadableSpan]:
        own = _context(trace, line["span_id"])
        for number, one in enumerate(line["span"]["tries"]):
            found = _picked(one, TRY_FIELDS) | _destination(line)
            name, about = _request(line)
            found |= {
                key: about[key] for key in ("http.request.method", "http.request.method_original") if key in about
            }
            found["url.full"] = _url(line)
            if number:
                found["http.request.resend_count"] = number
            found |= _tls(line["tls"], "upstream")
            failed = one["outcome"] not in GOOD or (one["status"] or 0) >= 400
            if failed:
                found["error.type"] = _error(one["status"], one["outcome"])
            yield self._span(name, _context(trace, one["span_id"]), own, SpanKind.CLIENT, found, one, failed, "")

    def _span(
        self,
        name: str,
        own: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Mapping[str, Any],
        times: Mapping[str, Any],
        failed: bool,
        outcome: str,
    ) -> ReadableSpan:
        status = Status(StatusCode.ERROR, outcome or None) if failed else Status(StatusCode.UNSET)
        start, end = times["start_us"] * 1000, times["end_us"] * 1000
        return ReadableSpan(
            name=name,
            context=own,
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            kind=kind,
            status=status,
            start_time=start,
            end_time=max(start, end),
            instrumentation_scope=self._scope,
        )


def _context(trace: int, span: str, remote: bool = False) -> SpanContext:
    return SpanContext(trace, int(span, 16), remote, TraceFlags(TraceFlags.SAMPLED))


def _picked(source: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """Fields that are not null."""
    return {name: source[field] for name, field in fields.items() if source.get(field) is not None}


def _error(status: int | None, outcome: str) -> str:
    """`error.type`: the outcome, or the status where the exchange itself went well."""
    return str(status) if outcome in GOOD and status is not None else outcome


def _destination(line: Mapping[str, Any]) -> dict[str, Any]:
    destination = line["destination"]
    return _picked(destination, {"server.address": "host", "server.port": "port"})


def _parties(line: Mapping[str, Any]) -> dict[str, Any]:
    """Of both ends: who asks, and what is asked."""
    source = line["source"]
    names = {
        "client.address": "ip",
        "client.port": "port",
        "sluice.source.identity": "identity",
        "sluice.source.identity_source": "identity_source",
        "user.name": "user",
    }
    found = _picked(source, names) | _destination(line)
    address = line["destination"]["address"]
    return (
        found | ({"sluice.destination.address": address} if address is not None else {}) | _tls(line["tls"], "client")
    )


def _tls(tls: Mapping[str, Any] | None, side: str) -> dict[str, Any]:
    leg = tls[side] if tls is not None else None
    if leg is None:
        return {}
    found = _picked(leg, {"tls.cipher": "cipher", "tls.curve": "group", "tls.next_protocol": "alpn"})
    version = leg["version"]
    if version is not None:
        found |= {"tls.protocol.name": "tls", "tls.protocol.version": version.removeprefix("TLSv")}
    return found


def _request(line: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of its spans, and its attributes."""
    method = line["method"] or ""
    path, _, query = line["path"].partition("?")
    found: dict[str, Any] = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "url.scheme": _scheme(line),
        "url.path": path,
    }
    if method not in METHODS:
        found["http.request.method_original"] = method
    if query and query != "(redacted)":
        found["url.query"] = query
    if line["status"] is not None:
        found["http.response.status_code"] = line["status"]
    return (method if method in METHODS else "HTTP"), found


def _scheme(line: Mapping[str, Any]) -> str:
    return "https" if line["span"]["secure"] else "http"


def _url(line: Mapping[str, Any]) -> str:
    """`url.full`, without a query that the log does not show."""
    destination, scheme = line["destination"], _scheme(line)
    host, port = destination["host"] or "", destination["port"]
    if ":" in host:
        host = f"[{host}]"
    shown = "" if port == PORTS[scheme] else f":{port}"
    return f"{scheme}://{host}{shown}{line['path'].removesuffix('?(redacted)')}"
