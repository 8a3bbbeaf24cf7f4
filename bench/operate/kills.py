"""A worker is killed every second, under new tunnels: who notices?

    python -m bench.operate.kills [--seconds 60] [--rate 500] [--hold 1] [--workers 2]

Tunnels are begun by the clock and held open for a while. Lost may be only what was in the hands of a worker when it was
killed: open tunnels, each with a `worker_lost` close line, and requests that it had accepted. No client is refused or
waits long, and no counter ever goes down.
"""

import os
import signal
import threading
import time
from typing import Any

from bench.operate.scene import Load, Watch, ask, begin, close_lines, keep, options, origin, table
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, policy

ALLOW = policy("open", [{"cidr": "127.0.0.0/8"}])


class Killer:
    """SIGKILL for one worker each second, the slots in turn. Notes how many tunnels the worker had, as far as known."""

    def __init__(self, gateway: Gateway, seconds: float) -> None:
        self.gateway = gateway
        self.until = time.monotonic() + seconds
        self.killed = 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        due = time.monotonic() + 1
        while due < self.until:
            time.sleep(max(0.0, due - time.monotonic()))
            workers = [worker for worker in ask(self.gateway, "stats")["workers"] if worker["state"] == "ready"]
            if workers:
                victim = min(workers, key=lambda worker: int(worker["restarts"]))
                os.kill(victim["pid"], signal.SIGKILL)
                self.killed += 1
            due += 1


def measure(port: int, seconds: float, rate: float, hold: float, workers: int) -> dict[str, Any]:
    """Runs the load and the killer beside each other."""
    with Gateway([ALLOW], {"workers": workers}) as gateway:
        tunnels = ("open-close", "--rate", str(rate), "--count", str(int(rate * seconds)), "--hold", str(hold))
        bounds = ("--at-once", str(int(rate * (hold + 5))), "--timeout", str(seconds + 60))
        with Watch(gateway) as watch, Load(gateway, port, *tunnels, *bounds) as load:
            killer = Killer(gateway, seconds)
            killer.thread.start()
            killer.thread.join()
        result = load.result
        lost = sum(result["errors"][kind] for kind in ("reset", "end"))
        eventually(lambda: not ask(gateway, "stats")["counters"]["tunnels_open"], "every tunnel has ended")
        lines = settled(gateway)
        stats = ask(gateway, "stats")
    return {
        "kills": killer.killed,
        "restarts": stats["counters"]["worker_restarts_total"],
        "tunnels": result["tunnels"],
        "opened": result["opened"],
        "refused_connections": result["errors"]["connect"],
        "lost_open": lost,
        "lost_while_opening": result["errors"]["opening"],
        "other_errors": {
            kind: count
            for kind, count in result["errors"].items()
            if count and kind not in ("connect", "opening", "reset", "end")
        },
        "open_ms": {share: round(result["open_us"][share] / 1000, 1) for share in ("p50", "p99", "max")},
        "close_lines": lines,
        "without_close_line": max(0, result["opened"] - sum(lines.values())),
        "counters_that_fell": watch.fell,
        "looks_at_counters": watch.looks,
    }


def settled(gateway: Gateway) -> dict[str, int]:
    """The close lines, once no more come."""
    lines: dict[str, int] = {}
    while (now := close_lines(gateway)) != lines:
        lines = now
        time.sleep(1)
    return lines


def main() -> None:
    arguments = options("A worker killed every second.", seconds=60.0, rate=500.0, hold=1.0, workers=2)
    begin()
    with origin() as port:
        result = measure(port, arguments.seconds, arguments.rate, arguments.hold, arguments.workers)
    table("a worker killed every second", result)
    keep("kills", arguments, result)


if __name__ == "__main__":
    main()
