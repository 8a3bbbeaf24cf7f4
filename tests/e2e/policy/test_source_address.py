"""Connections come from the addresses that a rule gives, or are not made at all.

Every address of 127.0.0.0/8 is this machine's, so origins here see which of them was used.
"""

import socket
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, Mapping, policy

STRANGE: Final = "192.0.2.1"  # TEST-NET-1 (RFC 5737): no host's
CLEAR: Final = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n"


def peer(connection: socket.socket, origin: Origin) -> None:
    """Notes where the connection comes from, and echoes."""
    origin.note(connection.getpeername()[0])
    echo(connection, origin)


class Scene(NamedTuple):
    gateway: Gateway
    four: Origin
    six: Origin

    def rep(self, host: str, port: int | None = None) -> int:
        with wire.connect(self.gateway.port) as client:
            return wire.socks5(client, host, port or self.four.port)

    def seen(self, host: str, origin: Origin | None = None) -> str:
        """Where a tunnel to `host` comes from."""
        origin = origin or self.four
        before = len(origin.seen)
        with wire.connect(self.gateway.port) as client:
            wire.open_socks5(client, host, origin.port)
            assert wire.echoes(client)
        return str(origin.wait(before + 1)[before])


def host(name: str, *sources: str) -> Mapping:
    return policy(name, [{"host": f"{name}.test"}], sourceAddress=list(sources))


RULES: Final = [
    policy("free", [{"host": "open.test"}]),
    host("one", "127.0.0.21"),
    host("three", "127.0.0.31", "127.0.0.32", "127.0.0.33"),
    host("some-strange", STRANGE, "127.0.0.41"),
    host("strange", STRANGE, "198.51.100.1"),
    host("other-family", "2001:db8::1"),
    host("both", "127.0.0.51", "::1"),
    host("four-only", "127.0.0.52"),
    policy("literal", [{"cidr": "127.0.0.9/32"}], sourceAddress=["127.0.0.61"]),
    policy("audited", [{"host": "audited.test"}], action="Audit", sourceAddress=["127.0.0.71"]),
    policy("suffix", [{"host": "*.wild.test"}], sourceAddress=["127.0.0.81"]),
    policy("exact", [{"host": "a.wild.test"}], sourceAddress=["127.0.0.82"]),
]
ADDRESSES: Final = {
    **{f"{name}.test": ["127.0.0.1"] for name in ("open", "one", "three", "some-strange", "strange", "other-family")},
    **{name: ["127.0.0.1"] for name in ("audited.test", "a.wild.test", "b.wild.test")},
    "both.test": ["::1", "127.0.0.1"],
    "four-only.test": ["::1", "127.0.0.1"],
}


@pytest.fixture(scope="module")
def scene(world: World) -> Iterator[Scene]:
    world.names.names.update(ADDRESSES)
    config = {"dns": {"servers": [world.names.address]}}
    with Origin(peer) as four, Origin(peer, "::1") as six, Gateway(RULES, config) as gateway:
        yield Scene(gateway, four, six)


def test_the_origin_sees_the_given_address(scene: Scene) -> None:
    assert {scene.seen("one.test") for _ in range(3)} == {"127.0.0.21"}
    assert scene.seen("open.test") == "127.0.0.1", "where nothing is given the system chooses"


def test_the_answer_and_the_log_tell_it(scene: Scene) -> None:
    with wire.connect(scene.gateway.port) as client:
        client.sendall(b"\x05\x01\x00" + wire.socks5_request("one.test", scene.four.port))
        assert wire.exactly(client, 2) == b"\x05\x00"
        reply = wire.exactly(client, 10)
        assert reply[:4] == b"\x05\x00\x00\x01" and socket.inet_ntoa(reply[4:8]) == "127.0.0.21"
    line = scene.gateway.event(event="close", rule="ClusterEgressPolicy/one")
    assert line["source_address"] == "127.0.0.21"
    assert scene.seen("open.test")
    assert scene.gateway.event(event="close", rule="ClusterEgressPolicy/free")["source_address"] is None


def test_addresses_of_a_pool_take_turns(scene: Scene) -> None:
    seen = Counter(scene.seen("three.test") for _ in range(9))
    assert seen == {"127.0.0.31": 3, "127.0.0.32": 3, "127.0.0.33": 3}


def test_a_strange_address_in_a_pool_is_passed_over(scene: Scene) -> None:
    assert {scene.seen("some-strange.test") for _ in range(4)} == {"127.0.0.41"}


@pytest.mark.parametrize("name", ["strange", "other-family"])
def test_without_a_usable_address_nothing_is_dialed(scene: Scene, name: str) -> None:
    accepted = scene.four.accepted
    assert scene.rep(f"{name}.test") == 1
    with wire.connect(scene.gateway.port) as client:
        answer = wire.http(client, f"{name}.test:{scene.four.port}")
    assert answer.status == 500
    assert "error=proxy_internal_error" in answer.headers["proxy-status"]
    assert "source_address" in answer.headers["proxy-status"]
    line = scene.gateway.event(event="decision", rule=f"ClusterEgressPolicy/{name}")
    assert (line["verdict"], line["outcome"], line["reason"]) == ("allow", "internal", "source_address")
    assert scene.four.accepted == accepted, "no connection came from another address"


