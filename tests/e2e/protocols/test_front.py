"""nghttpx in front, Sluice its `proto=h2` backend: what is asked of the one reaches the other as streams, to every end.

nghttpx opens windows of 2^31-1 bytes towards its backend. Clients speak HTTP/1.1 and HTTP/2 to it. What a client ends
before the origin does it keeps to itself: a CONNECT has no END_STREAM towards its backends.
"""

import random
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from bench.peers.base import environment
from bench.peers.nghttpx import Nghttpx
from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.origins import Origin, echo, resetting, sending
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, policy

pytestmark = pytest.mark.full
MIB: Final = 1 << 20


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    rules = [policy("all", [{"cidr": "127.0.0.0/8"}, {"host": "localhost"}])]
    config = {"limits": {"halfCloseTimeout": "2s"}}
    with Gateway([*rules, policy("none", [{"host": "denied.test"}], action="Deny")], config) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def front(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of nghttpx."""
    port, errors = free_port(), Path(tmp_path_factory.mktemp("nghttpx"), "errors")
    command = [
        str(Nghttpx.binary()), "--conf=/dev/null", f"--frontend=127.0.0.1,{port};no-tls",
        f"--backend=127.0.0.1,{gateway.port};;proto=h2", "--http2-proxy", "--workers=1", "--single-process",
        f"--errorlog-file={errors}",
    ]  # fmt: skip

    def serves() -> bool:
        assert process.poll() is None, errors.read_text()
        try:
            wire.connect(port).close()
        except OSError:
            return False
        return True

    with subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL) as process:
        try:
            eventually(serves, "nghttpx listens")
            yield port
        finally:
            process.terminate()


def asked(port: int, host: str, number: int) -> tuple[socket.socket, bytes]:
    """An HTTP/1.1 CONNECT, and the head of its answer."""
    connection = wire.connect(port)
    connection.sendall(f"CONNECT {host}:{number} HTTP/1.1\r\nHost: {host}:{number}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        byte = connection.recv(1)
        assert byte, head
        head += byte
    return connection, head


def curl(front: int, url: str) -> subprocess.CompletedProcess[bytes]:
    command = ["curl", "-sS", "--max-time", "20", "--noproxy", "", "-p", "-x", f"http://127.0.0.1:{front}", url]
    return subprocess.run(command, capture_output=True, timeout=30, check=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_curl_gets_its_page_over_a_stream(gateway: Gateway, world: World, front: int, host: str) -> None:
    before, streams = len(gateway.events(event="close")), gateway.counter("http2_streams_total")
    done = curl(front, f"http://{host}:{world.http}/a/page")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"served /a/page\n", b"")
    assert gateway.counter("http2_streams_total") == streams + 1
    line = eventually(lambda: gateway.events(event="close")[before:], "a line for it")[0]
    assert (line["protocol"], line["destination"]["host"]) == ("http2tunnel", host)


@pytest.mark.parametrize(("host", "status"), [("denied.test", 403), ("missing.test", 502)])
def test_a_refusal_comes_through_with_its_reason(front: int, host: str, status: int) -> None:
    connection, head = asked(front, host, 443)
    with connection:
        assert head.split()[1] == str(status).encode()
        assert b"\r\nproxy-status: sluice; error=" in head.lower()


def test_many_tunnels_share_a_connection_and_keep_their_bytes_apart(gateway: Gateway, world: World, front: int) -> None:
    count = 60
    streams, connections = (gateway.counter(f"http2_{what}_total") for what in ("streams", "connections"))
    contents = [b"\0" + random.Random(number).randbytes(MIB // 4 + number) for number in range(count)]
    tunnels = [asked(front, "127.0.0.1", world.echo.port) for _ in contents]
    assert all(head.startswith(b"HTTP/1.1 200 ") for _, head in tunnels)
    assert gateway.counter("http2_streams_total") == streams + count
    assert gateway.counter("http2_connections_total") - connections < count / 10
    writers = [
        threading.Thread(target=connection.sendall, args=(content,))
        for (connection, _), content in zip(tunnels, contents, strict=True)
    ]
    for writer in writers:
        writer.start()
    for (connection, _), content in zip(tunnels, contents, strict=True):
        assert wire.exactly(connection, len(content)) == content
    for writer in writers:
        writer.join(20)
    for connection, _ in tunnels:
        connection.close()


def test_a_client_s_stream_becomes_another_one_with_all_its_bytes(world: World, front: int) -> None:
    contents = [b"\0" + random.Random(number).randbytes(2 * MIB) for number in range(5)]
    with RfcClient(front) as client:
        streams = [client.open(f"127.0.0.1:{world.echo.port}") for _ in contents]
        for stream, content in zip(streams, contents, strict=True):
            client.write(stream, content)
        for stream, content in zip(streams, contents, strict=True):
            assert client.read(stream, len(content)) == content


def test_the_origin_s_end_comes_after_all_its_bytes(gateway: Gateway, front: int) -> None:
    content = random.Random(2).randbytes(3 * MIB)
    with Origin(sending(content)) as origin, RfcClient(front) as client:
        stream = client.over(client.open(f"127.0.0.1:{origin.port}"))
        assert stream.data == content
        assert stream.ended
    # nghttpx takes the origin's end for that of the tunnel and tells its backend no more: a time-out does it.
    eventually(lambda: gateway.counter("http2_streams_open") == 0, "half-closed streams are closed")


def test_a_tunnel_that_the_origin_resets_ends_for_the_client(front: int) -> None:
    with Origin(resetting) as origin, RfcClient(front) as client:
        stream = client.open(f"127.0.0.1:{origin.port}")
        client.write(stream, b"\0hello")
        assert client.over(stream).reset is not None


def test_nothing_of_it_stays_open(gateway: Gateway, front: int) -> None:
    with Origin(echo) as origin:
        connection, head = asked(front, "127.0.0.1", origin.port)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert wire.echoes(connection)
        assert gateway.counter("http2_streams_open") >= 1
        connection.close()
        eventually(lambda: gateway.counter("http2_streams_open") == 0, "every stream is closed")
        assert gateway.counter("tunnels_open") == 0
