"""Conditions on HTTP requests in a running gateway: no tunnel satisfies one, denials hold, `explain` answers alike
offline, live and over the admin endpoint (DECISIONS.md section 3, HTTP conditions on tunnels)."""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.run_gateway import Gateway, Mapping, policy

READS = {"access": "read-only", "http": [{"paths": ["/v1/*"], "headers": {"x-team": "shop"}}]}


@pytest.fixture(scope="module")
def gateway(world: World) -> Iterator[Gateway]:
    port = [world.echo.port]
    rules = [
        policy("reads", [{"host": "api.example.test", "ports": port, **READS}]),
        policy("open", [{"host": "localhost", "ports": port}]),
        policy("closed", [{"host": "*.localhost", "ports": port, "http": [{"paths": ["/admin/*"]}]}], "Deny"),
        policy("wild", [{"host": "*.localhost", "ports": port}]),
    ]
    with Gateway(rules) as running:
        yield running


def answers(gateway: Gateway, to: str, asked: dict[str, Any]) -> list[Mapping]:
    """Of `explain` from files, of the running gateway, and of the admin endpoint."""
    options = [f"--{name}={each}" for name, value in asked.items() for each in _each(value)]
    found = []
    for more in ((), ("--live",)):
        done = gateway.sluice("explain", "--source", "127.0.0.1", "--to", to, "--json", *options, *more)
        assert done.returncode == 0, done.stderr
        found.append({name: value for name, value in json.loads(done.stdout).items() if name != "to_turn"})
    query = [
        ("to", to),
        ("source", "127.0.0.1"),
        *((name, each) for name, value in asked.items() for each in _each(value)),
    ]
    url = f"http://127.0.0.1:{gateway.admin}/explain?{urllib.parse.urlencode(query)}"
    found.append(json.loads(urllib.request.urlopen(url).read()))
    return found


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(
    ("host", "asked", "verdict", "reason"),
    [
        ("api.example.test", {"path": "/v1/x", "header": ["x-team:shop", "x-team:pay"]}, "allow", "rule_allow"),
        ("api.example.test", {"path": "/v1/x", "header": ["x-team:pay", "x-team:shop"]}, "deny", "no_rule"),
        ("api.example.test", {"path": "/v1/x", "header": "x-team:shop", "method": "POST"}, "deny", "no_rule"),
        ("api.example.test", {}, "deny", "needs_http"),
        ("a.localhost", {"path": "/admin/x"}, "deny", "rule_deny"),
        ("a.localhost", {"path": "/x", "query": "y=1"}, "allow", "rule_allow"),
        ("a.localhost", {"protocol": "https"}, "deny", "needs_http"),
    ],
)
def test_explain_answers_alike(
    gateway: Gateway, world: World, host: str, asked: dict[str, Any], verdict: str, reason: str
) -> None:
    found = answers(gateway, f"{host}:{world.echo.port}", asked)
    assert {(each["verdict"], each["reason"]) for each in found} == {(verdict, reason)}
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("host", ["api.example.test", "a.localhost"])
def test_a_tunnel_satisfies_no_condition(gateway: Gateway, world: World, host: str) -> None:
    with wire.connect(gateway.port) as client:
        assert wire.http(client, f"{host}:{world.echo.port}").status == 200  # it may carry requests
        client.sendall(b"\x00neither")
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
    line = gateway.event(event="decision", reason="needs_http")
    assert line["outcome"] == "denied"


def test_a_tunnel_without_conditions_is_as_before(gateway: Gateway, world: World) -> None:
    with wire.connect(gateway.port) as client:
        wire.OPENINGS["socks5"](client, "localhost", world.echo.port)
        assert wire.echoes(client)


def test_check_says_what_requests_need(gateway: Gateway) -> None:
    done = gateway.sluice("check")
    assert done.returncode == 0, done.stdout
    assert "ClusterEgressPolicy closed closes every flow to *.localhost whose requests are not seen" in done.stderr
