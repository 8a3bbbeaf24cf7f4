"""Every callback in every state: a result may outlive what it was asked for.

A worker's connections are led into each state by real clients, over real sockets; what a worker asks of others (the
verifier, a name server, an origin, a parent) stays unanswered there. Then each handler that is alive gets each callback
that it has, with every outcome. Wanted: no internal error, and everything ends when it is told to. In the builds of
`make debug` and `make asan` an attribute of None is such an error; in the product's it is the worker's end.
"""

import base64
import contextlib
import gc
import mmap
import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

import tests.support.callback_probe as callback_probe
from gateway.downstream.listener import Listener
from gateway.io.loop import Handler, Loop
from gateway.io.watch import Clock
from gateway.policy.image import PolicyImage
from gateway.state.limits import Limits
from gateway.state.log import AccessLog
from gateway.state.parts import WorkerParts
from gateway.upstream.origin_pool import OriginPools
from gateway.upstream.pool import ParentPools
from supervisor.config.config import Config
from supervisor.config.config import Listener as ListenerConfig
from supervisor.config.upstreams import Upstream
from supervisor.policy import builder
from supervisor.segment.segment import Segment
from tests.support.limiting import table
from tests.vectors.http2 import PREFACE, frame

USER: Final = 77  # the credential of the one user
READ, WRITE, ERROR, HANGUP, READ_HANGUP = 1, 4, 8, 16, 0x2000
EVENTS: Final = (READ | WRITE, READ | READ_HANGUP, ERROR | HANGUP)


