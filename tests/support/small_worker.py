"""A worker without its processes: the parts of one and a listener, on a loop whose time and readiness are the test's.

Its sockets are real, on loopback. Its clients, origins and name servers are this object's: nothing else runs, and all
that happens does so in settle() and pass_time(). tests/support/playbook.py plays scripts on it.
"""

import contextlib
import json
import mmap
import os
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from gateway import contract
from gateway.downstream.beginnings import ClientBeginnings
from gateway.downstream.listener import Listener
from gateway.io.loop import Loop
from gateway.io.watch import Clock
from gateway.policy.image import PolicyImage
from gateway.state.limits import Limits
from gateway.state.log import AccessLog
from gateway.state.parts import WorkerParts
from gateway.tunnel.rejudge import Rejudge
from gateway.upstream.origin_pool import OriginPools
from gateway.upstream.pool import ParentPools
from supervisor.config.config import Config
from supervisor.config.config import Listener as ListenerConfig
from supervisor.config.upstreams import Upstream
from supervisor.policy import builder
from supervisor.segment.segment import PENDING_LOGS, Segment
from tests.support import dns_server
from tests.support.hand_probe import HandClock, HandPoller
from tests.support.limiting import table

# Of the machine's time, for bytes that the kernel still carries over loopback: no passing step needs it.
PATIENCE: Final = 2.0
# The loop's time is ahead of the machine's, by which slices of long work are measured: none is ever over.
AHEAD: Final = 3600 * 1_000_000
CREDENTIAL: Final = 77  # of the password of every user
TIERS: Final = {"allow": builder.TIER_ALLOW, "audit": builder.TIER_AUDIT, "deny": builder.TIER_DENY}


class Rule(NamedTuple):
    """A rule for every source."""

    verdict: str
    to: str  # host pattern or CIDR
    via: str | None = None  # a parent
    on_revoke: str | None = None


