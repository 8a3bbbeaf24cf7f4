"""Sluice as it is meant to be run: one worker, access log on, a policy of 10,000 hosts, metrics scraped each second.

Beside the cleartext listener there is one with TLS, and one that demands certificates of a trust domain.
"""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bench.machine import confined, versions
from bench.peers.base import Peer
from bench.peers.certificates import certificates
from bench.peers.web import WAYS
from tests.support.ports import free_port
from tests.support.run_gateway import SLUICE, Gateway, policy

HOSTS: Final = 10_000


def hosts(count: int) -> str:
    """A list of that many names, one a line."""
    return "".join(f"api{number:x}.partner{number % 997}.example.com\n" for number in range(count))


def secure(name: str, port: int, *, mutual: bool = False) -> dict[str, Any]:
    """A listener with TLS."""
    certificate, key = certificates().gateway
    tls: dict[str, Any] = {"certificates": [{"certificate": certificate, "key": key}]}
    if mutual:
        tls |= {"clientCA": str(certificates().authority), "clientCertificate": "required"}
    return {"name": name, "address": f"127.0.0.1:{port}", "tls": tls}


def trust() -> dict[str, Any]:
    """The trust domain of the clients' certificates."""
    return {"trustDomains": [{"name": "mesh.test", "ca": str(certificates().authority)}]}


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
            self.fetch()

    def fetch(self) -> None:
        """Once."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/metrics")
            self.done += len(connection.getresponse().read()) > 0


class Sluice(Peer):
    name = "sluice"
    title = "**Sluice**"
    ways = ("socks5", "connect", "http2", "tls", "http2-tls", "mtls", *WAYS)
    forwards = True

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
        if self.web.port:
            doors = [self.web.tls, self.web.tls_http2]
            secure_door = {"originate": True, "ca": str(certificates().authority)}
            rules.append(policy("secure", [{"host": "localhost", "ports": doors}], tls=secure_door))
        self.gateway = Gateway(
            rules,
            {"workers": self.workers, "identity": trust()},
            files={"partners.txt": hosts(self.names)},
            preexec_fn=confined(self.where, self.account.enter()),
        )
        self.tls, self.mtls = free_port(), free_port()
        self.gateway.config["listeners"] += [secure("tls", self.tls), secure("mtls", self.mtls, mutual=True)]
        self.gateway.__enter__()
        assert self.gateway.process is not None
        self.account.session = self.gateway.pid
        self.folder, self.port = self.gateway.folder, self.gateway.port
        self.doors = dict.fromkeys(WAYS, self.port)
        Scraper(self.gateway.admin).fetch()  # the first page loads what all of them need
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
