"""Neighbours beside HTTP/2 floods: does the worker still serve them, and how long is its longest turn?

    python -m bench.operate.floods [--tunnels 20] [--rate 50] [--connections 20] [--seconds 5] [--rounds 3]

20 SOCKS5 tunnels make 50 round trips a second each through the one worker that also carries the flood (bench/flood.c),
on one connection and on many. Where this user may, the worker and the neighbours' load are above all else that runs
here: an attacker has a machine of its own, and a turn that had to wait for a processor says nothing of the worker.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import time
from typing import Any, Final

from bench.operate.reload import ALLOW, TURN, forget_longest_turn
from bench.operate.scene import LOAD, Load, ask, begin, keep, options, origin, table
from tests.support.run_gateway import Gateway

KINDS: Final = ("denied-reset", "denied", "reset", "zero-window", "huffman", "ping", "tiny-data")
ABOVE: Final = -15  # nice: real-time classes are stopped for 50 ms of each second
FLOOD: Final = LOAD.with_name("flood")


def above_all(*pids: int) -> None:
    with contextlib.suppress(PermissionError):
        for pid in pids:
            os.setpriority(os.PRIO_PROCESS, pid, ABOVE)


def beside(
    gateway: Gateway, port: int, kind: str | None, connections: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """One load beside one flood, or beside none: p99 in ms, the longest turn in ms, units a second."""
    seconds = str(arguments.seconds)
    load = ("pingpong", "--count", str(arguments.tunnels), "--rate", str(arguments.rate), "--seconds", seconds)
    command = [str(FLOOD), kind or "", "--proxy", f"127.0.0.1:{gateway.port}", "--origin", f"127.0.0.1:{port}"]
    command += ["--connections", str(connections), "--seconds", str(arguments.seconds + 2)]
    units = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) if kind else contextlib.nullcontext() as flood:
        time.sleep(0.5)
        forget_longest_turn(gateway)
        with Load(gateway, port, *load) as trips:
            above_all(trips.process.pid)
        time.sleep(1.1)  # workers report their longest turn once a second
        stats = ask(gateway, "stats")
        if flood is not None:
            units = json.loads(flood.communicate()[0])["units"]
    return {
        "p99_ms": trips.result["round_trip_us"]["p99"] / 1000,
        "turn_ms": 1000 * stats["counters"][TURN],
        "units_a_second": round(units / (arguments.seconds + 2)),
        "wrong": trips.errors,
    }


def main() -> None:
    arguments = options("Neighbours beside floods.", tunnels=20, rate=50, connections=20, seconds=5.0, rounds=3)
    begin()
    found: dict[str, list[dict[str, Any]]] = {}
    with origin() as port:
        for _ in range(int(arguments.rounds)):
            for kind in (None, *KINDS):
                for connections in (1, int(arguments.connections)) if kind else (0,):
                    with Gateway([ALLOW], {"workers": 1, "logs": {"access": None}}) as gateway:
                        above_all(*gateway.workers())
                        name = f"{kind}, {connections}" if kind else "none"
                        found.setdefault(name, []).append(beside(gateway, port, kind, connections, arguments))
    for name, rounds in found.items():
        table(
            name,
            {key: statistics.median(one[key] for one in rounds) for key in ("p99_ms", "turn_ms", "units_a_second")},
        )
        print("  wrong", [one["wrong"] for one in rounds if one["wrong"]])
    keep("floods", arguments, {"floods": found})


if __name__ == "__main__":
    main()
