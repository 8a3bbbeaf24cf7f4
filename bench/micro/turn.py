"""The cost and the load of one turn of a worker's loop, measured in a running gateway under round trips.

    python -m bench.micro.turn [--seconds 2]

For 1, 8, 64 and 512 tunnels with one message of 64 bytes under way on each: turns by round trip, time of a turn, CPU of
a round trip. More messages share a turn as tunnels become more, which is why a busy gateway is cheaper by message.
"""

import argparse
import re
import urllib.request
from typing import Final, NamedTuple

from bench.loads import Load, Origin, measure
from bench.machine import build, cores, private_network
from bench.peers.sluice import Sluice

TUNNELS: Final = (1, 8, 64, 512)


class Turns(NamedTuple):
    """So far: how many, and their seconds."""

    number: float
    seconds: float


def turns(admin: int) -> Turns:
    """From the metrics of a gateway."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as answer:
        text = answer.read().decode()
    found = dict(re.findall(r"^sluice_worker_turn_seconds_(count|sum) ([0-9.e+-]+)$", text, re.MULTILINE))
    return Turns(float(found["count"]), float(found["sum"]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.micro.turn", description="Turns of a worker's loop.")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run; default: 2")
    seconds = parser.parse_args().seconds
    build()
    private_network()
    where = cores()
    print(f"{'tunnels':>8}{'round trips/s':>16}{'by turn':>10}{'us a turn':>12}{'CPU us a round trip':>22}")
    with Origin(where.load) as origin, Sluice(origin.port, where.proxy) as peer:
        for count in TUNNELS:
            arguments = ("pingpong", "--count", str(count), "--seconds", f"{seconds:g}")
            before = turns(peer.gateway.admin)
            figures = measure(Load(arguments, "", "round_trips"), peer.target("socks5"), peer, where.load)
            after = turns(peer.gateway.admin)
            turned, lasted = after.number - before.number, after.seconds - before.seconds
            trips = figures["rate"] * seconds
            print(
                f"{count:>8}{figures['rate']:>16,.0f}{trips / turned:>10.2f}{lasted / turned * 1e6:>12.1f}"
                f"{figures['cpu_us']:>22.2f}"
            )


if __name__ == "__main__":
    main()