@dataclass
class End:
    """One end of a connection, the test's: what came, and how it ended."""

    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)
    unsent: bytearray = field(default_factory=bytearray)
    end: Literal["", "end", "reset"] = ""

    def move(self) -> bool:
        """Sends and receives what goes at once; whether anything did."""
        before = (len(self.unsent), len(self.received), self.end)
        try:
            while self.unsent:
                del self.unsent[: self.connection.send(self.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.unsent.clear()
        try:
            while not self.end:
                data = self.connection.recv(1 << 20)
                self.received += data
                self.end = "" if data else "end"
        except BlockingIOError:
            pass
        except OSError:
            self.end = "reset"
        return before != (len(self.unsent), len(self.received), self.end)


@dataclass
class Origin:
    """A server of the script: how it takes connections, and those it has taken."""

    name: str
    address: str
    manner: str  # answers, silent (until it is told to), refuses
    listening: socket.socket | None = None
    taken: list[End] = field(default_factory=list)
    told: int = 0  # of them, connections that the script has met

    def accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.listening is not None:
                connection, _ = self.listening.accept()
                connection.setblocking(False)
                self.taken.append(End(connection))


class SmallWorker:
    """See the module. `port` is that of every origin."""

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()
        self.clock = HandClock()
        self.clock.us = time.monotonic_ns() // 1000 + AHEAD
        self.poller = HandPoller(self.clock)
        self.poller.holds = self._holds
        self.loop = self.poller.loop = Loop(self.poller, self.clock)
        self.origins: dict[str, Origin] = {}
        self.clients: dict[str, End] = {}
        self.names: dict[str, tuple[str, ...]] = {}
        self.questions: list[tuple[dns_server.Query, Any]] = []  # of names that have no answer yet
        self.parents: tuple[Upstream, ...] = ()
        self.logins: list[tuple[int, bytes, bytes]] = []
        self.lines: list[dict[str, Any]] = []
        self.options: dict[str, Any] = {}
        self.generation = 0
        self.port = 0
        self.server = self.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.server.bind(("127.0.0.1", 0))
        self.server.setblocking(False)
        self.segment = Segment(0, 64)
        view = memoryview(mmap.mmap(self.segment.fd, 0))
        self.parts = WorkerParts(self.loop, 0, view, Limits(table(1), 0))
        self.log = AccessLog(view, lambda callback: Clock(self.loop, callback), self._logged)
        pools = ParentPools(self.parts, lambda *_: None)
        beginnings = ClientBeginnings(self.parts)
        self.parts.attach(
            self, self.log, pools, OriginPools(self.parts, 1), beginnings, lambda: None, lambda full: None
        )

    def close(self) -> None:
        """Ends everything."""
        self.parts.roster.close_all()
        self.parts.close_parents()
        self.loop.run()
        for one in [*self.clients.values(), *(end for origin in self.origins.values() for end in origin.taken)]:
            one.connection.close()
        self.stack.close()
        self.segment.close()

    # ---- what the parts ask of a supervisor ------------------------------------------------------------------------

    def verify(self, number: int, source: int, user: bytes, password: bytes) -> bool:
        self.logins.append((number, user, password))
        return True

    def rejected(self, source: int) -> None:
        pass

    def _logged(self) -> None:
        for level in range(PENDING_LOGS):
            while text := self.segment.take_lines(level)[0]:
                self.lines += map(json.loads, text.splitlines())

    # ---- the world ---------------------------------------------------------------------------------------------------

    def add_origin(self, name: str, address: str, manner: str) -> None:
        """All origins have one port, on addresses of their own."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listening = self.stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listening.bind((address, self.port))
        self.port = listening.getsockname()[1]
        self.origins[name] = Origin(name, address, manner, listening)
        if manner != "refuses":  # else only bound, so that no other test answers there
            listening.listen()
            listening.setblocking(False)

    def load(self, rules: Iterable[Rule]) -> None:
        """A policy becomes active; live tunnels are judged by it."""
        image = builder.ImageBuilder()
        mesh = image.selector(builder.PRINCIPAL_MESH, "", "", None, False)
        for index, rule in enumerate(rules):
            tier = TIERS[rule.verdict]
            number = image.rule("P", "", f"p{index}", 0, "p.yaml", 1, tier, upstream=rule.via, on_revoke=rule.on_revoke)
            item = image.attach(number, tier, image.portset([]), index, image.who([mesh]))
            if "/" in rule.to:
                image.cidr(item, rule.to)
            else:
                image.host(item, rule.to.encode())
        for block in ("127.0.0.0/8", "::1/128"):
            image.guard(block, True)
        image.user("bot", "", "", CREDENTIAL)
        image.flags(builder.IMAGE_HAS_POLICY)
        descriptor = image.finish_memfd()
        listener = ListenerConfig(**self.options)
        config = Config(path="/s", control="ipc:///c", listeners=(listener,), upstreams=self.parents)
        settings: Any = config.settings()
        settings["dns"]["servers"] = [f"127.0.0.1:{self.server.getsockname()[1]}"]
        self.generation += 1
        self.parts.activate(self.parts.load(self.generation, PolicyImage.from_fd(descriptor), settings))
        os.close(descriptor)
        Rejudge(self.parts).begin()

    def open(self) -> None:
        """Clients may come."""
        self.parts.files.measure()
        self.front = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.front.setblocking(False)
        self.listener = Listener(self.parts, self.front.fileno(), 0)
        self.listener.open()

    def client(self, name: str) -> End:
        """The client of that name; it connects when it is first met."""
        if name not in self.clients:
            connection = socket.create_connection(self.front.getsockname())
            connection.setblocking(False)
            self.clients[name] = End(connection)
            self.settle()
        return self.clients[name]

    def answer_login(self, right: bool) -> None:
        number, _, _ = self.logins.pop(0)
        result = contract.RIGHT if right else contract.WRONG
        self.parts.logins.answered(number, result, CREDENTIAL if right else 0)

    def answer_attempt(self, origin: Origin) -> bool:
        """A silent origin's connection is reported to the gateway; False when none waits for that."""
        for fd in self.poller.held_back:
            if self._peer(fd) == (origin.address, self.port):
                self.poller.release(fd)
                return True
        return False

    # ---- time --------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Everything that happens without time passing."""
        moved = True
        while moved:
            before = self.clock.us
            self.loop.run()
            moved = self.clock.us != before
            moved = self._answer_names() or moved
            for origin in self.origins.values():
                if origin.manner != "refuses":
                    origin.accept()
                for end in origin.taken:
                    moved = end.move() or moved
            for end in self.clients.values():
                moved = end.move() or moved
        self.log.flush()

    def pass_time(self, seconds: float) -> None:
        """Timers fire at their time."""
        self.settle()
        self.poller.until = self.clock.us + round(seconds * 1_000_000)
        self.settle()

    def _answer_names(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            while True:
                message, peer = self.server.recvfrom(4096)
                self.questions.append((dns_server.read_query(message, False), peer))
        known = [(query, peer) for query, peer in self.questions if query.name in self.names]
        self.questions = [(query, peer) for query, peer in self.questions if query.name not in self.names]
        for query, peer in known:
            found = self.names[query.name]
            answer = dns_server.addresses(query, *found) if found else dns_server.reply(query, code=dns_server.NXDOMAIN)
            self.server.sendto(answer, peer)
        return bool(known)

    def _peer(self, fd: int) -> tuple[str, int] | None:
        """The address that a TCP socket is connected to."""
        try:
            with socket.socket(fileno=os.dup(fd)) as copy:
                if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.type == socket.SOCK_STREAM:
                    address, port, *_ = copy.getpeername()
                    return address, port
        except OSError:
            pass
        return None

    def _holds(self, fd: int) -> bool:
        peer = self._peer(fd)
        return any(
            origin.manner == "silent" and peer == (origin.address, self.port) for origin in self.origins.values()
        )


def reset(connection: socket.socket) -> None:
    """Closes it so that its peer sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
