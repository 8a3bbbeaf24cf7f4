"""Whatever happens to a connection, nothing of it stays: descriptors, memory and gauges return to where they were.

Each outcome is gone through many times, and a reset is thrown into each state: some hundred times by `make test`, up to
100,000 times by `make test-full`.
"""

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.e2e.conftest import PASSWORD, World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.origins import CHUNK, Origin, reset
from tests.support.run_gateway import INSTRUMENTED, Gateway, Mapping, open_files, policy, resident
from tests.support.sluice_process import ROOT

LOAD: Final = str(ROOT / "build/bench/load")
MIB: Final = 1 << 20
THREADS: Final = 8
Visit = Callable[[Gateway, World], None]


def asked(host: str, port: Callable[[World], int], way: str) -> Visit:
    """One request and the whole answer to it; nothing is expected of the answer, other tests do that."""

    def visit(gateway: Gateway, world: World) -> None:
        with wire.connect(gateway.port) as client:
            if way == "http":
                wire.http(client, wire.target(host, port(world)))
            elif way == "socks4a":
                wire.socks4a(client, host, port(world))
            else:
                wire.socks5(client, host, port(world))

    return visit


def credentials(user: str, password: str) -> Visit:
    def visit(gateway: Gateway, world: World) -> None:
        with wire.connect(gateway.port) as client:
            wire.socks5(client, "localhost", world.echo.port, user, password)

    return visit


def carried(end: Callable[[socket.socket], None]) -> Visit:
    """A tunnel with some bytes each way, then an end."""

    def visit(gateway: Gateway, world: World) -> None:
        client = wire.connect(gateway.port)
        wire.open_socks5(client, "127.0.0.1", world.echo.port)
        assert wire.echoes(client)
        end(client)
        client.close()

    return visit


