"""Sluice as it is meant to be run: one worker, access log on, a policy of 10,000 hosts, metrics scraped each second."""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.machine import confined, versions
from bench.peers.base import Peer
from tests.support.run_gateway import SLUICE, Gateway, policy

HOSTS: Final = 10_000


def hosts(count: int) -> str:
    """A list of that many names, one a line."""
    return "".join(f"api{number:x}.partner{number % 997}.example.com\n" for number in range(count))


class Scraper:
    """A thread that fetches /metrics each second."""

    def __init__(self, port: int) -> None:
        self.port, self.done = port, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
                connection.request("GET", "/metrics")
                self.done += len(connection.getresponse().read()) > 0


class Sluice(Peer):
    name = "sluice"
    title = "**Sluice**"
    ways = ("socks5", "connect", "http2")

    def __init__(self, origin: int, where: frozenset[int], workers: int = 1, names: int = HOSTS) -> None:
        super().__init__(origin, where)
        self.workers, self.names = workers, names

    @classmethod
    def binary(cls) -> Path:
        return Path(SLUICE)

    @classmethod
    def version(cls) -> str:
        return versions()["sluice"]

    def command(self) -> list[str]:
        return [str(self.binary()), "run", "-c", "sluice.yaml"]

    def __enter__(self) -> Self:
        rules = [
            policy("partners", [{"hostsFrom": "partners.txt", "ports": [443]}]),
            policy("origin", [{"cidr": "127.0.0.0/8"}]),
        ]
        self.gateway = Gateway(
            rules,
            {"workers": self.workers},
            files={"partners.txt": hosts(self.names)},
            preexec_fn=confined(self.where, self.account.enter()),
        )
        self.gateway.__enter__()
        assert self.gateway.process is not None
        self.account.session = self.gateway.pid
        self.folder, self.port = self.gateway.folder, self.gateway.port
        return self

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        scraper = Scraper(self.gateway.admin)
        scraper.start()
        try:
            yield
        finally:
            scraper.stop()

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.gateway.__exit__()
        self._wait_empty()
        self.account.close()
