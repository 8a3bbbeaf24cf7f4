"""Plain requests through a parent of type `http`: in absolute-form, with its login, on kept connections."""

import base64
import socket
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.eventually import eventually
from tests.support.http_client import Client
from tests.support.http_origin import Stream
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, policy

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
LOGIN: Final = "Basic " + base64.b64encode(b"sluice:hunter2").decode()


class Seen:
    """Requests that came, by connection."""

    def __init__(self, line: str, fields: dict[str, str], connection: int) -> None:
        self.line, self.fields, self.connection = line, fields, connection


def serve(connection: socket.socket, origin: Origin) -> None:
    """A proxy that answers by itself, as the path says, and echoes in a tunnel."""
    number = origin.accepted
    stream = Stream(connection, bytearray())
    stream.more()
    proxied = stream.rest.startswith(SIGNATURE)
    if proxied:
        stream.exactly(len(SIGNATURE) + 2)
        stream.exactly(int.from_bytes(stream.exactly(2), "big"))
    while True:
        try:
            line, *lines = stream.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        except EOFError:
            return
        fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        fields["proxied"] = "yes" if proxied else "no"
        origin.note(Seen(line, fields, number))
        if line.startswith("CONNECT "):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            echo(connection, origin)
            return
        if "/407" in line:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n"
                               b"Content-Length: 6\r\n\r\nlog in")  # fmt: skip
        elif "/502" in line:
            connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nfails")
        else:
            body = stream.exactly(int(fields.get("content-length", "0")))
            text = f"{line}|{len(body)}".encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))


@pytest.fixture
def parent() -> Iterator[Origin]:
    with Origin(serve) as running:
        yield running


def near(parent: Origin, **upstream: str) -> Gateway:
    given = {"name": "corp", "type": "http", "addresses": [f"127.0.0.1:{parent.port}"], **upstream}
    rules = [policy("far", [{"host": "*.far.test"}, {"cidr": "127.0.0.9/32"}], upstream="corp")]
    return Gateway(rules, {"upstreams": [given]}, files={"secret": "hunter2\n"})


@pytest.fixture
def gateway(parent: Origin) -> Iterator[Gateway]:
    with near(parent, user="sluice", passwordFile="secret") as running:
        yield running
        assert running.counter("internal_errors_total") == 0


def last(parent: Origin) -> Seen:
    return [one for one in parent.seen if isinstance(one, Seen)][-1]


def came(parent: Origin) -> int:
    return sum(isinstance(one, Seen) for one in parent.seen)


@pytest.mark.parametrize("url", ["http://www.far.test/a/b?c", "http://www.far.test:8080/", "http://127.0.0.9/x"])
def test_the_parent_gets_absolute_form(gateway: Gateway, parent: Origin, url: str) -> None:
    with Client(gateway.port) as client:
        found = client.get(url, "Proxy-Authorization: Basic Y2xpZW50OnNlY3JldA==")
        assert (found.status, found.body.decode()) == (200, f"GET {url} HTTP/1.1|0")
    assert last(parent).fields["proxy-authorization"] == LOGIN
    assert last(parent).fields["host"] == url.split("/")[2]


def test_origin_form_becomes_absolute(gateway: Gateway, parent: Origin) -> None:
    with Client(gateway.port) as client:
        client.send(b"POST /p HTTP/1.1\r\nHost: api.far.test\r\nContent-Length: 3\r\n\r\nabc")
        assert client.response().body == b"POST http://api.far.test/p HTTP/1.1|3"
        client.send(b"OPTIONS * HTTP/1.1\r\nHost: api.far.test\r\n\r\n")
        assert client.response().body == b"OPTIONS http://api.far.test HTTP/1.1|0"


def test_one_connection_carries_requests_of_all_clients_and_destinations(gateway: Gateway, parent: Origin) -> None:
    for number in range(4):
        with Client(gateway.port) as client:
            for name in ("a", "b"):
                assert client.get(f"http://{name}{number}.far.test/").status == 200
    assert parent.accepted == 1


def test_without_a_login_none_is_sent(parent: Origin) -> None:
    with near(parent) as gateway, Client(gateway.port) as client:
        assert client.get("http://www.far.test/", "Proxy-Authorization: Basic Y2xpZW50OnNlY3JldA==").status == 200
    assert "proxy-authorization" not in last(parent).fields


def test_a_challenge_of_the_parent_reaches_no_client(gateway: Gateway, parent: Origin) -> None:
    with Client(gateway.port) as client:
        found = client.get("http://www.far.test/407")
        assert found.status == 502 and "connection_refused" in found.value("proxy-status")
        assert client.get("http://www.far.test/502").body == b"fails"
    assert last(parent).connection == 2, "the connection that was challenged is not used again"


def test_upgrades_and_tls_go_by_tunnel(gateway: Gateway, parent: Origin) -> None:
    with Client(gateway.port) as client:
        client.send(
            b"GET http://ws.far.test/ HTTP/1.1\r\nHost: ws.far.test\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
        )
        eventually(lambda: came(parent) == 1, "the parent was asked")
    assert last(parent).line == "CONNECT ws.far.test:80 HTTP/1.1"
    with Client(gateway.port) as client:
        client.send(b"GET https://tls.far.test/ HTTP/1.1\r\nHost: tls.far.test\r\n\r\n")
        eventually(lambda: came(parent) == 2, "the parent was asked again")
    assert last(parent).line == "CONNECT tls.far.test:443 HTTP/1.1"


def test_a_parent_that_is_told_the_client_gets_a_connection_for_each(parent: Origin) -> None:
    with near(parent, proxyProtocol="v2") as gateway, Client(gateway.port) as client:
        for number in range(2):
            assert client.get("http://www.far.test/").status == 200
            assert last(parent).connection == number + 1
            assert last(parent).fields["proxied"] == "yes"


def test_kept_connections_end_with_another_login(gateway: Gateway, parent: Origin) -> None:
    with Client(gateway.port) as client:
        assert client.get("http://www.far.test/").status == 200
        (gateway.folder / "secret").write_text("another\n")
        gateway.reload()
        assert client.get("http://www.far.test/").status == 200
    assert last(parent).connection == 2
    assert last(parent).fields["proxy-authorization"] == "Basic " + base64.b64encode(b"sluice:another").decode()
