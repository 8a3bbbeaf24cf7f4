"""Puts load through the gateway and past it, in turns, and says what the gateway costs.

    python -m bench.run [--rounds N] [--seconds S] [--only WORKLOAD]

Each round runs every workload directly, over SOCKS5 and over HTTP CONNECT, one after the other on the same cores, so
that whatever else the machine does falls on all alike. Cost is the CPU time of the gateway's whole process tree, by
unit of work; policy, access log and the inner check are in their default state. Medians go to bench/results/.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.e2e.gateway import ROOT, Gateway, policy

__all__ = ["LOAD", "RESULTS", "ROOT", "versions"]

LOAD: Final = ROOT / "build/bench/load"
RESULTS: Final = ROOT / "bench/results"
WAYS: Final = ("direct", "socks5", "connect")
MIB: Final = 1 << 20
TICK: Final = os.sysconf("SC_CLK_TCK")
Figures = dict[str, float]


class Workload(NamedTuple):
    """Arguments of the load generator; a unit of work: its name, the field that counts it, and of what size."""

    arguments: tuple[str, ...]
    unit: str
    field: str
    size: int = 1


def workloads(seconds: float) -> dict[str, Workload]:
    lasting = ("--seconds", str(seconds))
    return {
        "bulk-down": Workload(("bulk-down", "--count", "8", *lasting), "MiB", "bytes_down", MIB),
        "bulk-up": Workload(("bulk-up", "--count", "8", *lasting), "MiB", "bytes_up", MIB),
        "pingpong": Workload(("pingpong", "--count", "32", *lasting), "round trip of 64 bytes", "round_trips"),
        "open-close": Workload(("open-close", "--count", "3000", "--at-once", "64"), "tunnel", "completed"),
    }


def cpu_seconds(session: int) -> float:
    """CPU time so far of every process in a session, including children that were reaped."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            total += sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime: proc(5)
    return total / TICK


def run_load(arguments: tuple[str, ...], way: str, origin: int, gateway: int) -> dict[str, Any]:
    """One run of the load generator; an error of a single tunnel ends the benchmark."""
    proxy = () if way == "direct" else ("--proxy", f"127.0.0.1:{gateway}")
    command = [str(LOAD), "client", *arguments, "--origin", f"127.0.0.1:{origin}", "--via", way, *proxy]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def measure(workload: Workload, way: str, origin: int, gateway: Gateway) -> Figures:
    """One run: units a second, and CPU of the gateway in microseconds by unit."""
    before = cpu_seconds(gateway.pid)
    answer = run_load(workload.arguments, way, origin, gateway.port)
    spent = cpu_seconds(gateway.pid) - before
    units = answer[workload.field] / workload.size
    figures = {"rate": units / answer["seconds"]}
    if way != "direct":
        figures["cpu_us"] = spent * 1e6 / units
    return figures


def versions() -> dict[str, str]:
    """What the figures depend on."""
    describe = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False)
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "sluice": commit.stdout.strip() or "unknown",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpu": f"{os.cpu_count()} x {model[0].partition(':')[2].strip() if model else platform.machine()}",
    }


def summary(rounds: list[dict[str, dict[str, Figures]]], wanted: dict[str, Workload]) -> dict[str, Any]:
    """Medians by workload and way; `ratio` is the rate against the direct one of the same round."""
    result: dict[str, Any] = {}
    for name, workload in wanted.items():
        rows: dict[str, Any] = {"unit": workload.unit, "command": " ".join(workload.arguments)}
        for way in WAYS:
            runs = [done[name][way] for done in rounds]
            row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            ratios = [done[name][way]["rate"] / done[name]["direct"]["rate"] for done in rounds]
            rows[way] = {**row, "ratio": statistics.median(ratios)}
        result[name] = rows
    return result


def show(result: dict[str, Any]) -> None:
    print(f"{'workload':<12}{'way':<10}{'units/s':>16}{'of direct':>12}{'CPU us/unit':>14}  unit")
    for name, rows in result.items():
        for way in WAYS:
            row = rows[way]
            cpu = f"{row['cpu_us']:.1f}" if "cpu_us" in row else "-"
            print(f"{name:<12}{way:<10}{row['rate']:>16,.0f}{row['ratio']:>12.3f}{cpu:>14}  {rows['unit']}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.run", description="Load through the gateway and past it, in turns.")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5, the least that a published figure needs")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run that lasts")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", choices=workloads(1), help="one workload")
    options = parser.parse_args()
    wanted = {name: work for name, work in workloads(options.seconds).items() if options.only in (None, name)}
    subprocess.run(["make", "-s", "-C", str(ROOT / "bench")], check=True)
    lasting = 60 + options.rounds * len(wanted) * len(WAYS) * (options.seconds + 30)
    origin = subprocess.Popen([str(LOAD), "origin", "--seconds", str(lasting)], stdout=subprocess.PIPE, text=True)
    assert origin.stdout is not None
    port = json.loads(origin.stdout.readline())["port"]
    rounds = []
    rules = [policy("load", [{"cidr": "127.0.0.0/8"}])]
    try:
        with Gateway(rules, {"workers": options.workers}) as gateway:
            for number in range(options.rounds):
                rounds.append(
                    {
                        name: {way: measure(work, way, port, gateway) for way in WAYS}
                        for name, work in wanted.items()
                    }
                )
                print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    finally:
        origin.terminate()
        origin.wait()
    result = summary(rounds, wanted)
    show(result)
    RESULTS.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    file = RESULTS / f"{stamp}.json"
    record = {"versions": versions(), "options": vars(options), "summary": result, "rounds": rounds}
    file.write_text(json.dumps(record, indent=1) + "\n")
    print(f"kept in {file.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
