"""The cost of a look-up among many paths of one host, exact ones and prefixes by turns, and many regular expressions.

    python -m bench.micro.paths [--counts 100,10000,100000] [--expressions 100,10000] [--keep FOLDER]

Each look-up is the whole name phase for another path, timed around the C calls; a tunnel has no request.
"""

import argparse
import os
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import supervisor.policy.builder as builder
from bench.machine import RESULTS, keep, versions
from gateway.policy.image import PolicyImage
from gateway.policy.target import HttpRequest
from supervisor.policy.requests import Requests
from supervisor.policy.resources.conditions import Path as RequestPath
from supervisor.policy.resources.terms import Text
from tests.support.lookup_probe import time_lookups, time_requests

__all__ = ["measure"]

HOST: Final = b"api.example.com"
LOOKUPS: Final = 20_000
ROUNDS: Final = 5


def path_of(number: int) -> str:
    return f"/v{number % 3}/group{number // 3 % 100}/item{number}"


def plain(number: int) -> RequestPath:
    return RequestPath("exact" if number % 2 else "prefix", Text(path_of(number), 1, 1))


def expression(number: int) -> RequestPath:
    return RequestPath("regex", Text(f"{path_of(number)}/[0-9]+", 1, 1))


def image_of(count: int, wanted: Callable[[int], RequestPath]) -> PolicyImage:
    """An image with so many rules for one host, each with a path."""
    image = builder.ImageBuilder()
    literals = Requests(image)
    who = image.who([image.selector(builder.PRINCIPAL_MESH, "", "", None, True)])
    for number in range(count):
        rule = image.rule("EgressPolicy", "shop", f"p{number}", 0, "p.yaml", number + 1, builder.TIER_ALLOW)
        item = image.attach(rule, builder.TIER_ALLOW, 0, number, who)
        image.condition(item, path=literals.literal("p.yaml", wanted(number)))
        image.host(item, HOST)
    descriptor = image.finish_memfd()
    try:
        return PolicyImage.from_fd(descriptor, validate=True)
    finally:
        os.close(descriptor)


def measure(count: int, wanted: Callable[[int], RequestPath], behind: str = "") -> dict[str, float]:
    """Nanoseconds of a look-up, of that of a tunnel, and the image's size."""
    image = image_of(count, wanted)
    numbers = random.Random(1).choices(range(count), k=LOOKUPS)
    requests = [HttpRequest("GET", path_of(number) + behind) for number in numbers]
    spent, tunnels = [], []
    for _ in range(ROUNDS):
        seconds, allowed = time_requests(image, HOST, requests, 80)
        if allowed != LOOKUPS:
            raise SystemExit(f"{allowed} of {LOOKUPS} requests are allowed")
        spent.append(seconds * 1e9 / LOOKUPS)
        tunnels.append(time_lookups(image, [HOST] * LOOKUPS, 80)[0] * 1e9 / LOOKUPS)
    return {
        "lookup_ns": statistics.median(spent),
        "tunnel_ns": statistics.median(tunnels),
        "bytes_each": image.size / count,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.micro.paths", description="Look-ups among many paths of one host.")
    parser.add_argument("--counts", default="100,10000,100000", help="of paths")
    parser.add_argument("--expressions", default="100,10000", help="of regular expressions")
    parser.add_argument("--keep", type=Path, default=RESULTS, metavar="FOLDER", help="default: bench/results")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for name, counts, wanted, behind in (
        ("paths", options.counts, plain, ""),
        ("expressions", options.expressions, expression, "/7"),
    ):
        for count in map(int, counts.split(",")):
            row = found[f"{name} {count}"] = measure(count, wanted, behind)
            print(f"{name:<12}{count:>9,}", *(f"{each} {value:,.1f}" for each, value in row.items()), flush=True)
    keep("micro-paths", {"versions": versions(), "rows": found}, options.keep)


if __name__ == "__main__":
    main()
