"""Common parts of the measures: a gateway under load of known content, and figures that are kept.

Loads run beside each other and are judged at the end: each is a `load client` process whose last line says how many
tunnels went wrong, in which way.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

from bench import machine
from bench.machine import LOAD, build, private_network
from gateway.worker.scheduling import wake_first
from supervisor.control.client import ControlClient, ControlError
from tests.support.run_gateway import Gateway

__all__ = ["LOAD", "Load", "Watch", "ask", "begin", "close_lines", "keep", "options", "origin", "percent", "table"]

PATIENCE: Final = 180.0


def options(description: str, **defaults: float) -> argparse.Namespace:
    """The command line of a measure: one number option for each default."""
    parser = argparse.ArgumentParser(description=description)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"default: {value}")
    return parser.parse_args()


def begin() -> None:
    """The load generator, and where possible a network of its own."""
    build()
    private_network()


@contextlib.contextmanager
def origin(seconds: float = 3600) -> Iterator[int]:
    """The port of an origin; wrong bytes that only it saw end the measure. It and the clients stand for other machines:
    what a worker waits for is measured, not what they do."""
    command = [str(LOAD), "origin", "--seconds", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        wake_first(process.pid)
        assert process.stdout is not None
        try:
            yield int(json.loads(process.stdout.readline())["port"])
        finally:
            process.terminate()
        process.communicate()
        if process.returncode:
            raise SystemExit("the origin saw wrong bytes")


class Load:
    """One load client. Inside the context it runs; `result` is there after it."""

    def __init__(self, gateway: Gateway, port: int, *arguments: str, via: str = "socks5") -> None:
        proxy = () if via == "direct" else ("--proxy", f"127.0.0.1:{gateway.port}")
        # From many addresses: what one source may ask for at once is not what is measured here.
        way = ("--via", via, *proxy, "--origin", f"127.0.0.1:{port}", "--sources", "200")
        self.command = [str(LOAD), "client", *arguments, *way]
        self.result: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wake_first(self.process.pid)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is not None:
            self.process.kill()
        out, err = self.process.communicate()
        if kind is None:
            if not out:
                raise SystemExit(f"{' '.join(self.command)}: {err}")
            self.result = json.loads(out)

    @property
    def errors(self) -> dict[str, int]:
        """By kind, those that happened."""
        return {kind: count for kind, count in self.result["errors"].items() if count}


class Watch:
    """Asks for the counters again and again, and notes each that went down."""

    def __init__(self, gateway: Gateway, every: float = 0.2) -> None:
        self.gateway, self.every = gateway, every
        self.fell: dict[str, int] = {}
        self.looks = 0
        self.last: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.every):
            with contextlib.suppress(ControlError):
                self._look(ask(self.gateway, "stats")["counters"])

    def _look(self, counters: Mapping[str, int]) -> None:
        self.looks += 1
        for name, value in counters.items():
            if name.endswith("_total") and value < self.last.get(name, 0):
                self.fell[name] = max(self.fell.get(name, 0), self.last[name] - value)
        self.last = dict(counters)


def ask(gateway: Gateway, op: str, **fields: object) -> dict[str, Any]:
    """One question to the control endpoint."""
    with ControlClient(gateway.config["control"]["endpoint"], PATIENCE) as client:
        return client.call({"op": op, **fields})


def close_lines(gateway: Gateway) -> dict[str, int]:
    """Close lines of the access log, by outcome."""
    found: dict[str, int] = {}
    with (gateway.folder / "access.log").open("rb") as lines:
        for line in lines:
            if b'"event":"close"' in line:
                outcome = json.loads(line)["outcome"]
                found[outcome] = found.get(outcome, 0) + 1
    return found


def percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %"


def table(title: str, rows: Mapping[str, object]) -> None:
    """A small table on stdout."""
    print(title)
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"  {name:<{width}}  {value}")


def keep(name: str, arguments: argparse.Namespace, result: Mapping[str, object]) -> None:
    """A JSON file beside the others, and the same as the last line of output."""
    machine.keep(name, {"versions": machine.versions(), "options": vars(arguments), **result})
    print(json.dumps(result))
    sys.stdout.flush()
