"""The load generator over HTTP/2: every mode through an honest proxy, every lie seen, and bytes that are not frames."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.bench.test_load import DOWN, ECHO, UP, at, double, flip, lose
from tests.support.generator import Result, run, started
from tests.support.h2_proxy import proxy
from tests.vectors.http2 import PREFACE, frame

SMALL: Final = ["--window", "20000"]  # so that tunnels wait for windows and the windows for tunnels
MODES: Final[dict[str, list[str]]] = {
    "open-close": ["open-close", "--count", "60", "--at-once", "20", "--connections", "3"],
    "open-close, half-closed": ["open-close", "--count", "12", "--at-once", "4", "--end", "half", "--size", "300000"],
    "open-close, reset": ["open-close", "--count", "30", "--at-once", "30", "--end", "reset"],
    "open-close, held": ["open-close", "--count", "20", "--hold", "0.1", "--at-once", "20", "--connections", "2"],
    "pingpong": ["pingpong", "--count", "5", "--seconds", "0.3", "--connections", "2"],
    "pingpong, by the clock": ["pingpong", "--count", "10", "--seconds", "0.3", "--rate", "20"],
    "pingpong of large messages": ["pingpong", "--count", "3", "--seconds", "2", "--size", "1048576", *SMALL],
    "bulk-down": ["bulk-down", "--count", "3", "--seconds", "0.3"],
    "bulk-down, a given size": ["bulk-down", "--count", "3", "--bytes", "3000001", *SMALL],
    "bulk-down, large frames": ["bulk-down", "--count", "3", "--bytes", "3000001", "--frame", "131072"],
    "bulk-up": ["bulk-up", "--count", "3", "--seconds", "0.3", "--connections", "2"],
    "bulk-up, no report": ["bulk-up", "--count", "3", "--seconds", "0.3", "--end", "reset"],
    "bulk-up, a given size": ["bulk-up", "--count", "3", "--bytes", "3000001"],
    "idle": ["idle", "--count", "100", "--seconds", "0.3", "--connections", "7"],
}


def over(address: str, origin: int) -> list[str]:
    return ["--via", "http2", "--proxy", address, "--origin", f"127.0.0.1:{origin}"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_ends_well(load: str, origin: int, mode: str) -> None:
    arguments = MODES[mode]
    with proxy() as address:
        code, result = run(load, *arguments, *over(address, origin))
    assert {kind: count for kind, count in result["errors"].items() if count} == {}
    assert code == 0
    count = int(arguments[2])
    assert result["opened"] == result["completed"] == result["tunnels"] == result["open_us"]["count"] == count
    if arguments[0] == "open-close":
        size = int(arguments[arguments.index("--size") + 1]) if "--size" in arguments else 64
        echoes = 2 if "--hold" in arguments else 1
        assert result["round_trips"] == count * echoes
        assert result["bytes_up"] == result["bytes_down"] == count * echoes * size
    elif arguments[0] == "pingpong":
        assert 0 < result["round_trips"] <= result["round_trip_us"]["count"]
    elif arguments[0] == "idle":
        assert result["round_trip_us"]["count"] == 2 * count
    elif "--bytes" in arguments:
        assert result["bytes_down" if arguments[0] == "bulk-down" else "bytes_up"] == 3 * 3000001
    else:
        assert result["bytes_down" if arguments[0] == "bulk-down" else "bytes_up"] > 0


def test_a_stalled_reader_takes_one_window_and_is_not_counted(load: str, origin: int) -> None:
    arguments = ["bulk-down", "--count", "3", "--seconds", "0.5", "--stalled", "1", "--window", "50000"]
    with proxy() as address:
        code, result = run(load, *arguments, *over(address, origin))
    assert code == 0
    assert result["bytes_stalled"] == 50000
    assert result["bytes_down"] > 50000


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
    "a report with a byte too many": (UP, {"down": at(0, double)}, "content"),
    "no report": (UP, {"down": at(0, lambda data, i: b"")}, "end"),
    "a refusal": (ECHO, {"status": "403"}, "refused"),
    "a stream reset before the answer": (ECHO, {"status": "reset"}, "opening"),
    "a connection reset before the answer": (ECHO, {"status": "close"}, "opening"),
    "no answer": ([*ECHO, "--timeout", "0.5"], {"status": "silent"}, "timeout"),
}


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_is_seen(load: str, lie: str) -> None:
    arguments, spoiled, error = LIES[lie]
    with started(load, wrong=1 if "up" in spoiled else 0) as origin, proxy(**spoiled) as address:
        code, result = run(load, *arguments, *over(address, origin))
    assert_one(code, result, error)
    assert result["refusal"] == (403 if error == "refused" else 0)


def assert_one(code: int, result: Result, error: str) -> None:
    assert code == 1
    assert {kind: count for kind, count in result["errors"].items() if count} == {error: 1}
    assert result["completed"] == 0


@contextlib.contextmanager
def script(answer: bytes) -> Iterator[str]:
    """A server that sends one thing once the client's request is there, and waits for it to leave."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                with client:
                    heard = b""
                    while b"\x01\x04\x00\x00\x00\x01" not in heard:
                        heard += client.recv(4096)
                    assert heard.startswith(PREFACE)
                    client.sendall(frame("SETTINGS") + answer)
                    while client.recv(4096):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join()


