"""The load generator over TLS: every mode through the gateway, full and resumed handshakes, and those that fail."""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest

from bench.peers.base import secured
from bench.peers.sluice import secure, trust
from tests.support.generator import Result, run
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, policy

OPENING: Final = ["open-close", "--count", "60", "--at-once", "20"]
MODES: Final[dict[str, tuple[str, list[str]]]] = {
    "full handshakes": ("tls", OPENING),
    "resumed ones": ("tls", [*OPENING, "--resume"]),
    "a client's certificate": ("mtls", OPENING),
    "bulk-down, a given size": ("tls", ["bulk-down", "--count", "3", "--bytes", "3000001"]),
    "bulk-up over HTTP/2, no report": ("http2-tls", ["bulk-up", "--count", "3", "--seconds", "0.3", "--end", "reset"]),
    "a client's certificate, resumed": ("mtls", [*OPENING, "--resume"]),
    "half-closed": ("tls", ["open-close", "--count", "12", "--at-once", "4", "--end", "half", "--size", "300000"]),
    "pingpong": ("tls", ["pingpong", "--count", "5", "--seconds", "0.3"]),
    "pingpong over HTTP/2": ("http2-tls", ["pingpong", "--count", "5", "--seconds", "0.3", "--connections", "2"]),
    "bulk-down over HTTP/2": ("http2-tls", ["bulk-down", "--count", "3", "--bytes", "3000001"]),
    "bulk-up, a given size": ("tls", ["bulk-up", "--count", "3", "--bytes", "3000001"]),
    "bulk-up over HTTP/2": ("http2-tls", ["bulk-up", "--count", "3", "--bytes", "3000001"]),
    "idle": ("tls", ["idle", "--count", "100", "--seconds", "0.3"]),
}


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    """A gateway's listeners by way."""
    tls, mtls = free_port(), free_port()
    gateway = Gateway([policy("origin", [{"cidr": "127.0.0.0/8"}])], {"identity": trust()})
    gateway.config["listeners"] += [secure("tls", tls), secure("mtls", mtls, mutual=True)]
    with gateway:
        yield {"tls": tls, "http2-tls": tls, "mtls": mtls}


def through(port: int, origin: int, via: str = "connect") -> list[str]:
    return ["--via", via, "--proxy", f"127.0.0.1:{port}", "--origin", f"127.0.0.1:{origin}"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_ends_well(load: str, origin: int, ports: dict[str, int], mode: str) -> None:
    way, arguments = MODES[mode]
    via = "http2" if way == "http2-tls" else "connect"
    code, result = run(load, *arguments, *through(ports[way], origin, via), *secured(way))
    assert failures(result) == {}
    assert code == 0
    count = int(arguments[2])
    assert result["opened"] == result["completed"] == count
    connections = 2 if "--connections" in arguments else 1 if via == "http2" else count
    assert result["handshakes"] == connections
    assert result["resumed"] == (count - 1 if "--resume" in arguments else 0)
    if "--bytes" in arguments:
        assert result["bytes_down" if "bulk-down" in arguments else "bytes_up"] == 3 * 3000001


def failures(result: Result) -> dict[str, int]:
    return {kind: count for kind, count in result["errors"].items() if count}


def test_without_a_certificate_that_is_demanded(load: str, origin: int, ports: dict[str, int]) -> None:
    code, result = run(load, "open-close", "--count", "3", *through(ports["mtls"], origin), "--tls")
    assert code == 1
    # A TLS 1.3 client is done before the server has looked: the alert comes in place of an answer.
    assert failures(result) == {"opening": 3}


@contextlib.contextmanager
def saying(answer: bytes) -> Iterator[int]:
    """A server that reads something and sends the same to all."""

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    client.recv(4096)
                    client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"\x16\x03\x03\xff\xff" + bytes(99)])
@pytest.mark.parametrize("via", ["connect", "http2"])
def test_an_answer_that_is_not_tls(load: str, origin: int, via: str, answer: bytes) -> None:
    with saying(answer) as port:
        code, result = run(load, "open-close", "--count", "3", *through(port, origin, via), "--tls")
    assert code == 1
    assert failures(result)["tls"] >= 1
    assert set(failures(result)) <= {"tls", "connect"}  # streams of a connection that has failed
    assert sum(failures(result).values()) == 3


def test_options_that_do_not_go_together(load: str, origin: int) -> None:
    wrong: list[list[Any]] = [["--resume"], ["--certificate", "a", "--key", "b"], ["--tls", "--certificate", "a"]]
    for options in wrong:
        command = [load, "client", "open-close", "--origin", f"127.0.0.1:{origin}", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2, options
        assert "go" in done.stderr
