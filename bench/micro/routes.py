"""The cost of routes: the look-up of a request, and the memory of the image, as HTTPRoutes with path matches grow.

    python -m bench.micro.routes [--counts 1,10,100,1000] [--keep FOLDER]

Each route has ten matches, prefixes and exact paths by turns, all of them for one host, compiled as a reload does. A
look-up is the name phase of a request for another path, timed around the C calls.
"""

import argparse
import os
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

from bench.machine import RESULTS, keep, versions
from bench.micro.paths import path_of
from gateway.policy.image import PolicyImage
from gateway.policy.target import HttpRequest
from supervisor.generation.compile import compile_config
from tests.support.lookup_probe import time_requests

__all__ = ["measure"]

HOST: Final = b"api.example.com"
MATCHES: Final = 10  # of a route
LOOKUPS: Final = 20_000
ROUNDS: Final = 7
CONFIG: Final = """\
listeners: [{name: mesh, address: "127.0.0.1:1080"}]
policy: {paths: [policy.yaml]}
"""
GATEWAY: Final = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: outside, namespace: egress}
spec: {gatewayClassName: sluice, listeners: [{name: mesh, port: 1080, protocol: HTTP}]}
"""
ROUTE: Final = """\
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r{number}, namespace: egress}}
spec:
  parentRefs: [{{name: outside}}]
  hostnames: [api.example.com]
  rules: [{{matches: [{matches}]}}]
"""


def routes(count: int) -> str:
    """Manifests of so many routes."""
    found = [GATEWAY]
    for number in range(count):
        paths = range(number * MATCHES, (number + 1) * MATCHES)
        kinds = ("PathPrefix", "Exact")
        matches = ", ".join(f"{{path: {{type: {kinds[at % 2]}, value: {path_of(at)}}}}}" for at in paths)
        found.append(ROUTE.format(number=number, matches=matches))
    return "".join(found)


def image_of(count: int) -> PolicyImage:
    """The image of so many routes."""
    with tempfile.TemporaryDirectory() as text:
        Path(text, "sluice.yaml").write_text(CONFIG)
        Path(text, "policy.yaml").write_text(routes(count))
        report, descriptor = compile_config(f"{text}/sluice.yaml")
    if descriptor is None:
        raise SystemExit("\n".join(map(str, report.problems)))
    try:
        return PolicyImage.from_fd(descriptor, validate=True)
    finally:
        os.close(descriptor)


def measure(count: int, empty: int) -> dict[str, float]:
    """Nanoseconds of a look-up, and what the image has for each match beyond one without routes, in bytes."""
    image = image_of(count)
    numbers = random.Random(1).choices(range(count * MATCHES), k=LOOKUPS)
    requests = [HttpRequest("GET", path_of(number)) for number in numbers]
    spent = []
    for _ in range(ROUNDS):
        seconds, allowed = time_requests(image, HOST, requests, 80)
        if allowed != LOOKUPS:
            raise SystemExit(f"{allowed} of {LOOKUPS} requests are allowed")
        spent.append(seconds * 1e9 / LOOKUPS)
    return {"lookup_ns": statistics.median(spent), "bytes_each": (image.size - empty) / (count * MATCHES)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.micro.routes", description="Look-ups among HTTPRoutes with paths.")
    parser.add_argument("--counts", default="1,10,100,1000", help="of routes")
    parser.add_argument("--keep", type=Path, default=RESULTS, metavar="FOLDER", help="default: bench/results")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    empty = image_of(0).size
    for count in map(int, options.counts.split(",")):
        row = found[f"routes {count}"] = measure(count, empty)
        print(f"{count:>7,} routes", *(f"{each} {value:,.1f}" for each, value in row.items()), flush=True)
    keep("micro-routes", {"versions": versions(), "rows": found}, options.keep)


if __name__ == "__main__":
    main()
