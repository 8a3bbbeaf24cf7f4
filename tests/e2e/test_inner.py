"""The name inside a tunnel: TLS and plain HTTP must speak of the name asked for, and can earn an address its way in."""

import ssl
from collections.abc import Iterator

import pytest

from tests.e2e import wire
from tests.e2e.conftest import World
from tests.e2e.gateway import Gateway, policy


def hello(name: str | None) -> bytes:
    """A real ClientHello for `name`."""
    context = ssl.create_default_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def get(host: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


@pytest.fixture(scope="module")
def by_name(world: World) -> Iterator[Gateway]:
    """Host rules only: an address is let in for the name that it shows, if at all."""
    config = {"dns": {"servers": [world.names.address]}}
    port = world.echo.port
    rules = [policy("named", [{"host": "open.test", "ports": [port]}])]
    rules.append(policy("loose", [{"host": "both.test", "ports": [port]}], innerName="off"))
    with Gateway(rules, config) as gateway:
        yield gateway


AGREE = {"TLS": hello("open.test"), "HTTP": get("open.test"), "HTTP with a port": get("open.test:8080")}
SILENT = {"TLS without a name": hello(None), "neither TLS nor HTTP": b"\x00\x01\x02", "SSH": b"SSH-2.0-x\r\n"}
DISAGREE = {"TLS": hello("evil.test"), "HTTP": get("evil.test"), "HTTP to an address": get("192.0.2.1")}


def test_the_examples_are_what_they_say() -> None:
    assert b"open.test" in AGREE["TLS"] and b"evil.test" in DISAGREE["TLS"]


@pytest.mark.parametrize("first", [*AGREE.values(), *SILENT.values()], ids=[*AGREE, *SILENT])
def test_the_same_name_or_none_passes(by_name: Gateway, world: World, first: bytes) -> None:
    with wire.connect(by_name.port) as client:
        wire.open_socks5(client, "open.test", world.echo.port)
        client.sendall(first)
        assert wire.exactly(client, len(first)) == first


@pytest.mark.parametrize("first", DISAGREE.values(), ids=list(DISAGREE))
def test_another_name_is_reset_before_a_byte_of_it_leaves(by_name: Gateway, world: World, first: bytes) -> None:
    with wire.connect(by_name.port) as client:
        local = client.getsockname()[1]
        wire.open_socks5(client, "open.test", world.echo.port)
        client.sendall(first)
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
    line = by_name.logged(0, local)
    assert (line["verdict"], line["phase"], line["reason"]) == ("deny", "inner", "inner_name_mismatch")
    assert line["bytes_up"] == 0


@pytest.mark.parametrize("first", DISAGREE.values(), ids=list(DISAGREE))
def test_a_rule_can_turn_it_off(by_name: Gateway, world: World, first: bytes) -> None:
    with wire.connect(by_name.port) as client:
        wire.open_socks5(client, "both.test", world.echo.port)
        client.sendall(first)
        assert wire.exactly(client, len(first)) == first


@pytest.mark.parametrize("first", AGREE.values(), ids=list(AGREE))
def test_an_address_is_let_in_for_the_name_it_shows(by_name: Gateway, world: World, first: bytes) -> None:
    with wire.connect(by_name.port) as client:
        wire.open_socks5(client, "127.0.0.1", world.echo.port)
        client.sendall(first)
        assert wire.exactly(client, len(first)) == first


@pytest.mark.parametrize(
    "first", [*DISAGREE.values(), *SILENT.values()], ids=[*DISAGREE, *SILENT]
)
def test_an_address_that_shows_no_allowed_name_is_reset(by_name: Gateway, world: World, first: bytes) -> None:
    with wire.connect(by_name.port) as client:
        local = client.getsockname()[1]
        wire.open_socks5(client, "127.0.0.1", world.echo.port)
        client.sendall(first)
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
    line = by_name.logged(0, local)
    assert (line["verdict"], line["phase"]) == ("deny", "inner")


def test_a_name_may_arrive_byte_by_byte(by_name: Gateway, world: World) -> None:
    first = AGREE["TLS"]
    with wire.connect(by_name.port) as client:
        wire.open_socks5(client, "127.0.0.1", world.echo.port)
        wire.send_split(client, first, [1] * len(first))
        assert wire.exactly(client, len(first)) == first


@pytest.mark.parametrize("host", ["open.test", "127.0.0.1"])
def test_a_name_begun_and_not_finished_is_denied_in_the_end(by_name: Gateway, world: World, host: str) -> None:
    with wire.connect(by_name.port) as client:
        local = client.getsockname()[1]
        wire.open_socks5(client, host, world.echo.port)
        client.sendall(AGREE["TLS"][:20])
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
    assert by_name.logged(0, local)["reason"] == "inner_name_missing"
