"""Puts the same load through Sluice and through its peers, in turns, and says what each unit of work costs.

    python -m bench.run [--rounds N] [--seconds S] [--loads LOAD,...] [--peers PEER,...]

Every round runs every load through every peer in random order, so that whatever else the machine does falls on all
alike. The proxy has one core, load and origin the other. Cost is the CPU time of a peer's whole process tree. Figures
are medians over the rounds; ratios are taken within a round. All of it is kept in bench/results/.
"""

import argparse
import contextlib
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.loads import HTTP2, IDLE_TUNNELS, Figures, Load, Origin, Spoilt, loads, measure
from bench.machine import RESULTS, Cores, build, cores, keep, private_network, versions
from bench.peers import PEERS, Peer
from bench.peers.base import SECURE, Absent
from bench.peers.floor import Floor, cryptography
from bench.peers.web import WAYS, Web
from bench.summary import show, summary
from bench.web import WebOrigin

DIRECT: Final = "direct"
WARMED_BY: Final = {
    HTTP2: "h2-tunnels", "tls": "tls-tunnels", "mtls": "mtls-tunnels", "http2-tls": "h2-tls-tunnels",
    **{way: way for way in WAYS},
}  # fmt: skip
ALWAYS: Final = ("sluice", "floor", "h2-floor")  # whatever is asked for
Round = dict[str, dict[str, Figures | str]]  # by load and contestant; a text says why there are no figures


class Contestant(NamedTuple):
    """A peer, or nothing in between, and what is said to it."""

    peer: type[Peer] | None
    way: str

    @property
    def name(self) -> str:
        return DIRECT if self.peer is None else f"{self.peer.name}/{self.way}"


def contestants(names: list[str]) -> list[Contestant]:
    """The direct connection, and every way through those that are on this machine."""
    found = [Contestant(None, DIRECT)]
    for name in names:
        try:
            PEERS[name].binary()
        except Absent as absent:
            print(f"without {name}: {absent}", file=sys.stderr)
            continue
        found += [Contestant(PEERS[name], way) for way in PEERS[name].ways]
    return found


