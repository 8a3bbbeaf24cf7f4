"""The common parts of all peers: a folder, a port, a process tree with an account, a version and a command line."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from bench.accounting import Account
from bench.machine import ROOT, confined
from bench.peers.certificates import certificates
from bench.peers.web import WAYS, Web
from tests.support.ports import free_port

UNPACKED: Final = ROOT / "build/peers"
PATIENCE: Final = 60.0
# Ways over TLS, and what is said inside: to a listener that asks for no certificate, and to one that demands it.
SECURE: Final = {"tls": "connect", "http2-tls": "http2", "mtls": "connect"}


class Absent(Exception):
    """A peer that is not on this machine."""


class Peer(ABC):
    """One peer in front of one origin: a context manager that runs it.

    `ways` are what the load generator says to it: socks5, connect, or direct for a relay to one fixed origin; tls, mtls
    and http2-tls are CONNECT behind TLS, or nothing but TLS to such a relay. Those of bench.peers.web are requests.
    """

    name: ClassVar[str]
    ways: ClassVar[tuple[str, ...]]
    title: ClassVar[str]  # for the table
    package: ClassVar[str] = ""  # Debian's, if its version is the peer's
    forwards: ClassVar[bool] = False  # requests name their origin in the target; else there is one for all of them
    output: ClassVar[str] = "out.log"  # where stdout and stderr go, seen from the folder

    def __init__(self, origin: int, where: frozenset[int]) -> None:
        self.origin, self.where = origin, where
        self.port = self.tls = self.mtls = 0
        self.web = Web(0, 0, 0, 0)
        self.doors: dict[str, int] = {}  # by way of requests: the port that takes them
        self.folder = Path()
        self.account = Account(self.name)
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Writes the configuration into `folder` and says how the peer is started; the first word is a path."""

    @classmethod
    @abstractmethod
    def binary(cls) -> Path:
        """The program. Raises Absent."""

    @classmethod
    def version(cls) -> str:
        """As its package has it."""
        file = UNPACKED / "versions"
        known = dict(line.split(" ", 1) for line in file.read_text().splitlines()) if file.exists() else {}
        return str(known.get(cls.package, "of this machine"))

    def target(self, way: str) -> tuple[str, ...]:
        """Arguments of the load generator that lead through this peer."""
        port, options = self.port, tuple[str, ...]()
        if way in WAYS:
            form = ("--absolute",) if self.forwards else ()
            door, authority = f"127.0.0.1:{self.doors[way]}", f"localhost:{self.web.of(way)}"
            return ("--proxy", door, "--authority", authority, *form)
        if way in SECURE:
            port, options = (self.mtls if way == "mtls" else self.tls), secured(way)
            way = "direct" if "direct" in self.ways else SECURE[way]
        if way == "direct":
            return ("--via", "direct", "--origin", f"127.0.0.1:{port}", *options)
        return ("--via", way, "--proxy", f"127.0.0.1:{port}", "--origin", f"127.0.0.1:{self.origin}", *options)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Around each measure: what an operator's tools do to it at that time. Nothing, as a rule."""
        yield

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix=f"bench-{self.name}-"))
        self.port, self.tls, self.mtls = free_port(), free_port(), free_port()
        self.doors = {way: free_port() for way in WAYS if way in self.ways}
        try:
            self.launch()
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def launch(self) -> None:
        """Starts it in a session of its own, on its cores, on its account."""
        command = self.command()
        with (self.folder / self.output).open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, preexec_fn=confined(self.where, self.account.enter()),
            )  # fmt: skip
        self.account.session = self.process.pid

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            for pid in self.account.processes():  # helpers of the same account that outlived it
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._wait_empty()
        self.account.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                text = (self.folder / self.output).read_text(errors="replace")
                raise SystemExit(f"{self.name} does not start: {text[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)

    def _wait_empty(self) -> None:
        deadline = time.monotonic() + 5
        while self.account.processes() and time.monotonic() < deadline:
            time.sleep(0.02)


def secured(way: str) -> tuple[str, ...]:
    """Arguments of the load generator for a way over TLS."""
    certificate, key = certificates().client
    return ("--tls", "--certificate", certificate, "--key", key) if way == "mtls" else ("--tls",)


def tunnels_most() -> int:
    """How many tunnels the limit of open files has room for, two each, less some; at most 20,000."""
    return min(20_000, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1_000) // 2)


def environment() -> dict[str, str]:
    """For programs whose libraries were unpacked beside them."""
    return {**os.environ, "LD_LIBRARY_PATH": str(UNPACKED / "usr/lib/x86_64-linux-gnu")}


def find(path: str) -> Path:
    """A program as it was unpacked, or as the machine has it."""
    unpacked = UNPACKED / path
    if unpacked.exists():
        return unpacked
    installed = shutil.which(Path(path).name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if installed is None:
        raise Absent(f"{path} is neither in {UNPACKED.relative_to(ROOT)} nor on the path")
    return Path(installed)