def half_close(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    assert wire.to_the_end(client) == b""


def stuck(client: socket.socket) -> None:
    """A reset while bytes wait in the gateway: the origin's echo fills every buffer first."""
    client.settimeout(0.05)
    with contextlib.suppress(TimeoutError):
        for _ in range(1000):
            client.send(bytes(CHUNK))
    reset(client)


def cut(data: bytes) -> Visit:
    """A reset after these bytes."""

    def visit(gateway: Gateway, world: World) -> None:
        client = wire.connect(gateway.port)
        client.sendall(data)
        reset(client)

    return visit


def cut_with_port(head: Callable[[int], bytes], port: Callable[[World], int]) -> Visit:
    """A reset right behind a complete request: while it is resolved, dialed, answered."""

    def visit(gateway: Gateway, world: World) -> None:
        cut(head(port(world)))(gateway, world)

    return visit


GREETING: Final = b"\x05\x01\x00"
QUICK: Final[dict[str, Visit]] = {
    "connected, socks5": carried(socket.socket.close),
    "connected, half-closed": carried(half_close),
    "connected, reset": carried(reset),
    "http": asked("localhost", lambda w: w.echo.port, "http"),
    "socks4a": asked("localhost", lambda w: w.echo.port, "socks4a"),
    "denied, socks5": asked("blocked.test", lambda _: 443, "socks5"),
    "denied, http": asked("blocked.test", lambda _: 443, "http"),
    "prohibited": asked("inside.test", lambda _: 443, "http"),
    "name not found": asked("missing.test", lambda _: 443, "socks5"),
    "refused": asked("127.0.0.1", lambda w: w.refused, "http"),
    "unreachable": asked("127.255.255.255", lambda w: w.refused, "socks5"),
    "credentials": credentials("build-bot", PASSWORD),
    "wrong credentials": credentials("build-bot", "wrong"),
    "malformed": cut(b"CONNECT nowhere\r\n\r\n"),
    "reset before a word": cut(b""),
    "reset in the greeting": cut(b"\x05"),
    "reset in the login": cut(b"\x05\x01\x02" + wire.socks5_login("build-bot", "wrong")),
    "reset in the request": cut(GREETING + b"\x05\x01\x00\x03"),
    "reset in a head": cut(b"CONNECT localhost:80 HTTP/1.1\r\nHost"),
    "reset while resolving": cut_with_port(
        lambda port: GREETING + wire.socks5_request("open.test", port), lambda w: w.echo.port
    ),
    "reset while connecting": cut_with_port(
        lambda port: GREETING + wire.socks5_request("127.0.0.1", port), lambda w: w.echo.port
    ),
    "reset while dialing in vain": cut_with_port(
        lambda port: GREETING + wire.socks5_request("127.0.0.1", port), lambda w: w.full
    ),
    "reset while DNS is silent": cut(GREETING + wire.socks5_request("silent.test", 443)),
    "reset with early payload": cut_with_port(
        lambda port: wire.connect_request(f"127.0.0.1:{port}") + bytes(5000), lambda w: w.echo.port
    ),
}


def repeat(visit: Visit, gateway: Gateway, world: World, count: int) -> None:
    """`count` visits, some at a time; the first error of any ends them all."""
    errors: list[BaseException] = []

    def some(number: int) -> None:
        try:
            for _ in range(number):
                if errors:
                    return
                visit(gateway, world)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=some, args=(count // THREADS,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def leaves_nothing(gateway: Gateway, warm: Callable[[], object], work: Callable[[], object]) -> None:
    """After `work` the workers hold what they held after `warm`, which does the same less often."""
    workers = sorted(gateway.workers())

    def quiet() -> bool:
        return gateway.counter("connections_open") == 0 and gateway.counter("tunnels_open") == 0

    def files() -> int:
        """Without the empty pipes that are kept for bulk: how many there are follows the traffic, and is bounded."""
        return sum(open_files(worker) for worker in workers) - 2 * int(gateway.counter("idle_pipes_open"))

    eventually(quiet, "a quiet gateway")
    before = files()
    warm()
    eventually(quiet, "all connections are closed")
    memory = sum(resident(worker) for worker in workers)
    work()
    eventually(quiet, "all connections are closed")
    eventually(lambda: files() <= before, "all files are closed")
    assert sum(resident(worker) for worker in workers) <= memory + (300 if INSTRUMENTED else 4) * MIB
    assert sorted(gateway.workers()) == workers, "no worker has died"
    assert gateway.counter("internal_errors_total") == 0


def visits_leave_nothing(visit: Visit, gateway: Gateway, world: World, count: int) -> None:
    """`count` visits, after a third of it to warm up."""
    leaves_nothing(
        gateway, lambda: repeat(visit, gateway, world, count // 3), lambda: repeat(visit, gateway, world, count)
    )


each_visit = pytest.mark.parametrize("visit", QUICK.values(), ids=list(QUICK))


@each_visit
def test_nothing_stays(mesh: Gateway, world: World, visit: Visit) -> None:
    visits_leave_nothing(visit, mesh, world, 240)


def test_nothing_stays_of_tunnels_reset_while_full(mesh: Gateway, world: World) -> None:
    visits_leave_nothing(carried(stuck), mesh, world, 48)


@pytest.fixture(scope="module")
def wide(world: World) -> Iterator[Gateway]:
    """A gateway that allows all of loopback and any `.test` name but one."""
    rules = [policy("all", [{"cidr": "127.0.0.0/8"}, {"host": "*.test"}])]
    rules.append(policy("no-blocked", [{"host": "blocked.test"}], action="Deny"))
    with Gateway(rules, {"workers": 2, "dns": {"servers": [world.names.address]}}) as gateway:
        yield gateway


def test_nothing_stays_of_origins_that_reset(wide: Gateway, world: World) -> None:
    def at_once(connection: socket.socket, _: Origin) -> None:
        reset(connection)

    with Origin(at_once) as origin:

        def visit(gateway: Gateway, _: World) -> None:
            with wire.connect(gateway.port) as client, contextlib.suppress(ConnectionError):
                wire.socks5(client, "127.0.0.1", origin.port)
                client.sendall(bytes(100))
                wire.to_the_end(client)

        visits_leave_nothing(visit, wide, world, 240)


@pytest.mark.full
@pytest.mark.timeout(900)
@each_visit
def test_nothing_stays_of_many(mesh: Gateway, world: World, visit: Visit) -> None:
    visits_leave_nothing(visit, mesh, world, 4_000)


@pytest.fixture(scope="module")
def load_origin() -> Iterator[int]:
    """The load generator's origin; its port."""
    subprocess.run(["make", "-s", "-C", str(ROOT / "bench")], check=True)
    process = subprocess.Popen([LOAD, "origin", "--seconds", "3600"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["port"]
    process.terminate()
    process.wait()


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("via", ["socks5", "connect"])
@pytest.mark.parametrize(
    ("options", "works"),
    [
        (["--end", "close"], True), (["--end", "reset"], True), (["--end", "half"], True),
        (["--ask", "open.test"], True), (["--ask", "blocked.test"], False), (["--ask", "missing.test"], False),
    ],
    ids=["close", "reset", "half-close", "by name", "denied", "not found"],
)  # fmt: skip
def test_nothing_stays_of_100_000(wide: Gateway, load_origin: int, via: str, options: list[str], works: bool) -> None:
    def crowd(count: int) -> None:
        # One source may have 50 look-ups in flight.
        command = [LOAD, "client", "open-close", "--count", str(count), "--at-once", "48", "--timeout", "600"]
        command += ["--origin", f"127.0.0.1:{load_origin}", "--via", via, "--proxy", f"127.0.0.1:{wide.port}", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        answer: Mapping = json.loads(done.stdout)
        assert (answer["completed"] if works else answer["errors"]["refused"]) == count, answer

    leaves_nothing(wide, lambda: crowd(2_000), lambda: crowd(100_000))
