"""Bulk, which is spliced: the same bytes, ends and resets as ever, and no pipe stays behind (csrc/relay/relay.h)."""

import collections
import contextlib
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.origins import CHUNK, Origin, received, reset
from tests.support.run_gateway import Gateway, open_files, policy

MIB: Final = 1 << 20
Opening = Callable[[socket.socket, str, int], None]
LOCAL: Final = "127.0.0.1"
POOLED: Final = 2 * 32  # descriptors of the empty pipes that a worker keeps at most
ALL: Final = policy("all", [{"cidr": "127.0.0.0/8"}])
CONTENT: Final = random.Random(4).randbytes(24 * MIB)
QUESTION: Final = b"\x00" + random.Random(5).randbytes(12 * MIB)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway([ALL]) as started:
        yield started


@pytest.fixture(autouse=True)
def no_pipe_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test every pipe is empty, and the one gateway holds no descriptor but those of its pool."""
    shared: Gateway = request.getfixturevalue("gateway")
    (worker,) = shared.workers()
    eventually(lambda: shared.counter("tunnels_open") == 0, "a quiet gateway")
    before = open_files(worker) - 2 * shared.counter("idle_pipes_open")
    yield
    eventually(lambda: shared.counter("tunnels_open") == 0, "every tunnel has ended")
    assert shared.counter("busy_pipes_open") == 0
    assert shared.counter("splices_begun_total") == shared.counter("splices_ended_total")
    eventually(lambda: open_files(worker) - 2 * shared.counter("idle_pipes_open") == before, "no descriptor is left")
    assert open_files(worker) <= before + POOLED
    assert shared.counter("internal_errors_total") == 0


def flooding(connection: socket.socket, origin: Origin) -> None:
    """Sends CONTENT while it reads; notes the digest of what it read, up to the end."""
    digest = hashlib.sha256()

    def read() -> None:
        for chunk in received(connection):
            digest.update(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    connection.sendall(CONTENT)
    connection.shutdown(socket.SHUT_WR)
    reader.join(30)
    origin.note(digest.hexdigest())


def endless(connection: socket.socket, _: Origin) -> None:
    """Sends more than fits in all the buffers on its way, until that fails."""
    while True:
        connection.sendall(CONTENT)


def stalled(gateway: Gateway, client: socket.socket, port: int) -> None:
    """Opens a tunnel to an `endless` origin, reads a little and no more: a pipe is left with bytes in it."""
    busy = gateway.counter("busy_pipes_open")
    wire.open_socks5(client, LOCAL, port)
    wire.exactly(client, CHUNK)
    eventually(lambda: gateway.counter("busy_pipes_open") > busy, "a pipe that its sink does not empty")


def same(data: bytes, content: bytes) -> bool:
    """Without a page of bytes in the report."""
    return hashlib.sha256(data).digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("opening", wire.OPENINGS.values(), ids=list(wire.OPENINGS))
def test_both_ways_at_once_and_an_end_in_the_midst(gateway: Gateway, opening: Opening) -> None:
    """The client's end comes while the origin's bytes still flow; the log counts every byte."""
    begun = gateway.counter("splices_begun_total")
    with Origin(flooding) as origin, wire.connect(gateway.port) as client:
        local = client.getsockname()[1]
        opening(client, LOCAL, origin.port)

        def write() -> None:
            client.sendall(QUESTION)
            client.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        answer = wire.to_the_end(client)
        writer.join(30)
        assert same(answer, CONTENT)
        assert origin.wait() == [hashlib.sha256(QUESTION).hexdigest()]
    line = gateway.logged(0, local)
    assert (line["outcome"], line["bytes_up"], line["bytes_down"]) == ("closed", len(QUESTION), len(CONTENT))
    assert gateway.counter("splices_begun_total") >= begun + 2, "both directions were bulk"
    assert gateway.counter("splices_refused_total") == 0


def test_a_slow_reader_gets_every_byte_and_the_end(gateway: Gateway) -> None:
    with Origin(flooding) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, LOCAL, origin.port)
        data = bytearray(wire.exactly(client, CHUNK))
        eventually(lambda: gateway.counter("busy_pipes_open") == 1, "a pipe that its sink does not empty")
        client.shutdown(socket.SHUT_WR)
        draw = random.Random(6)
        while chunk := client.recv(draw.randrange(1, 300_000)):
            data += chunk
        assert same(bytes(data), CONTENT)
        assert origin.wait() == [hashlib.sha256(b"").hexdigest()]


def test_a_reset_of_the_origin_in_bulk_is_a_reset(gateway: Gateway) -> None:
    def breaking(connection: socket.socket, _: Origin) -> None:
        connection.sendall(CONTENT[: 8 * MIB])
        reset(connection)

    with Origin(breaking) as origin, wire.connect(gateway.port) as client:
        local = client.getsockname()[1]
        wire.open_socks5(client, LOCAL, origin.port)
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
    line = gateway.logged(0, local)
    assert line["outcome"] == "reset" and line["bytes_down"] <= 8 * MIB


@pytest.mark.parametrize("opening", wire.OPENINGS.values(), ids=list(wire.OPENINGS))
@pytest.mark.parametrize("ends", [False, True], ids=["reads on", "resets"])
def test_a_reader_that_stays_stalled_has_no_pipe(opening: Opening, ends: bool) -> None:
    """Twice per keepAlive the worker looks; what the pipe held waits in memory and keeps its place."""
    origin = Origin(endless if ends else flooding)
    with Gateway([ALL], {"limits": {"keepAlive": "1s"}}) as own, origin, wire.connect(own.port) as client:
        opening(client, LOCAL, origin.port)
        data = bytearray(wire.exactly(client, CHUNK))
        eventually(lambda: own.counter("splices_begun_total") > 0, "bulk")
        eventually(lambda: own.counter("busy_pipes_open") == 0, "the pipe of a stalled reader is given back")
        if ends:
            reset(client)
            assert isinstance(origin.wait()[0], ConnectionError)
        else:
            client.shutdown(socket.SHUT_WR)
            data += wire.to_the_end(client)
            assert same(bytes(data), CONTENT)
            assert origin.wait() == [hashlib.sha256(b"").hexdigest()]
        eventually(lambda: own.counter("tunnels_open") == 0, "the tunnel has ended")
        assert own.counter("busy_pipes_open") == own.counter("internal_errors_total") == 0


def test_a_reset_of_the_client_while_a_pipe_holds_bytes(gateway: Gateway) -> None:
    with Origin(endless) as origin:
        client = wire.connect(gateway.port)
        stalled(gateway, client, origin.port)
        reset(client)
        (seen,) = origin.wait()
        assert isinstance(seen, ConnectionError)
    eventually(lambda: gateway.counter("busy_pipes_open") == 0, "the pipe is closed with what was in it")


def test_a_tunnel_that_turns_chatty_is_copied_again_and_spliced_again(gateway: Gateway, world: World) -> None:
    def bulk(size: int) -> bool:
        writer = threading.Thread(target=lambda: client.sendall(CONTENT[:size]))
        writer.start()
        answer = bytearray()
        while len(answer) < size:
            answer += client.recv(CHUNK)
        writer.join(30)
        return same(bytes(answer), CONTENT[:size])

    def spliced() -> int:
        return gateway.counter("splices_begun_total") - gateway.counter("splices_ended_total")

    before = gateway.counter("splices_begun_total")
    with wire.connect(gateway.port) as client:
        wire.open_socks5(client, LOCAL, world.echo.port)
        assert wire.echoes(client)
        assert spliced() == 0
        for _ in range(2):
            assert bulk(16 * MIB)
            begun = gateway.counter("splices_begun_total")
            assert begun > before
            before = begun
            for _ in range(10):
                assert wire.echoes(client)
            assert spliced() == 0
            assert gateway.counter("busy_pipes_open") == 0, "a quiet tunnel holds no pipe"
        client.shutdown(socket.SHUT_WR)
        assert wire.to_the_end(client) == b""


def test_urgent_data_do_not_stop_bulk(gateway: Gateway) -> None:
    """splice(2) cannot get past an urgent mark; what is urgent is left out, as by any recv()."""
    half = len(CONTENT) // 2

    def urging(connection: socket.socket, _: Origin) -> None:
        connection.sendall(CONTENT[:half])
        connection.send(b"!", socket.MSG_OOB)
        connection.sendall(CONTENT[half:])
        connection.shutdown(socket.SHUT_WR)
        collections.deque(received(connection), maxlen=0)

    with Origin(urging) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, LOCAL, origin.port)
        assert same(wire.to_the_end(client), CONTENT)


def test_a_tunnel_is_killed_in_bulk(gateway: Gateway) -> None:
    with Origin(endless) as origin, wire.connect(gateway.port) as client:
        local = client.getsockname()[1]
        stalled(gateway, client, origin.port)
        (tunnel,) = json.loads(gateway.sluice("tunnels", "--json").stdout)["items"]
        assert tunnel["bytes_down"] >= CHUNK
        assert gateway.sluice("tunnels", "--kill", tunnel["id"]).returncode == 0
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
        assert isinstance(origin.wait()[0], ConnectionError)
    line = gateway.logged(0, local)
    assert line["outcome"] == "killed" and line["bytes_down"] >= tunnel["bytes_down"]


def test_a_policy_turns_against_a_tunnel_in_bulk(gateway: Gateway) -> None:
    with Origin(endless) as origin, wire.connect(gateway.port) as client:
        local = client.getsockname()[1]
        stalled(gateway, client, origin.port)
        try:
            gateway.reload([ALL, policy("no", [{"cidr": "127.0.0.0/8", "ports": [origin.port]}], action="Deny")])
            with pytest.raises(ConnectionResetError):
                wire.to_the_end(client)
            assert gateway.logged(0, local)["outcome"] == "revoked"
        finally:
            gateway.reload([ALL])


def test_many_stalled_tunnels_leave_nothing_and_do_not_mix(gateway: Gateway) -> None:
    """More than the pool keeps; half of them are reset, the others get all that is theirs."""
    share = 4 * MIB

    def own(connection: socket.socket, _: Origin) -> None:
        (number,) = connection.recv(1)
        connection.sendall(CONTENT[number * 1000 : number * 1000 + share])
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    with Origin(own) as origin, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(wire.connect(gateway.port)) for _ in range(60)]
        for number, client in enumerate(clients):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            wire.open_socks5(client, LOCAL, origin.port)
            client.sendall(bytes([number]))
        eventually(lambda: gateway.counter("busy_pipes_open") > 40, "pipes that hold bytes")
        for client in clients[::2]:
            reset(client)
        for number in range(1, 60, 2):
            assert same(wire.to_the_end(clients[number]), CONTENT[number * 1000 : number * 1000 + share])


HOLDER: Final = """
import fcntl, os, sys
F_SETPIPE_SZ, F_GETPIPE_SZ = 1031, 1032
held = []
size = 1 << 20
while len(held) < 4000 and size >= 65536:
    try:
        held.append(os.pipe())
        fcntl.fcntl(held[-1][0], F_SETPIPE_SZ, 1 << 20)
    except OSError:
        pass
    size = fcntl.fcntl(held[-1][0], F_GETPIPE_SZ)
