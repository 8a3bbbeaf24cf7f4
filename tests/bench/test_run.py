"""The comparison with peers: it runs from end to end, its figures add up, and what it publishes is what it measured."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from bench import render
from bench.accounting import Account
from bench.loads import loads
from bench.machine import RESULTS
from bench.peers import PEERS
from bench.peers.base import SECURE, Absent
from bench.summary import summary

ROOT: Final = Path(__file__).resolve().parents[2]


def here(name: str) -> bool:
    """Whether a peer is on this machine."""
    try:
        PEERS[name].binary()
    except Absent:
        return False
    return True


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    """The record that one run of the benchmark keeps."""
    command = [sys.executable, "-m", "bench.run", "--keep", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1400, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = folder.iterdir()
    record: dict[str, Any] = json.loads(file.read_text())
    return record


def test_us_against_the_floor(tmp_path: Path) -> None:
    record = run(
        tmp_path, "--rounds", "1", "--seconds", "0.2", "--loads", "tunnels,bulk-up,h2-bulk-up", "--peers", "floor"
    )
    assert set(record["summary"]) == {"tunnels", "bulk-up", "h2-bulk-up"}
    (over_http2,) = record["summary"].pop("h2-bulk-up").items()
    assert over_http2[0] == "sluice/http2"
    assert over_http2[1]["figures"]["cpu_us"]["median"] > 0
    for rows in record["summary"].values():
        assert set(rows) == {"direct", "sluice/socks5", "sluice/connect", "floor/socks5", "floor/connect"}
        for name, row in rows.items():
            assert row["figures"]["rate"]["median"] > 0
            assert (row["figures"]["cpu_us"]["median"] > 0) == (name != "direct")
        assert rows["floor/socks5"]["ratios"]["floor/socks5"]["cpu_us"] == 1
    assert set(record["peers"]) == {"sluice", "floor"}
    assert all(told["version"] and told["command"] for told in record["peers"].values())


@pytest.mark.full
@pytest.mark.timeout(1500)
def test_every_peer_that_is_here_carries_every_load(tmp_path: Path) -> None:
    record = run(tmp_path, "--rounds", "1", "--seconds", "0.2")
    found = {f"{name}/{way}" for name, peer in PEERS.items() if here(name) for way in peer.ways}
    for load, rows in record["summary"].items():
        told = loads(1)[load]
        wanted = {name for name in found if told.takes(name.partition("/")[2])}
        if told.way in SECURE and not told.floor:
            wanted -= {f"floor/{told.way}"}
        assert set(rows) == wanted | ({"direct"} if told.takes("direct") and load != "idle" else set())
        assert [name for name, row in rows.items() if "failed" in row] == []
    idle = record["summary"]["idle"]["sluice/socks5"]["figures"]
    assert idle["files_each"]["median"] == pytest.approx(2, abs=0.01)
    for load, name in (("h2-idle", "sluice/http2"), ("h2-tls-idle", "sluice/http2-tls")):
        idle = record["summary"][load][name]["figures"]
        assert idle["files_each"]["median"] == pytest.approx(1.01, abs=0.005)  # and 50 connections
    assert record["summary"]["h2-stalled"]["sluice/http2"]["figures"]["kept"]["median"] > 0


ROUNDS: Final[list[dict[str, Any]]] = [
    {"tunnels": {"sluice/socks5": {"cpu_us": 50.0}, "envoy/connect": {"cpu_us": 200.0}, "dante/socks5": "reset: 1"}},
    {"tunnels": {"sluice/socks5": {"cpu_us": 90.0}, "envoy/connect": {"cpu_us": 180.0}, "dante/socks5": "reset: 1"}},
    {"tunnels": {"sluice/socks5": {"cpu_us": 60.0}, "envoy/connect": {"cpu_us": 150.0}, "dante/socks5": "reset: 1"}},
]


def test_medians_and_ratios_within_a_round() -> None:
    rows = summary(ROUNDS)["tunnels"]
    assert rows["sluice/socks5"]["figures"]["cpu_us"] == {"median": 60, "least": 50, "most": 90}
    assert rows["sluice/socks5"]["ratios"]["envoy/connect"]["cpu_us"] == pytest.approx(0.4)  # of 0.25, 0.5 and 0.4
    assert rows["dante/socks5"] == {"failed": "reset: 1"}


def record_of(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    versions = {"cpu": "2 x test", "kernel": "6", "sluice": "abc"}
    return {"versions": versions, "rounds": rounds, "summary": summary(rounds), "peers": {"envoy": {"version": "1"}}}


def test_the_tables_show_losses() -> None:
    lines = render.tables(record_of(ROUNDS))
    assert any("open and close, socks5: CPU relative to Envoy | at most 0.36 | 0.40 | **no**" in line for line in lines)
    assert any("fails (reset: 1)" in line for line in lines)
    better = copy.deepcopy(ROUNDS)
    for done in better:
        done["tunnels"]["sluice/socks5"]["cpu_us"] /= 2
    lines = render.tables(record_of(better))
    assert any("open and close, socks5: CPU relative to Envoy | at most 0.36 | 0.20 | yes" in line for line in lines)


HTTP2_ROUNDS: Final[list[dict[str, Any]]] = [
    {
        "h2-tunnels": {"sluice/http2": {"cpu_us": 50.0}, "envoy/http2": {"cpu_us": 100.0}, "nghttpx/http2": "reset: 1"},
        "h2-stalled": {"sluice/http2": {"rate": 1.0, "kept": 0.94}},
    }
]


def test_http2_has_tables_and_limits_of_its_own() -> None:
    lines = render.tables(record_of(HTTP2_ROUNDS))
    assert any("open and close, HTTP/2: CPU relative to Envoy | at most 0.40 | 0.50 | **no**" in line for line in lines)
    assert any("beside a stalled reader: share kept | at least 0.95 | 0.94 | **no**" in line for line in lines)
    (row,) = (line for line in lines if line.startswith("| nghttpx") and "fails (reset: 1)" in line)
    assert row.count("|") == len(render.HTTP2_COLUMNS) + 2
    better = copy.deepcopy(HTTP2_ROUNDS)
    better[0]["h2-tunnels"]["sluice/http2"]["cpu_us"] = 40.0
    better[0]["h2-stalled"]["sluice/http2"]["kept"] = 0.95
    lines = render.tables(record_of(better))
    assert any("open and close, HTTP/2: CPU relative to Envoy | at most 0.40 | 0.40 | yes" in line for line in lines)
    assert any("beside a stalled reader: share kept | at least 0.95 | 0.95 | yes" in line for line in lines)


TLS_ROUNDS: Final[list[dict[str, Any]]] = [
    {
        "tls-tunnels": {
            "sluice/tls": {"cpu_us": 600.0}, "floor/tls": {"cpu_us": 400.0}, "haproxy/tls": {"cpu_us": 600.0},
            "envoy/tls": "reset: 1",
        },
        "tls-tunnels-resumed": {"sluice/tls": {"cpu_us": 240.0}, "floor/tls": {"cpu_us": 200.0}},
        "tls-idle": {"sluice/tls": {"rss_each": 18000.0}, "floor/tls": {"rss_each": 15000.0}},
        "tls-beside": {"sluice/tls": {"beside": 1.4}},
    }
]  # fmt: skip


def test_tls_has_tables_and_limits_of_its_own() -> None:
    lines = render.tables(record_of(TLS_ROUNDS))
    for row in (
        "new TLS connection: CPU relative to the library and a cleartext tunnel | at most 1.25 | 1.50 | **no**",
        "new TLS connection: CPU relative to HAProxy | at most 1.15 | 1.00 | yes",
        "new TLS connection: CPU of a resumed one relative to a full one | at most 0.50 | 0.40 | yes",
        "idle tunnel, TLS: bytes of RSS beyond the library's | at most 2,048 | 3,000 | **no**",
        "64 tunnels, TLS: p99 beside 500 handshakes/s relative to quiet | at most 1.50 | 1.40 | yes",
    ):
        assert any(row in line for line in lines), row
    assert not any("CPU relative to Envoy |" in line for line in lines)
    (row,) = (line for line in lines if line.startswith("| Envoy") and "fails (reset: 1)" in line)
    assert row.count("|") == len(render.TLS_COLUMNS) + 2


def test_the_headlines_show_a_limit_that_is_missed() -> None:
    row = "tunnel opened and closed over SOCKS5, CPU µs | 60 | 180 | - | at most 0.36 relative to Envoy | **no**"
    assert any(row in line for line in render.headlines(record_of(ROUNDS)))
    assert len(render.headlines(record_of(ROUNDS))) == 2 + len(render.HEADLINES)


def test_the_documents_show_the_newest_run() -> None:
    record = render.with_requests(json.loads(max(RESULTS.glob("peers-*.json")).read_text()))
    for document, lines in (("docs/performance.md", render.tables), ("README.md", render.headlines)):
        text = (ROOT / document).read_text()
        assert text == render.written(text, lines(record)), f"{document}: run `python -m bench.render`"


def test_only_what_is_between_the_markers_changes() -> None:
    text = f"before\n{render.BEGIN}\nold\n{render.END}\nafter\n"
    new = render.written(text, ["new"])
    assert new == f"before\n{render.BEGIN}\nnew\n{render.END}\nafter\n"
    assert render.written(new, ["new"]) == new
    with pytest.raises(ValueError, match="markers"):
        render.written("nothing here", [])


SPEND: Final = "import time, subprocess, sys\nwhile time.process_time() < 0.3: pass\n"
CHILD: Final = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SPEND!r}])\n"


@pytest.mark.parametrize("grouped", [True, False], ids=["control group", "ticks"])
def test_what_a_child_spent_is_counted_after_its_end(grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not grouped:
        monkeypatch.setattr("bench.accounting._group_root", lambda: None)
    account = Account("test")
    ready, end = "print(1, flush=True)\n", "sys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD + ready + end], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        start_new_session=True, preexec_fn=account.enter(),
    ) as process:  # fmt: skip
        account.session = process.pid
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.read(1) == b"1"
        assert account.processes() == [process.pid]
        assert account.cpu() >= 0.28
        assert account.memory().rss >= account.memory().pss > 1 << 20
        assert account.files() >= 3
        process.stdin.close()
    assert account.processes() == []
    account.close()
