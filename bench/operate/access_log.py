"""The cost of the access log: CPU per tunnel with it and without it, in turns, at a given pace.

    python -m bench.operate.access_log [--rounds 5] [--rate 3000] [--seconds 5]

CPU is that of the gateway's whole process tree; a tunnel is opened, echoes once and is closed, and leaves an `open` and
a `close` line in a file.
"""

import argparse
import os
import statistics
import time
from typing import Any

from bench.accounting import cpu_seconds
from bench.operate.scene import Load, ask, begin, keep, options, origin, percent, table
from tests.support.run_gateway import Gateway, policy

ALLOW = policy("open", [{"cidr": "127.0.0.0/8"}])


def one(gateway: Gateway, port: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """(CPU in microseconds by tunnel, tunnels a second)."""
    count = int(arguments.rate * arguments.seconds)
    before = cpu_seconds(gateway.pid)
    begun = time.monotonic()
    with Load(
        gateway, port, "open-close", "--rate", str(arguments.rate), "--count", str(count), "--at-once", "4000"
    ) as load:
        pass
    took = time.monotonic() - begun
    time.sleep(0.3)  # the last batch of lines
    if load.errors:
        raise SystemExit(f"tunnels went wrong: {load.errors}")
    return (cpu_seconds(gateway.pid) - before) * 1e6 / count, count / took


def measure(port: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Both gateways stand beside each other; one of them is asked at a time."""
    off: list[float] = []
    on: list[float] = []
    pace: list[float] = []
    silent = {"workers": arguments.workers, "logs": {"access": "off"}}
    with Gateway([ALLOW], silent) as quiet, Gateway([ALLOW], {"workers": arguments.workers}) as loud:
        one(quiet, port, arguments), one(loud, port, arguments)  # warm
        for _ in range(arguments.rounds):
            for gateway, figures in ((quiet, off), (loud, on)):
                cpu, rate = one(gateway, port, arguments)
                figures.append(cpu)
                pace.append(rate)
        dropped = ask(loud, "stats")["counters"]["log_dropped_total"]
        size = os.path.getsize(loud.folder / "access.log")
        with (loud.folder / "access.log").open("rb") as lines:
            count = sum(1 for _ in lines)
    costs = [(with_log - without) / without for with_log, without in zip(on, off, strict=True)]
    return {
        "rounds": len(on),
        "tunnels_a_second": round(statistics.median(pace)),
        "cpu_us_without": round(statistics.median(off), 1),
        "cpu_us_with": round(statistics.median(on), 1),
        "cost": percent(statistics.median(costs)),
        "costs": [percent(cost) for cost in costs],
        "lines": count,
        "bytes_a_line": round(size / count),
        "dropped": dropped,
    }


def main() -> None:
    arguments = options("What the access log costs.", rounds=5, rate=3000.0, seconds=5.0, workers=2)
    begin()
    with origin() as port:
        result = measure(port, arguments)
    table("access log", result)
    keep("access_log", arguments, result)


if __name__ == "__main__":
    main()
