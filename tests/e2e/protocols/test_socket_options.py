"""Options of the worker's sockets, read from the sockets themselves (pidfd_getfd(2))."""

import ctypes
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, policy

PIDFD_GETFD: Final = 438  # on every architecture (syscalls(2))
RESETS: Final = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # struct linger: on, 0 seconds
NODELAY: Final = {"TCP_NODELAY": 1, "SO_LINGER": int.from_bytes(RESETS, "little")}
LASTING: Final = {
    "SO_KEEPALIVE": 1, "TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 0,
    "TCP_NOTSENT_LOWAT": 262_144,
}  # fmt: skip
Found = dict[str, int]


def options_of(pid: int, wanted: Callable[[socket.socket], bool]) -> Found:
    """The options of the one TCP socket of a process that is wanted."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    found = []
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if not os.readlink(entry).startswith("socket:"):
                continue
            copy = libc.syscall(PIDFD_GETFD, process, int(entry.name), 0)
            assert copy >= 0, os.strerror(ctypes.get_errno())
            with socket.socket(fileno=copy) as one:
                if one.family == socket.AF_INET and one.type == socket.SOCK_STREAM and wanted(one):
                    found.append(read(one))
    finally:
        os.close(process)
    (only,) = found
    return only


def read(one: socket.socket) -> Found:
    def ask(name: str) -> int:
        level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
        return int.from_bytes(one.getsockopt(level, getattr(socket, name), 8), "little")

    return {name: ask(name) for name in {**NODELAY, **LASTING}}


def peer_is(port: int) -> Callable[[socket.socket], bool]:
    def wanted(one: socket.socket) -> bool:
        try:
            return bool(one.getpeername()[1] == port)
        except OSError:
            return False

    return wanted


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway([policy("all", [{"cidr": "127.0.0.0/8"}])]) as started:
        yield started


def test_a_client_s_socket_has_them_all_from_the_start(gateway: Gateway) -> None:
    (worker,) = gateway.workers()
    with wire.connect(gateway.port) as client:
        client.sendall(b"\x05\x01\x00")
        assert wire.exactly(client, 2) == b"\x05\x00"
        assert options_of(worker, peer_is(client.getsockname()[1])) == {**NODELAY, **LASTING}


@pytest.mark.full
@pytest.mark.timeout(90)
def test_an_upstream_s_socket_has_them_all_once_it_lasts(gateway: Gateway, world: World) -> None:
    """Most tunnels end before keepalive could find anything: until it could, five system calls each are saved."""
    (worker,) = gateway.workers()
    with wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", world.echo.port)
        upstream = peer_is(world.echo.port)
        first = options_of(worker, upstream)
        assert first["TCP_NODELAY"] == 1 and first["SO_KEEPALIVE"] == 0
        eventually(lambda: options_of(worker, upstream) == {**NODELAY, **LASTING}, "all of them are set", patience=60)
        assert wire.echoes(client)
