"""The supervisor is killed under traffic: its workers drain and end, and a new gateway takes over at once.

    python -m bench.operate.supervisor_death [--tunnels 500] [--rate 200] [--seconds 10] [--drain 4]

Live tunnels are begun before and outlive their supervisor for the drain time; new ones are begun by the clock all the
time. Between the old and the new gateway connections are refused, for as long as the new one takes to start.
"""

import os
import signal
import threading
import time
from typing import Any

from bench.operate.scene import Load, begin, keep, options, origin, table
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, policy

ALLOW = policy("open", [{"cidr": "127.0.0.0/8"}])


class Gap:
    """When the port refused first, and when it answered again after that."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.refused_at = self.back_at = 0.0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self.back_at:
            now = time.monotonic()
            try:
                with wire.connect(self.port, timeout=10) as client:
                    client.sendall(b"\x05\x01\x00")
                    answered = wire.exactly(client, 2) == b"\x05\x00"
            except OSError:
                self.refused_at = self.refused_at or now
            else:
                if answered and self.refused_at:
                    self.back_at = time.monotonic()
            time.sleep(0.002)


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def measure(port: int, tunnels: int, rate: float, seconds: float, drain: float, workers: int) -> dict[str, Any]:
    """One death, in the middle of the time."""
    with Gateway([ALLOW], {"workers": workers, "shutdown": {"drain": f"{drain}s"}}) as gateway:
        live = ("pingpong", "--count", str(tunnels), "--rate", "2", "--seconds", str(seconds / 2 + drain * 0.7))
        fresh = ("open-close", "--rate", str(rate), "--count", str(int(rate * seconds)), "--at-once", "2000")
        with Load(gateway, port, *live) as old, Load(gateway, port, *fresh) as new:
            time.sleep(seconds / 2)
            workers_before = gateway.workers()
            gap = Gap(gateway.port)
            gap.thread.start()
            killed = time.monotonic()
            gateway.stop(signal.SIGKILL)
            with gateway:
                served = time.monotonic()
                eventually(lambda: not alive(workers_before), "the old workers have ended")
                ended = time.monotonic()
                gap.thread.join()
                new.process.wait()
        errors = new.result["errors"]
    return {
        "live_tunnels": old.result["opened"],
        "live_wrong_before_the_drain_was_over": old.errors,
        "new_tunnels": new.result["tunnels"],
        "new_refused": errors["connect"],
        "new_lost": errors["opening"] + errors["reset"] + errors["end"],
        "new_wrong": errors["content"] + errors["protocol"] + errors["refused"] + errors["timeout"],
        "all_workers_of_the_new_one_after_s": round(served - killed, 3),
        "port_refused_for_s": round(gap.back_at - gap.refused_at, 3) if gap.refused_at else 0.0,
        "old_workers_ended_after_s": round(ended - killed, 3),
        "drain_s": drain,
    }


def main() -> None:
    arguments = options("The supervisor killed.", tunnels=500, rate=200.0, seconds=10.0, drain=4.0, workers=2)
    begin()
    with origin() as port:
        result = measure(port, arguments.tunnels, arguments.rate, arguments.seconds, arguments.drain, arguments.workers)
    table("the supervisor killed", result)
    keep("supervisor_death", arguments, result)


if __name__ == "__main__":
    main()