def test_each_family_has_its_own_addresses(scene: Scene) -> None:
    assert scene.seen("both.test", scene.six) == "::1"
    assert scene.seen("both.test", scene.four) == "127.0.0.51"
    # Of a name's addresses those that cannot be dialed from the pool are passed over.
    assert scene.seen("four-only.test") == "127.0.0.52"
    accepted = scene.six.accepted
    assert scene.rep("four-only.test", scene.six.port) == 5, "refused at 127.0.0.1, not dialed at ::1"
    assert scene.six.accepted == accepted


def test_the_rule_that_wins_gives_the_address(scene: Scene) -> None:
    assert scene.seen("a.wild.test") == "127.0.0.82"
    assert scene.seen("b.wild.test") == "127.0.0.81"
    assert scene.seen("audited.test") == "127.0.0.71"


def test_a_destination_asked_by_address(scene: Scene) -> None:
    with Origin(peer, "127.0.0.9") as origin:
        assert scene.seen("127.0.0.9", origin) == "127.0.0.61"


@pytest.mark.parametrize(("name", "works"), [("open", True), ("one", False)])
def test_a_rule_found_by_the_inner_name_comes_too_late_for_another_address(
    scene: Scene, name: str, works: bool
) -> None:
    """The connection exists at that time, from the address that the system chose: rather none than the wrong one."""
    before = len(scene.four.seen)
    with wire.connect(scene.gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", scene.four.port)
        client.sendall(CLEAR % f"{name}.test".encode())
        if works:
            assert wire.exactly(client, 3) == b"GET"
            assert scene.four.wait(before + 1)[before] == "127.0.0.1"
        else:
            with pytest.raises(ConnectionResetError):
                wire.to_the_end(client)
            line = scene.gateway.event(event="close", rule=f"ClusterEgressPolicy/{name}", outcome="denied")
            assert (line["phase"], line["reason"]) == ("inner", "source_address")


def test_a_parent_gateway_is_reached_from_the_given_address(world: World) -> None:
    with Gateway([policy("far", [{"cidr": "127.0.0.0/8"}])]) as far:
        rules = [policy("via", [{"cidr": "127.0.0.0/8"}], upstream="corp", sourceAddress=["127.0.0.95"])]
        corp = {"name": "corp", "type": "socks5", "addresses": [f"127.0.0.1:{far.port}"]}
        with Gateway(rules, {"upstreams": [corp]}) as near, wire.connect(near.port) as client:
            wire.open_socks5(client, "127.0.0.1", world.echo.port)
            assert wire.echoes(client)
            assert far.event(event="open")["source"]["ip"] == "127.0.0.95"
            assert near.event(event="open")["source_address"] == "127.0.0.95"


def test_a_reload_changes_the_address_for_new_tunnels(world: World) -> None:
    with Origin(peer) as origin, wire_gateway(origin.port, "127.0.0.91") as gateway:
        scene = Scene(gateway, origin, origin)
        with wire.connect(gateway.port) as client:
            wire.open_socks5(client, "127.0.0.1", origin.port)
            assert wire.echoes(client)
            assert scene.seen("127.0.0.1") == "127.0.0.91"
            gateway.reload([literal(origin.port, "127.0.0.92")])
            assert scene.seen("127.0.0.1") == "127.0.0.92"
            assert wire.echoes(client), "a live tunnel keeps the address it has"


def test_a_check_warns_of_a_strange_address_and_refuses_what_is_none(world: World) -> None:
    with wire_gateway(9, "127.0.0.91") as gateway:
        gateway.write_policy([literal(9, STRANGE)])
        done = gateway.sluice("check")
        assert done.returncode == 0
        assert f"{STRANGE} is not an address of this machine" in done.stdout + done.stderr
        gateway.write_policy([literal(9, "192.0.2.0/24")])
        done = gateway.sluice("check")
        assert done.returncode == 1
        assert "expected an IP address" in done.stdout + done.stderr
        gateway.write_policy([literal(9, "127.0.0.91")])
        told = gateway.sluice("explain", "--source", "127.0.0.1", "--to", "127.0.0.1:9")
        assert "127.0.0.91" in told.stdout
        live = gateway.sluice("explain", "--live", "--json", "--source", "127.0.0.1", "--to", "127.0.0.1:9")
        assert '"127.0.0.91"' in live.stdout


def literal(port: int, source: str) -> Mapping:
    return policy("from", [{"cidr": "127.0.0.0/8", "ports": [port]}], sourceAddress=[source])


def wire_gateway(port: int, source: str) -> Gateway:
    return Gateway([literal(port, source)])


def test_a_source_that_cannot_go_there(world: World) -> None:
    """A loopback address cannot leave the machine: no connection, and no other address instead."""
    rules = [policy("out", [{"cidr": "198.51.100.0/24"}], sourceAddress=["127.0.0.91"])]
    with Gateway(rules, {"addresses": {"allow": ["198.51.100.0/24"]}, "limits": {"dialTimeout": "1s"}}) as gateway:
        with wire.connect(gateway.port) as client:
            assert wire.http(client, "198.51.100.9:443").status in (500, 502)
        line = eventually(lambda: gateway.events(event="decision", rule="ClusterEgressPolicy/out"), "the line")[0]
        assert line["source_address"] is None
