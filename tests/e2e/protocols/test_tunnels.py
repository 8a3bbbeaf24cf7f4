"""The bytes of a tunnel: every one in order, ends as ends, resets as resets, no faster than the slower side takes."""

import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.origins import CHUNK, Origin, digest, holding, received, reset, resetting, sending
from tests.support.run_gateway import Gateway, open_files, policy, resident, tunnels

Opening = Callable[[socket.socket, str, int], None]
each_opening = pytest.mark.parametrize("opening", wire.OPENINGS.values(), ids=list(wire.OPENINGS))
MIB: Final = 1024 * 1024
LOCAL: Final = "127.0.0.1"


@pytest.fixture(scope="module")
def open_gateway() -> Iterator[Gateway]:
    """A gateway that allows every loopback port: the origins here come and go."""
    with Gateway([policy("all", [{"cidr": "127.0.0.0/8"}])]) as gateway:
        yield gateway


def heads(port: int) -> dict[str, bytes]:
    """A whole opening of each protocol as one run of bytes, nothing waited for in between."""
    return {
        "socks5": b"\x05\x01\x00" + wire.socks5_request(LOCAL, port),
        "socks5 by name": b"\x05\x01\x00" + wire.socks5_request("localhost", port),
        "socks4": wire.socks4a_request(LOCAL, port, b"me"),
        "socks4a": wire.socks4a_request("localhost", port),
        "http": wire.connect_request(f"{LOCAL}:{port}", "User-Agent: a test\r\n"),
        "http 1.0": wire.connect_request(f"localhost:{port}", version="HTTP/1.0"),
    }


def skip_answer(client: socket.socket, name: str) -> None:
    """Reads exactly the success answer of an opening."""
    if name.startswith("socks5"):
        assert wire.exactly(client, 2) == b"\x05\x00"
        assert wire.socks5_reply(client) == 0
    elif name.startswith("socks4"):
        assert wire.exactly(client, 8)[:2] == b"\x00\x5a"
    else:
        assert wire.http_head(client).status == 200


each_head = pytest.mark.parametrize("name", list(heads(1)))


@each_head
def test_payload_that_comes_with_the_request_arrives_once_and_first(mesh: Gateway, world: World, name: str) -> None:
    early, late = b"\x00early " * 1000, b"late"
    with wire.connect(mesh.port) as client:
        client.sendall(heads(world.echo.port)[name] + early)
        skip_answer(client, name)
        client.sendall(late)
        client.shutdown(socket.SHUT_WR)
        assert wire.to_the_end(client) == early + late


@each_head
def test_every_field_may_arrive_split_byte_by_byte(mesh: Gateway, world: World, name: str) -> None:
    request = heads(world.echo.port)[name]
    with wire.connect(mesh.port) as client:
        wire.send_split(client, request + b"\x00payload", [1] * len(request))
        skip_answer(client, name)
        client.shutdown(socket.SHUT_WR)
        assert wire.to_the_end(client) == b"\x00payload"


@each_head
def test_random_splits_change_nothing(mesh: Gateway, world: World, name: str) -> None:
    request = heads(world.echo.port)[name] + b"\x00payload" * 50
    for seed in range(20):
        draw = random.Random(seed)
        with wire.connect(mesh.port) as client:
            wire.send_split(client, request, [draw.randrange(1, 40) for _ in range(60)])
            client.shutdown(socket.SHUT_WR)
            skip_answer(client, name)
            assert wire.to_the_end(client) == b"\x00payload" * 50


@each_opening
def test_a_half_close_of_the_client_is_carried_through(mesh: Gateway, world: World, opening: Opening) -> None:
    content = b"\x00the whole question"
    with wire.connect(mesh.port) as client:
        opening(client, LOCAL, world.collect.port)
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        # The origin answers only after it has seen the end.
        assert wire.to_the_end(client) == hashlib.sha256(content).hexdigest().encode()


@each_opening
def test_a_half_close_of_the_origin_is_carried_through(open_gateway: Gateway, opening: Opening) -> None:
    with Origin(sending(b"all I had to say")) as origin, wire.connect(open_gateway.port) as client:
        opening(client, LOCAL, origin.port)
        assert wire.to_the_end(client) == b"all I had to say"
        client.sendall(b"still here")
        client.shutdown(socket.SHUT_WR)
        assert origin.wait() == [b"still here"]


@each_opening
def test_a_reset_of_the_origin_is_a_reset_for_the_client(open_gateway: Gateway, opening: Opening) -> None:
    with Origin(resetting) as origin, wire.connect(open_gateway.port) as client:
        opening(client, LOCAL, origin.port)
        client.sendall(b"now")
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)


@each_opening
def test_a_reset_of_the_client_is_a_reset_for_the_origin(open_gateway: Gateway, opening: Opening) -> None:
    with Origin(holding) as origin:
        client = wire.connect(open_gateway.port)
        opening(client, LOCAL, origin.port)
        assert wire.exactly(client, 5) == b"hello"
        reset(client)
        (seen,) = origin.wait()
    assert isinstance(seen, ConnectionResetError)


def test_a_clean_end_is_never_a_reset(open_gateway: Gateway) -> None:
    with Origin(holding) as origin:
        with wire.connect(open_gateway.port) as client:
            wire.open_socks5(client, LOCAL, origin.port)
            assert wire.exactly(client, 5) == b"hello"
        assert origin.wait() == [b""]


