"""Credentials over every protocol: optional, required, wrong, and what they allow."""

import base64
import contextlib
from collections.abc import Iterator

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, World, sample_policy, sample_users
from tests.support import wire
from tests.support.run_gateway import Gateway

BAD = [("build-bot", "wrong"), ("stranger", PASSWORD)]


@pytest.fixture(scope="module")
def strict(world: World) -> Iterator[Gateway]:
    """A gateway that requires credentials."""
    config = {"identity": {"users": "users.yaml"}, "dns": {"servers": [world.names.address]}}
    gateway = Gateway(sample_policy(world), config, files={"users.yaml": yaml.safe_dump(sample_users())})
    gateway.config["listeners"][0]["auth"] = "required"
    with gateway:
        yield gateway


def test_a_user_reaches_what_only_it_may(mesh: Gateway, world: World) -> None:
    port = world.team.port
    before = len(mesh.events())
    with wire.connect(mesh.port) as client:
        local = client.getsockname()[1]
        assert wire.socks5(client, "team.test", port, "build-bot", PASSWORD) == 0
        assert wire.echoes(client)
    line = mesh.logged(before, local)
    assert line["source"]["user"] == "build-bot"
    assert (line["source"]["identity"], line["source"]["identity_source"]) == ("shop/robot", "password")
    with wire.connect(mesh.port) as client:
        assert wire.socks5(client, "team.test", port, "visitor", PASSWORD) == 2
    with wire.connect(mesh.port) as client:
        assert wire.socks5(client, "team.test", port) == 2


def test_http_credentials(mesh: Gateway, world: World) -> None:
    with wire.connect(mesh.port) as client:
        answer = wire.http(client, f"team.test:{world.team.port}", wire.basic("build-bot", PASSWORD))
        assert answer.status == 200
        assert wire.echoes(client)


@pytest.mark.parametrize(("user", "password"), BAD)
def test_wrong_credentials_fail_even_where_none_are_needed(
    mesh: Gateway, world: World, user: str, password: str
) -> None:
    port = world.echo.port
    with wire.connect(mesh.port) as client:
        assert wire.socks5(client, "localhost", port, user, password) == 0x100
        assert wire.to_the_end(client) == b""
    with wire.connect(mesh.port) as client:
        answer = wire.http(client, f"localhost:{port}", wire.basic(user, password))
        assert answer.status == 407
        assert answer.headers["proxy-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "field",
    [
        "Proxy-Authorization: Bearer abc\r\n",
        "Proxy-Authorization: Basic !!!\r\n",
        f"Proxy-Authorization: Basic {base64.b64encode(b'no colon').decode()}\r\n",
        wire.basic("build-bot", PASSWORD) + wire.basic("build-bot", PASSWORD),
    ],
    ids=["another scheme", "not base64", "no colon", "twice"],
)
def test_credentials_that_cannot_be_read(mesh: Gateway, world: World, field: str) -> None:
    with wire.connect(mesh.port) as client:
        assert wire.http(client, f"localhost:{world.echo.port}", field).status in (400, 407)


def test_required_means_required(strict: Gateway, world: World) -> None:
    port = world.echo.port
    with wire.connect(strict.port) as client:
        assert wire.socks5(client, "localhost", port) == 0xFF
        assert wire.to_the_end(client) == b""
    with wire.connect(strict.port) as client:
        answer = wire.http(client, f"localhost:{port}")
        assert answer.status == 407
        assert answer.headers["proxy-authenticate"].startswith("Basic ")
    with wire.connect(strict.port) as client:
        # SOCKS4 has no password: it cannot be let in.
        assert wire.socks4a(client, "localhost", port) == 0x5B


def test_required_and_given(strict: Gateway, world: World) -> None:
    port = world.echo.port
    with wire.connect(strict.port) as client:
        assert wire.socks5(client, "localhost", port, "visitor", PASSWORD) == 0
    with wire.connect(strict.port) as client:
        assert wire.http(client, f"localhost:{port}", wire.basic("visitor", PASSWORD)).status == 200


def test_the_method_with_credentials_is_chosen_when_both_are_offered_and_required(
    strict: Gateway, world: World
) -> None:
    with wire.connect(strict.port) as client:
        client.sendall(b"\x05\x02\x00\x02")
        assert wire.exactly(client, 2) == b"\x05\x02"
        client.sendall(wire.socks5_login("visitor", PASSWORD))
        assert wire.exactly(client, 2) == b"\x01\x00"
        client.sendall(wire.socks5_request("localhost", world.echo.port))
        assert wire.socks5_reply(client) == 0


def test_a_password_is_never_logged(mesh: Gateway, world: World) -> None:
    with wire.connect(mesh.port) as client:
        local = client.getsockname()[1]
        wire.socks5(client, "localhost", world.echo.port, "build-bot", PASSWORD)
    mesh.logged(0, local)
    encoded = base64.b64encode(f"build-bot:{PASSWORD}".encode()).decode()
    for name in ("access.log", "out.log", "err.log"):
        text = (mesh.folder / name).read_text(errors="replace")
        assert PASSWORD not in text and encoded not in text


def test_login_split_byte_by_byte(strict: Gateway, world: World) -> None:
    request = b"\x05\x01\x02" + wire.socks5_login("visitor", PASSWORD)
    request += wire.socks5_request("localhost", world.echo.port) + b"\x00ping"
    with wire.connect(strict.port) as client:
        wire.send_split(client, request, [1] * len(request))
        assert wire.exactly(client, 4) == b"\x05\x02\x01\x00"
        assert wire.socks5_reply(client) == 0
        assert wire.exactly(client, 5) == b"\x00ping"


def test_many_logins_at_once(strict: Gateway) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(wire.connect(strict.port)) for _ in range(40)]
        for client in clients:
            client.sendall(b"\x05\x01\x02" + wire.socks5_login("visitor", PASSWORD))
        for client in clients:
            assert wire.exactly(client, 4) == b"\x05\x02\x01\x00"
