"""Writes tables between markers from a kept run of bench.run, losses included: all of them into docs/performance.md,
and six rows into README.md.

python -m bench.render [FILE]        default: the newest bench/results/peers-*.json
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.limits import limits, measured
from bench.machine import RESULTS, ROOT
from bench.peers import PEERS
from bench.peers.base import SECURE
from bench.peers.web import WAYS as REQUESTS
from bench.summary import yardsticks

BEGIN: Final = "<!-- figures: begin -->"
END: Final = "<!-- figures: end -->"
KIB: Final = 1024.0
MIB: Final = 1024.0 * 1024
WAYS: Final = {"socks5": "SOCKS5", "connect": "CONNECT", "http2": "HTTP/2"}
Record = dict[str, Any]


class Column(NamedTuple):
    """One figure of one load: its head, by what it is divided and with how many decimals it is shown."""

    head: str
    load: str
    key: str
    divisor: float
    decimals: int


COLUMNS: Final = (
    Column("bulk down, CPU s/GB", "bulk-down", "cpu_us", 1e6, 2),
    Column("bulk up, CPU s/GB", "bulk-up", "cpu_us", 1e6, 2),
    Column("open and close, CPU µs", "tunnels", "cpu_us", 1, 0),
    Column("64 tunnels, CPU µs a round trip", "pingpong-64", "cpu_us", 1, 1),
    Column("their p99, ms", "pingpong-64", "p99_us", 1e3, 1),
    Column("one tunnel, p50 µs", "pingpong-1", "p50_us", 1, 0),
    Column("idle tunnel, KiB RSS", "idle", "rss_each", KIB, 2),
    Column("RSS at 0 and 5,000, MiB", "idle", "rss_empty", MIB, 0),
)


HTTP2_COLUMNS: Final = (
    Column("bulk down, CPU s/GB", "h2-bulk-down", "cpu_us", 1e6, 2),
    Column("in frames of 128 KiB", "h2-bulk-down-128k", "cpu_us", 1e6, 2),
    Column("bulk up, CPU s/GB", "h2-bulk-up", "cpu_us", 1e6, 2),
    Column("open and close, CPU µs", "h2-tunnels", "cpu_us", 1, 0),
    Column("64 tunnels, CPU µs a round trip", "h2-pingpong-64", "cpu_us", 1, 1),
    Column("their p99, ms", "h2-pingpong-64", "p99_us", 1e3, 1),
    Column("one tunnel, p50 µs", "h2-pingpong-1", "p50_us", 1, 0),
    Column("idle tunnel, KiB RSS", "h2-idle", "rss_each", KIB, 2),
    Column("kept beside a stalled reader", "h2-stalled", "kept", 1, 2),
)


TLS_COLUMNS: Final = (
    Column("HTTP/2: bulk down, CPU s/GB", "h2-tls-bulk-down", "cpu_us", 1e6, 2),
    Column("bulk up, CPU s/GB", "h2-tls-bulk-up", "cpu_us", 1e6, 2),
    Column("open and close, CPU µs", "h2-tls-tunnels", "cpu_us", 1, 0),
    Column("64 tunnels, CPU µs a round trip", "h2-tls-pingpong-64", "cpu_us", 1, 1),
    Column("idle stream, KiB RSS", "h2-tls-idle", "rss_each", KIB, 2),
    Column("new connection and tunnel, CPU µs", "tls-tunnels", "cpu_us", 1, 0),
    Column("resumed", "tls-tunnels-resumed", "cpu_us", 1, 0),
    Column("with a client's certificate", "mtls-tunnels", "cpu_us", 1, 0),
    Column("resumed", "mtls-tunnels-resumed", "cpu_us", 1, 0),
    Column("idle, KiB RSS", "tls-idle", "rss_each", KIB, 2),
    Column("with a client's certificate", "mtls-idle", "rss_each", KIB, 2),
    Column("p99 of 64 tunnels beside 500 handshakes/s relative to quiet", "tls-beside", "beside", 1, 2),
)


REQUEST_COLUMNS: Final = (
    Column("GET, CPU µs", "get", "cpu_us", 1, 1),
    Column("its p99, ms", "get", "p99_us", 1e3, 1),
    Column("HTTP/2 in, CPU µs", "get-h2", "cpu_us", 1, 1),
    Column("its p99, ms", "get-h2", "p99_us", 1e3, 1),
    Column("1 MiB answers, CPU s/GB", "get-1m", "cpu_us", 1e6, 2),
    Column("TLS out, CPU µs", "get-tls", "cpu_us", 1, 1),
    Column("new connection each, CPU µs", "get-new", "cpu_us", 1, 1),
    Column("gRPC unary, CPU µs", "unary", "cpu_us", 1, 1),
    Column("idle client, KiB RSS", "get-idle", "rss_each", KIB, 2),
    Column("1 GiB to a stalled reader, KiB RSS more", "get-stalled", "rss_more", KIB, 0),
)


# The README's rows: the load's words, the figure, the way, and the column of `limits()` that it is held to.
HEADLINES: Final = (
    ("bulk download over CONNECT, CPU s per GB", COLUMNS[0], "connect"),
    ("tunnel opened and closed over SOCKS5, CPU µs", COLUMNS[2], "socks5"),
    ("round trip on 64 CONNECT tunnels, CPU µs", COLUMNS[3], "connect"),
    ("p99 of these round trips, ms", COLUMNS[4], "connect"),
    ("idle CONNECT tunnel, KiB of RSS", COLUMNS[6], "connect"),
    ("bulk download over HTTP/2, CPU s per GB", HTTP2_COLUMNS[0], "http2"),
)


def title(name: str) -> str:
    """A contestant as a reader knows it."""
    peer, _, way = name.partition("/")
    if peer == "direct":
        return "(direct, nothing in between)"
    kind = PEERS[peer]
    clear = [each for each in kind.ways if each not in SECURE and each not in REQUESTS]
    return kind.title if len(clear) == 1 else f"{kind.title}, {WAYS[way]}"


def with_requests(record: Record) -> Record:
    """A record without requests, together with the newest that has them alone."""
    kept = sorted(RESULTS.glob("requests-*.json"))
    if not kept or "get" in record["summary"]:
        return record
    other = json.loads(kept[-1].read_text())
    told = f"{len(other['rounds'])} rounds, commit {other['versions']['sluice']}"
    return {**record, "summary": record["summary"] | other["summary"], "requests": told}


def names(record: Record) -> list[str]:
    """All contestants, in the order in which they ran; us first."""
    found: dict[str, None] = {}
    for rows in record["summary"].values():
        found.update(dict.fromkeys(rows))
    return sorted(found, key=lambda name: (not name.startswith("sluice"), name == "direct"))


def number(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}"


def cost(record: Record, name: str, column: Column) -> str:
    """Median and spread."""
    row = record["summary"].get(column.load, {}).get(name)
    if row is None or (name == "direct" and column.key == "cpu_us"):
        return "-"
    if "failed" in row:
        return f"fails ({row['failed']})"
    if column.key not in row["figures"]:
        return "-"
    if column.key == "rss_empty":
        pair = [row["figures"][key]["median"] / column.divisor for key in ("rss_empty", "rss_full")]
        return " and ".join(number(value, column.decimals) for value in pair)
    figure = {key: number(value / column.divisor, column.decimals) for key, value in row["figures"][column.key].items()}
    return f"{figure['median']} ({figure['least']}-{figure['most']})"


def ratio(record: Record, name: str, column: Column, yardstick: str) -> str:
    row = record["summary"].get(column.load, {}).get(name, {})
    value = row.get("ratios", {}).get(yardstick, {}).get(column.key)
    return "-" if value is None else f"{value:.2f}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def judged(record: Record) -> list[list[str]]:
    """Each limit, what was measured, and whether it holds."""
    rows = []
    for limit in limits():
        value = measured(record, limit)
        if value is None:
            continue
        met = value >= limit.bound if limit.least else value <= limit.bound
        bound = f"at {'least' if limit.least else 'most'} {_short(limit.bound)}"
        rows.append([limit.text, bound, _short(value), "yes" if met else "**no**"])
    return rows


def headlines(record: Record) -> list[str]:
    """Six rows for the README: Sluice, Envoy and the floor, and the limit with whether it is met."""
    met = {row[0]: (row[1], row[3]) for row in judged(record)}
    rows = []
    for words, column, way in HEADLINES:
        others = ["envoy/http2" if way == "http2" else "envoy/connect", f"floor/{way}"]
        found = [cost(record, name, column).partition(" ")[0] for name in (f"sluice/{way}", *others)]
        limit = next(each for each in limits() if (each.load, each.key, each.way) == (column.load, column.key, way))
        bound, holds = met.get(limit.text, ("-", "-"))
        unit = " " + limit.text.partition(": ")[2].partition(" ")[2] if limit.against else " bytes"
        rows.append([words, *found, bound + unit, holds])
    return table(["", "Sluice", "Envoy", "minimal C relay", "limit", "met"], rows)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def tables(record: Record) -> list[str]:
    """The lines between the markers."""
    apart = {*SECURE, *REQUESTS, "http2"}
    found = [name for name in names(record) if name.partition("/")[2] not in apart]
    others = [name for name in found if name != "direct"]
    peers = ", ".join(
        f"{PEERS[name].title.strip('*')} {told['version']}"
        for name, told in record["peers"].items()
        if name not in ("sluice", "floor")
    )
    version, rounds = record["versions"], len(record["rounds"])
    return [
        f"Medians of {rounds} rounds in random order, least and most in brackets; CPU time is that of all processes. "
        f"{version['cpu']}, Linux {version['kernel']}, {version.get('congestion control', 'TCP as it is')}, "
        f"commit {version['sluice']}; {peers}.",
        "",
        *table(
            ["", *(column.head for column in COLUMNS)],
            [[title(name), *(cost(record, name, column) for column in COLUMNS)] for name in found],
        ),
        "",
        "The same as ratios, to Envoy and to the floor asked in the same way, each taken within a round:",
        "",
        *table(
            ["", *(column.head.partition(",")[0] for column in COLUMNS[:4]), "p99", "p50", "idle"],
            [
                [title(name)]
                + [
                    f"{ratio(record, name, column, 'envoy/connect')}, {ratio(record, name, column, _floor(name))}"
                    for column in COLUMNS[:7]
                ]
                for name in others
            ],
        ),
        "",
        *http2_tables(record),
        *tls_tables(record),
        *request_tables(record),
        "What this project asks of itself:",
        "",
        *table(["", "limit", "measured", "met"], judged(record)),
    ]


def over_http2(name: str) -> bool:
    return name.endswith("/http2")


def http2_tables(record: Record) -> list[str]:
    """The lines of tunnels over HTTP/2; none where they were not measured."""
    found = [name for name in names(record) if over_http2(name)]
    if not found:
        return []
    return [
        "Tunnels as HTTP/2 streams: on 4 connections, 5,000 idle ones on 50, those beside a stalled reader on one:",
        "",
        *table(
            ["", *(column.head for column in HTTP2_COLUMNS)],
            [[title(name), *(cost(record, name, column) for column in HTTP2_COLUMNS)] for name in found],
        ),
        "",
        "As ratios to Envoy over HTTP/2:",
        "",
        *table(
            ["", *(column.head.partition(",")[0] for column in HTTP2_COLUMNS[:5]), "p99", "p50", "idle"],
            [
                [title(name), *(ratio(record, name, column, "envoy/http2") for column in HTTP2_COLUMNS[:8])]
                for name in found
            ],
        ),
        "",
    ]


def tls_tables(record: Record) -> list[str]:
    """The lines of tunnels over TLS; none where they were not measured."""
    found = list(dict.fromkeys(name.partition("/")[0] for name in names(record) if name.partition("/")[2] in SECURE))
    if not found:
        return []
    return [
        "Over TLS 1.3 (AES-128-GCM, P-256 certificates, X25519): HTTP/2 as above, and connections of their own, each",
        "with a handshake and an HTTP/1.1 CONNECT. HAProxy ends TLS and relays. The floor is the library's part alone;",
        "where a tunnel is opened, a cleartext one through Sluice is added:",
        "",
        *table(
            ["", *(column.head for column in TLS_COLUMNS)],
            [
                [PEERS[peer].title, *(cost(record, f"{peer}/{way_of(column.load)}", column) for column in TLS_COLUMNS)]
                for peer in found
            ],
        ),
        "",
    ]


def request_tables(record: Record) -> list[str]:
    """The lines of HTTP requests; none where they were not measured."""
    found = list(dict.fromkeys(name.partition("/")[0] for name in names(record) if name.partition("/")[2] in REQUESTS))
    if not found:
        return []
    rows, told = [], record.get("requests", "")
    for peer in found:
        ways = [column.load if column.load in REQUESTS else "get" for column in REQUEST_COLUMNS]
        cells = zip(REQUEST_COLUMNS, ways, strict=True)
        rows.append([PEERS[peer].title, *(cost(record, f"{peer}/{way}", column) for column, way in cells)])
    return [
        "HTTP requests: a GET with an answer of 1 KiB on 64 kept connections, the same as 64 streams on 4 HTTP/2",
        "connections with HTTP/1.1 to the origin, answers of 1 MiB on 8, plain requests that leave over TLS 1.3, a new",
        "connection for each, gRPC calls (HTTP/2 in clear, HTTP/2 over TLS). HAProxy and nginx have one fixed origin,",
        "Envoy its dynamic forward proxy and for TLS a fixed cluster" + (f" ({told}):" if told else ":"),
        "",
        *table(["", *(column.head for column in REQUEST_COLUMNS)], rows),
        "",
    ]


def way_of(load: str) -> str:
    """The way of a load over TLS."""
    return "http2-tls" if load.startswith("h2-") else load.partition("-")[0]


def _floor(name: str) -> str:
    return yardsticks(name)[1]


def written(text: str, lines: list[str]) -> str:
    """The text with what is between the markers replaced. Raises ValueError without both markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the markers {BEGIN} and {END} are not there")
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.render", description="Writes the tables of a kept run into the docs.")
    parser.add_argument("file", nargs="?", type=Path, help="default: the newest bench/results/peers-*.json")
    options = parser.parse_args()
    kept = sorted(RESULTS.glob("peers-*.json"))
    if options.file is None and not kept:
        print("bench.render: no run is kept; `make bench` makes one", file=sys.stderr)
        return 1
    record = with_requests(json.loads((options.file or kept[-1]).read_text()))
    for document, lines in ((ROOT / "docs/performance.md", tables(record)), (ROOT / "README.md", headlines(record))):
        document.write_text(written(document.read_text(), lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
