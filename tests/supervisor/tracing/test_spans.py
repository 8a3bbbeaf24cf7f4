"""Lines of workers as spans: what becomes of each member, and invalid lines."""

import copy
import json
from typing import Any, Final

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from supervisor.tracing.spans import Reader

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
TRY: Final = {
    "span_id": "00000000000000a1",
    "start_us": 1_000_100,
    "end_us": 1_900_000,
    "address": "203.0.113.9",
    "port": 443,
    "reused": False,
    "dns_ms": 3,
    "dial_ms": 40,
    "tls_ms": 25,
    "first_byte_ms": 120,
    "status": 200,
    "outcome": "closed",
}
LEG: Final = {"version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "group": "x25519", "alpn": "h2"}
LINE: Final[dict[str, Any]] = {
    "ts": "2026-12-01T00:00:00.000Z",
    "event": "request",
    "id": "0-1-7",
    "generation": 3,
    "worker": 0,
    "listener": "mesh",
    "protocol": "http",
    "source": {"ip": "10.1.2.3", "port": 5000, "identity": "shop/cart", "identity_source": "network", "user": None},
    "destination": {"host": "api.example.com", "port": 443, "address": "203.0.113.9"},
    "verdict": "allow",
    "rule": "EgressPolicy/shop/payments",
    "rule_item": 0,
    "list_line": None,
    "phase": "name",
    "reason": "rule_allow",
    "would_deny": False,
    "inner": None,
    "addresses_refused": None,
    "dns_ms": 3,
    "dial_ms": 40,
    "source_address": None,
    "tls": {"client": None, "upstream": {**LEG, "sni": "api.example.com", "peer": None, "failure": None}},
    "trace_id": TRACE,
    "span_id": "00000000000000f1",
    "span": {
        "parent": "00f067aa0ba902b7",
        "start_us": 1_000_000,
        "end_us": 2_000_000,
        "secure": True,
        "tls_ms": 25,
        "tries": [TRY],
    },
    "outcome": "closed",
    "bytes_up": 0,
    "bytes_down": 12,
    "duration_ms": 1000,
    "method": "GET",
    "status": 200,
    "route": "HTTPRoute/shop/api",
    "backend": None,
    "tries": 1,
    "mirrored": 0,
    "first_byte_ms": 150,
    "downgraded": False,
    "path": "/v1/items?(redacted)",
}  # fmt: skip
READER: Final = Reader(Resource({"service.name": "sluice"}), "0.1")


def spans(**changes: Any) -> list[ReadableSpan]:
    return READER.read(json.dumps({**copy.deepcopy(LINE), **changes}).encode())


def about(span: ReadableSpan) -> dict[str, Any]:
    assert span.attributes is not None
    return dict(span.attributes)


def test_a_request_and_its_try() -> None:
    own, one = spans()
    assert own.context is not None and one.context is not None and own.parent is not None and one.parent is not None
    assert own.context.trace_id == one.context.trace_id == int(TRACE, 16)
    assert (own.parent.span_id, own.parent.is_remote) == (0x00F067AA0BA902B7, True)
    assert (own.context.span_id, one.context.span_id) == (0xF1, 0xA1)
    assert (one.parent.span_id, one.parent.is_remote) == (0xF1, False)
    assert (own.name, own.kind, one.name, one.kind) == ("GET", SpanKind.SERVER, "GET", SpanKind.CLIENT)
    assert (own.start_time, own.end_time) == (1_000_000_000, 2_000_000_000)
    assert (one.start_time, one.end_time) == (1_000_100_000, 1_900_000_000)
    assert own.status.status_code is one.status.status_code is StatusCode.UNSET
    assert about(own) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.scheme": "https",
        "url.path": "/v1/items",
        "server.address": "api.example.com",
        "server.port": 443,
        "client.address": "10.1.2.3",
        "client.port": 5000,
        "sluice.source.identity": "shop/cart",
        "sluice.source.identity_source": "network",
        "sluice.destination.address": "203.0.113.9",
        "sluice.id": "0-1-7",
        "sluice.generation": 3,
        "sluice.listener": "mesh",
        "sluice.protocol": "http",
        "sluice.verdict": "allow",
        "sluice.rule": "EgressPolicy/shop/payments",
        "sluice.rule_item": 0,
        "sluice.phase": "name",
        "sluice.reason": "rule_allow",
        "sluice.would_deny": False,
        "sluice.outcome": "closed",
        "sluice.bytes_up": 0,
        "sluice.bytes_down": 12,
        "sluice.dns_ms": 3,
        "sluice.dial_ms": 40,
        "sluice.first_byte_ms": 150,
        "sluice.route": "HTTPRoute/shop/api",
        "sluice.tries": 1,
        "sluice.mirrored": 0,
    }
    assert about(one) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.full": "https://api.example.com/v1/items",
        "server.address": "api.example.com",
        "server.port": 443,
        "network.peer.address": "203.0.113.9",
        "network.peer.port": 443,
        "tls.protocol.name": "tls",
        "tls.protocol.version": "1.3",
        "tls.cipher": "TLS_AES_128_GCM_SHA256",
        "tls.curve": "x25519",
        "tls.next_protocol": "h2",
        "sluice.connection_reused": False,
        "sluice.dns_ms": 3,
        "sluice.dial_ms": 40,
        "sluice.tls_ms": 25,
        "sluice.first_byte_ms": 120,
        "sluice.outcome": "closed",
    }