class Bench:
    """One benchmark: an origin, the peers that run, and the runs."""

    def __init__(self, wanted: dict[str, Load], found: list[Contestant], where: Cores) -> None:
        self.wanted, self.found, self.where = wanted, found, where
        self.commands: dict[str, dict[str, str]] = {}
        self.peers: dict[str, Peer] = {}
        self.web = Web(0, 0, 0, 0)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The origin, and one of every peer, each of which has carried something."""
        with contextlib.ExitStack() as stack:
            self.origin = stack.enter_context(Origin(self.where.load))
            self.web = stack.enter_context(WebOrigin(self.where.load))
            for contestant in self.found:
                if contestant.peer is None or contestant.peer.name in self.peers:
                    continue
                peer = stack.enter_context(self.of(contestant.peer))
                self.peers[peer.name] = peer
                self.commands[peer.name] = {"version": peer.version(), "command": " ".join(peer.command())}
            for contestant in self.found:
                if any(load.takes(contestant.way) for load in self.wanted.values()) and (
                        contestant.peer is not Floor or contestant.way not in SECURE):  # fmt: skip
                    self.one("warm-up", loads(0.25)[WARMED_BY.get(contestant.way, "tunnels")], contestant)
            yield

    def of(self, peer: type[Peer]) -> Peer:
        """One of its kind in front of the origins."""
        made = peer(self.origin.port, self.where.proxy)
        made.web = self.web
        return made

    def round(self) -> Round:
        """Every load through every peer, in random order."""
        runs = [
            (name, load, contestant)
            for name, load in self.wanted.items()
            for contestant in self.found
            if load.takes(contestant.way)
            and (load.kind != "idle" or contestant.peer is not None)
            and (contestant.peer is not Floor or load.floor or contestant.way not in SECURE)
        ]
        random.shuffle(runs)
        done: Round = {name: {} for name in self.wanted}
        for name, load, contestant in runs:
            done[name][contestant.name] = self.one(name, load, contestant)
        return done

    def one(self, name: str, load: Load, contestant: Contestant) -> Figures | str:
        """One run. Others may fail; we, the floors and the direct way may not."""
        began = time.monotonic()
        try:
            figures: Figures | str = self._measure(load, contestant)
        except Spoilt as spoilt:
            if contestant.peer is None or contestant.peer.name in ALWAYS:
                raise SystemExit(f"{name} through {contestant.name}: {spoilt}") from None
            figures = str(spoilt)
        print(f"  {name:<18}{contestant.name:<20}{time.monotonic() - began:6.1f} s", file=sys.stderr)
        return figures

    def _measure(self, load: Load, contestant: Contestant) -> Figures:
        if contestant.peer is None:
            target = ("--via", DIRECT, "--origin", f"127.0.0.1:{self.origin.port}")
            return measure(load, target, None, self.where.load)
        if contestant.peer is Floor and load.floor:
            return self._cryptography(load)
        if load.kind != "idle":
            peer = self.peers[contestant.peer.name]
            return measure(load, peer.target(contestant.way), peer, self.where.load)
        # Memory is that of a process that has not lived through other loads.
        with self.of(contestant.peer) as fresh:
            return measure(load, fresh.target(contestant.way), fresh, self.where.load)

    def _cryptography(self, load: Load) -> Figures:
        """The least cost of the same work: the cryptography alone, and a cleartext tunnel through Sluice."""
        if load.kind == "idle":
            return {"rss_each": cryptography(self.where.proxy, 0, IDLE_TUNNELS)[load.floor]}
        alone = cryptography(self.where.proxy, 500, 0)[load.floor]
        peer = self.peers["sluice"]
        tunnel = measure(load._replace(arguments=loads(0.5)["tunnels"].arguments), peer.target("connect"), peer,
                         self.where.load)  # fmt: skip
        return {"cpu_us": alone + tunnel["cpu_us"], "cryptography_us": alone}


def choice(known: list[str]) -> Any:
    """An argument's type: names from a list, separated by commas."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"`{name}` is not one of {',  '.join(known)}")
        return names

    return read


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.run", description="The same load through us and our peers.")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5, the least that a published figure needs")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each run, about; default: 1")
    parser.add_argument("--loads", "--only", type=choice(list(loads(1))), default=list(loads(1)), dest="only",
                        help=f"some of {', '.join(loads(1))}")  # fmt: skip
    parser.add_argument("--peers", type=choice(list(PEERS)), default=list(PEERS),
                        help="some of the peers; Sluice and the floors are always there")  # fmt: skip
    parser.add_argument("--seed", type=int, default=None, help="of the order; default: another one each time")
    parser.add_argument("--keep", type=Path, default=RESULTS, metavar="FOLDER", help="default: bench/results")
    options = parser.parse_args()
    options.peers = [name for name in PEERS if name in options.peers or name in ALWAYS]
    return options


def main() -> int:
    options = read_arguments()
    random.seed(options.seed)
    build()
    private = private_network()
    wanted = {name: load for name, load in loads(options.seconds).items() if name in options.only}
    bench = Bench(wanted, contestants(options.peers), cores())
    rounds = []
    with bench.running():
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            rounds.append(bench.round())
    result = summary(rounds)
    show(result)
    file = keep(
        "requests" if all(load.way in WAYS for load in wanted.values()) else "peers",
        {
            "versions": versions(),
            "options": {name: value for name, value in vars(options).items() if name != "keep"},
            "private_network": private,
            "cores": {"proxy": sorted(bench.where.proxy), "load": sorted(bench.where.load)},
            "peers": bench.commands,
            "loads": {name: {"unit": load.unit, "command": " ".join(load.arguments)} for name, load in wanted.items()},
            "summary": result,
            "rounds": rounds,
        },
        options.keep,
    )
    print(f"kept in {os.path.relpath(file)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
