"""Tunnels of a worker that dies end by a reset on both legs; those that end by themselves lose no byte."""

import contextlib
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import FrameClient
from tests.support.origins import Origin
from tests.support.run_gateway import Gateway, Mapping, policy

TUNNELS: Final = 100
RULES: Final[list[Mapping]] = [policy("all", [{"cidr": "127.0.0.0/8"}])]


def hears(connection: socket.socket, origin: Origin) -> None:
    """Answers once, and notes how the connection ends."""
    connection.sendall(connection.recv(100))
    try:
        origin.note("end" if wire.to_the_end(connection) == b"" else "bytes")
    except ConnectionResetError:
        origin.note("reset")


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway(RULES) as started:
        yield started


def kill_worker(gateway: Gateway) -> None:
    (worker,) = gateway.workers()
    os.kill(worker, signal.SIGKILL)


def was_reset(connection: socket.socket) -> bool:
    try:
        wire.to_the_end(connection)
    except ConnectionResetError:
        return True
    return False


def test_a_killed_worker_resets_both_legs_of_every_tunnel() -> None:
    with Gateway(RULES) as gateway, Origin(hears) as origin, contextlib.ExitStack() as stack:
        clients = []
        for number in range(TUNNELS):
            client = stack.enter_context(wire.connect(gateway.port))
            if number % 2:
                wire.open_socks5(client, "127.0.0.1", origin.port)
            else:
                assert wire.http(client, f"127.0.0.1:{origin.port}").status == 200
            assert wire.echoes(client)
            clients.append(client)
        kill_worker(gateway)
        assert [was_reset(client) for client in clients] == [True] * TUNNELS
        assert origin.wait(TUNNELS) == ["reset"] * TUNNELS


def test_a_half_closed_tunnel_of_a_killed_worker_is_reset() -> None:
    """A body without a length that was still coming must not look complete."""

    def waits(connection: socket.socket, origin: Origin) -> None:
        origin.note(connection.recv(1))
        connection.sendall(b"half of a body")
        origin.wait(2, timeout=60)

    with Gateway(RULES) as gateway, Origin(waits) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        client.shutdown(socket.SHUT_WR)
        assert origin.wait(1) == [b""]
        assert wire.exactly(client, 14) == b"half of a body"
        kill_worker(gateway)
        assert was_reset(client)
        origin.note("over")


@pytest.mark.parametrize("size", [1, 100_000, 3_000_000])
def test_the_last_bytes_arrive_behind_a_clean_end(gateway: Gateway, size: int) -> None:
    """The client reads when the gateway has forgotten the tunnel: what is on its way then is the kernel's."""

    def tells(connection: socket.socket, _: Origin) -> None:
        connection.recv(1)
        connection.settimeout(None)
        connection.sendall(b"\x00" * size)

    with Origin(tells) as origin, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect(("127.0.0.1", gateway.port))
        wire.open_socks5(client, "127.0.0.1", origin.port)
        client.sendall(b"\x00")
        client.shutdown(socket.SHUT_WR)
        if size < 200_000:
            gateway.logged(0, client.getsockname()[1])
        assert len(wire.to_the_end(client)) == size


def test_an_upload_arrives_behind_a_clean_end(gateway: Gateway) -> None:
    def slow(connection: socket.socket, origin: Origin) -> None:
        connection.shutdown(socket.SHUT_WR)
        origin.wait(1)
        origin.note(len(wire.to_the_end(connection)))

    with Origin(slow) as origin:
        with wire.connect(gateway.port) as client:
            wire.open_socks5(client, "127.0.0.1", origin.port)
            assert client.recv(1) == b""
            client.sendall(b"\x00" * 100_000)
            client.shutdown(socket.SHUT_WR)
            gateway.logged(0, client.getsockname()[1])
        origin.note("go")
        assert origin.wait(2)[1] == 100_000


def test_a_refusal_is_read_whole_by_a_slow_client(gateway: Gateway) -> None:
    with wire.connect(gateway.port) as client:
        client.sendall(b"CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n")
        time.sleep(2)  # longer than the gateway lingers
        answer = wire.to_the_end(client)
        assert answer.startswith(b"HTTP/1.1 403 ") and answer.endswith(b"\n")


def test_an_http2_client_that_leaves_while_a_stream_opens_is_gone_and_no_error() -> None:
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    with full, Gateway(RULES) as gateway, contextlib.ExitStack() as stack:
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        target = f"127.0.0.1:{full.getsockname()[1]}".encode()
        block = b"\x02\x07CONNECT\x01" + bytes([len(target)]) + target  # literally (RFC 7541 section 6.2.2)
        with FrameClient(gateway.port) as client:
            client.send("HEADERS", 0x4, 1, block)
            client.send("PING", 0, 0, b"12345678")
            client.until(lambda frame: frame.kind == "PING")
            eventually(lambda: gateway.counter("dials_total") >= 1, "the stream is being opened")
        line = gateway.event(event="decision", outcome="client_gone")
        assert line["destination"]["port"] == full.getsockname()[1]
        url = f"http://127.0.0.1:{gateway.admin}/metrics"
        with urllib.request.urlopen(url, timeout=20) as answer:
            text = answer.read().decode()
        assert 'outcome="client_gone"' in text
        resets = [entry for entry in text.splitlines() if entry.startswith("sluice_http2_resets_total{")]
        assert not any("internal" in entry for entry in resets), resets
