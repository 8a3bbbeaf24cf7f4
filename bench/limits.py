"""The limits that the project sets itself, and what a kept run says of each."""

from typing import Any, Final, NamedTuple

from bench.peers.web import WAYS
from bench.summary import median_ratio

__all__ = ["Limit", "limits", "measured"]

MICROSOCKS: Final = "microsocks/socks5"
KIB: Final = 1024


class Limit(NamedTuple):
    """A limit that the project sets itself: of one load and way, against another's figure (or an absolute limit)."""

    text: str
    load: str
    key: str
    way: str
    against: str | None
    bound: float
    least: bool = False  # the bound is the least there may be, not the most
    beyond: bool = False  # measured is what there is more than the other's, not the ratio
    other: str | None = None  # the load of the other's figure, where it is another one


def limits() -> list[Limit]:
    """The project's limits, in the order in which they are shown."""
    found = []
    for way in ("socks5", "connect"):
        for load in ("bulk-down", "bulk-up"):
            found.append(Limit(f"{load}, {way}: CPU relative to Envoy", load, "cpu_us", way, "envoy/connect", 0.38))
    for way in ("socks5", "connect"):
        found += [
            Limit(f"open and close, {way}: CPU relative to Envoy", "tunnels", "cpu_us", way, "envoy/connect", 0.36),
            Limit(f"open and close, {way}: CPU relative to microsocks", "tunnels", "cpu_us", way, MICROSOCKS, 0.8),
            Limit(f"64 tunnels, {way}: CPU relative to Envoy", "pingpong-64", "cpu_us", way, "envoy/connect", 0.53),
            Limit(f"64 tunnels, {way}: p99 relative to Envoy", "pingpong-64", "p99_us", way, "envoy/connect", 1),
            Limit(f"64 tunnels, {way}: p99 relative to microsocks", "pingpong-64", "p99_us", way, MICROSOCKS, 1),
            Limit(f"one tunnel, {way}: p50 relative to the floor", "pingpong-1", "p50_us", way, f"floor/{way}", 1.1),
            Limit(f"idle tunnel, {way}: bytes of RSS", "idle", "rss_each", way, None, 1536),
            Limit(f"idle tunnel, {way}: descriptors", "idle", "files_each", way, None, 2),
        ]
    return found + http2_limits() + tls_limits() + request_limits()


def http2_limits() -> list[Limit]:
    """Those of tunnels over HTTP/2."""

    def by_envoy(text: str, load: str, bound: float, key: str = "cpu_us") -> Limit:
        what = "p99" if key == "p99_us" else "CPU"
        return Limit(f"{text}, HTTP/2: {what} relative to Envoy", load, key, "http2", "envoy/http2", bound)

    return [
        by_envoy("bulk-down", "h2-bulk-down", 0.42),
        by_envoy("bulk-down in frames of 128 KiB", "h2-bulk-down-128k", 0.42),
        by_envoy("bulk-up", "h2-bulk-up", 0.50),
        by_envoy("open and close", "h2-tunnels", 0.40),
        by_envoy("64 tunnels", "h2-pingpong-64", 0.58),
        by_envoy("64 tunnels", "h2-pingpong-64", 1, "p99_us"),
        Limit("idle tunnel, HTTP/2: bytes of RSS", "h2-idle", "rss_each", "http2", None, 2048),
        Limit("99 tunnels beside a stalled reader: share kept", "h2-stalled", "kept", "http2", None, 0.95, least=True),
    ]


