"""Reloads under traffic: does any of it notice, and how long does a worker look away?

    python -m bench.operate.reload [--reloads 100] [--rules 10000] [--names 1000000] [--files 10000] [--rounds 5]

Four parts: reloads that alternate two policies, one after the other as fast as each is acknowledged, under new tunnels
and live ones whose every byte is checked; the 99th percentile of a round trip with and without reloads, in turns; the
longest turn of a worker's loop while it loads and judges by a policy of a million names; and how long a change of one
file among many takes until it is active.
"""

import argparse
import contextlib
import mmap
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.operate.scene import Load, ask, begin, keep, options, origin, table
from supervisor.host.process import NICE, yield_to_traffic
from supervisor.segment.segment import COUNTERS
from tests.support.run_gateway import Gateway, policy

HEAD = "apiVersion: sluice.dev/v1alpha1\nkind: ClusterEgressPolicy\nmetadata: {name: %s}\nspec:\n  to:\n"
OPEN = HEAD % "open" + "    - {cidr: 127.0.0.0/8}\n  action: Allow\n"
ALLOW = policy("open", [{"cidr": "127.0.0.0/8"}])
TURN = "worker_turn_longest_seconds"
TURN_AT = 64 + 8 * COUNTERS.index("turn_longest_us")  # csrc/shared/segment.h


def rules_text(name: str, count: int) -> str:
    """A policy that lets the load through, after so many rules that are about something else."""
    parts = [OPEN]
    for document in range(0, count, 100):
        hosts = range(document, min(document + 100, count))
        lines = "".join(f"    - {{host: {name}-{host}.example.com, ports: [443]}}\n" for host in hosts)
        parts.append(HEAD % f"{name}-{document}" + lines + "  action: Allow\n")
    return "---\n".join(parts)


@contextlib.contextmanager
def reloading(gateway: Gateway, prepare: Callable[[int], None], most: int | None = None) -> Iterator[list[float]]:
    """Reloads one after the other until the context ends, or `most` of them: how long each took."""
    took: list[float] = []
    stop = threading.Event()

    def run() -> None:
        yield_to_traffic()  # it writes the files that change: an operator's machine does that
        while not stop.is_set() and (most is None or len(took) < most):
            prepare(len(took))
            begun = time.monotonic()
            ask(gateway, "reload")
            took.append(time.monotonic() - begun)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield took
        if most is not None:
            thread.join()
    finally:
        stop.set()
        thread.join()


class Alternating:
    """Two policies, written before: a reload finds the other one each time."""

    def __init__(self, folder: Path, rules: int) -> None:
        self.folder = folder
        self.texts = [rules_text(name, rules) for name in ("first", "second")]

    def __call__(self, number: int) -> None:
        (self.folder / "policy.yaml").write_text(self.texts[number % 2])


