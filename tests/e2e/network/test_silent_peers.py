"""A peer that does not read lives until idleTimeout; one that is gone is found (RFC 9293 section 3.8.6.1).

A peer is "gone" by a socket filter that drops all that comes for it: no end, no reset, no acknowledgement.
"""

import ctypes
import socket
import struct
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support import wire
from tests.support.http2 import FrameClient
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, policy
from tests.vectors.http2 import PREFACE, frame

SO_ATTACH_FILTER: Final = 26
SIZE: Final = 32 << 20
RULES: Final = [policy("all", [{"cidr": "127.0.0.0/8"}])]
FAST: Final = {"limits": {"keepAlive": "1s"}}
GIVEN_UP: Final = 2  # seconds until an unanswered peer is given up, at keepAlive: 1s


def connect_block(target: str) -> bytes:
    """A header block: CONNECT and `target`, literally (RFC 7541 section 6.2.2)."""
    return b"\x02\x07CONNECT\x01" + bytes([len(target)]) + target.encode()


def dies(connection: socket.socket) -> None:
    program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF_RET | BPF_K, 0
    filter_ = struct.pack("HP", 1, ctypes.addressof(program))
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_)


def source(connection: socket.socket, _: Origin) -> None:
    connection.recv(1)
    connection.settimeout(None)
    for _chunk in range(SIZE >> 16):
        connection.sendall(b"\x00" * 65536)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway(RULES, FAST) as started:
        yield started


def download(gateway: Gateway, pause: float) -> int:
    """Bytes that arrive where the client pauses in the middle."""
    with Origin(source) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        client.sendall(b"\x00")
        received = len(wire.exactly(client, 1 << 20))
        time.sleep(pause)  # what is tested is that a pause does no harm
        return received + len(wire.to_the_end(client))


def test_a_reader_that_pauses_gets_everything(gateway: Gateway) -> None:
    assert download(gateway, 4 * GIVEN_UP) == SIZE


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_reader_that_pauses_for_two_minutes_gets_everything() -> None:
    with Gateway(RULES) as gateway:
        assert download(gateway, 130) == SIZE


def test_an_origin_that_pauses_gets_everything(gateway: Gateway) -> None:
    def slow(connection: socket.socket, origin: Origin) -> None:
        first = len(wire.exactly(connection, 65536))
        time.sleep(4 * GIVEN_UP)
        origin.note(first + len(wire.to_the_end(connection)))

    with Origin(slow) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        client.settimeout(60)
        client.sendall(b"\x00" * SIZE)
        client.shutdown(socket.SHUT_WR)
        assert origin.wait(1, timeout=60) == [SIZE]


def test_an_http2_client_that_pauses_keeps_its_streams(gateway: Gateway) -> None:
    widest = struct.pack("!HI", 0x4, 0x7FFFFFFF)  # INITIAL_WINDOW_SIZE: what stops the gateway is TCP's window alone
    with Origin(source) as origin, FrameClient(gateway.port, PREFACE + frame("SETTINGS", 0, 0, widest)) as client:
        client.send("WINDOW_UPDATE", 0, 0, struct.pack("!I", 0x7FFF0000))
        client.send("HEADERS", 0x4, 1, connect_block(f"127.0.0.1:{origin.port}"))
        client.send("DATA", 0, 1, b"\x00")
        time.sleep(4 * GIVEN_UP)
        received = 0
        while received < SIZE:
            received += len(client.until(lambda one: one.kind == "DATA").payload)
        assert received == SIZE


@pytest.mark.parametrize("who", ["client", "origin"])
def test_a_peer_that_is_gone_while_bytes_are_on_their_way_is_found(gateway: Gateway, who: str) -> None:
    def gone(connection: socket.socket, origin: Origin) -> None:
        connection.recv(1)
        if who == "origin":
            dies(connection)
            origin.note("dead")
            origin.wait(2, timeout=60)
        else:
            origin.note("ready")
            origin.wait(2, timeout=60)
            connection.sendall(b"\x00" * 1000)
            with pytest.raises(ConnectionResetError):
                wire.to_the_end(connection)

    with Origin(gone) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        local = client.getsockname()[1]
        client.sendall(b"\x00")
        origin.wait(1)
        if who == "client":
            dies(client)
            origin.note("go")
        else:
            client.sendall(b"\x00" * 1000)
            with pytest.raises(ConnectionResetError):
                wire.to_the_end(client)
            origin.note("over")
        assert gateway.logged(0, local)["outcome"] == "reset"
        assert not origin.errors


def test_a_peer_that_is_gone_while_idle_is_found(gateway: Gateway) -> None:
    with Origin(echo) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        assert wire.echoes(client)
        local = client.getsockname()[1]
        dies(client)
        assert gateway.logged(0, local)["outcome"] == "reset"


def test_keep_alive_takes_effect_at_a_reload() -> None:
    with Gateway(RULES) as gateway, Origin(echo) as origin:
        gateway.config["limits"] = {"keepAlive": "1s"}
        gateway.write_config()
        gateway.reload()
        with wire.connect(gateway.port) as client:
            wire.open_socks5(client, "127.0.0.1", origin.port)
            assert wire.echoes(client)
            dies(client)
            assert gateway.logged(0, client.getsockname()[1])["outcome"] == "reset"
