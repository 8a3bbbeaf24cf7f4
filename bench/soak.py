"""A long run at half load with reloads and killed workers: does anything grow, does anything get lost?

    python -m bench.soak [--minutes 30] [--share 0.5] [--segment 20] [--workers 2]

The gateway's best rate of new tunnels is measured first; then segments follow each other, each with new tunnels at that
share of the rate, paced round trips and bulk, all checked byte by byte, under reloads that alternate two policies. In
every third segment the last worker is killed; the first one lives through it all. Between segments nothing runs: there
memory, descriptors and processes are counted, and the access log is rotated. What grows from the first third of
these counts to the last, or is lost without a kill, is a failure.
"""

import argparse
import os
import signal
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.machine import RESULTS, keep, versions
from bench.operate.reload import ALLOW, Alternating, reloading
from bench.operate.scene import Load, Watch, ask, begin, origin, table
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, open_files, resident

PIPES_MOST: Final = 32  # of a worker's pool: csrc/relay/pipe_pool.h
KILL_EVERY: Final = 3
LEAST: Final = KILL_EVERY + 3  # counts, for growth to be judged
RULES: Final = 1_000
MIB: Final = 1 << 20
# Ways in which a tunnel may end with its worker; no other is right.
BY_A_KILL: Final = frozenset({"reset", "end", "opening"})
# Growth that does not count: the allocator's, on what is counted at rest.
GROWTH_SHARE: Final = 0.03
GROWTH_BYTES: Final = 1 * MIB


class Rest(NamedTuple):
    """Resources held while nothing runs: bytes of RSS, descriptors, pipes in the worker's pool, processes."""

    supervisor_rss: int
    worker_rss: int  # of the one that is never killed
    supervisor_files: int
    worker_files: int  # without the pipes it keeps for bulk, whose number follows the traffic and is bounded
    worker_pipes: int
    processes: int


