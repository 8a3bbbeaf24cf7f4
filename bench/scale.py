"""How cost grows: tunnels from 100 to 9,000, names in the policy from 10 to 1,000,000, workers 1 and 2.

    python -m bench.scale [--rounds 3] [--seconds 1] [--only tunnels,policy,workers] [--write docs/capacity.md]

Every row is the cost of one unit, so a flat column is linear growth. Rows are measured in random order each round; the
figures are medians. `--write` puts the tables between the markers of a page.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from bench.accounting import threads_cpu
from bench.loads import Origin, finish, loads, measure, start, wait_files
from bench.machine import RESULTS, Cores, build, cores, keep, private_network, versions
from bench.micro import policy
from bench.operate.scene import ask
from bench.peers.sluice import Sluice
from bench.render import table, written

TUNNELS: Final = (100, 300, 1_000, 3_000, 9_000)
NAMES: Final = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
WORKERS: Final = (1, 2)
PACED: Final = 4_000  # round trips a second in all, however many tunnels share them
HOLD: Final = 6  # seconds for which idle tunnels are held
Row = dict[str, float]


class Column(NamedTuple):
    head: str
    key: str
    decimals: int


class Axis(NamedTuple):
    """A quantity that grows: its values, the measure at one of them, and the columns of its table."""

    head: str
    values: tuple[int, ...]
    measure: Callable[["Scale", int], Row]
    columns: tuple[Column, ...]


class Scale:
    """An origin, and gateways as they are asked for."""

    def __init__(self, origin: int, where: Cores, seconds: float) -> None:
        self.origin, self.where, self.seconds = origin, where, seconds
        self.opening = loads(seconds)["tunnels"]
        self.tunnels = int(self.opening.arguments[self.opening.arguments.index("--count") + 1])
        self.bulk = loads(seconds)["bulk-down"]

    def open_close(self, peer: Sluice) -> Row:
        return measure(self.opening, peer.target("socks5"), peer, self.where.load)

    def round_trips(self, peer: Sluice, count: int, *paced: str) -> Row:
        """The cost of a round trip once all tunnels are open: their set-up and their end are left out."""
        lasting = ("--seconds", f"{self.seconds + 2:g}", "--timeout", "120")
        arguments = ("pingpong", "--count", str(count), *paced, *lasting)
        with peer.watched():
            process = start(arguments, peer.target("socks5"), self.where.load)
            try:
                wait_files(process, count)
                time.sleep(0.8)
                before, began = peer.account.cpu(), time.monotonic()
                time.sleep(self.seconds)
                share = (peer.account.cpu() - before) / (time.monotonic() - began)
            except BaseException:
                process.kill()
                process.communicate()
                raise
            answer = finish(process)
        rate = answer["round_trips"] / answer["seconds"]
        return {"rate": rate, "cpu_us": share * 1e6 / rate, "p99_us": answer["round_trip_us"]["p99"]}


def by_tunnels(scale: Scale, count: int) -> Row:
    """Memory and idle cost of so many, what a new one costs beside them, and what a message costs on them."""
    with Sluice(scale.origin, scale.where.proxy) as peer:
        empty = peer.account.memory()
        arguments = ("idle", "--count", str(count), "--seconds", f"{HOLD + scale.seconds * 3:g}", "--timeout", "120")
        process = start(arguments, peer.target("connect"), scale.where.load)
        try:
            wait_files(process, count)
            time.sleep(1)
            full = peer.account.memory()
            with peer.watched():
                before, began = peer.account.cpu(), time.monotonic()
                time.sleep(2)
                idle = (peer.account.cpu() - before) / (time.monotonic() - began)
            beside = scale.open_close(peer)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        finish(process)
        paced = scale.round_trips(peer, count, "--rate", f"{PACED / count:g}")
        busy = scale.round_trips(peer, count)
    return {
        "rss_each": (full.rss - empty.rss) / count, "idle_share": 100 * idle, "tunnel_us": beside["cpu_us"],
        "paced_us": paced["cpu_us"], "busy_us": busy["cpu_us"], "p99_ms": paced["p99_us"] / 1e3,
    }  # fmt: skip


def by_names(scale: Scale, count: int) -> Row:
    """Compile, memory and look-up of a policy of so many names, and what a tunnel costs under it."""
    figures = policy.measure(count)
    with Sluice(scale.origin, scale.where.proxy, names=count) as peer:
        scale.open_close(peer)
        began = time.monotonic()
        ask(peer.gateway, "reload")
        took = time.monotonic() - began
        cost = scale.open_close(peer)
        memory = peer.account.memory()
    return {
        "check_seconds": figures["check_seconds"], "reload_seconds": took, "bytes": figures["bytes_a_name"],
        "lookup_ns": figures["lookup_ns"], "dict_ns": figures["dict_get_ns"], "tunnel_us": cost["cpu_us"],
        "pss_mib": memory.pss / (1 << 20),
    }  # fmt: skip


def by_workers(scale: Scale, count: int) -> Row:
    """The cost of units on so many workers, load and origin on the same cores."""
    with Sluice(scale.origin, scale.where.proxy | scale.where.load, workers=count) as peer:
        memory = peer.account.memory()
        scale.open_close(peer)
        before = threads_cpu(peer.gateway.pid)
        cost = scale.open_close(peer)
        supervisor = (threads_cpu(peer.gateway.pid) - before) * 1e6 / scale.tunnels
        trips = scale.round_trips(peer, 64)
        carried = measure(scale.bulk, peer.target("socks5"), peer, scale.where.load)
    return {
        "tunnel_us": cost["cpu_us"], "supervisor_us": supervisor, "tunnels": cost["rate"],
        "trip_us": trips["cpu_us"], "trips": trips["rate"],
        "gb_s": carried["cpu_us"] / 1e6, "gbs": carried["rate"], "pss_mib": memory.pss / (1 << 20),
    }  # fmt: skip


AXES: Final = {
    "tunnels": Axis(
        "tunnels open", TUNNELS, by_tunnels,
        (
            Column("RSS of an idle one, bytes", "rss_each", 0),
            Column("all idle: % of a core", "idle_share", 2),
            Column("a new one beside them, CPU µs", "tunnel_us", 0),
            Column(f"round trip, {PACED:,}/s in all, CPU µs", "paced_us", 1),
            Column("its p99, ms", "p99_ms", 2),
            Column("round trip, as fast as can be, CPU µs", "busy_us", 1),
        ),
    ),
    "policy": Axis(
        "names in the policy", NAMES, by_names,
        (
            Column("`sluice check`, s", "check_seconds", 2),
            Column("reload, s", "reload_seconds", 2),
            Column("image, bytes a name", "bytes", 1),
            Column("look-up, ns", "lookup_ns", 0),
            Column("dict.get, ns", "dict_ns", 0),
            Column("tunnel, CPU µs", "tunnel_us", 0),
            Column("PSS of all processes, MiB", "pss_mib", 0),
        ),
    ),
    "workers": Axis(
        "workers", WORKERS, by_workers,
        (
            Column("tunnel, CPU µs", "tunnel_us", 0),
            Column("of it the supervisor's", "supervisor_us", 1),
            Column("tunnels/s", "tunnels", 0),
            Column("round trip on 64, CPU µs", "trip_us", 1),
            Column("round trips/s", "trips", 0),
            Column("bulk down, CPU s/GB", "gb_s", 2),
            Column("GB/s", "gbs", 2),
            Column("PSS without tunnels, MiB", "pss_mib", 0),
        ),
    ),
}  # fmt: skip


def medians(rows: list[Row]) -> Row:
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def run(scale: Scale, wanted: list[str], rounds: int) -> dict[str, dict[int, list[Row]]]:
    """By axis and value: a row for each round."""
    found: dict[str, dict[int, list[Row]]] = {name: {value: [] for value in AXES[name].values} for name in wanted}
    for number in range(rounds):
        steps = [(name, value) for name in wanted for value in AXES[name].values]
        random.shuffle(steps)
        for name, value in steps:
            print(f"round {number + 1} of {rounds}: {value:,} {name}", file=sys.stderr)
            found[name][value].append(AXES[name].measure(scale, value))
    return found


def tables(found: dict[str, dict[int, list[Row]]]) -> list[str]:
    """As Markdown."""
    lines = []
    for name, rows in found.items():
        axis = AXES[name]
        cells = [
            [f"{value:,}", *(f"{medians(runs)[column.key]:,.{column.decimals}f}" for column in axis.columns)]
            for value, runs in rows.items()
        ]
        lines += [*table([axis.head, *(column.head for column in axis.columns)], cells), ""]
    return lines[:-1]


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.scale", description="How cost grows with tunnels, names and workers.")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each run, about; default: 1")
    parser.add_argument("--only", default=",".join(AXES), help=f"some of {', '.join(AXES)}")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="puts the tables between the page's markers")
    parser.add_argument("--keep", type=Path, default=RESULTS, metavar="FOLDER", help="default: bench/results")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := [name for name in options.only if name not in AXES]:
        parser.error(f"`{unknown[0]}` is not one of {',  '.join(AXES)}")
    return options


def main() -> int:
    options = read_arguments()
    build()
    private_network()
    where = cores()
    with Origin(where.load) as origin:
        found = run(Scale(origin.port, where, options.seconds), options.only, options.rounds)
    lines = tables(found)
    print("\n".join(lines))
    told = {"rounds": options.rounds, "seconds": options.seconds, "only": options.only}
    keep("scale", {"versions": versions(), "options": told, "rows": found}, options.keep)
    if options.write is not None:
        head = f"{versions()['cpu']}, Linux {versions()['kernel']}, commit {versions()['sluice']}; medians of"
        lines = [f"{head} {options.rounds} rounds.", "", *lines]
        options.write.write_text(written(options.write.read_text(), lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
