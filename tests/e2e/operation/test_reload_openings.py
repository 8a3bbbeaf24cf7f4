"""A reload that comes while requests are opening: what it denies is neither dialed nor answered with success once
`sluice reload` has returned (DECISIONS.md section 5), whatever the request waits for; what it allows goes on.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, World, sample_users
from tests.e2e.operation.test_limits import Crowd, fill_queue
from tests.e2e.protocols.test_fair import DIALECTS
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.names import NameServer
from tests.support.origins import Origin, echo, reset
from tests.support.run_gateway import Gateway, Mapping, policy

ELSEWHERE: Final = policy(
    "elsewhere", [{"host": "elsewhere.test", "ports": [9]}, {"cidr": "127.0.0.0/8", "ports": [9]}]
)
PATIENT: Final = {"dialTimeout": "60s"}
DENIED: Final = 403


class Asking:
    """A request that has no answer yet; `status()` waits for it, as HTTP says it."""

    def __init__(self, send: Callable[[str], None], status: Callable[[], int], close: Callable[[], None]) -> None:
        self.send, self.status, self.close = send, status, close


def by_connect(gateway: Gateway) -> Asking:
    client = wire.connect(gateway.port)
    return Asking(
        lambda target: client.sendall(wire.connect_request(target) + b"\0secret"),
        lambda: wire.http_head(client).status,
        lambda: gone(client),
    )


def gone(client: socket.socket) -> None:
    """A client that is not there any more; one that only ends its sending still wants an answer."""
    if client.fileno() >= 0:
        reset(client)


def by_socks5(gateway: Gateway) -> Asking:
    client = wire.connect(gateway.port)

    def send(target: str) -> None:
        host, _, port = target.rpartition(":")
        client.sendall(b"\5\1\0" + wire.socks5_request(host, int(port)) + b"\0secret")
        assert wire.exactly(client, 2) == b"\5\0"

    return Asking(send, lambda: {0: 200, 2: DENIED}.get(wire.socks5_reply(client), 0), client.close)


def by_stream(dialect: str) -> Callable[[Gateway], Asking]:
    def ask(gateway: Gateway) -> Asking:
        client = DIALECTS[dialect](gateway)
        numbers: list[int] = []
        return Asking(
            lambda target: numbers.append(client.ask(target)), lambda: client.status(numbers[0]), client.close
        )

    return ask


ASKING: Final[dict[str, Callable[[Gateway], Asking]]] = {
    "http": by_connect,
    "socks5": by_socks5,
    "rfc": by_stream("rfc"),
    "pipy": by_stream("pipy"),
}
ways = pytest.mark.parametrize("way", ASKING.values(), ids=list(ASKING))


@contextlib.contextmanager
def asking(way: Callable[[Gateway], Asking], gateway: Gateway, target: str) -> Iterator[Asking]:
    with contextlib.closing(way(gateway)) as request:
        request.send(target)
        yield request


def names(port: int) -> Mapping:
    return policy("names", [{"host": "*.test", "ports": [port]}])


@ways
def test_while_a_name_is_looked_up(world: World, way: Callable[[Gateway], Asking]) -> None:
    with (
        Origin(echo) as origin,
        NameServer({"slow.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}, frozenset({"slow.test"})) as server,
        Gateway([names(origin.port)], {"dns": {"servers": [server.address], "timeout": "60s"}}) as gateway,
        asking(way, gateway, f"slow.test:{origin.port}") as request,
    ):
        eventually(lambda: "slow.test" in server.asked, "it is asked for")
        gateway.reload([ELSEWHERE])
        dials = gateway.counter("dials_total")
        assert request.status() == DENIED
        server.silent = frozenset()
        gateway.reload([names(origin.port)])
        with asking(way, gateway, f"slow.test:{origin.port}") as late:
            assert late.status() == 200, "the answer to the name comes, for those that may use it"
        assert gateway.counter("dials_total") == dials + 1
        eventually(lambda: origin.accepted == 1, "it alone has reached it")
        line = gateway.event(event="decision", verdict="deny")
        assert (line["generation"], line["reason"], line["destination"]["host"]) == (2, "no_rule", "slow.test")


@ways
def test_while_it_is_dialed(way: Callable[[Gateway], Asking]) -> None:
    with full_socket() as dead:
        port, before = dead.getsockname()[1], dialing(dead.getsockname()[1])
        rules = [policy("open", [{"cidr": "127.0.0.0/8", "ports": [port]}])]
        with Gateway(rules, {"limits": PATIENT}) as gateway, asking(way, gateway, f"127.0.0.1:{port}") as request:
            eventually(lambda: gateway.counter("dials_total") == 1, "it is dialed")
            gateway.reload([ELSEWHERE])
            assert request.status() == DENIED
            assert gateway.counter("dials_total") == 1
            assert dialing(port) == before, "the attempt itself has ended"


@ways
def test_while_it_is_dialed_and_stays_allowed(way: Callable[[Gateway], Asking]) -> None:
    """A reload neither ends an attempt under way nor begins another."""
    with full_socket() as slow:
        port = slow.getsockname()[1]
        rules = [policy("open", [{"cidr": "127.0.0.0/8", "ports": [port]}])]
        with Gateway(rules, {"limits": PATIENT}) as gateway, asking(way, gateway, f"127.0.0.1:{port}") as request:
            eventually(lambda: gateway.counter("dials_total") == 1, "it is dialed")
            gateway.reload([policy("renamed", [{"cidr": "127.0.0.0/8"}])])
            threading.Thread(target=accept_all, args=(slow,), daemon=True).start()
            assert request.status() == 200
            assert gateway.counter("dials_total") == 1
            line = gateway.event(event="open")
            assert (line["generation"], line["rule"]) == (2, "ClusterEgressPolicy/renamed")


@pytest.mark.parametrize("kind", ["http", "socks5", "http2tunnel"])
@ways
def test_while_a_parent_is_asked(kind: str, way: Callable[[Gateway], Asking]) -> None:
    """It takes the connection, and never answers."""
    with Origin(silent) as parent:
        corp = {"name": "corp", "type": kind, "addresses": [f"127.0.0.1:{parent.port}"]}
        rules = [policy("via", [{"host": "*.test"}], upstream="corp")]
        config = {"upstreams": [corp], "limits": PATIENT}
        with Gateway(rules, config) as gateway, asking(way, gateway, "far.test:443") as request:
            parent.wait()
            gateway.reload([ELSEWHERE])
            assert request.status() == DENIED


@ways
def test_while_it_waits_in_the_queue_of_its_source(world: World, way: Callable[[Gateway], Asking]) -> None:
    """An opening that the reload denies is answered so; one that it allows goes on in its turn."""
    with contextlib.ExitStack() as stack:
        one, two = stack.enter_context(Origin(echo)), stack.enter_context(Origin(echo))
        slow = [f"slow{number}.test" for number in range(4)]
        server = stack.enter_context(NameServer({}, frozenset(slow)))
        both = policy("both", [{"cidr": "127.0.0.0/8", "ports": [one.port, two.port]}])
        config = {
            "dns": {"servers": [server.address], "timeout": "60s"},
            "limits": {**PATIENT, "perSource": {"requests": 4}},
        }
        gateway = stack.enter_context(Gateway([names(443), both], config))
        before = [stack.enter_context(asking(by_connect, gateway, f"{name}:443")) for name in slow]
        eventually(lambda: set(slow) <= set(server.asked), "they are under way")
        denied = stack.enter_context(asking(way, gateway, f"127.0.0.1:{one.port}"))
        allowed = stack.enter_context(asking(way, gateway, f"127.0.0.1:{two.port}"))
        assert len(fill_queue(stack.enter_context(Crowd(gateway)), two.port)) == 2, "the two are in the queue as well"
        gateway.reload([names(443), policy("two", [{"cidr": "127.0.0.0/8", "ports": [two.port]}])])
        assert denied.status() == DENIED
        before[0].close()
        assert allowed.status() == 200
        assert one.accepted == 0


def test_one_whose_user_was_removed(world: World) -> None:
    """Its password was right when it was asked for."""
    config = {
        "identity": {"users": "users.yaml"},
        "dns": {"servers": [world.names.address], "timeout": "60s"},
    }
    rules = [policy("silent", [{"host": "silent.test"}])]
    with Gateway(rules, config, files={"users.yaml": yaml.safe_dump(sample_users())}) as gateway:
        with wire.connect(gateway.port) as client:
            client.sendall(wire.connect_request("silent.test:443", wire.basic("build-bot", PASSWORD)))
            eventually(lambda: gateway.counter("dns_queries_total"), "it is looked up")
            users = [user for user in sample_users()["users"] if user["name"] != "build-bot"]
            (gateway.folder / "users.yaml").write_text(yaml.safe_dump({"users": users}))
            gateway.reload()
            assert wire.http_head(client).status == DENIED
        assert gateway.event(event="decision", verdict="deny")["reason"] == "unauthorized"


def test_a_way_that_changes_meanwhile(world: World) -> None:
    """Allowed before and after, but now through a parent: it goes that way, as one that asks now would."""
    with full_socket() as dead, far() as parent:
        port, before = dead.getsockname()[1], dialing(dead.getsockname()[1])
        corp = {"name": "corp", "type": "http", "addresses": [f"127.0.0.1:{parent.port}"]}
        everywhere = [{"cidr": "127.0.0.0/8"}]
        config = {"upstreams": [corp], "limits": PATIENT}
        with (
            Gateway([policy("open", everywhere)], config) as gateway,
            asking(by_connect, gateway, f"127.0.0.1:{port}") as request,
        ):
            eventually(lambda: gateway.counter("dials_total") == 1, "it is dialed")
            gateway.reload([policy("via", everywhere, upstream="corp")])
            assert request.status() == 200
            assert parent.seen == [f"CONNECT 127.0.0.1:{port} HTTP/1.1"]
            assert dialing(port) == before


# ---- what stands outside -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def full_socket() -> Iterator[socket.socket]:
    """A listener whose queue is full, to be emptied by accept_all."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener


def accept_all(listener: socket.socket) -> None:
    kept = []
    with contextlib.suppress(OSError):
        while True:
            kept.append(listener.accept())


def dialing(port: int) -> int:
    """Sockets that wait for this port to take them (proc(5), /proc/net/tcp): SYN_SENT."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return sum(1 for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "02")


def silent(connection: socket.socket, origin: Origin) -> None:
    """Says that something came, and answers nothing."""
    connection.recv(65536)
    origin.note("asked")
    wire.to_the_end(connection)


@contextlib.contextmanager
def far() -> Iterator[Origin]:
    """A parent that answers CONNECT with success."""

    def serve(connection: socket.socket, origin: Origin) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        origin.note(head.split(b"\r\n")[0].decode())
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        wire.to_the_end(connection)

    with Origin(serve) as origin:
        yield origin