print(len(held), flush=True)
sys.stdin.read()
"""


def test_an_unprivileged_user_without_pipe_budget_copies() -> None:
    """pipe(7): past pipe-user-pages-soft a user without CAP_SYS_RESOURCE gets pipes too small to be worth it."""
    # Another user for root's sake, who may still read where this tree lies.
    capability = "-all,+dac_override"
    drop = ["setpriv", "--reuid=54321", f"--bounding-set={capability}", f"--inh-caps={capability}"]
    prefix = [*drop, f"--ambient-caps={capability}"] if os.geteuid() == 0 else []
    gateway = Gateway([ALL], prefix=prefix)
    if prefix:  # its workers have given up even that capability when they look for the bus in it
        os.chown(gateway.folder, 54321, -1)
    with (
        subprocess.Popen(
            [*prefix, sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder,
        gateway as poor,
        Origin(flooding) as origin,
        wire.connect(poor.port) as client,
    ):
        assert holder.stdout is not None and holder.stdin is not None
        assert 0 < int(holder.stdout.readline()) < 4000
        wire.open_socks5(client, LOCAL, origin.port)
        client.shutdown(socket.SHUT_WR)
        assert same(wire.to_the_end(client), CONTENT)
        assert poor.counter("splices_refused_total") > 0
        assert poor.counter("splices_begun_total") == poor.counter("busy_pipes_open") == 0
        holder.stdin.close()
