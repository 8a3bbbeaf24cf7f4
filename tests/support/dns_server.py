"""DNS servers for the tests: one that answers as a script says, and Debian's dnsmasq.

`Scripted` serves UDP and TCP on one port of 127.0.0.1 (RFC 1035 section 4.2) and notes what it was asked. The script
gets a `Query` and gives the messages to send back, none for silence; the functions below make them.
"""

import contextlib
import ipaddress
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple, Self

A: Final = 1
CNAME: Final = 5
SOA: Final = 6
AAAA: Final = 28

SERVFAIL: Final = 2
NXDOMAIN: Final = 3
REFUSED: Final = 5


class Query(NamedTuple):
    """One question."""

    identifier: int
    flags: int
    name: str  # lower case, no trailing dot
    kind: int
    section: bytes  # the question section as it came
    tcp: bool


class Record(NamedTuple):
    """One resource record; `data` is a target for CNAME, an address otherwise."""

    owner: str
    kind: int
    data: str
    ttl: int = 60


Script = Callable[[Query], bytes | list[bytes] | None]


def read_query(message: bytes, tcp: bool) -> Query:
    """Raises IndexError or struct.error for what is no question."""
    identifier, flags = struct.unpack_from("!HH", message)
    labels, offset = [], 12
    while length := message[offset]:
        labels.append(message[offset + 1 : offset + 1 + length].decode("ascii"))
        offset += 1 + length
    (kind,) = struct.unpack_from("!H", message, offset + 1)
    return Query(identifier, flags, ".".join(labels).lower(), kind, message[12 : offset + 5], tcp)


def wire_name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode("ascii") for label in text.split(".")) + b"\0"


def packed(record: Record) -> bytes:
    data = wire_name(record.data) if record.kind == CNAME else ipaddress.ip_address(record.data).packed
    return wire_name(record.owner) + struct.pack("!HHIH", record.kind, 1, record.ttl, len(data)) + data


def reply(
    query: Query,
    records: Iterable[Record] = (),
    *,
    code: int = 0,
    truncated: bool = False,
    identifier: int | None = None,
    section: bytes | None = None,
) -> bytes:
    """A message that answers `query`, or one that pretends to."""
    body = [packed(record) for record in records]
    flags = 0x8080 | (query.flags & 0x0100) | (0x0200 if truncated else 0) | code
    number = query.identifier if identifier is None else identifier
    head = struct.pack("!HHHHHH", number, flags, 1, len(body), 0, 0)
    return head + (query.section if section is None else section) + b"".join(body)


def addresses(query: Query, *texts: str, ttl: int = 60) -> bytes:
    """The answer of a name that has these addresses: those of the family that was asked for."""
    version = {A: 4, AAAA: 6}.get(query.kind, 0)
    found = [text for text in texts if ipaddress.ip_address(text).version == version]
    return reply(query, [Record(query.name, query.kind, text, ttl) for text in found])


class Scripted:
    """A server that does as its script says. `asked` is every question, `names` how often each name was asked for A."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Query] = []
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.udp.bind(("127.0.0.1", self.port))
        self.address = f"127.0.0.1:{self.port}"
        self.peers: list[tuple[str, int]] = []  # where questions came from over UDP
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self._serve_udp, self._serve_tcp)]
        self.ending = False

    @property
    def names(self) -> Counter[str]:
        return Counter(query.name for query in list(self.asked) if query.kind == A and not query.tcp)

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()
        self.udp.close()
        self.tcp.close()

    def _answers(self, message: bytes, tcp: bool) -> list[bytes]:
        query = read_query(message, tcp)
        self.asked.append(query)
        answer = self.script(query)
        return [] if answer is None else [answer] if isinstance(answer, bytes) else answer

    def _serve_udp(self) -> None:
        while not self.ending:
            message, peer = self.udp.recvfrom(4096)
            if message:
                self.peers.append(peer)
                for answer in self._answers(message, tcp=False):
                    self.udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        while not self.ending:
            connection, _ = self.tcp.accept()
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection: socket.socket) -> None:
        # Resolvers hang up in the midst of things: that is theirs to do.
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while len(head := stream.read(2)) == 2:
                for answer in self._answers(stream.read(int.from_bytes(head)), tcp=True):
                    connection.sendall(len(answer).to_bytes(2) + answer)


class Dnsmasq:
    """Debian's dnsmasq on a port of 127.0.0.1, knowing only what `options` and `hosts` (hosts(5) lines) say."""

    def __init__(self, *options: str, hosts: Iterable[str] = ()) -> None:
        found = shutil.which("dnsmasq", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        assert found, "dnsmasq is missing: make packages-test installs it"
        self.command = found
        self.options = options
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-dns-")
        self.hosts = Path(self.folder.name, "hosts")
        self.hosts.write_text("".join(f"{line}\n" for line in hosts))
        # It drops root's rights by itself and has to read the file after that.
        Path(self.folder.name).chmod(0o755)

    def __enter__(self) -> Self:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        # The sanitizers' preload is meant for Python alone.
        variables = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        self.process = subprocess.Popen(
            [
                self.command, "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-resolv",
                "--no-hosts", "--bind-interfaces", "--listen-address=127.0.0.1", f"--port={self.port}",
                "--cache-size=0", f"--addn-hosts={self.hosts}", "--log-facility=-", *self.options,
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=variables,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline, self._stop()
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self.folder.cleanup()

    def write_hosts(self, *lines: str) -> None:
        """Other records from now on."""
        self.hosts.write_text("".join(f"{line}\n" for line in lines))
        self.process.send_signal(signal.SIGHUP)

    def _answers(self) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0

    def _stop(self) -> str:
        self.process.terminate()
        return self.process.communicate(timeout=30)[1]