class Verifier:
    """Takes questions, and never answers one."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def verify(self, number: int, source: int, user: bytes, password: bytes) -> bool:
        self.asked.append(number)
        return True

    def rejected(self, source: int) -> None:
        pass


class World:
    """A worker without its supervisor: its parts, one listener, and those who never answer."""

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()
        self.errors: list[Any] = []
        self.names_used = 0
        self.old: list[Handler] = []
        self.echo = self.listening()
        self.silent = self.listening()
        self.full = self.listening(0)
        for _ in range(4):  # of these the kernel answers as many as the queue holds
            filler = self.stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(self.full.getsockname())
        self.names = self.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.names.bind(("127.0.0.1", 0))
        self.loop = Loop()
        segment = Segment(0, 64)
        view = memoryview(mmap.mmap(segment.fd, 0))
        self.parts = WorkerParts(self.loop, 0, view, Limits(table(1), 0))
        self.verifier = Verifier()
        log = AccessLog(view, lambda callback: Clock(self.loop, callback), lambda: None)
        pools = ParentPools(self.parts, lambda *_: None)
        self.parts.attach(self.verifier, log, pools, OriginPools(self.parts, 1), None, lambda: None, lambda full: None)
        self.load()
        self.parts.files.measure()
        self.port = self.listening()
        self.port.setblocking(False)
        self.listener = Listener(self.parts, self.port.fileno(), 0)
        self.listener.open()
        self.clock = Clock(self.loop, self.loop.stop)

    def listening(self, queue: int = 128) -> socket.socket:
        one = self.stack.enter_context(socket.socket())
        one.bind(("127.0.0.1", 0))
        one.listen(queue)
        return one

    def load(self) -> None:
        image = builder.ImageBuilder()
        all_sources = image.selector(builder.PRINCIPAL_MESH, "", "", None, False)
        for index, (host, upstream) in enumerate(
            [(b"*.slow.test", None), (b"localhost", None), (b"parent.test", "one"), (b"shared.test", "many")]
        ):
            rule = image.rule("P", "", f"p{index}", 0, "p.yaml", 1, builder.TIER_ALLOW, upstream=upstream)
            image.host(image.attach(rule, builder.TIER_ALLOW, image.portset([]), index, image.who([all_sources])), host)
        image.guard("127.0.0.0/8", True)
        image.user("bot", "", "", USER)
        image.flags(builder.IMAGE_HAS_POLICY)
        descriptor = image.finish_memfd()
        silent = (("127.0.0.1", self.silent.getsockname()[1]),)
        config = Config(
            path="/sluice.yaml",
            control="ipc:///c",
            listeners=(ListenerConfig(auth="optional"),),
            upstreams=(Upstream("one", "http", silent), Upstream("many", "http2tunnel", silent)),
        )
        settings: Any = config.settings()
        settings["dns"]["servers"] = [f"127.0.0.1:{self.names.getsockname()[1]}"]
        self.names_used += 1
        settings["upstreams"][1]["user"] = b"user %d" % self.names_used  # another parent: it has not failed yet
        self.parts.activate(self.parts.load(self.names_used, PolicyImage.from_fd(descriptor), settings))
        os.close(descriptor)

    def slow_name(self) -> bytes:
        """A name that was not asked for before, and that the name server is silent about."""
        self.names_used += 1
        return b"n%d.slow.test" % self.names_used

    def turns(self, milliseconds: int = 1) -> None:
        self.clock.start(milliseconds / 1000)
        self.loop.run()

    def client(self, *parts: bytes) -> socket.socket:
        """A client that has sent these, each in a turn of its own."""
        one = socket.create_connection(self.port.getsockname())
        self.turns()
        for part in parts:
            one.sendall(part)
            self.turns()
        return one

    def handlers(self) -> list[Handler]:
        """Every live handler of connections, whatever holds it; listeners and clocks left out."""
        found: list[Handler] = []
        seen: set[int] = set()
        waiting: list[Any] = [self.parts]
        while waiting:
            one = waiting.pop()
            if id(one) in seen or isinstance(one, type) or hasattr(one, "__globals__"):
                continue
            seen.add(id(one))
            if isinstance(one, Handler) and type(one).__name__ in HANDLERS and not callback_probe.is_closed(one):
                found.append(one)
            if type(one).__name__ in PARTS:
                found.append(one)
            if type(one).__module__.startswith("gateway") or isinstance(one, (dict, set, list, tuple)):
                waiting += gc.get_referents(one)
        return sorted(found, key=lambda one: type(one).__name__)

    def settled(self, wanted: set[str]) -> dict[str, Handler]:
        """The handlers of the last client, by kind, once all that are wanted are there."""
        for _ in range(200):
            handlers = self.handlers()
            new = [one for one in handlers if not any(one is other for other in self.old)]
            new += [one for one in handlers if type(one).__name__ == "ParentPool"]  # it outlives its connections
            found = {type(one).__name__: one for one in new}
            if wanted <= set(found):
                return found
            self.turns()
        raise AssertionError(f"wanted {wanted}, found {set(found)}")

    def clear(self) -> None:
        """Ends what is left of the last client."""
        self.parts.roster.close_all()
        for number in self.verifier.asked:
            self.parts.logins.answered(number, 2, 0)
        self.parts.close_parents()
        if any(type(one).__name__ == "ParentPool" for one in self.handlers()):
            self.load()
        self.turns()
        for listener in (self.echo, self.silent):  # whose queues have ends
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()

    def close(self) -> None:
        self.clear()
        self.listener.shut()
        self.turns()
        self.stack.close()


HANDLERS: Final = {
    *("StreamConnection", "SocketTunnel", "H2Connection", "H2Request", "H2Tunnel", "Opening", "OpeningResolution"),
    *("ParentConnection", "ConnectStream", "ParentPool", "Lookup", "Query"),
}
PARTS: Final = {"ParentRequest"}  # of handlers, which have no callbacks of their own


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    one = World()
    previous, sys.unraisablehook = sys.unraisablehook, one.errors.append
    try:
        yield one
    finally:
        sys.unraisablehook = previous
        one.close()


def socks(host: bytes, port: int) -> bytes:
    return b"\x05\x01\x00\x03" + bytes([len(host)]) + host + port.to_bytes(2, "big")


def http(host: str, port: int, fields: str = "") -> bytes:
    return f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{fields}\r\n".encode()


def http2(host: str, port: int, password: str = "") -> bytes:
    """A connection with one request. The head is made of literals (RFC 7541 section 6.2.2)."""

    def literal(name: bytes, value: bytes) -> bytes:
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value

    head = literal(b":method", b"CONNECT") + literal(b":authority", f"{host}:{port}".encode())
    if password:
        head += literal(b"proxy-authorization", b"Basic " + base64.b64encode(f"bot:{password}".encode()))
    return PREFACE + frame("SETTINGS") + frame("HEADERS", 4, 1, head)


HELLO: Final = b"\x05\x01\x00"
LOGIN: Final = b"\x05\x01\x02\x01\x03bot\x06secret"
BASIC: Final = f"Proxy-Authorization: Basic {base64.b64encode(b'bot:secret').decode()}\r\n"


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


# Bytes of a client, part by part; and the handlers that must be there after each.
STATES: Final[dict[str, tuple[Callable[[World], tuple[bytes, ...]], set[str]]]] = {
    "accepted": (lambda w: (), {"StreamConnection"}),
    "half a byte": (lambda w: (b"\x05",), {"StreamConnection"}),
    "greeting": (lambda w: (HELLO,), {"StreamConnection"}),
    "half a head": (lambda w: (b"CONNECT a.test:1 HTTP/1.1\r\n",), {"StreamConnection"}),
    "verifying SOCKS5": (lambda w: (LOGIN,), {"StreamConnection"}),
    "verifying SOCKS5, with its request": (
        lambda w: (LOGIN + socks(b"localhost", port_of(w.echo)),),
        {"StreamConnection"},
    ),
    "verifying HTTP": (lambda w: (http("localhost", port_of(w.echo), BASIC),), {"StreamConnection"}),
    "verifying HTTP/2": (lambda w: (http2("localhost", port_of(w.echo), "secret"),), {"H2Connection", "H2Request"}),
    "resolving": (
        lambda w: (HELLO, socks(w.slow_name(), 80)),
        {"StreamConnection", "Opening", "OpeningResolution", "Query"},
    ),
    "resolving for HTTP/2": (
        lambda w: (http2(w.slow_name().decode(), 80),),
        {"H2Request", "Opening", "OpeningResolution", "Lookup"},
    ),
    "dialing": (lambda w: (HELLO, socks(b"localhost", port_of(w.full))), {"StreamConnection", "Opening"}),
    "dialing for HTTP": (lambda w: (http("localhost", port_of(w.full)),), {"StreamConnection", "Opening"}),
    "dialing for HTTP/2": (lambda w: (http2("localhost", port_of(w.full)),), {"H2Request", "Opening"}),
    "asking a parent": (lambda w: (HELLO, socks(b"parent.test", 80)), {"StreamConnection", "Opening", "ParentRequest"}),
    "asking a parent for HTTP/2": (lambda w: (http2("parent.test", 80),), {"H2Request", "Opening", "ParentRequest"}),
    "asking a shared parent": (
        lambda w: (HELLO, socks(b"shared.test", 80)),
        {"StreamConnection", "Opening", "ParentConnection", "ConnectStream", "ParentPool"},
    ),
    "asking a shared parent for HTTP/2": (
        lambda w: (http2("shared.test", 80),),
        {"H2Request", "Opening", "ParentConnection", "ConnectStream", "ParentPool"},
    ),
    "a tunnel": (lambda w: (HELLO, socks(b"localhost", port_of(w.echo))), {"SocketTunnel"}),
    "a tunnel with bytes": (lambda w: (HELLO, socks(b"localhost", port_of(w.echo)), b"GET / "), {"SocketTunnel"}),
    "a tunnel over HTTP/2": (lambda w: (http2("localhost", port_of(w.echo)),), {"H2Connection", "H2Tunnel"}),
    "refused": (lambda w: (HELLO, socks(b"denied.test", 80)), {"StreamConnection"}),
    "refused over HTTP": (lambda w: (http("denied.test", 80),), {"StreamConnection"}),
    "malformed": (lambda w: (b"\x05\x01\x00", b"\x04"), {"StreamConnection"}),
}


def deliveries(handler: Handler) -> Iterator[tuple[str, int, int]]:
    """Every call of a handler: its name, and what it takes. -2 stands for a descriptor."""
    for name in callback_probe.callbacks(handler):
        if name == "on_event":
            legs = (1,) if type(handler).__name__ == "H2Tunnel" else (0, 1)
            yield from ((name, events, leg) for events in EVENTS for leg in legs)
        elif name == "on_verified":
            yield from ((name, result, USER) for result in range(4))
            yield name, 1, 0
        elif name == "on_resolved":
            yield from ((name, status, 2 if status == 1 else 0) for status in range(4))
        elif name == "on_opened":
            yield name, 0, -2
        elif name == "on_refused":
            yield from ((name, outcome, 0) for outcome in OUTCOMES if outcome != CONNECTED)
        else:
            yield name, 0, 0


CONNECTED: Final = 1
OUTCOMES: Final = (CONNECTED, 2, 8, 12)


@pytest.mark.parametrize("state", STATES)
def test_every_callback_in_a_state(world: World, state: str) -> None:
    lead, wanted = STATES[state]
    with world.client(*lead(world)):
        found = world.settled(wanted)
        plan = [(kind, call) for kind in sorted(wanted - PARTS) for call in deliveries(found[kind])]
        del found
    world.clear()
    for kind, (name, first, second) in plan:
        what = f"{kind}.{name}({first}, {second})"
        world.old = world.handlers()  # a query of the one before may still be under way
        with world.client(*lead(world)) as client, contextlib.ExitStack() as stack:
            handler = world.settled(wanted)[kind]
            if second == -2:
                _ours, theirs = (stack.enter_context(one) for one in socket.socketpair())
                theirs.setblocking(False)
                second = os.dup(theirs.fileno())
            callback_probe.deliver(world.loop, handler, name, first, second)
            # Once more, as late as can be: what the first call has ended gets it as well.
            if name != "on_opened":
                callback_probe.deliver(world.loop, handler, name, first, second)
            world.turns(2)
            client.setblocking(False)
        world.turns()
        assert world.errors == [] and world.loop.failures == 0, what
        del handler
        world.clear()
        assert world.parts.roster.open_connections == 0, what
        assert world.errors == [] and world.loop.failures == 0, what


def test_a_late_verdict_is_remembered(world: World) -> None:
    """The request that asked is refused and lingers; the next one with the same password needs no check."""
    world.old = world.handlers()
    with world.client(LOGIN) as client:
        one = world.settled({"StreamConnection"})["StreamConnection"]
        number = world.verifier.asked[-1]
        callback_probe.deliver(world.loop, one, "on_timer", 0, 0)
        world.turns()
        assert client.recv(100) == b"\x05\x02\x01\x01"
        world.parts.logins.answered(number, 1, USER)
        world.turns()
        del one
    world.clear()
    before = len(world.verifier.asked)
    with world.client(LOGIN) as client:
        assert client.recv(100) == b"\x05\x02\x01\x00"
    world.clear()
    assert len(world.verifier.asked) == before
    assert world.errors == [] and world.loop.failures == 0
