"""The loads: what the load generator is told, what one unit of work is, and how one run of it is measured."""

import json
import os
import subprocess
import time
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from bench.machine import LOAD, confined
from bench.peers import Peer
from bench.peers.base import SECURE
from bench.peers.web import WAYS
from bench.web import request_loads

__all__ = [
    "HTTP2", "IDLE_TUNNELS", "Figures", "Load", "Origin", "Spoilt", "finish", "loads", "measure", "start", "wait_files",
]  # fmt: skip

GB: Final = 1_000_000_000
HTTP2: Final = "http2"
IDLE_TUNNELS: Final = 5_000
# Some limits are by source, of which a gateway has many: all peers see the same ones.
SOURCES: Final = ("--sources", "200")
HANDSHAKES: Final = 500  # a second, beside established tunnels
SETTLING: Final = 0.25  # seconds after a load: what is written or freed late belongs to it
Figures = dict[str, float]


class Spoilt(Exception):
    """A run that went wrong: the peer did not carry what it was given."""


class Load(NamedTuple):
    """Arguments of the load generator; a unit of work: its name, the field that counts it, and of what size; how it is
    measured; the way that it goes, "" for every one in cleartext but HTTP/2; and the part of the cryptography's floor
    that is in it, "" for none."""

    arguments: tuple[str, ...]
    unit: str
    field: str
    size: int = 1
    kind: str = "cost"  # idle, stalled, held, beside
    way: str = ""
    floor: str = ""
    program: str = "client"  # of the load generator

    def takes(self, way: str) -> bool:
        """Whether a contestant that is spoken to in this way can carry it."""
        return way == self.way if self.way else way != HTTP2 and way not in SECURE and way not in WAYS


def loads(seconds: float) -> dict[str, Load]:
    """By name; a run lasts about as long as said."""
    # Some peers carry no half-close, which a report of the origin would wait for: uploads end by a reset.
    lasting = ("--seconds", f"{seconds:g}", "--timeout", f"{30 + 2 * seconds:g}")
    count = str(max(500, round(6000 * seconds)))
    return {
        "bulk-down": Load(("bulk-down", "--count", "8", *lasting), "GB", "bytes_down", GB),
        "bulk-up": Load(("bulk-up", "--count", "8", "--end", "reset", *lasting), "GB", "bytes_up", GB),
        "tunnels": Load(("open-close", "--count", count, "--at-once", "32", "--timeout", "60"), "tunnel", "completed"),
        "pingpong-64": Load(("pingpong", "--count", "64", *lasting), "round trip", "round_trips"),
        "pingpong-1": Load(("pingpong", "--count", "1", *lasting), "round trip", "round_trips"),
        "idle": Load(("idle", "--count", str(IDLE_TUNNELS), *lasting), "tunnel", "completed", kind="idle"),
        **over_http2(seconds, lasting),
        **over_tls(seconds, lasting),
        **request_loads(Load, seconds, lasting),
    }


def over_http2(seconds: float, lasting: tuple[str, ...]) -> dict[str, Load]:
    """The same and more, as CONNECT streams on a few connections."""
    four = ("--connections", "4")
    count = str(max(500, round(6000 * seconds)))
    down = ("bulk-down", "--count", "8", *four, *lasting)
    up = ("bulk-up", "--count", "8", "--end", "reset", *four, *lasting)
    # A window that is full at once: the reader stalls for nearly all of the run.
    stalled = ("bulk-down", "--count", "100", "--stalled", "1", "--window", "65536", *lasting)
    tunnels = ("open-close", "--count", count, "--at-once", "32", "--timeout", "60", *four)
    idle = ("idle", "--count", str(IDLE_TUNNELS), "--connections", "50", *lasting)
    return {
        "h2-bulk-down": Load(down, "GB", "bytes_down", GB, way=HTTP2),
        "h2-bulk-down-128k": Load((*down, "--frame", "131072"), "GB", "bytes_down", GB, way=HTTP2),
        "h2-bulk-up": Load(up, "GB", "bytes_up", GB, way=HTTP2),
        "h2-tunnels": Load(tunnels, "tunnel", "completed", way=HTTP2),
        "h2-pingpong-64": Load(("pingpong", "--count", "64", *four, *lasting), "round trip", "round_trips", way=HTTP2),
        "h2-pingpong-1": Load(("pingpong", "--count", "1", *lasting), "round trip", "round_trips", way=HTTP2),
        "h2-stalled": Load(stalled, "GB", "bytes_down", GB, kind="stalled", way=HTTP2),
        "h2-idle": Load(idle, "tunnel", "completed", kind="idle", way=HTTP2),
    }


