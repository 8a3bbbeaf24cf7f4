"""Large content of known length, which goes by a pipe between clear-text connections: whole, and not a byte more."""

import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http_client import Client
from tests.support.http_origin import Stream
from tests.support.origins import Origin, received, reset
from tests.support.run_gateway import Gateway, policy

SIZE: Final = 12 << 20
CONTENT: Final = bytes(range(256)) * (SIZE // 256)
DIGEST: Final = hashlib.sha256(CONTENT).hexdigest()


def serve(connection: socket.socket, origin: Origin) -> None:
    """As the path says; an upload is answered with its digest."""
    stream = Stream(connection, bytearray())
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE
    while True:
        try:
            line, *lines = stream.until(b"\r\n\r\n").decode().split("\r\n")
        except EOFError:
            return
        path = line.split(" ")[1]
        origin.note(path)
        if path == "/down":
            connection.sendall(head + CONTENT)
        elif path == "/short":
            connection.sendall(head + CONTENT[: SIZE // 2])
            return
        elif path == "/reset":
            connection.sendall(head + CONTENT[: SIZE // 2])
            reset(connection)
            return
        elif path == "/long":
            connection.sendall(head + CONTENT + b"surplus")
        elif path == "/early":
            connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            for _ in received(connection):
                pass
            return
        elif path == "/up-reset":
            stream.exactly(1 << 20)
            reset(connection)
            return
        else:
            length = next((int(each.split(":")[1]) for each in lines if each.lower().startswith("content-length")), 0)
            text = hashlib.sha256(stream.exactly(length)).hexdigest().encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin(serve) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(origin: Origin) -> Iterator[Gateway]:
    with Gateway([policy("open", [{"cidr": "127.0.0.1/32"}])]) as running:
        yield running
        eventually(lambda: running.counter("busy_pipes_open") == 0, "no pipe is held")
        counted = running.counter("splices_begun_total"), running.counter("splices_ended_total")
        assert counted[0] == counted[1] > 0
        assert running.counter("internal_errors_total") == 0


def head(origin: Origin, path: str, method: str = "GET", *fields: str) -> bytes:
    host = f"127.0.0.1:{origin.port}"
    return "\r\n".join([f"{method} http://{host}{path} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode()


def upload(origin: Origin, path: str) -> bytes:
    return head(origin, path, "POST", f"Content-Length: {SIZE}")


def test_responses_are_whole_and_their_connection_is_kept(gateway: Gateway, origin: Origin) -> None:
    before = gateway.counter("splices_begun_total")
    with Client(gateway.port) as client:
        client.send(head(origin, "/down"))
        assert client.response().body == CONTENT
        accepted = origin.accepted
        for _ in range(3):
            client.send(head(origin, "/down"))
            assert hashlib.sha256(client.response().body).hexdigest() == DIGEST
        assert origin.accepted == accepted
    assert gateway.counter("splices_begun_total") >= before + 4


def test_requests_are_whole_and_what_follows_is_the_next_one(gateway: Gateway, origin: Origin) -> None:
    before = gateway.counter("splices_begun_total")
    with Client(gateway.port) as client:
        for _ in range(3):
            client.send(upload(origin, "/up") + CONTENT + head(origin, "/next"))
            assert client.response().body.decode() == DIGEST
            assert client.response().body.decode() == hashlib.sha256().hexdigest()
    assert gateway.counter("splices_begun_total") >= before + 3


def test_bytes_are_counted(gateway: Gateway, origin: Origin) -> None:
    with Client(gateway.port) as client:
        client.send(upload(origin, "/count") + CONTENT)
        client.response()
        client.send(head(origin, "/down?count"))
        client.response()

    def lines() -> list[tuple[int, int]]:
        found = [line for line in gateway.events(event="request") if line["path"].startswith(("/count", "/down?"))]
        return [(line["bytes_up"], line["bytes_down"]) for line in found]

    assert eventually(lambda: lines() if len(lines()) == 2 else [], "two lines")[0] == (SIZE, 64)


@pytest.mark.parametrize("path", ["/down", "/up"])
def test_a_reader_that_stalls_holds_up_the_sender(gateway: Gateway, origin: Origin, path: str) -> None:
    """And is served to the end once it reads on. The origin that gets an upload reads it slowly."""
    with Client(gateway.port) as client:
        if path == "/down":
            client.send(head(origin, "/down"))
            client.stream.more()
            eventually(lambda: gateway.counter("busy_pipes_open") == 1, "a pipe waits for the client")
            assert client.response().body == CONTENT
            return
        sender = threading.Thread(target=client.send, args=(upload(origin, "/up") + CONTENT,))
        sender.start()
        assert client.response().body.decode() == DIGEST
        sender.join()


@pytest.mark.parametrize("path", ["/short", "/reset"])
def test_a_response_that_ends_early_is_cut(gateway: Gateway, origin: Origin, path: str) -> None:
    with Client(gateway.port) as client:
        client.send(head(origin, path))
        with pytest.raises((EOFError, ConnectionResetError)):
            client.response()
    with Client(gateway.port) as client:  # nothing of it is left for others
        client.send(head(origin, "/down"))
        assert client.response().body == CONTENT


def test_surplus_bytes_reach_no_client(gateway: Gateway, origin: Origin) -> None:
    with Client(gateway.port) as client:
        for _ in range(2):
            client.send(head(origin, "/long"))
            assert client.response().body == CONTENT
            client.send(head(origin, "/up"))
            assert client.response().body.decode() == hashlib.sha256().hexdigest()


@pytest.mark.parametrize("way", ["down", "up"])
def test_a_client_that_leaves_midway_is_forgotten(gateway: Gateway, origin: Origin, way: str) -> None:
    with wire.connect(gateway.port) as client:
        if way == "down":
            client.sendall(head(origin, "/down"))
            client.recv(1 << 20)
            eventually(lambda: gateway.counter("busy_pipes_open") == 1, "a pipe waits for the client")
        else:
            client.sendall(upload(origin, "/up") + CONTENT[: SIZE // 2])
        reset(client)
    eventually(lambda: gateway.counter("busy_pipes_open") == 0, "the pipe is given back")
    with Client(gateway.port) as other:
        other.send(head(origin, "/down"))
        assert other.response().body == CONTENT


@pytest.mark.parametrize(("path", "status"), [("/early", 413), ("/up-reset", 502)])
def test_an_upload_that_is_not_taken(gateway: Gateway, origin: Origin, path: str, status: int) -> None:
    with Client(gateway.port) as client:
        sender = threading.Thread(target=send_all, args=(client, upload(origin, path) + CONTENT))
        sender.start()
        assert client.response().status == status
        reset(client.socket)
        sender.join()


def send_all(client: Client, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the gateway takes no more of it
        client.send(data)