def noise(seed: int, size: int) -> bytes:
    """Bytes that no pattern repeats, so that a lost or doubled block shows."""
    return random.Random(seed).randbytes(size)


def test_a_slow_reader_holds_the_sender_back_and_loses_nothing(open_gateway: Gateway) -> None:
    content = noise(1, 50 * MIB)
    sent = threading.Event()

    def flood(connection: socket.socket, origin: Origin) -> None:
        connection.sendall(content)
        sent.set()
        connection.shutdown(socket.SHUT_WR)
        for _ in received(connection):
            pass

    (worker,) = open_gateway.workers()
    with Origin(flood) as origin, wire.connect(open_gateway.port) as client:
        wire.open_socks5(client, LOCAL, origin.port)
        first = wire.exactly(client, CHUNK)
        # The receiver does not read now: what is under way fits socket buffers, far from 50 MB; the sender is stuck.
        assert not sent.wait(1.0)
        assert resident(worker) < 250 * MIB
        assert hashlib.sha256(first + wire.to_the_end(client)).digest() == hashlib.sha256(content).digest()
        assert sent.is_set()


def test_a_slow_origin_holds_the_client_back_and_loses_nothing(open_gateway: Gateway) -> None:
    content = noise(2, 50 * MIB)
    go = threading.Event()

    def later(connection: socket.socket, origin: Origin) -> None:
        assert go.wait(30)
        digest(connection, origin)

    with Origin(later) as origin, wire.connect(open_gateway.port) as client:
        wire.open_http(client, LOCAL, origin.port)
        client.settimeout(1.0)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < len(content):
                sent += client.send(content[sent : sent + CHUNK])
        go.set()
        client.settimeout(30)
        client.sendall(content[sent:])
        client.shutdown(socket.SHUT_WR)
        expected = hashlib.sha256(content).hexdigest()
        assert wire.to_the_end(client) == expected.encode()
        assert origin.seen == [(len(content), expected)]


def test_both_directions_at_full_speed_at_once(open_gateway: Gateway, world: World) -> None:
    content = noise(3, 20 * MIB)
    with wire.connect(open_gateway.port) as client:
        wire.open_socks5(client, LOCAL, world.echo.port)

        def write() -> None:
            client.sendall(content)
            client.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        echoed = wire.to_the_end(client)
        writer.join(30)
    assert hashlib.sha256(echoed).digest() == hashlib.sha256(content).digest()


def test_many_tunnels_at_once_do_not_mix_and_leave_nothing(open_gateway: Gateway, world: World) -> None:
    (worker,) = open_gateway.workers()
    before = open_files(worker)
    with tunnels(open_gateway, 200, LOCAL, world.echo.port) as clients:
        for number, client in enumerate(clients):
            client.sendall(b"%05d" % number)
        for number, client in enumerate(clients):
            assert wire.exactly(client, 5) == b"%05d" % number
        assert open_files(worker) >= before + 400
    eventually(lambda: open_files(worker) <= before, "all descriptors are closed")


def test_the_close_line_counts_the_bytes_of_each_direction(open_gateway: Gateway, world: World) -> None:
    with wire.connect(open_gateway.port) as client:
        local = client.getsockname()[1]
        wire.open_socks5(client, LOCAL, world.collect.port)
        client.sendall(b"x" * 12345)
        client.shutdown(socket.SHUT_WR)
        assert len(wire.to_the_end(client)) == 64
    line = open_gateway.logged(0, local)
    assert (line["event"], line["outcome"]) == ("close", "closed")
    assert (line["bytes_up"], line["bytes_down"]) == (12345, 64)
    assert line["destination"] == {"host": LOCAL, "port": world.collect.port, "address": LOCAL}
    assert line["verdict"] == "allow" and line["rule"] == "ClusterEgressPolicy/all"


@pytest.fixture(scope="module")
def hasty_gateway() -> Iterator[Gateway]:
    """A gateway whose tunnels may not be idle, nor half-closed, for long."""
    limits = {"idleTimeout": "2s", "halfCloseTimeout": "1s"}
    with Gateway([policy("all", [{"cidr": "127.0.0.0/8"}])], {"limits": limits}) as gateway:
        yield gateway


def test_an_idle_tunnel_ends_and_says_why(hasty_gateway: Gateway) -> None:
    with Origin(holding) as origin, wire.connect(hasty_gateway.port) as client:
        local = client.getsockname()[1]
        wire.open_socks5(client, LOCAL, origin.port)
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
        (seen,) = origin.wait()
    assert isinstance(seen, ConnectionResetError)
    assert hasty_gateway.logged(0, local)["outcome"] == "idle_timeout"


def test_a_half_closed_tunnel_ends_and_says_why(hasty_gateway: Gateway) -> None:
    with Origin(sending(b"bye")) as origin, wire.connect(hasty_gateway.port) as client:
        local = client.getsockname()[1]
        wire.open_socks5(client, LOCAL, origin.port)
        assert wire.exactly(client, 3) == b"bye"
        (seen,) = origin.wait()
    assert isinstance(seen, ConnectionResetError)
    assert hasty_gateway.logged(0, local)["outcome"] == "half_close_timeout"