OK: Final = frame("HEADERS", 4, 1, b"\x88")
SCRIPTS: Final[dict[str, tuple[bytes, str]]] = {
    "no HTTP/2": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol"),
    "DATA before the answer": (frame("DATA", 0, 1, b"x"), "protocol"),
    "DATA on no stream": (OK + frame("DATA", 0, 0, b"x"), "protocol"),
    "padded DATA": (OK + frame("DATA", 8, 1, b"\0x"), "protocol"),
    "a frame too large": (OK + frame("DATA", 0, 1, bytes(16385)), "protocol"),
    "a header block in parts": (frame("HEADERS", 0, 1, b"\x88"), "protocol"),
    "an invalid header block": (frame("HEADERS", 4, 1, b"\xff\xff\xff\xff\xff"), "protocol"),
    "an empty header block": (frame("HEADERS", 4, 1, b""), "protocol"),
    "an answer without a status": (frame("HEADERS", 4, 1, b"\x84"), "protocol"),
    "two answers": (OK + OK, "protocol"),
    "a short RST_STREAM": (frame("RST_STREAM", 0, 9, b"\0"), "protocol"),
    "a window opened by nothing": (frame("WINDOW_UPDATE", 0, 0, bytes(4)), "protocol"),
    "settings cut short": (frame("SETTINGS", 0, 0, b"\0\4\0"), "protocol"),
    "payload that was not asked for": (OK + frame("DATA", 0, 1, b"x" * 16000), "content"),
    "an interim answer, then a refusal": (
        frame("HEADERS", 4, 1, b"\x08\x03103") + frame("HEADERS", 5, 1, b"\x08\x03502"), "refused",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_frames_that_are_none(load: str, name: str) -> None:
    answer, error = SCRIPTS[name]
    with script(answer) as address:
        code, result = run(load, "open-close", "--count", "1", "--timeout", "20", *over(address, 9))
    assert_one(code, result, error)


def test_frames_that_are_not_for_us_are_passed_over(load: str) -> None:
    passed = frame("PING", 0, 0, b"01234567") + b"\0\0\3\xfa\0\0\0\0\1abc" + frame("WINDOW_UPDATE", 0, 77, b"\0\0\0\1")
    with script(passed + frame("DATA", 0, 77, b"x") + frame("HEADERS", 5, 1, b"\x08\x03403")) as address:
        code, result = run(load, "open-close", "--count", "1", "--timeout", "20", *over(address, 9))
    assert_one(code, result, "refused")
    assert result["refusal"] == 403


def test_nobody_listens(load: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, result = run(load, "open-close", "--count", "50", "--connections", "3", *over(address, 9))
        assert code == 1
        assert result["errors"]["connect"] == 50
