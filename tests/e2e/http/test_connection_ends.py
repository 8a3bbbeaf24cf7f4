"""A client's connection of requests that becomes a tunnel, and one whose client ends its side alone."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, hashed
from tests.e2e.http.conftest import Site
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import abort
from tests.support.http_client import Client
from tests.support.http_origin import Stream
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, policy

# ---- CONNECT behind requests -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def echoes() -> Iterator[Origin]:
    with Origin(echo) as origin:
        yield origin


def test_connect_behind_requests(site: Site, echoes: Origin) -> None:
    with Client(site.gateway.port) as client:
        assert client.get(site.url("/a")).status == 200
        assert client.get(site.url("/b")).status == 200
        assert wire.http(client.socket, f"www.test:{echoes.port}").status == 200
        assert wire.echoes(client.socket)
    line = site.gateway.event(event="close", outcome="closed")
    assert (line["protocol"], line["destination"]["port"]) == ("http", echoes.port)


def test_all_in_one_piece(site: Site, echoes: Origin) -> None:
    requests = b"".join(
        f"GET {site.url(path)} HTTP/1.1\r\nHost: {site.authority}\r\n\r\n".encode() for path in ("/1", "/large", "/2")
    )
    with Client(site.gateway.port) as client:
        client.send(requests + wire.connect_request(f"www.test:{echoes.port}") + b"\x00early")
        assert json.loads(client.response().body)["target"] == "/1"
        assert len(client.response().body) == 1 << 20
        assert json.loads(client.response().body)["target"] == "/2"
        assert client.stream.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert client.stream.exactly(6) == b"\x00early"


def test_byte_by_byte(site: Site, echoes: Origin) -> None:
    with Client(site.gateway.port) as client:
        assert client.get(site.url("/a")).status == 200
        wire.send_split(client.socket, wire.connect_request(f"www.test:{echoes.port}"), [1] * 80)
        assert wire.http_head(client.socket).status == 200
        assert wire.echoes(client.socket)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("CONNECT www.test:{port} HTTP/1.1\r\nHost: www.test\r\nContent-Length: 0\r\n\r\n", 400),
        ("CONNECT www.test:{port} HTTP/1.1\r\nHost: www.test\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("CONNECT www.test:{port} HTTP/1.1\r\nHost : www.test\r\n\r\n", 400),
        ("CONNECT www.test:{port} HTTP/1.1\r\nHost: www.test\r\n folded\r\n\r\n", 400),
        ("CONNECT www.test:{port} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("CONNECT user@www.test:{port} HTTP/1.1\r\nHost: www.test\r\n\r\n", 400),
        ("CONNECT www.test HTTP/1.1\r\nHost: www.test\r\n\r\n", 400),
        ("CONNECT www.test:0 HTTP/1.1\r\nHost: www.test\r\n\r\n", 400),
        ("CONNECT blocked.test:{port} HTTP/1.1\r\nHost: blocked.test\r\n\r\n", 403),
    ],
)
def test_the_checks_of_a_connect(site: Site, echoes: Origin, head: str, status: int) -> None:
    with Client(site.gateway.port) as client:
        assert client.get(site.url("/a")).status == 200
        client.send(head.format(port=echoes.port).encode())
        assert client.response().status == status and client.is_ended()


def test_a_connect_has_credentials_of_its_own(site: Site, echoes: Origin) -> None:
    users = yaml.safe_dump({"users": [{"name": "bot", "hash": hashed(PASSWORD)}]})
    with (
        Gateway(
            [policy("open", [{"host": "localhost"}])],
            {"identity": {"users": "users.yaml"}},
            files={"users.yaml": users},
            listener={"auth": "required"},
        ) as gateway,
        Client(gateway.port) as client,
    ):
        login = wire.basic("bot", PASSWORD).strip()
        assert client.get(f"http://localhost:{site.origin.port}/a", login).status == 200
        client.send(wire.connect_request(f"localhost:{echoes.port}"))
        assert client.response().status == 407


# ---- a client that ends its side alone -------------------------------------------------------------------------------


@pytest.fixture
def waiting() -> Iterator[tuple[Origin, threading.Event]]:
    """An origin that answers once it is told."""
    go_on = threading.Event()

    def serve(connection: socket.socket, origin: Origin) -> None:
        Stream(connection, bytearray()).until(b"\r\n\r\n")
        origin.note("head")
        connection.settimeout(0.05)
        while not go_on.is_set():
            try:
                connection.recv(1)
                origin.note("let go")
                return
            except TimeoutError:
                continue
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")

    with Origin(serve) as origin:
        yield origin, go_on
        go_on.set()


def asked(site: Site, origin: Origin) -> Client:
    client = Client(site.gateway.port)
    client.send(f"GET http://www.test:{origin.port}/x HTTP/1.1\r\nHost: www.test:{origin.port}\r\n\r\n".encode())
    origin.wait(1)
    return client


def test_between_two_requests(site: Site) -> None:
    with Client(site.gateway.port) as client:
        assert client.get(site.url("/a")).status == 200
        client.socket.shutdown(socket.SHUT_WR)
        assert client.is_ended()
    eventually(lambda: site.gateway.counter("connections_open") == 0, "the connection is gone")


def test_the_response_still_comes(site: Site, waiting: tuple[Origin, threading.Event]) -> None:
    origin, go_on = waiting
    with asked(site, origin) as client:
        client.socket.shutdown(socket.SHUT_WR)
        threading.Timer(0.3, go_on.set).start()
        assert client.response().body == b"late"
        assert client.is_ended()


def test_a_connection_that_breaks_lets_its_origin_go(site: Site, waiting: tuple[Origin, threading.Event]) -> None:
    origin, _ = waiting
    client = asked(site, origin)
    client.socket.shutdown(socket.SHUT_WR)
    abort(client.socket)
    assert origin.wait(2)[1] == "let go"
    assert site.gateway.event(event="request", outcome="client_gone", status=None)


def test_a_half_closed_one_has_the_time_of_such(waiting: tuple[Origin, threading.Event]) -> None:
    origin, _ = waiting
    limits = {"halfCloseTimeout": "1s", "idleTimeout": "1h"}
    with Gateway([policy("open", [{"host": "localhost"}])], {"limits": limits}) as gateway:
        with Client(gateway.port) as client:
            client.send(
                f"GET http://localhost:{origin.port}/x HTTP/1.1\r\nHost: localhost:{origin.port}\r\n\r\n".encode()
            )
            origin.wait(1)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.response().status == 504 and client.is_ended()
        assert origin.wait(2)[1] == "let go"