def over_tls(seconds: float, lasting: tuple[str, ...]) -> dict[str, Load]:
    """TLS 1.3: streams on connections that stand, and connections of their own with full or resumed handshakes."""
    streams = over_http2(seconds, lasting)
    names = ("h2-bulk-down", "h2-bulk-up", "h2-tunnels", "h2-pingpong-64", "h2-idle")
    found = {name.replace("h2-", "h2-tls-"): streams[name]._replace(way="http2-tls") for name in names}
    opening = ("open-close", "--count", str(max(300, round(2000 * seconds))), "--at-once", "32", "--timeout", "60")
    idle = ("idle", "--count", str(IDLE_TUNNELS), *lasting[:2], "--timeout", "180")
    for way in ("tls", "mtls"):
        new, again = Load(opening, "tunnel", "completed", way=way), (*opening, "--resume")
        found |= {
            f"{way}-tunnels": new._replace(floor=f"{way} full"),
            f"{way}-tunnels-resumed": new._replace(arguments=again, floor=f"{way} resumed"),
            f"{way}-idle": Load(idle, "tunnel", "completed", kind="idle", way=way, floor=f"{way} idle"),
        }
    speaking = ("pingpong", "--count", "64", *lasting)
    return found | {"tls-beside": Load(speaking, "round trip", "round_trips", kind="beside", way="tls")}


class Origin:
    """The origin on its cores; a context manager. Wrong bytes that only it saw end the benchmark."""

    def __init__(self, where: frozenset[int]) -> None:
        self.where, self.port = where, 0

    def __enter__(self) -> Self:
        command = [str(LOAD), "origin", "--seconds", "3600"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=confined(self.where))
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["port"])
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self.process.terminate()
        self.process.communicate()
        if self.process.returncode and kind is None:
            raise SystemExit("the origin saw wrong bytes")


def start(
    arguments: tuple[str, ...], target: tuple[str, ...], where: frozenset[int], program: str = "client"
) -> "subprocess.Popen[str]":
    """The load generator, on its cores."""
    command = [str(LOAD), program, *arguments, *target, *SOURCES]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=confined(where)
    )


