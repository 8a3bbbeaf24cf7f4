"""A collector of traces: OTLP/HTTP on loopback, decoded by the official protobuf classes. It answers as it is told."""

import gzip
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.eventually import eventually


class Answer(NamedTuple):
    """To one request. `seconds`: before it."""

    status: int = 200
    fields: tuple[tuple[str, str], ...] = ()
    rejected: int = 0
    seconds: float = 0.0


class Recorded(NamedTuple):
    """A span, ids in hexadecimal."""

    trace: str
    span: str
    parent: str
    name: str
    kind: str
    start: int
    end: int
    error: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Collector:
    """`answers` are given in their order, then `usual`. Spans of requests that are answered 200 are kept."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.usual = Answer()
        self.most = 1 << 30  # spans of a request; more are answered 413
        self.spans: list[Recorded] = []
        self.sizes: list[int] = []  # spans of each request, whatever its answer
        self.heads: list[dict[str, str]] = []
        self.released = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                collector.take(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert handler.headers["Content-Type"] == "application/x-protobuf"
        assert handler.path == "/v1/traces"
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        found = list(recorded(request))
        self.sizes.append(len(found))
        self.heads.append({name.lower(): value for name, value in handler.headers.items()})
        answer = self.answers.popleft() if self.answers else self.usual
        if len(found) > self.most:
            answer = Answer(413)
        if answer.seconds:
            self.released.wait(answer.seconds)
        told = ExportTraceServiceResponse()
        if answer.rejected:
            told.partial_success.rejected_spans = answer.rejected
        text = told.SerializeToString() if answer.status == 200 else b""
        if answer.status == 200:
            self.spans += found
        try:
            handler.send_response(answer.status)
            for name, value in answer.fields:
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(text)))
            handler.end_headers()
            handler.wfile.write(text)
        except ConnectionError:
            pass

    def of(self, trace: str, count: int) -> list[Recorded]:
        """Waits for so many spans of a trace; the first one to begin comes first."""

        def found() -> list[Recorded]:
            spans = [span for span in self.spans if span.trace == trace]
            return spans if len(spans) >= count else []

        spans = eventually(found, f"{count} spans of trace {trace}")
        assert len(spans) == count, spans
        return sorted(spans, key=lambda span: (span.start, span.kind != "SERVER"))


def recorded(request: ExportTraceServiceRequest) -> Iterator[Recorded]:
    for resource in request.resource_spans:
        about = attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            assert scope.scope.name == "sluice"
            for span in scope.spans:
                yield Recorded(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code == 2,
                    attributes(span.attributes),
                    about,
                )


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
