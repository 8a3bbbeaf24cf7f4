"""Requests of HTTP: their loads, and the origin that answers them."""

import json
import subprocess
from types import TracebackType
from typing import TYPE_CHECKING, Final

from bench.machine import LOAD, confined
from bench.peers.certificates import certificates
from bench.peers.web import Web

if TYPE_CHECKING:
    from bench.loads import Load

__all__ = ["IDLE_CLIENTS", "WebOrigin", "request_loads"]

GB: Final = 1_000_000_000
IDLE_CLIENTS: Final = 5_000
BODY: Final = 1 << 30  # of one response whose reader stalls


def request_loads(load: "type[Load]", seconds: float, lasting: tuple[str, ...]) -> "dict[str, Load]":
    """By name. Small answers have 1 KiB, large ones 1 MiB; calls have 64 bytes each way."""
    kept = ("kept", "--count", "64", *lasting)
    four = ("kept", "--count", "4", "--streams", "16", *lasting)
    fresh = ("fresh", "--count", str(max(500, round(6000 * seconds))), "--at-once", "32", "--timeout", "60")
    bulk = ("kept", "--count", "8", "--size", str(1 << 20), *lasting)
    idle = ("idle", "--count", str(IDLE_CLIENTS), *lasting)
    stalled = ("stalled", "--count", "1", "--size", str(BODY), *lasting)

    def one(arguments: tuple[str, ...], way: str, kind: str = "cost", field: str = "round_trips") -> "Load":
        return load(arguments, "request", field, kind=kind, way=way, program="requests")

    return {
        "get": one(kept, "get"),
        "get-1m": one(bulk, "get", field="bytes_down")._replace(unit="GB", size=GB),
        "get-new": one(fresh, "get", field="completed"),
        "get-idle": one(idle, "get", "idle", "completed"),
        "get-stalled": one(stalled, "get", "held", "completed"),
        "get-h2": one((*four, "--http2"), "get-h2"),
        "get-tls": one(kept, "get-tls"),
        "unary": one((*four, "--unary", "--size", "64"), "unary"),
    }


class WebOrigin:
    """`load web` on its cores; a context manager that gives its ports."""

    def __init__(self, where: frozenset[int]) -> None:
        self.where = where

    def __enter__(self) -> Web:
        self.process = subprocess.Popen(
            [str(LOAD), "web", *certificates().origin], stdout=subprocess.PIPE, text=True,
            preexec_fn=confined(self.where),
        )  # fmt: skip
        assert self.process.stdout is not None
        return Web(**json.loads(self.process.stdout.readline()))

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.process.terminate()
        self.process.communicate()
