"""Traces through a running gateway: what is read, what leaves, what is recorded, and a collector that fails."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.support import wire
from tests.support.collector import Answer, Collector, Recorded
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.http_client import Client
from tests.support.http_origin import HttpOrigin
from tests.support.names import NameServer
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping, policy

SPAN: Final = "00f067aa0ba902b7"


def trace_id(number: int) -> str:
    return f"4bf92f3577b34da6{number:016x}"


class Site(NamedTuple):
    gateway: Gateway
    origin: HttpOrigin
    collector: Collector
    closed: int

    @property
    def authority(self) -> str:
        return f"www.test:{self.origin.port}"

    def get(self, path: str, *fields: str, host: str = "www.test", port: int = 0) -> int:
        with Client(self.gateway.port) as client:
            return client.get(f"http://{host}:{port or self.origin.port}{path}", *fields).status

    def seen(self, path: str, name: str) -> list[str]:
        """Values of a field of the last request to a path, at the origin."""
        return [one for one in self.origin.requests if one.target.startswith(path)][-1].values(name)

    def line(self, trace: str, event: str = "request") -> Mapping:
        return self.gateway.event(event=event, trace_id=trace)

    def reload(self, **settings: Any) -> None:
        self.gateway.config["tracing"] = settings
        self.gateway.write_config()
        self.gateway.reload()


@contextlib.contextmanager
def running(**settings: Any) -> Iterator[Site]:
    names = {name: ["127.0.0.1"] for name in ("www.test", "blocked.test")}
    with NameServer(names) as server, HttpOrigin() as origin, Collector() as collector:
        rules = [
            policy("open", [{"host": "www.test"}, {"host": "missing.test"}]),
            policy("no-blocked", [{"host": "blocked.test"}], action="Deny"),
        ]
        config = {
            "dns": {"servers": [server.address], "timeout": "1s"},
            "identity": {"networks": [{"cidr": "127.0.0.0/8", "namespace": "shop", "serviceAccount": "cart"}]},
            "tracing": {"endpoint": collector.url, "sample": 0, **settings},
        }
        with Gateway(rules, config) as gateway:
            yield Site(gateway, origin, collector, free_port())


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running() as one:
        yield one


def asked(number: int, flags: str = "01", version: str = "00") -> str:
    return f"traceparent: {version}-{trace_id(number)}-{SPAN}-{flags}"


# ---- requests --------------------------------------------------------------------------------------------------------


def test_a_request_of_a_trace_that_is_recorded(site: Site) -> None:
    assert site.get("/one?secret=1", asked(1), "tracestate: rojo=1, congo=2", "tracestate: foo=3") == 200
    own, tried = site.collector.of(trace_id(1), 2)
    assert (own.parent, own.kind, own.name, tried.parent, tried.kind) == (SPAN, "SERVER", "GET", own.span, "CLIENT")
    assert site.seen("/one", "traceparent") == [f"00-{trace_id(1)}-{tried.span}-01"]
    assert site.seen("/one", "tracestate") == ["rojo=1, congo=2", "foo=3"]
    line = site.line(trace_id(1))
    assert line["span_id"] == own.span
    told = own.attributes
    assert told["sluice.id"] == line["id"] and told["sluice.rule"] == line["rule"] == "ClusterEgressPolicy/open"
    assert told["sluice.source.identity"] == "shop/cart" and told["sluice.outcome"] == "closed"
    assert told["url.path"] == "/one" and "secret" not in str(own) + str(tried)
    assert told["sluice.first_byte_ms"] == line["first_byte_ms"]
    assert own.resource["service.name"] == "sluice"
    assert (
        tried.attributes["network.peer.port"] == site.origin.port and not tried.attributes["sluice.connection_reused"]
    )
    assert tried.attributes["sluice.dial_ms"] >= 0 and tried.attributes["sluice.first_byte_ms"] >= 0
    assert own.start <= tried.start <= tried.end <= own.end and not own.error


def test_explain_prints_the_trace(site: Site) -> None:
    site.get("/explained", asked(2))
    line = site.line(trace_id(2))
    assert f"trace    {trace_id(2)}" in site.gateway.sluice("explain", "--id", line["id"]).stdout
    assert f'"trace_id": "{trace_id(2)}"' in site.gateway.sluice("explain", "--id", line["id"], "--json").stdout


def test_a_trace_that_is_not_recorded_goes_on(site: Site) -> None:
    assert site.get("/unsampled", asked(3, "00"), "tracestate: a=b") == 200
    line = site.line(trace_id(3))
    assert site.seen("/unsampled", "traceparent") == [f"00-{trace_id(3)}-{line['span_id']}-00"]
    assert site.seen("/unsampled", "tracestate") == ["a=b"] and line["span_id"] != SPAN
    assert not [span for span in site.collector.spans if span.trace == trace_id(3)]


def test_a_version_to_come(site: Site) -> None:
    assert site.get("/future", f"{asked(4, version='cc')}-more") == 200
    _, tried = site.collector.of(trace_id(4), 2)
    assert site.seen("/future", "traceparent") == [f"00-{trace_id(4)}-{tried.span}-01"]


@pytest.mark.parametrize(
    "fields",
    [
        ("traceparent: nonsense",),
        (asked(5, version="ff"),),
        (asked(5).upper().replace("TRACEPARENT", "traceparent"),),
        (f"traceparent: 00-{'0' * 32}-{SPAN}-01",),
        (asked(5), asked(5)),
        (asked(5) + "-x",),
        ("traceparent: " + "0" * 10_000,),
        (),
    ],
    ids=("words", "version ff", "upper case", "zeros", "two", "more of version 00", "long", "none"),
)
def test_what_names_no_trace_does_not_go_on(site: Site, fields: tuple[str, ...]) -> None:
    before = len(site.gateway.events(event="request"))
    assert site.get("/malformed", *fields, "tracestate: a=b") == 200
    assert site.seen("/malformed", "traceparent") == site.seen("/malformed", "tracestate") == []
    eventually(lambda: len(site.gateway.events(event="request")) > before, "its line")
    line = site.gateway.events(event="request")[-1]
    assert line["trace_id"] is line["span_id"] is None


@pytest.mark.parametrize("state", ["a=" + "b" * 10_000, ",".join(f"k{i}=1" for i in range(33)), "a=b,=", "A=b"])
def test_a_tracestate_out_of_bounds_is_dropped(site: Site, state: str) -> None:
    assert site.get("/state", asked(6), f"tracestate: {state}") == 200
    assert site.seen("/state", "tracestate") == [] and len(site.seen("/state", "traceparent")) == 1


def test_requests_over_http2(site: Site) -> None:
    with RfcClient(site.gateway.port) as client:
        number = client.request(
            [
                *((":method", "GET"), (":scheme", "http"), (":authority", site.authority), (":path", "/h2")),
                *(("traceparent", asked(7).partition(": ")[2]), ("tracestate", "a=b")),
            ],
            end=True,
        )
        assert client.over(number).status == 200
    own, tried = site.collector.of(trace_id(7), 2)
    assert own.parent == SPAN and site.seen("/h2", "traceparent") == [f"00-{trace_id(7)}-{tried.span}-01"]
    assert site.seen("/h2", "tracestate") == ["a=b"]


def test_a_denied_request_has_no_try(site: Site) -> None:
    assert site.get("/", asked(8), host="blocked.test") == 403
    (own,) = site.collector.of(trace_id(8), 1)
    assert own.attributes["sluice.verdict"] == "deny" and own.attributes["sluice.rule"].endswith("no-blocked")
    assert own.attributes["http.response.status_code"] == 403 and not own.error


def test_an_origin_that_is_not_there(site: Site) -> None:
    assert site.get("/", asked(9), port=site.closed) == 502
    own, tried = site.collector.of(trace_id(9), 2)
    assert own.error and tried.error and tried.attributes["error.type"] == "refused"
    assert site.get("/", asked(10), host="missing.test") == 502
    own, tried = site.collector.of(trace_id(10), 2)
    assert tried.attributes["error.type"] == "name_not_found" == own.attributes["error.type"]


def test_a_kept_connection_that_had_closed_is_two_tries(site: Site) -> None:
    assert site.get("/kept", asked(11)) == 200
    assert site.get("/nothing", asked(12)) == 502
    spans = site.collector.of(trace_id(12), 3)
    assert [span.kind for span in spans] == ["SERVER", "CLIENT", "CLIENT"]
    assert spans[1].attributes["sluice.connection_reused"] and not spans[2].attributes["sluice.connection_reused"]
    assert spans[2].attributes["http.request.resend_count"] == 1
    sent = [one.values("traceparent")[0].split("-")[2] for one in site.origin.requests if one.target == "/nothing"]
    assert sent == [span.span for span in spans[1:]]


# ---- tunnels ---------------------------------------------------------------------------------------------------------


def one_span(site: Site, number: int) -> Recorded:
    (span,) = site.collector.of(trace_id(number), 1)
    return span


def test_a_tunnel_by_connect(site: Site) -> None:
    with wire.connect(site.gateway.port) as client:
        for byte in f"CONNECT {site.authority} HTTP/1.1\r\nHost: x\r\n{asked(20)}\r\n\r\n".encode():
            client.sendall(bytes([byte]))
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        client.sendall(b"GET /inside HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n")
        assert client.recv(65536)
    span = one_span(site, 20)
    line = site.line(trace_id(20), "close")
    assert (span.name, span.parent, span.span) == ("tunnel", SPAN, line["span_id"])
    assert span.attributes["sluice.bytes_down"] == line["bytes_down"] > 0 and span.attributes["sluice.dial_ms"] >= 0
    assert site.line(trace_id(20), "open")["span_id"] == span.span
    assert site.seen("/inside", "traceparent") == [], "what a tunnel carries is not changed"


@pytest.mark.parametrize(("fields", "number"), [(asked(21, version="ff"), 21), (f"{asked(22)}\r\n{asked(22)}", 22)])
def test_a_connect_that_names_no_trace(site: Site, fields: str, number: int) -> None:
    with wire.connect(site.gateway.port) as client:
        client.sendall(f"CONNECT {site.authority} HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n".encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        port = client.getsockname()[1]
    line = eventually(
        lambda: [one for one in site.gateway.events(event="close") if one["source"]["port"] == port], "its line"
    )[-1]
    assert line["trace_id"] is line["span_id"] is None and not site.gateway.events(trace_id=trace_id(number))


def test_a_denied_connect(site: Site) -> None:
    with wire.connect(site.gateway.port) as client:
        client.sendall(f"CONNECT blocked.test:443 HTTP/1.1\r\nHost: x\r\n{asked(23)}\r\n\r\n".encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 403")
    span = one_span(site, 23)
    assert span.attributes["sluice.outcome"] == "denied" and not span.error


def test_tunnels_over_http2(site: Site) -> None:
    with RfcClient(site.gateway.port) as client:
        for number in (24, 25):
            stream = client.open(site.authority, ("traceparent", asked(number).partition(": ")[2]))
            client.connection.reset_stream(stream)
            client.flush()
        client.open(site.authority)  # has none, and gets none of those before
    assert [one_span(site, number).parent for number in (24, 25)] == [SPAN, SPAN]


# ---- settings --------------------------------------------------------------------------------------------------------


def test_sampling_and_a_reload() -> None:
    with running(sample=1) as site:
        assert site.get("/all") == 200
        line = site.gateway.event(event="request", path="/all")
        own, tried = site.collector.of(line["trace_id"], 2)
        assert own.parent == "" and site.seen("/all", "traceparent") == [f"00-{line['trace_id']}-{tried.span}-03"]
        with socket.create_connection(("127.0.0.1", site.gateway.port), timeout=20) as client:
            client.sendall(b"\x05\x01\x00\x05\x01\x00\x03\x08www.test" + site.origin.port.to_bytes(2, "big"))
            assert wire.exactly(client, 12)[3] == 0
        line = site.gateway.event(event="close", protocol="socks5")
        (tunnel,) = site.collector.of(line["trace_id"], 1)
        assert tunnel.attributes["sluice.protocol"] == "socks5" and tunnel.parent == ""
        assert site.gateway.counter("spans_total") >= 3

        site.reload(endpoint=site.collector.url, sample=0, parentBased=False)
        assert site.get("/ratio", asked(30)) == 200
        assert site.seen("/ratio", "traceparent")[0].endswith("-00")

        site.reload(endpoint=None)
        assert site.get("/off", "traceparent: nonsense", "tracestate: A=B", "traceparent: two") == 200
        assert site.seen("/off", "traceparent") == ["nonsense", "two"] and site.seen("/off", "tracestate") == ["A=B"]
        assert "trace_id" not in site.gateway.event(event="request", path="/off")


def test_a_collector_that_fails_costs_requests_nothing() -> None:
    with running(sample=1) as site:
        site.collector.usual = Answer(503)
        for _ in range(20):
            assert site.get("/down") == 200
        eventually(lambda: "answers 503" in site.gateway.errors(), "it is said")
        site.collector.usual = Answer(200)
        eventually(lambda: len(site.collector.spans) == 40, "they arrive after all")
        eventually(lambda: "takes spans again" in site.gateway.errors(), "that is said")
        eventually(lambda: site.gateway.counter("spans_total") == 40, "they are counted")


def test_an_exporter_that_is_killed_is_started_again() -> None:
    with running(sample=1) as site:
        (first,) = exporters(site.gateway)
        site.get("/before")
        eventually(lambda: len(site.collector.spans) == 2, "spans arrive")
        os.kill(first, signal.SIGKILL)
        (second,) = eventually(lambda: [pid for pid in exporters(site.gateway) if pid != first], "another one")
        site.get("/after")
        eventually(lambda: len(site.collector.spans) == 4, "spans arrive again")
        assert first != second
        assert site.gateway.stop() == 0
        eventually(lambda: not exporters(site.gateway), "it has ended")


def exporters(gateway: Gateway) -> list[int]:
    found = []
    for pid in gateway.family():
        with contextlib.suppress(OSError):
            if b"supervisor.tracing.exporter" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found
