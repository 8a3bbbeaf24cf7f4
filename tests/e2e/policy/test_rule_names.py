"""A rule has one name everywhere: Kind/namespace/name in log, answers, metrics, `tunnels` and `explain`, with the item
of `to` and the line of a host list that decided (DECISIONS.md section 4)."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, Mapping, policy

PARTNERS: Final = "# partners\n\nfirst.example.test\n*.wild.example.test # all of it\nlocalhost\nfirst.example.test\n"
BLOCKED: Final = "one.evil.test\n*.evil.test\n# more\nevil.test\n"
LETS: Final = "EgressPolicy/shop/web"
DENIES: Final = "ClusterEgressPolicy/web"


@pytest.fixture(scope="module")
def gateway(world: World) -> Iterator[Gateway]:
    ports = [world.echo.port]
    rules = [
        policy("web", [{"host": "other.test"}, {"hostsFrom": "partners.txt", "ports": ports}], namespace="shop"),
        policy("web", [{"hostsFrom": "blocked.txt"}], "Deny"),  # the same name: only the kind tells them apart
    ]
    config = {"identity": {"networks": [{"cidr": "127.0.0.0/8", "namespace": "shop", "serviceAccount": "cart"}]}}
    with Gateway(rules, config, files={"partners.txt": PARTNERS, "blocked.txt": BLOCKED}) as running:
        yield running


def explained(gateway: Gateway, to: str, *more: str) -> Mapping:
    done = gateway.sluice("explain", "--from", "shop/cart", "--to", to, "--json", *more)
    assert done.returncode == 0, done.stderr
    answer: Mapping = json.loads(done.stdout)
    return answer


def test_an_open_tunnel(gateway: Gateway, world: World) -> None:
    with wire.connect(gateway.port) as client:
        wire.OPENINGS["socks5"](client, "localhost", world.echo.port)
        assert wire.echoes(client)
        line = gateway.event(event="open", rule=LETS)
        assert (line["rule_item"], line["list_line"]) == (1, 5)
        items = json.loads(gateway.sluice("tunnels", "--rule", LETS, "--json").stdout)["items"]
        assert [(item["rule"], item["rule_item"], item["list_line"]) for item in items] == [(LETS, 1, 5)]
        assert json.loads(gateway.sluice("tunnels", "--rule", DENIES, "--json").stdout)["items"] == []
        old = gateway.sluice("tunnels", "--rule", "shop/web")
        assert (old.returncode, "Kind/namespace/name" in old.stderr) == (2, True)
    closed = gateway.event(event="close", rule=LETS)
    assert (closed["rule_item"], closed["list_line"]) == (1, 5)
    answer = explained(gateway, f"localhost:{world.echo.port}")
    assert (answer["rule"]["kind"], answer["rule"]["namespace"], answer["rule"]["index"]) == ("EgressPolicy", "shop", 1)
    assert answer["list_line"] == 5


@pytest.mark.parametrize(
    ("host", "line"), [("one.evil.test", 1), ("two.evil.test", 2), ("a.b.evil.test", 2), ("evil.test", 4)]
)
def test_a_denial(gateway: Gateway, host: str, line: int) -> None:
    with wire.connect(gateway.port) as client:
        client.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(4096), b"")).decode()
    assert f'details="rule {DENIES}: rule_deny"' in answer
    assert f"by rule {DENIES} (rule_deny)" in answer
    said = gateway.event(
        event="decision", rule=DENIES, list_line=line, destination={"host": host, "port": 443, "address": None}
    )
    assert said["rule_item"] == 0
    offline, live = explained(gateway, f"{host}:443"), explained(gateway, f"{host}:443", "--live")
    tried, told = offline.pop("to_turn"), live.pop("to_turn")
    assert told["changes"] and tried["flips"] is not None  # a running gateway is not asked again for each change
    assert offline == live and offline["list_line"] == line
    text = gateway.sluice("explain", "--from", "shop/cart", "--to", f"{host}:443").stdout
    assert f"{DENIES}, item 0 of `to`, line {line} of its list" in text


def test_metrics_tell_the_two_apart(gateway: Gateway) -> None:
    def counted() -> bool:
        text = urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics").read().decode()
        return all(f'rule="{rule}"' in text for rule in (LETS, DENIES)) and 'rule="web"' not in text

    eventually(counted, "both labels")