def finish(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Its report at the end. Raises Spoilt."""
    out, err = process.communicate()
    if not out:
        raise Spoilt(err.strip())
    answer: dict[str, Any] = json.loads(out)
    errors = {kind: count for kind, count in answer["errors"].items() if count}
    if errors:
        told = ", ".join(f"{kind}: {count}" for kind, count in errors.items())
        raise Spoilt(told + (f" ({answer['status']})" if errors.get("status") else ""))
    return answer


def measure(load: Load, target: tuple[str, ...], peer: Peer | None, where: frozenset[int]) -> Figures:
    """One run of a load, as its kind wants it measured. Raises Spoilt."""
    if load.kind == "idle" and peer is not None:
        return _measure_idle(load, target, peer, where)
    if load.kind == "stalled" and peer is not None:
        return _measure_stalled(load, target, peer, where)
    if load.kind == "held" and peer is not None:
        return _measure_held(load, target, peer, where)
    if load.kind == "beside" and peer is not None:
        return _measure_beside(load, target, peer, where)
    return _measure_cost(load, target, peer, where)


def _measure_cost(load: Load, target: tuple[str, ...], peer: Peer | None, where: frozenset[int]) -> Figures:
    """One run: units a second, latencies in microseconds, CPU of the peer in microseconds by unit. Raises Spoilt."""
    if peer is None:
        answer, spent = finish(start(load.arguments, target, where)), 0.0
    else:
        with peer.watched():
            before = peer.account.cpu()
            answer = finish(start(load.arguments, target, where, load.program))
            time.sleep(SETTLING)
            spent = peer.account.cpu() - before
    units = answer[load.field] / load.size
    times = answer["open_us" if load.field == "completed" else "round_trip_us"]
    figures = {"rate": units / answer["seconds"], "cpu_us": spent * 1e6 / units}
    return figures | ({"p50_us": times["p50"], "p99_us": times["p99"]} if times["count"] else {})


def _changed(arguments: tuple[str, ...], option: str, value: float) -> tuple[str, ...]:
    place = arguments.index(option) + 1
    return (*arguments[:place], f"{value:g}", *arguments[place + 1 :])


def _measure_stalled(load: Load, target: tuple[str, ...], peer: Peer, where: frozenset[int]) -> Figures:
    """Throughput of the others beside readers that stall, and without those, in turns. Raises Spoilt."""
    words = ("--count", "--stalled", "--window")
    count, stalled, window = (int(load.arguments[load.arguments.index(word) + 1]) for word in words)
    seconds = float(load.arguments[load.arguments.index("--seconds") + 1])
    beside = _changed(load.arguments, "--seconds", max(seconds / 4, 0.25))
    alone = _changed(_changed(beside, "--stalled", 0), "--count", count - stalled)
    moved = {beside: 0.0, alone: 0.0}
    lasted = dict(moved)
    with peer.watched():
        for arguments in (beside, alone, alone, beside) * 2:
            answer = finish(start(arguments, target, where))
            if answer["bytes_stalled"] != (stalled * window if arguments is beside else 0):
                raise Spoilt("a reader did not stall")
            moved[arguments] += answer[load.field] / load.size
            lasted[arguments] += answer["seconds"]
    rate, rate_alone = moved[beside] / lasted[beside], moved[alone] / lasted[alone]
    return {"rate": rate, "rate_alone": rate_alone, "kept": rate / rate_alone}


def _measure_held(load: Load, target: tuple[str, ...], peer: Peer, where: frozenset[int]) -> Figures:
    """Memory that one response takes whose reader stalls, at its most. Raises Spoilt."""
    before = most = peer.account.memory().rss
    with peer.watched():
        process = start(load.arguments, target, where, load.program)
        while process.poll() is None:
            most = max(most, peer.account.memory().rss)
            time.sleep(0.05)
        finish(process)
    return {"rss_more": most - before}


def _measure_beside(load: Load, target: tuple[str, ...], peer: Peer, where: frozenset[int]) -> Figures:
    """p99 of round trips beside new connections with full handshakes, and without those, in turns. Raises Spoilt."""
    seconds = float(load.arguments[load.arguments.index("--seconds") + 1]) / 2
    arguments = _changed(load.arguments, "--seconds", seconds)
    count = str(round(HANDSHAKES * (seconds + 0.4)))
    opening = ("open-close", "--count", count, "--rate", str(HANDSHAKES), "--at-once", "256", "--timeout", "60")
    times: dict[bool, list[float]] = {True: [], False: []}
    rates = []
    with peer.watched():
        for beside in (True, False, False, True) * 2:
            others = start(opening, target, where) if beside else None
            time.sleep(0.2 if beside else 0)
            times[beside].append(finish(start(arguments, target, where))["round_trip_us"]["p99"])
            if others:
                answer = finish(others)
                rates.append(answer["completed"] / answer["seconds"])
    p99, alone = median(times[True]), median(times[False])
    return {"p99_us": p99, "p99_alone_us": alone, "beside": p99 / alone, "handshake_rate": median(rates)}


def _measure_idle(load: Load, target: tuple[str, ...], peer: Peer, where: frozenset[int]) -> Figures:
    """Memory without tunnels and with all of them, and what they cost a second while nothing moves. Raises Spoilt."""
    count = int(load.arguments[load.arguments.index("--count") + 1])
    seconds = float(load.arguments[load.arguments.index("--seconds") + 1])
    empty, files = peer.account.memory(), peer.account.files()
    with peer.watched():
        process = start(load.arguments, target, where, load.program)
        try:
            wait_files(process, count, peer if load.way.startswith(HTTP2) else None)
            time.sleep(seconds / 4)
            before, began = peer.account.cpu(), time.monotonic()
            full, held = peer.account.memory(), peer.account.files()
            time.sleep(seconds / 2)
            spent, lasted = peer.account.cpu() - before, time.monotonic() - began
        except BaseException:
            process.kill()
            process.communicate()
            raise
        finish(process)
    return {
        "rss_empty": empty.rss, "rss_full": full.rss, "rss_each": (full.rss - empty.rss) / count,
        "pss_empty": empty.pss, "pss_full": full.pss, "pss_each": (full.pss - empty.pss) / count,
        "files_each": (held - files) / count, "cpu_share": spent / lasted,
    }  # fmt: skip


def wait_files(process: "subprocess.Popen[str]", count: int, peer: Peer | None = None) -> None:
    """Until the load has a socket for each tunnel, or the peer where tunnels share the load's; it waits for the last of
    their echoes by itself. Raises Spoilt."""
    folder = Path(f"/proc/{process.pid}/fd")
    while process.poll() is None and (peer.account.files() if peer else len(os.listdir(folder))) < count:
        time.sleep(0.02)
    if process.returncode is not None:
        finish(process)
        raise Spoilt("ended before all tunnels were open")
    time.sleep(0.2)
