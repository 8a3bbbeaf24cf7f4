"""The load generator: it carries every mode to the end, and it sees every way in which a proxy can spoil a tunnel.

Its numbers are worth what its eyes are worth, so the proxies here lie on purpose.
"""

import contextlib
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.support.generator import run, started

MODES: Final[dict[str, list[str]]] = {
    "open-close": ["open-close", "--count", "300", "--at-once", "20"],
    "open-close, half-closed": ["open-close", "--count", "50", "--at-once", "7", "--end", "half", "--size", "300000"],
    "open-close, reset": ["open-close", "--count", "50", "--at-once", "50", "--end", "reset"],
    "open-close, by the clock": ["open-close", "--count", "50", "--rate", "200"],
    "open-close, from many": ["open-close", "--count", "50", "--sources", "7"],
    "open-close, held": ["open-close", "--count", "50", "--hold", "0.1", "--at-once", "50", "--end", "half"],
    "open-close, by the clock and held": ["open-close", "--count", "50", "--rate", "500", "--hold", "0.05"],
    "pingpong": ["pingpong", "--count", "5", "--seconds", "0.3"],
    "pingpong, by the clock": ["pingpong", "--count", "20", "--seconds", "0.3", "--rate", "20"],
    "pingpong, too seldom for one": ["pingpong", "--count", "20", "--seconds", "0.1", "--rate", "1"],
    "pingpong of large messages": ["pingpong", "--count", "3", "--seconds", "0.3", "--size", "1048576"],
    "bulk-down": ["bulk-down", "--count", "3", "--seconds", "0.3"],
    "bulk-down, a given size": ["bulk-down", "--count", "3", "--bytes", "3000001"],
    "bulk-up": ["bulk-up", "--count", "3", "--seconds", "0.3"],
    "bulk-up, no report": ["bulk-up", "--count", "3", "--seconds", "0.3", "--end", "reset"],
    "bulk-up, a given size": ["bulk-up", "--count", "3", "--bytes", "3000001"],
    "idle": ["idle", "--count", "300", "--seconds", "0.3"],
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_ends_well(load: str, origin: int, mode: str) -> None:
    code, result = run(load, *MODES[mode], "--origin", f"127.0.0.1:{origin}")
    assert code == 0
    count = int(MODES[mode][2])
    assert result["opened"] == result["completed"] == result["tunnels"] == count
    assert set(result["errors"].values()) == {0}
    assert result["open_us"]["count"] == count
    name = MODES[mode][0]
    if name == "open-close":
        size = int(MODES[mode][MODES[mode].index("--size") + 1]) if "--size" in MODES[mode] else 64
        echoes = 2 if "--hold" in MODES[mode] else 1
        assert result["round_trips"] == count * echoes
        assert result["bytes_up"] == result["bytes_down"] == count * echoes * size
    elif name == "pingpong":
        assert 0 < result["round_trips"] <= result["round_trip_us"]["count"]
        if "--rate" in MODES[mode]:
            due = count * float(MODES[mode][4]) * float(MODES[mode][6])
            assert result["round_trip_us"]["count"] + result["missed"] <= due + 1
    elif name == "idle":
        assert result["round_trip_us"]["count"] == 2 * count
    elif "--bytes" in MODES[mode]:
        assert result["bytes_down" if name == "bulk-down" else "bytes_up"] == 3 * 3000001
    else:
        assert result["bytes_down" if name == "bulk-down" else "bytes_up"] > 0


RESET: Final = b"RST"  # in place of an answer
HALF: Final = b"HTTP/1.1 2"
Spoil = Callable[[bytes, int], bytes | None]


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def carry(client: socket.socket, origin: socket.socket, up: Spoil, down: Spoil) -> None:
    """Copies both ways; what spoils is given the bytes and how many went before, and answers None to reset both sides,
    nothing to end its direction."""
    seen = {client: 0, origin: 0}
    while seen:
        for source in select.select(list(seen), [], [])[0]:
            sink, spoil = (origin, up) if source is client else (client, down)
            data = source.recv(65536)
            spoiled = spoil(data, seen[source]) if data else b""
            if spoiled is None:
                reset(client)
                reset(origin)
                return
            seen[source] += len(data)
            sink.sendall(spoiled)
            if not spoiled:
                sink.shutdown(socket.SHUT_WR)
                del seen[source]


def honest(data: bytes, seen: int) -> bytes | None:
    return data


def serve(client: socket.socket, answer: bytes, down: Spoil, up: Spoil) -> None:
    """One CONNECT tunnel."""
    with contextlib.suppress(OSError), client:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        host, _, port = head.split()[1].decode().partition(":")
        if answer == RESET:
            reset(client)
            return
        if answer:
            client.sendall(answer)
        if b" 200 " not in answer:
            if answer == HALF:
                client.shutdown(socket.SHUT_WR)
            client.recv(1)
            return
        with socket.create_connection((host, int(port))) as origin:
            carry(client, origin, up, down)


@contextlib.contextmanager
def proxy(answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n", down: Spoil = honest, up: Spoil = honest) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=serve, args=(client, answer, down, up), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def at(place: int, change: Callable[[bytes, int], bytes | None]) -> Spoil:
    """Changes the chunk in which byte `place` of the stream comes; `change` is given its index there."""

    def spoil(data: bytes, seen: int) -> bytes | None:
        return change(data, place - seen) if seen <= place < seen + len(data) else data

    return spoil


ECHO: Final = ["open-close", "--count", "1", "--size", "50000", "--end", "half"]
DOWN: Final = ["bulk-down", "--count", "1", "--bytes", "400000"]
UP: Final = ["bulk-up", "--count", "1", "--bytes", "400000"]


def flip(data: bytes, i: int) -> bytes:
    return data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]


def lose(data: bytes, i: int) -> bytes:
    return data[:i] + data[i + 1 :]


def double(data: bytes, i: int) -> bytes:
    return data[:i] + data[i : i + 1] + data[i:]


LIES: Final[dict[str, tuple[list[str], dict[str, Any], str]]] = {
    "a flipped bit in an echo": (ECHO, {"down": at(40000, flip)}, "content"),
    "a byte doubled at the end of an echo": (ECHO, {"down": at(49999, double)}, "content"),
    "an echo that ends early": (ECHO, {"down": at(40000, lambda data, i: b"")}, "end"),
    "an echo that is reset": (ECHO, {"down": at(40000, lambda data, i: None)}, "reset"),
    "a byte lost on the way down": (DOWN, {"down": at(300000, lose)}, "content"),
    "a byte doubled at the very end": (DOWN, {"down": at(399999, double)}, "content"),
    "an end before the end": (DOWN, {"down": at(399999, lambda data, i: b"")}, "end"),
    "a flipped bit on the way up": (UP, {"up": at(300000, flip)}, "content"),
    "a report that is reset": (UP, {"down": at(0, lambda data, i: None)}, "reset"),
    "no report": (UP, {"down": at(0, lambda data, i: b"")}, "end"),
    "a refusal": (ECHO, {"answer": b"HTTP/1.1 403 Forbidden\r\n\r\n"}, "refused"),
    "not an answer": (ECHO, {"answer": b"220 ready\r\n\r\n"}, "protocol"),
    "bytes behind the answer": (ECHO, {"answer": b"HTTP/1.1 200 OK\r\n\r\nx"}, "protocol"),
    "a reset before the answer": (ECHO, {"answer": RESET}, "opening"),
    "an end before the answer": (ECHO, {"answer": HALF}, "opening"),
    "no answer": ([*ECHO, "--timeout", "0.5"], {"answer": b""}, "timeout"),
}


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_is_seen(load: str, lie: str) -> None:
    arguments, spoiled, error = LIES[lie]
    # Bytes spoilt on the way up are seen by the origin, and stand in its report.
    with started(load, wrong=1 if "up" in spoiled else 0) as origin, proxy(**spoiled) as address:
        code, result = run(load, *arguments, "--via", "connect", "--proxy", address, "--origin", f"127.0.0.1:{origin}")
    assert code == 1
    assert {kind: count for kind, count in result["errors"].items() if count} == {error: 1}
    assert result["completed"] == 0
    if error == "refused":
        assert result["refusal"] == 403


def test_an_honest_proxy_is_believed(load: str, origin: int) -> None:
    with proxy() as address:
        for arguments in (ECHO, DOWN, UP):
            code, _ = run(load, *arguments, "--via", "connect", "--proxy", address, "--origin", f"127.0.0.1:{origin}")
            assert code == 0


def test_nobody_listens(load: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, result = run(load, "open-close", "--count", "500", "--origin", address)
        assert code == 1
        assert result["errors"]["connect"] == 500
        code, result = run(load, "pingpong", "--count", "3", "--origin", address)
        assert result["errors"]["connect"] == 3


GOOD: Final = ["--origin", "127.0.0.1:9"]
HTTP2: Final = [*GOOD, "--via", "http2", "--proxy", "127.0.0.1:9"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["client"],
        ["client", "pingpong"],
        ["client", "pingpong", "--origin", "192.0.2.1:80"],
        ["client", "pingpong", "--origin", "[2001:db8::1]:80"],
        ["client", "pingpong", "--origin", "localhost:80"],
        ["client", "pingpong", "--origin", "127.0.0.1:65536"],
        ["client", "pingpong", "--origin", "127.0.0.1"],
        ["client", "pingpong", *GOOD, "--via", "socks5"],
        ["client", "pingpong", *GOOD, "--via", "socks5", "--proxy", "10.0.0.1:1080"],
        ["client", "pingpong", *GOOD, "--via", "carrier pigeon"],
        ["client", "pingpong", *GOOD, "--via", "connect", "--proxy", "127.0.0.1:1", "--ask", "example.com"],
        ["client", "pingpong", *GOOD, "--via", "connect", "--proxy", "127.0.0.1:1", "--ask", "a b.test"],
        ["client", "pingpong", *GOOD, "--ask", "localhost"],
        ["client", "pingpong", *GOOD, "--count", "0"],
        ["client", "pingpong", *GOOD, "--count", "60001"],
        ["client", "pingpong", *GOOD, "--seconds", "nan"],
        ["client", "pingpong", *GOOD, "--seconds", "1e9"],
        ["client", "pingpong", *GOOD, "--size", "-1"],
        ["client", "pingpong", *GOOD, "--end", "never"],
        ["client", "pingpong", *GOOD, "more"],
        ["client", "pingpong", *GOOD, "--hold", "1"],
        ["client", "idle", *GOOD, "--rate", "1"],
        ["client", "idle", *GOOD, "--sources", "0"],
        ["client", "idle", "--origin", "[::1]:9", "--sources", "2"],
        ["client", "open-close", *GOOD, "--rate", "-1"],
        ["client", "juggle", *GOOD],
        ["client", "idle", *GOOD, "--connections", "2"],
        ["client", "bulk-down", *GOOD, "--stalled", "1", "--count", "2"],
        ["client", "bulk-up", *HTTP2, "--stalled", "1", "--count", "2"],
        ["client", "bulk-down", *HTTP2, "--stalled", "2", "--count", "2"],
        ["client", "bulk-down", *HTTP2, "--stalled", "-1"],
        ["client", "idle", *HTTP2, "--connections", "0"],
        ["client", "idle", *HTTP2, "--window", "65535000000"],
        ["client", "idle", *HTTP2, "--frame", "16383"],
        ["origin", "--listen", "0.0.0.0:0"],
        ["origin", "--seconds", "0"],
        ["origin", "more"],
    ],
    ids=" ".join,
)
def test_bad_arguments(load: str, arguments: list[str]) -> None:
    done = subprocess.run([load, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