def under_traffic(port: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Part one. Lost is whatever was not answered, was reset, or came back with a wrong byte."""
    with Gateway([ALLOW], {"workers": arguments.workers}) as gateway:
        prepare = Alternating(gateway.folder, arguments.rules)
        prepare(1)
        ask(gateway, "reload")
        per_reload = measure_one(gateway, prepare)
        seconds = per_reload * arguments.reloads * 1.5 + 2
        fresh = ("open-close", "--rate", "200", "--count", str(int(200 * seconds)), "--at-once", "2000")
        live = ("pingpong", "--count", "500", "--rate", "2", "--seconds", str(min(seconds, 600)))
        patient = ("--timeout", str(seconds + 120))
        with (
            Load(gateway, port, *fresh, *patient) as new,
            Load(gateway, port, *live, *patient, via="connect") as old,
            reloading(gateway, prepare, int(arguments.reloads)) as took,
        ):
            pass
        stats = ask(gateway, "stats")
    return {
        "reloads": len(took),
        "refused": stats["reloads"]["failed"],
        "seconds_each": round(statistics.median(took), 3),
        "new_tunnels": new.result["opened"],
        "new_wrong": new.errors,
        "new_open_ms_p99": round(new.result["open_us"]["p99"] / 1000, 2),
        "live_tunnels": old.result["opened"],
        "live_round_trips": old.result["round_trips"],
        "live_wrong": old.errors,
    }


def measure_one(gateway: Gateway, prepare: Callable[[int], None]) -> float:
    begun = time.monotonic()
    prepare(0)
    ask(gateway, "reload")
    return time.monotonic() - begun


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """A process that only computes, at the priority of a compile: what sharing the machine costs by itself."""
    command = [sys.executable, "-c", "while True: pass"]
    process = subprocess.Popen(command, preexec_fn=lambda: os.setpriority(os.PRIO_PROCESS, 0, NICE))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def round_trips(port: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Part two: p99 of a paced ping-pong without anything else, with reloads, and beside a busy process, in turns."""
    found: dict[str, list[float]] = {"without": [], "with": [], "beside_a_busy_process": []}
    with Gateway([ALLOW], {"workers": arguments.workers}) as gateway:
        prepare = Alternating(gateway.folder, arguments.rules)
        prepare(1)
        ask(gateway, "reload")
        load = ("pingpong", "--count", "50", "--rate", "20", "--seconds", str(arguments.seconds))
        others: dict[str, Callable[[], contextlib.AbstractContextManager[object]]] = {
            "without": contextlib.nullcontext,
            "with": lambda: reloading(gateway, prepare),
            "beside_a_busy_process": busy,
        }
        for _ in range(int(arguments.rounds)):
            for name, other in others.items():
                with other(), Load(gateway, port, *load) as trips:
                    pass
                found[name].append(trips.result["round_trip_us"]["p99"])

    def ratios(name: str, to: str = "without") -> list[float]:
        return [round(one / other, 3) for one, other in zip(found[name], found[to], strict=True)]

    return {
        "rounds": len(found["without"]),
        **{f"p99_us_{name}": round(statistics.median(values)) for name, values in found.items()},
        "ratio": statistics.median(ratios("with")),
        "ratios": ratios("with"),
        "ratio_beside_a_busy_process": statistics.median(ratios("beside_a_busy_process")),
        "ratio_to_a_busy_process": statistics.median(ratios("with", "beside_a_busy_process")),
        "ratios_to_a_busy_process": ratios("with", "beside_a_busy_process"),
    }


def longest_turn(port: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Part three: a policy of many names is loaded again and again while 500 tunnels live and are judged each time.
    They are opened one by one before: a crowd that comes at once makes long turns of its own. Where this user may, the
    workers are above all else that runs here: a turn in which they had to wait for a processor says nothing of them."""
    with Gateway([ALLOW], {"workers": arguments.workers}) as gateway:
        names = "".join(f"n{number}.example.com\n" for number in range(int(arguments.names)))
        (gateway.folder / "names.txt").write_text(names)
        many = OPEN + "---\n" + HEAD % "many" + "    - {hostsFrom: names.txt}\n  action: Allow\n"
        live = ("open-close", "--rate", "100", "--count", "500", "--at-once", "500", "--hold", "40", "--timeout", "180")
        longest, took = [], []
        with Load(gateway, port, *live) as load:
            time.sleep(6)
            with contextlib.suppress(PermissionError):
                for pid in gateway.workers():
                    os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
            (gateway.folder / "policy.yaml").write_text(many)
            for _ in range(int(arguments.rounds)):
                forget_longest_turn(gateway)
                begun = time.monotonic()
                ask(gateway, "reload")
                took.append(time.monotonic() - begun)
                time.sleep(1.2)  # the old image goes, and workers report their longest turn once a second
                stats = ask(gateway, "stats")
                longest.append(round(1000 * stats["counters"][TURN], 2))
    return {
        "names": int(arguments.names),
        "live_tunnels": stats["counters"]["tunnels_open"],
        "judged_again": stats["counters"]["rejudged_total"],
        "seconds_each": round(statistics.median(took), 2),
        "longest_turn_ms": max(longest),
        "longest_turns_ms": longest,
        "live_wrong": load.errors,
    }


def one_of_many(arguments: argparse.Namespace) -> dict[str, Any]:
    """Part four: one file of many changes again and again. All were written long before the first change."""
    with Gateway([ALLOW], {"workers": arguments.workers}) as gateway:
        folder = gateway.folder / "policies"
        folder.mkdir()
        gateway.config["policy"]["paths"] = ["policies"]
        gateway.write_config()
        for number in range(int(arguments.files)):
            rule = f"    - {{host: h{number}.example.com, ports: [443]}}\n  action: Allow\n"
            (folder / f"p{number}.yaml").write_text(HEAD % f"p{number}" + rule)
        begun = time.monotonic()
        ask(gateway, "reload")
        first = time.monotonic() - begun
        time.sleep(3)  # from here on the files are known by their stat alone
        ask(gateway, "reload")
        took = []
        for number in range(int(arguments.rounds)):
            rule = f"    - {{host: changed{number}.example.com}}\n  action: Allow\n"
            (folder / f"p{number}.yaml").write_text(HEAD % f"p{number}" + rule)
            begun = time.monotonic()
            ask(gateway, "reload")
            took.append(round(time.monotonic() - begun, 3))
        held = ask(gateway, "stats")["supervisor"]
    return {
        "files": int(arguments.files),
        "seconds_all_new": round(first, 2),
        "seconds_one_changed": statistics.median(took),
        "seconds": took,
        "remembered_bytes": held["compile_bytes"],
    }


def forget_longest_turn(gateway: Gateway) -> None:
    """The counter is a maximum since the start. It is put back in the workers' segments, which belong to this user."""
    found = [
        descriptor
        for descriptor in Path(f"/proc/{gateway.pid}/fd").iterdir()
        if "sluice-segment-" in os.readlink(descriptor)
    ]
    assert found
    for descriptor in found:
        with descriptor.open("r+b") as file, mmap.mmap(file.fileno(), 4096) as segment:
            segment[TURN_AT : TURN_AT + 8] = bytes(8)


def main() -> None:
    arguments = options(
        "Reloads under traffic.",
        reloads=100,
        rules=10_000,
        names=1_000_000,
        files=10_000,
        rounds=5,
        seconds=5.0,
        workers=2,
    )
    begin()
    with origin() as port:
        traffic = under_traffic(port, arguments)
        table("reloads under traffic", traffic)
        trips = round_trips(port, arguments)
        table("round trips", trips)
        turn = longest_turn(port, arguments)
        table("a policy of many names", turn)
        many = one_of_many(arguments)
        table("one file of many", many)
    keep("reload", arguments, {"traffic": traffic, "round_trips": trips, "many_names": turn, "many_files": many})


if __name__ == "__main__":
    main()
