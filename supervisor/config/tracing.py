"""`tracing` of sluice.yaml: where spans are exported to, and which traces are recorded."""

import importlib.util
from typing import Final
from urllib.parse import urlsplit

import msgspec

from gateway.contract import TracingSettings
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Problems, quote

__all__ = ["TRACING", "Tracing", "read_tracing"]

TRACING: Final = ("endpoint", "sample", "parentBased")
EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
SIGNAL_PATH: Final = "/v1/traces"
LONGEST: Final = 2048  # characters of an endpoint


class Tracing(msgspec.Struct, frozen=True):
    """`endpoint`: the whole URL that spans are posted to, None = off."""

    endpoint: str | None = None
    sample: float = 0.01
    parent_based: bool = True

    def settings(self) -> TracingSettings | None:
        """As a worker gets it."""
        if self.endpoint is None:
            return None
        return TracingSettings(sample=self.sample, parent_based=self.parent_based)


def read_tracing(fields: Fields, problems: Problems) -> Tracing:
    """Reads the section."""
    usual = Tracing()
    nothing: str | None = None
    found = Tracing(
        endpoint=fields.read("endpoint", _endpoint, nothing),
        sample=fields.read("sample", _sample, usual.sample),
        parent_based=fields.read("parentBased", Node.boolean, usual.parent_based),
    )
    node = fields.get("endpoint")
    if node is not None and found.endpoint is not None and not has_exporter():
        words = "tracing.endpoint: the package opentelemetry-exporter-otlp-proto-http is not installed"
        problems.error(node.place, words, "install it with `pip install 'sluice[otel]'`, or set the endpoint to null")
    return found


def has_exporter() -> bool:
    """Whether the extra `otel` is installed."""
    try:
        return importlib.util.find_spec(EXPORTER) is not None
    except ModuleNotFoundError:
        return False


def _endpoint(node: Node) -> str:
    """An http or https URL; one without a path gets the path of the signal (OTLP/HTTP, section Endpoint)."""
    text = node.text()
    hint = "write http://HOST:4318, or the whole URL of the signal: http://HOST:4318/v1/traces"
    if "@" in text:  # never quoted in a message
        words = "expected a URL without credentials"
        raise node.invalid(words, "credentials go into the environment: OTEL_EXPORTER_OTLP_HEADERS")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise node.invalid(f"expected a URL, found {quote(text)}", hint) from None
    if parts.scheme not in ("http", "https"):
        raise node.invalid(f"expected a URL of http or https, found {quote(text)}", hint)
    if not parts.hostname or port == 0 or len(text) > LONGEST or any(not " " < char < "\x7f" for char in text):
        raise node.invalid(f"expected a URL with a host, found {quote(text)}", hint)
    if parts.fragment:
        raise node.invalid(f"expected a URL without a fragment, found {quote(text)}", hint)
    return text if parts.path not in ("", "/") or parts.query else text.rstrip("/") + SIGNAL_PATH


def _sample(node: Node) -> float:
    """A part of all traces."""
    text = node.text()
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise node.invalid(f"expected a number from 0 to 1, found {quote(text)}", "0.01 records one trace in a hundred")
    return found
