"""Reload against live tunnels: each is judged again, and ends as its admitting rule said (DECISIONS.md section 5)."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, Mapping, policy

HARD: Mapping = {"hard": True}


def allow(world: World, **spec: Any) -> Mapping:
    return policy("open", [{"host": "open.test", "ports": [world.echo.port]}], **spec)


def nothing() -> list[Mapping]:
    return [policy("elsewhere", [{"host": "elsewhere.test"}])]


def settings(world: World) -> Mapping:
    return {"dns": {"servers": [world.names.address]}}


def tunnel(gateway: Gateway, world: World, opening: Callable[..., None] = wire.open_socks5) -> socket.socket:
    client = wire.connect(gateway.port)
    opening(client, "open.test", world.echo.port)
    assert_alive(client)
    return client


def assert_alive(client: socket.socket) -> None:
    client.sendall(b"still?")
    assert wire.exactly(client, 6) == b"still?"


def assert_reset(client: socket.socket) -> None:
    with pytest.raises(ConnectionResetError):
        wire.to_the_end(client)


@pytest.mark.parametrize("opening", wire.OPENINGS.values(), ids=list(wire.OPENINGS))
def test_a_tunnel_that_nothing_allows_any_more_is_killed(world: World, opening: Callable[..., None]) -> None:
    with Gateway([allow(world)], settings(world)) as gateway, tunnel(gateway, world, opening) as client:
        gateway.reload(nothing())
        assert_reset(client)
        line = gateway.event(event="close", outcome="revoked")
        assert (line["reason"], line["verdict"], line["generation"]) == ("no_rule", "deny", 2)


def test_a_tunnel_that_is_still_allowed_notices_nothing(world: World) -> None:
    with Gateway([allow(world)], settings(world)) as gateway, tunnel(gateway, world) as client:
        for _ in range(5):
            gateway.reload([allow(world), *nothing()])
            assert_alive(client)


def test_keep_lets_a_tunnel_live_and_new_requests_are_denied(world: World) -> None:
    with Gateway([allow(world, onRevoke="keep")], settings(world)) as gateway, tunnel(gateway, world) as client:
        gateway.reload(nothing())
        assert_alive(client)
        with wire.connect(gateway.port) as late:
            assert wire.socks5(late, "open.test", world.echo.port) == 2
        assert gateway.event(event="decision", outcome="revoked")["destination"]["host"] == "open.test"
        gateway.reload([policy("no", [{"host": "open.test"}], "Deny", **HARD)])
        assert_reset(client)


@pytest.mark.parametrize("named", [False, True], ids=["of no rule any more", "denied by a rule that keeps"])
@pytest.mark.parametrize("hard", ["a rule", "addresses.deny"])
def test_a_hard_deny_of_its_address_kills_whatever_denies_its_name(world: World, hard: str, named: bool) -> None:
    denials = [policy("no", [{"host": "open.test"}], "Deny", onRevoke="keep")] if named else nothing()
    with Gateway([allow(world, onRevoke="keep")], settings(world)) as gateway, tunnel(gateway, world) as client:
        gateway.reload(denials)
        assert_alive(client)
        network = f"{world.echo.host}/32"
        if hard == "a rule":
            gateway.reload([*denials, policy("hard", [{"cidr": network}], "Deny", **HARD)])
        else:
            gateway.config["addresses"]["deny"] = [network]
            gateway.write_config()
            gateway.reload()
        assert_reset(client)
        wanted = "rule_hard_deny" if hard == "a rule" else "address_denied"
        assert gateway.event(event="close", outcome="revoked")["reason"] == wanted


def test_drain_kills_after_the_drain_time(world: World) -> None:
    with Gateway([allow(world, onRevoke="drain")], settings(world)) as gateway, tunnel(gateway, world) as client:
        gateway.reload(nothing())
        assert_alive(client)
        assert_reset(client)
        assert gateway.event(event="close", outcome="revoked")["reason"] == "no_rule"


@pytest.mark.parametrize(
    ("admitted", "denial", "killed"),
    [
        ("keep", {"onRevoke": "kill"}, True),
        ("kill", {"onRevoke": "keep"}, False),
        ("kill", {}, True),
        ("keep", {}, False),
        ("keep", {"hard": True, "onRevoke": "keep"}, True),
    ],
    ids=["the denial says kill", "the denial says keep", "kill as admitted", "keep as admitted", "hard always kills"],
)
def test_an_explicit_denial_has_the_last_word(world: World, admitted: str, denial: Mapping, killed: bool) -> None:
    with Gateway([allow(world, onRevoke=admitted)], settings(world)) as gateway, tunnel(gateway, world) as client:
        gateway.reload([allow(world), policy("no", [{"host": "open.test"}], "Deny", **denial)])
        if killed:
            assert_reset(client)
        else:
            assert_alive(client)


def test_a_network_that_changes_hands_revokes_what_its_old_identity_had(world: World) -> None:
    shop = {**settings(world), "identity": {"networks": [{"cidr": "127.0.0.0/8", "namespace": "shop"}]}}
    rules = [policy("open", [{"host": "open.test"}], namespace="shop")]
    with Gateway(rules, shop) as gateway, tunnel(gateway, world) as client:
        gateway.config["identity"]["networks"][0]["namespace"] = "frontend"
        gateway.write_config()
        gateway.reload(rules)
        assert_reset(client)


def test_a_reset_by_revocation_reaches_the_origin_too(world: World) -> None:
    with Gateway([allow(world)], settings(world)) as gateway:
        clients = [tunnel(gateway, world) for _ in range(50)]
        gateway.reload(nothing())
        for client in clients:
            assert_reset(client)
            client.close()
        eventually(lambda: gateway.counter("tunnels_open") == 0, "no tunnel is left")