def request_limits() -> list[Limit]:
    """Those of HTTP requests."""
    by = {
        "get": ("kept-alive GET, HTTP/1.1", {"envoy": 0.50, "haproxy": 1.25}),
        "get-h2": ("GET, HTTP/2 in and HTTP/1.1 out", {"envoy": 0.60}),
        "get-1m": ("answers of 1 MiB", {"envoy": 0.45}),
        "get-tls": ("GET, TLS out", {"envoy": 0.65}),
        "get-new": ("a new connection for each GET", {"envoy": 0.55, "haproxy": 1.3}),
        "unary": ("gRPC unary, HTTP/2 both sides", {"envoy": 0.60}),
    }
    titles = {"envoy": "Envoy", "haproxy": "HAProxy"}
    found = []
    for load, (text, bounds) in by.items():
        way = load if load in WAYS else "get"
        found += [
            Limit(f"{text}: CPU relative to {titles[peer]}", load, "cpu_us", way, f"{peer}/{way}", bound)
            for peer, bound in bounds.items()
        ]
        if load in ("get", "get-h2"):
            found.append(Limit(f"{text}: p99 relative to Envoy", load, "p99_us", way, f"envoy/{way}", 1))
    return [
        *found,
        Limit("idle kept-alive client: bytes of RSS", "get-idle", "rss_each", "get", None, 2 * KIB),
        Limit("1 GiB to a reader that stalls: bytes of RSS", "get-stalled", "rss_more", "get", None, KIB * KIB),
    ]


def tls_limits() -> list[Limit]:
    """Those of tunnels over TLS."""
    streams = {"bulk-down": 0.92, "bulk-up": 1.0, "tunnels": 0.42, "pingpong-64": 0.70}
    found = [
        Limit(f"{load}, HTTP/2 over TLS: CPU relative to Envoy", f"h2-tls-{load}", "cpu_us", "http2-tls",
              "envoy/http2-tls", bound)
        for load, bound in streams.items()
    ]  # fmt: skip
    for way, text in (("tls", "new TLS connection"), ("mtls", "new TLS connection, client's certificate")):
        load = f"{way}-tunnels"
        bounds = {
            "the library and a cleartext tunnel": ("floor", 1.25),
            "HAProxy": ("haproxy", 1.15),
            "Envoy": ("envoy", 0.75),
        }
        found += [
            Limit(f"{text}: CPU relative to {words}", load, "cpu_us", way, f"{peer}/{way}", bound)
            for words, (peer, bound) in bounds.items()
        ]
        found += [
            Limit(f"{text}: CPU of a resumed one relative to a full one", f"{load}-resumed", "cpu_us", way,
                  f"sluice/{way}", 0.5, other=load),
        ]  # fmt: skip
    quiet = "64 tunnels, TLS: p99 beside 500 handshakes/s relative to quiet"
    beyond = "idle tunnel, TLS: bytes of RSS beyond the library's"
    return [
        *found,
        Limit(quiet, "tls-beside", "beside", "tls", None, 1.5),
        Limit(beyond, "tls-idle", "rss_each", "tls", "floor/tls", 2 * KIB, beyond=True),
        Limit("idle tunnel, TLS: RSS relative to HAProxy", "tls-idle", "rss_each", "tls", "haproxy/tls", 1),
        Limit("idle tunnel, HTTP/2 over TLS: bytes of RSS", "h2-tls-idle", "rss_each", "http2-tls", None, 2.5 * KIB),
    ]  # fmt: skip


def measured(record: dict[str, Any], limit: Limit) -> float | None:
    """The figure of a run that a limit is about; None without one."""
    name = f"sluice/{limit.way}"
    row = record["summary"].get(limit.load, {}).get(name)
    if row is None:
        return None
    if limit.against is None:
        return float(row["figures"][limit.key]["median"])
    if limit.other:
        pairs = [{name: run.get(limit.load, {}).get(name), "other": run.get(limit.other, {}).get(limit.against)}
                 for run in record["rounds"]]  # fmt: skip
        return median_ratio(pairs, name, "other", limit.key)
    if limit.beyond:
        other = record["summary"][limit.load].get(limit.against)
        return float(row["figures"][limit.key]["median"] - other["figures"][limit.key]["median"]) if other else None
    ratio = row["ratios"].get(limit.against, {}).get(limit.key)
    return None if ratio is None else float(ratio)
