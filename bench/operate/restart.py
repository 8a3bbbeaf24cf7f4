"""Restarts under new tunnels: what a takeover costs those that open, and those that are open.

    python -m bench.operate.restart [--rate 500] [--restarts 20]

New tunnels come at a given pace, whatever becomes of them, while one gateway after another takes over.
"""

import argparse
import contextlib
import copy
import json
import time
from typing import Any

from bench.operate.scene import Load, begin, keep, options, origin, table
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, policy

ALLOW = policy("open", [{"cidr": "127.0.0.0/8"}])
PAUSE = 1.0  # seconds between two restarts
LONGEST = 2.0  # seconds of one that new tunnels are offered for


def ready(gateway: Gateway, pid: int) -> bool:
    """Whether the process with this id has said that it serves; all of them write to one file."""
    lines = [line for line in gateway.errors().splitlines() if '"event":"ready"' in line and line.endswith("}")]
    return any(json.loads(line)["pid"] == pid for line in lines)


def restart(gateway: Gateway, stack: contextlib.ExitStack) -> float:
    """Another process takes over; the seconds until it serves."""
    following = copy.copy(gateway)
    following.arguments = ("--takeover",)
    begun = time.monotonic()
    following.launch()
    stack.callback(following.end)
    assert following.process is not None
    pid = following.process.pid
    eventually(lambda: ready(following, pid), "the successor serves")
    return time.monotonic() - begun


def measure(port: int, arguments: argparse.Namespace) -> dict[str, Any]:
    count = int(arguments.rate * (LONGEST + PAUSE) * arguments.restarts)
    config = {"workers": arguments.workers, "shutdown": {"drain": "4s"}}
    took: list[float] = []
    patience = count / arguments.rate + 30
    pace = ("--rate", str(arguments.rate), "--count", str(count), "--at-once", "4000", "--timeout", str(patience))
    with Gateway([ALLOW], config) as gateway, contextlib.ExitStack() as stack:
        with Load(gateway, port, "open-close", *pace) as load:
            for _ in range(arguments.restarts):
                took.append(restart(gateway, stack))
                time.sleep(PAUSE)
            covered = load.process.poll() is None
        return {
            "restarts": len(took),
            "under_load": covered,
            "seconds_until_it_serves": round(sum(took) / len(took), 2),
            "tunnels": load.result["completed"],
            "wrong": load.errors,
        }


def main() -> None:
    arguments = options("What restarts cost.", rate=500.0, restarts=20, workers=2)
    begin()
    with origin() as port:
        result = measure(port, arguments)
    table("restarts", result)
    keep("restart", arguments, result)


if __name__ == "__main__":
    main()
