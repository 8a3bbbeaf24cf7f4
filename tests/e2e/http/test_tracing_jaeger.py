"""A trace in Jaeger, built from the Go proxy: its API shows the spans, and their times are those of the log line."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from tests.e2e.http.test_tracing import asked, running, trace_id
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.sluice_process import ROOT

PROGRAM: Final = ROOT / "build/jaeger/jaeger"
PACKAGE: Final = "github.com/jaegertracing/jaeger/cmd/all-in-one"


class Jaeger(NamedTuple):
    """`otlp` and `query` are ports."""

    otlp: int
    query: int

    def trace(self, number: int) -> list[dict[str, Any]]:
        """Spans of a trace, as its API tells them."""
        try:
            url = f"http://127.0.0.1:{self.query}/api/traces/{trace_id(number)}"
            with urllib.request.urlopen(url, timeout=20) as answer:
                (found,) = json.load(answer)["data"]
        except (OSError, ValueError):
            return []
        spans: list[dict[str, Any]] = found["spans"]
        return sorted(spans, key=lambda span: tags(span)["span.kind"] != "server")


def tags(span: dict[str, Any]) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in span["tags"]}


@pytest.fixture(scope="module")
def jaeger() -> Iterator[Jaeger]:
    if not PROGRAM.exists():
        build = [str(ROOT / "deploy/go_client.sh"), str(ROOT / "tests/e2e/jaeger"), str(PROGRAM), PACKAGE]
        subprocess.run(build, check=True, timeout=3600)
    ports = {
        name: free_port()
        for name in (
            *("collector.otlp.http", "collector.otlp.grpc", "collector.grpc-server", "collector.http-server"),
            *("query.http-server", "query.grpc-server", "admin.http"),
        )
    }
    command = [str(PROGRAM), *(f"--{name}.host-port=127.0.0.1:{port}" for name, port in ports.items())]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield Jaeger(ports["collector.otlp.http"], ports["query.http-server"])
        finally:
            process.terminate()


@pytest.mark.full
@pytest.mark.timeout(3600)  # the first time it is built
def test_a_request_and_a_tunnel_in_jaeger(jaeger: Jaeger) -> None:
    with running(endpoint=f"http://127.0.0.1:{jaeger.otlp}") as site:
        assert site.get("/jaeger", asked(1)) == 200
        own, tried = eventually(lambda: jaeger.trace(1), "Jaeger has the trace")
        line = site.line(trace_id(1))
        assert own["spanID"] == line["span_id"] and own["operationName"] == tried["operationName"] == "GET"
        assert tried["references"][0]["spanID"] == own["spanID"]
        assert tags(own)["sluice.id"] == line["id"] and tags(own)["sluice.rule"] == line["rule"]
        assert tags(own)["http.response.status_code"] == tags(tried)["http.response.status_code"] == 200
        assert own["duration"] // 1000 == line["duration_ms"]
        assert own["startTime"] <= tried["startTime"]
        assert tried["startTime"] + tried["duration"] <= own["startTime"] + own["duration"]
        assert tags(tried).get("sluice.dns_ms") == line["dns_ms"] and tags(tried)["sluice.dial_ms"] == line["dial_ms"]
        told = site.gateway.sluice("explain", "--id", line["id"]).stdout
        assert trace_id(1) in told
