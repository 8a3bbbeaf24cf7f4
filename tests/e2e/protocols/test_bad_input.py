"""Bytes that no client should send: each is answered or closed in bounded time, nothing hangs, nothing is left."""

import random
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.origins import reset
from tests.support.run_gateway import INSTRUMENTED, Gateway, open_files, policy, resident

MIB: Final = 1024 * 1024
LONG: Final = b"x" * 100_000


@pytest.fixture(scope="module")
def guarded() -> Iterator[Gateway]:
    """One worker, a short request timeout."""
    config = {"limits": {"requestTimeout": "1s"}}
    with Gateway([policy("all", [{"cidr": "127.0.0.0/8"}, {"host": "localhost"}])], config) as gateway:
        yield gateway


# (what, bytes, what the answer begins with; None when closing without an answer is right as well)
MALFORMED: Final = {
    "no protocol at all": (b"\x00\x01\x02\x03", None),
    "TLS": (bytes.fromhex("1603010200010001fc0303"), None),
    "SOCKS5 without methods": (b"\x05\x00", b"\x05\xff"),
    "SOCKS5 request of another version": (b"\x05\x01\x00" + b"\x04\x01\x00\x01\x7f\x00\x00\x01\x00\x50", b"\x05\x00"),
    "SOCKS5 with a reserved byte set": (b"\x05\x01\x00" + b"\x05\x01\x07\x01\x7f\x00\x00\x01\x00\x50", b"\x05\x00"),
    "SOCKS5 with an empty name": (b"\x05\x01\x00" + b"\x05\x01\x00\x03\x00\x00\x50", b"\x05\x00\x05\x01"),
    "SOCKS5 with port 0": (b"\x05\x01\x00" + wire.socks5_request("localhost", 0), b"\x05\x00\x05\x01"),
    "SOCKS5 with NUL in the name": (b"\x05\x01\x00" + wire.socks5_request("a\x00b", 80), b"\x05\x00\x05\x01"),
    "SOCKS5 with a name beyond ASCII": (
        b"\x05\x01\x00" + wire.socks5_request("b\xfccher.test", 80), b"\x05\x00\x05\x01",
    ),
    "SOCKS5 with half an address as name": (
        b"\x05\x01\x00" + wire.socks5_request("1.2.3.256", 80), b"\x05\x00\x05\x01",
    ),
    "SOCKS4 BIND": (b"\x04\x02\x00\x50\x7f\x00\x00\x01\x00", b"\x00\x5b"),
    "SOCKS4 with an endless user": (b"\x04\x01\x00\x50\x7f\x00\x00\x01" + LONG, None),
    "SOCKS4a with an endless name": (b"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + LONG, None),
    "HTTP garbage": (b"CONNECT\r\n\r\n", b"HTTP/1.1 400"),
    "HTTP with bare LF": (b"CONNECT localhost:80 HTTP/1.1\nHost: localhost:80\n\n", b"HTTP/1.1 400"),
    "HTTP without a port": (b"CONNECT localhost HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 400"),
    "HTTP with port 0": (wire.connect_request("localhost:0"), b"HTTP/1.1 400"),
    "HTTP with two ports": (wire.connect_request("localhost:80:81"), b"HTTP/1.1 400"),
    "HTTP with a port too large": (wire.connect_request("localhost:65536"), b"HTTP/1.1 400"),
    "HTTP with userinfo": (wire.connect_request("me@localhost:80"), b"HTTP/1.1 400"),
    "HTTP with a percent sign": (wire.connect_request("local%68ost:80"), b"HTTP/1.1 400"),
    "HTTP with a zone": (wire.connect_request("[fe80::1%25lo]:80"), b"HTTP/1.1 400"),
    "HTTP with a body": (wire.connect_request("localhost:80", "Content-Length: 3\r\n") + b"abc", b"HTTP/1.1 400"),
    "HTTP with a chunked body": (
        wire.connect_request("localhost:80", "Transfer-Encoding: chunked\r\n"), b"HTTP/1.1 400",
    ),
    "HTTP with a folded field": (wire.connect_request("localhost:80", "A: b\r\n c\r\n"), b"HTTP/1.1 400"),
    "HTTP with space before the colon": (wire.connect_request("localhost:80", "A : b\r\n"), b"HTTP/1.1 400"),
    "HTTP with NUL": (wire.connect_request("localhost:80", "A: b\x00c\r\n"), b"HTTP/1.1 400"),
    "HTTP with a lone CR": (wire.connect_request("localhost:80", "A: b\rc\r\n"), b"HTTP/1.1 400"),
    "HTTP with two Hosts": (wire.connect_request("localhost:80", "Host: localhost:80\r\n"), b"HTTP/1.1 400"),
    "HTTP without Host": (b"CONNECT localhost:80 HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
    "HTTP of a version to come": (b"CONNECT localhost:80 HTTP/3.7\r\nHost: localhost:80\r\n\r\n", b"HTTP/1.1 "),
    "HTTP with an endless target": (b"CONNECT " + LONG, b"HTTP/1.1 4"),
    "HTTP with an endless field": (b"CONNECT localhost:80 HTTP/1.1\r\nA: " + LONG, b"HTTP/1.1 4"),
    "HTTP with endless fields": (b"CONNECT localhost:80 HTTP/1.1\r\n" + b"A: b\r\n" * 50_000, b"HTTP/1.1 4"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "start"), MALFORMED.values(), ids=list(MALFORMED))
def test_malformed_bytes_are_answered_or_closed(guarded: Gateway, data: bytes, start: bytes | None) -> None:
    answer = wire.exchange(guarded.port, data)
    # Bytes that were still being sent may turn the end into a reset that overtakes the answer.
    if start is not None and (answer or len(data) < 10_000):
        assert answer.startswith(start), answer


@pytest.mark.parametrize("host", ['evil"host', "evil\x1b[31m", "a\\b", "<script>"])
def test_untrusted_bytes_never_come_back_raw(guarded: Gateway, host: str) -> None:
    answer = wire.exchange(guarded.port, wire.connect_request(f"{host}:80"))
    assert answer.startswith(b"HTTP/1.1 400")
    assert not any(piece in answer for piece in (b"\x1b", b'evil"', b"<script>", b"a\\b:"))
    assert "\x1b" not in (guarded.folder / "access.log").read_text() + guarded.errors()


WHOLE: Final = {
    "socks5": b"\x05\x01\x00" + wire.socks5_request("localhost", 9),
    "login": b"\x05\x01\x02" + wire.socks5_login("me", "secret"),
    "socks4a": wire.socks4a_request("localhost", 9),
    "http": wire.connect_request("localhost:9", "A: b\r\n"),
}


@pytest.mark.parametrize("request_bytes", WHOLE.values(), ids=list(WHOLE))
def test_truncated_at_every_byte(guarded: Gateway, request_bytes: bytes) -> None:
    (worker,) = guarded.workers()
    before = open_files(worker)
    for length in range(len(request_bytes)):
        wire.exchange(guarded.port, request_bytes[:length], finish=True)
    eventually(lambda: open_files(worker) <= before, "all descriptors are closed")
    assert guarded.workers() == [worker]


def test_a_client_that_leaves_without_a_word(guarded: Gateway) -> None:
    (worker,) = guarded.workers()
    before = open_files(worker)
    for number in range(200):
        client = wire.connect(guarded.port)
        client.send(b"\x05\x01\x00"[: number % 4])
        if number % 2:
            reset(client)
        else:
            client.close()
    eventually(lambda: open_files(worker) <= before, "all descriptors are closed")


@pytest.mark.parametrize(
    "start", [b"", b"\x05", b"\x05\x01\x00\x05\x01", b"\x04\x01", b"CONNECT localhost:80 HTT"],
    ids=["nothing", "a version", "half a SOCKS5 request", "half a SOCKS4 request", "half a request line"],
)  # fmt: skip
def test_a_request_that_stops_is_closed_at_the_timeout(guarded: Gateway, start: bytes) -> None:
    before = guarded.counter("request_timeouts_total")
    with wire.connect(guarded.port) as client:
        client.sendall(start)
        try:
            wire.to_the_end(client)  # within the client's own, much larger, timeout
        except ConnectionResetError:
            pass
    eventually(lambda: guarded.counter("request_timeouts_total") > before, "the timeout is counted")


def test_a_byte_at_a_time_does_not_move_the_timeout(guarded: Gateway) -> None:
    # 200 bytes at 20 a second would take 10 s; each byte alone is quick enough.
    with wire.connect(guarded.port) as client, pytest.raises(ConnectionError):
        for byte in wire.connect_request("localhost:80", f"A: {'b' * 200}\r\n"):
            client.send(bytes([byte]))
            time.sleep(0.05)
            client.setblocking(False)
            try:
                if client.recv(4096) == b"":
                    raise ConnectionError("closed in time")
            except BlockingIOError:
                pass
            client.setblocking(True)


def hostile(draw: random.Random) -> bytes:
    """Something that begins like a request and goes wrong, or never was one."""
    base = draw.choice([*WHOLE.values(), draw.randbytes(draw.randrange(1, 300))])
    data = bytearray(base * draw.randrange(1, 3))
    for _ in range(draw.randrange(1, 8)):
        data[draw.randrange(len(data))] = draw.choice([0, 10, 13, 32, 58, 127, 255, draw.randrange(256)])
    return bytes(data)


def test_random_bytes_leave_no_descriptor_and_no_memory(guarded: Gateway) -> None:
    (worker,) = guarded.workers()
    quiet = open_files(worker)
    draw = random.Random(7)

    def rounds(count: int) -> None:
        for _ in range(count):
            wire.exchange(guarded.port, hostile(draw), finish=True)

    rounds(300)  # what is allocated once is allocated now
    eventually(lambda: open_files(worker) <= quiet, "all descriptors are closed")
    descriptors, memory = open_files(worker), resident(worker)
    rounds(1500)
    eventually(lambda: open_files(worker) <= descriptors, "all descriptors are closed")
    assert resident(worker) < memory + (300 if INSTRUMENTED else 8) * MIB
    assert guarded.workers() == [worker]


def test_the_gateway_still_serves_afterwards(guarded: Gateway, world: World) -> None:
    for opening in wire.OPENINGS.values():
        with wire.connect(guarded.port) as client:
            opening(client, "127.0.0.1", world.echo.port)
            assert wire.echoes(client)


def test_unanswered_requests_do_not_keep_others_from_being_served(guarded: Gateway, world: World) -> None:
    waiting = [wire.connect(guarded.port) for _ in range(60)]
    try:
        for client in waiting:
            client.send(b"\x05")
        with wire.connect(guarded.port) as client:
            wire.open_socks5(client, "127.0.0.1", world.echo.port)
    finally:
        for client in waiting:
            client.close()
