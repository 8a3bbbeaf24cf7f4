"""Attributes of a decision come one by one from the best rule of the winning tier that sets them, and are what a tunnel
is opened, looked into and revoked by (DECISIONS.md section 4)."""

import json
import socket
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.e2e.conftest import World
from tests.e2e.policy.test_source_address import peer
from tests.support import wire
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, Mapping, policy

CLEAR: Final = b"GET / HTTP/1.1\r\nHost: another.test\r\n\r\n"
RULES: Final = [
    policy("exact", [{"host": "a.open.test"}]),
    policy("near", [{"host": "*.open.test"}], sourceAddress=["127.0.0.21"]),
    policy("wide", [{"host": "*.test"}], sourceAddress=["127.0.0.22"], innerName="off", onRevoke="keep"),
    policy("net", [{"cidr": "127.0.0.0/8"}], onRevoke="drain"),
    policy("source", [{"cidr": "127.0.0.0/16"}], sourceAddress=["127.0.0.23"]),
]
EXACT: Final = "ClusterEgressPolicy/exact"


def settings(world: World) -> Mapping:
    world.names.names["a.open.test"] = ["127.0.0.1"]
    return {"dns": {"servers": [world.names.address]}}


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin(peer) as running:
        yield running


def opened(gateway: Gateway, origin: Origin, host: str = "a.open.test") -> socket.socket:
    client = wire.connect(gateway.port)
    wire.open_socks5(client, host, origin.port)
    return client


def test_a_tunnel_is_opened_looked_into_and_revoked_by_three_rules(world: World, origin: Origin) -> None:
    with Gateway(RULES, settings(world)) as gateway, opened(gateway, origin) as client:
        client.sendall(CLEAR)  # `wide` does not look inside
        assert wire.exactly(client, len(CLEAR)) == CLEAR
        assert origin.seen[0] == "127.0.0.21"
        assert gateway.event(event="open")["rule"] == EXACT
        gateway.reload([policy("none", [{"host": "nothing.test"}])])
        client.sendall(b"kept")  # as `wide` says
        assert wire.exactly(client, 4) == b"kept"
        assert gateway.event(event="decision", outcome="revoked")["reason"] == "no_rule"


def test_an_address_has_its_own(world: World, origin: Origin) -> None:
    with Gateway(RULES, settings(world)) as gateway, opened(gateway, origin, "127.0.0.1") as client:
        assert wire.echoes(client)
        assert origin.seen[0] == "127.0.0.23"


@pytest.mark.parametrize("ask", [[], ["--address", "127.0.0.1"]])
def test_explain_names_the_rule_of_each(world: World, ask: list[str]) -> None:
    with Gateway(RULES, settings(world)) as gateway:
        done = gateway.sluice("explain", "--json", "--to", "a.open.test:443", *ask)
    found: dict[str, Any] = json.loads(done.stdout)["attributes"]
    named = {name: (each["value"], each["rule"]["name"]) for name, each in found.items()}
    assert named == {
        "sourceAddress": (["127.0.0.21"], "near"), "innerName": ("off", "wide"), "onRevoke": ("keep", "wide"),
    }  # fmt: skip


def test_a_parent_of_a_wider_rule_is_the_way(world: World, origin: Origin) -> None:
    with Gateway([policy("far", [{"host": "*.test"}])], settings(world)) as far:
        corp = {"name": "corp", "type": "socks5", "addresses": [f"127.0.0.1:{far.port}"]}
        rules = [RULES[0], policy("via", [{"host": "*"}], upstream="corp")]
        with Gateway(rules, {"upstreams": [corp], "dns": {"servers": ["127.0.0.1:9"]}}) as near:
            with opened(near, origin) as client:
                assert wire.echoes(client)
            assert near.event(event="open")["rule"] == EXACT
            assert far.event(event="open")["destination"]["host"] == "a.open.test"


def test_what_is_allowed_another_way_ends_as_it_was_admitted(world: World) -> None:
    """`onRevoke` of a rule that allows is no word of a denial's own."""
    rules = [policy("old", [{"host": "*.test"}])]
    with Origin(echo) as origin, Gateway(rules, settings(world)) as gateway, opened(gateway, origin) as client:
        assert wire.echoes(client)
        gateway.config["upstreams"] = [{"name": "corp", "type": "http", "addresses": ["127.0.0.1:9"]}]
        gateway.write_config()
        gateway.reload([policy("new", [{"host": "*.test"}], upstream="corp", onRevoke="keep")])
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
        assert gateway.event(event="close", outcome="revoked")["reason"] == "other_way"