def processes(gateway: Gateway) -> int:
    """The number of processes of the session, zombies included."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                count += int(stat.read().rpartition(")")[2].split()[3]) == gateway.pid
        except OSError:
            continue
    return count


def pooled(pid: int) -> int:
    """Pipes of which a process holds both ends; what it inherited one end of is not its own."""
    ends: dict[str, int] = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith("pipe:"):
            ends[target] = ends.get(target, 0) + 1
    return sum(count == 2 for count in ends.values())


def at_rest(gateway: Gateway, worker: int, workers: int) -> Rest:
    """Waits until every tunnel is closed and every worker is back, then counts."""

    def quiet() -> bool:
        stats = ask(gateway, "stats")
        ready = [slot for slot in stats["workers"] if slot["state"] == "ready"]
        return stats["counters"]["tunnels_open"] == 0 and len(ready) == workers

    eventually(quiet, "all tunnels are closed and all workers serve", 60)
    time.sleep(1)
    pipes = pooled(worker)
    return Rest(
        resident(gateway.pid), resident(worker), open_files(gateway.pid), open_files(worker) - 2 * pipes, pipes,
        processes(gateway),
    )  # fmt: skip


def best_rate(gateway: Gateway, port: int) -> float:
    """New tunnels a second, as fast as they go."""
    with Load(gateway, port, "open-close", "--count", "10000", "--at-once", "64") as load:
        pass
    return float(load.result["completed"]) / float(load.result["seconds"])


def rotate(gateway: Gateway) -> int:
    """Takes the access log away; its size."""
    file = gateway.folder / "access.log"
    old = file.with_suffix(".old")
    file.rename(old)
    gateway.process_signal(signal.SIGUSR1)
    eventually(file.exists, "the access log is opened again")
    size = old.stat().st_size
    old.unlink()
    return size


class Segment:
    """One stretch of traffic, with or without a kill; `lost` by load and kind after it."""

    def __init__(self, gateway: Gateway, port: int, rate: float, seconds: float) -> None:
        self.seconds = seconds
        patient = ("--timeout", f"{seconds + 60:g}")
        count = max(1, int(rate * seconds))
        fresh = ("open-close", "--rate", f"{rate:.0f}", "--count", str(count), "--at-once", "4000", *patient)
        paced = ("pingpong", "--count", "200", "--rate", "5", "--seconds", f"{seconds:g}", *patient)
        bulk = ("bulk-down", "--count", "4", "--bytes", f"{12_500_000 * seconds:.0f}", *patient)
        self.loads = {
            "new": Load(gateway, port, *fresh),
            "round trips": Load(gateway, port, *paced, via="connect"),
            "bulk": Load(gateway, port, *bulk),
        }

    def run(self, gateway: Gateway, prepare: Alternating, kill: bool) -> int:
        """Its reloads."""
        timer = threading.Timer(self.seconds / 2, self._kill, [gateway]) if kill else None
        if timer is not None:
            timer.start()
        new, trips, bulk = self.loads.values()
        with reloading(gateway, slowly(prepare)) as took, new, trips, bulk:
            pass
        if timer is not None:
            timer.join()
        return len(took)

    def lost(self) -> dict[str, int]:
        """Tunnels that went wrong, by kind."""
        found: dict[str, int] = {}
        for load in self.loads.values():
            for kind, count in load.errors.items():
                found[kind] = found.get(kind, 0) + count
        return found

    @staticmethod
    def _kill(gateway: Gateway) -> None:
        os.kill(ask(gateway, "stats")["workers"][-1]["pid"], signal.SIGKILL)


def slowly(prepare: Alternating) -> Any:
    """One reload every two seconds or so."""

    def run(number: int) -> None:
        time.sleep(2)
        prepare(number)

    return run


def grown(rests: list[Rest]) -> dict[str, str]:
    """Growth from the first third to the last, where that is too much.

    What comes before and with the first kill is warm-up: ways are gone for the first time. At least LEAST of them.
    """
    counted = rests[KILL_EVERY + 1 :]
    third = max(1, len(counted) // 3)
    found = {}
    for name in Rest._fields:
        first = statistics.median(getattr(rest, name) for rest in counted[:third])
        last = statistics.median(getattr(rest, name) for rest in counted[-third:])
        allowed = max(GROWTH_SHARE * first, GROWTH_BYTES) if name.endswith("rss") else 0
        if name == "worker_pipes":
            allowed = max(0, PIPES_MOST - first)
        if last - first > allowed:
            found[name] = f"{first:,.0f} became {last:,.0f}"
    return found


def soak(gateway: Gateway, port: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole run: what was carried, lost and held."""
    workers, share = arguments.workers, arguments.share
    prepare = Alternating(gateway.folder, RULES)
    rate = best_rate(gateway, port)
    worker = ask(gateway, "stats")["workers"][0]["pid"]
    rests = [at_rest(gateway, worker, workers)]
    totals = {"segments": 0, "reloads": 0, "reloads_refused": 0, "kills": 0, "tunnels": 0, "log_bytes": 0}
    lost: dict[str, int] = {}
    wrong: list[str] = []
    until = time.monotonic() + 60 * arguments.minutes
    while time.monotonic() < until:
        totals["segments"] += 1
        kill = totals["segments"] % KILL_EVERY == 0 and workers > 1
        segment = Segment(gateway, port, share * rate, arguments.segment)
        totals["reloads"] += segment.run(gateway, prepare, kill)
        totals["kills"] += kill
        totals["tunnels"] += sum(load.result["completed"] for load in segment.loads.values())
        for kind, count in segment.lost().items():
            lost[kind] = lost.get(kind, 0) + count
            if not kill or kind not in BY_A_KILL:
                wrong.append(f"segment {totals['segments']}: {kind}: {count}")
        rests.append(at_rest(gateway, worker, workers))
        totals["log_bytes"] += rotate(gateway)
        refused = ask(gateway, "stats")["reloads"]["failed"]
        if refused > totals["reloads_refused"]:
            totals["reloads_refused"] = refused
            wrong.append(f"segment {totals['segments']}: a reload was refused")
        print(f"segment {totals['segments']}: {rests[-1]} {'after a kill' if kill else ''}", file=sys.stderr)
    return {
        "rate": round(rate), "offered": round(share * rate), **totals, "lost_to_kills": lost, "wrong": wrong,
        "grown": grown(rests) if len(rests) >= LEAST else {}, "first": rests[0]._asdict(), "last": rests[-1]._asdict(),
        "rests": [list(rest) for rest in rests],
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.soak", description="A long run with reloads and killed workers.")
    parser.add_argument("--minutes", type=float, default=30.0, help="default: 30")
    parser.add_argument("--share", type=float, default=0.5, help="of the best rate of new tunnels; default: 0.5")
    parser.add_argument("--segment", type=float, default=20.0, help="seconds of traffic between counts; default: 20")
    parser.add_argument("--workers", type=int, default=2, help="default: 2; with 1 none is killed")
    parser.add_argument("--keep", type=Path, default=RESULTS, metavar="FOLDER", help="default: bench/results")
    arguments = parser.parse_args()
    begin()
    config = {"workers": arguments.workers, "shutdown": {"drain": "1s"}}
    with origin() as port, Gateway([ALLOW], config) as gateway, Watch(gateway, every=1) as watch:
        result = soak(gateway, port, arguments)
    result["counters_that_fell"] = watch.fell
    if len(result["rests"]) < LEAST:
        print("too short a run for growth to be judged", file=sys.stderr)
    table("soak", {name: value for name, value in result.items() if name != "rests"})
    told = {name: value for name, value in vars(arguments).items() if name != "keep"}
    keep("soak", {"versions": versions(), "options": told, **result}, arguments.keep)
    return 1 if result["wrong"] or result["grown"] or watch.fell else 0


if __name__ == "__main__":
    sys.exit(main())