def test_a_second_try_and_errors() -> None:
    first = {**TRY, "reused": True, "status": None, "outcome": "reset"}
    own, one, two = spans(span={**LINE["span"], "tries": [first, {**TRY, "status": 503}]}, status=503)
    assert about(own)["error.type"] == "503" and own.status.status_code is StatusCode.ERROR
    assert about(one)["error.type"] == "reset" and about(two)["error.type"] == "503"
    assert about(two)["http.request.resend_count"] == 1 and "http.request.resend_count" not in about(one)


@pytest.mark.parametrize(
    ("status", "outcome", "failed"),
    [(403, "denied", False), (404, "closed", False), (429, "source_limit", False), (504, "dial_timeout", True),
     (500, "backend_invalid", True), (None, "client_gone", False)],
)  # fmt: skip
def test_what_is_an_error_of_a_request(status: int | None, outcome: str, failed: bool) -> None:
    (own,) = spans(status=status, outcome=outcome, span={**LINE["span"], "tries": []})
    assert (own.status.status_code is StatusCode.ERROR) == failed == ("error.type" in about(own))
    assert about(own)["sluice.outcome"] == outcome


def test_a_client_error_is_one_of_the_try_alone() -> None:
    own, one = spans(status=404, span={**LINE["span"], "tries": [{**TRY, "status": 404}]})
    assert own.status.status_code is StatusCode.UNSET and one.status.status_code is StatusCode.ERROR


def test_a_tunnel() -> None:
    line = {key: value for key, value in LINE.items() if key not in ("method", "status", "route", "backend", "path")}
    (own,) = READER.read(
        json.dumps({**line, "event": "close", "span": {**LINE["span"], "parent": None, "tries": []}}).encode()
    )
    assert (own.name, own.kind, own.parent) == ("tunnel", SpanKind.SERVER, None)
    assert about(own)["sluice.tls_ms"] == 25 and "http.request.method" not in about(own)


def test_methods_queries_and_hosts() -> None:
    own, one = spans(method="BREW", path="/a?b=1", destination={"host": "2001:db8::1", "port": 8080, "address": None})
    assert own.name == "HTTP" and about(own)["http.request.method"] == "_OTHER"
    assert about(own)["http.request.method_original"] == "BREW" and about(own)["url.query"] == "b=1"
    assert about(one)["url.full"] == "https://[2001:db8::1]:8080/a?b=1"


@pytest.mark.parametrize(
    "text",
    [b"", b"x", b"[]", b"1", b"{}", json.dumps({**LINE, "trace_id": None}).encode(),
     json.dumps({**LINE, "trace_id": "xyz"}).encode(), json.dumps({**LINE, "span": 1}).encode(),
     json.dumps({**LINE, "source": []}).encode(), json.dumps({**LINE, "tls": 1}).encode()],
)  # fmt: skip
def test_what_is_no_span(text: bytes) -> None:
    with pytest.raises(ValueError):
        READER.read(text)
