"""The access log of real traffic: each event has exactly the fields of CONTRACT.md section 6, whatever the protocol."""

import datetime
import os
import signal
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.run_gateway import Gateway, Mapping, policy

EVERY: Final = {
    *("ts", "event", "id", "generation", "worker", "listener", "protocol", "source", "destination", "verdict", "rule"),
    *("rule_item", "list_line", "addresses_refused", "phase", "reason", "would_deny", "inner"),
    *("dns_ms", "dial_ms", "source_address", "tls"),
}
CARRIED: Final = {"bytes_up", "bytes_down", "duration_ms", "outcome"}
FIELDS: Final = {
    "decision": EVERY | {"outcome"},
    "open": EVERY,
    "interval": EVERY | CARRIED,
    "close": EVERY | CARRIED,
}
SOURCE: Final = {"ip", "port", "identity", "identity_source", "user"}
DESTINATION: Final = {"host", "port", "address"}


@pytest.fixture(scope="module")
def gateway(world: World) -> Iterator[Gateway]:
    rules = [policy("open", [{"host": "localhost", "ports": [world.echo.port]}])]
    with Gateway(rules, {"logs": {"interval": "200ms"}}) as running:
        yield running


def check(line: Mapping) -> None:
    """A line has its fields and no other, of their types."""
    assert set(line) == FIELDS[line["event"]], line["event"]
    assert set(line["source"]) == SOURCE and set(line["destination"]) == DESTINATION
    when = datetime.datetime.fromisoformat(line["ts"])
    assert when.utcoffset() == datetime.timedelta(0) and line["ts"].endswith("Z")
    assert all(type(line[key]) is int for key in ("generation", "worker"))
    assert type(line["would_deny"]) is bool
    for key in ("bytes_up", "bytes_down", "duration_ms"):
        assert type(line.get(key, 0)) is int
    assert all(line[key] is None or type(line[key]) is int for key in ("dns_ms", "dial_ms"))


@pytest.mark.parametrize("name", list(wire.OPENINGS))
def test_a_tunnel(gateway: Gateway, world: World, name: str) -> None:
    opening: Callable[..., None] = wire.OPENINGS[name]
    with wire.connect(gateway.port) as client:
        local = client.getsockname()[1]
        opening(client, "localhost", world.echo.port)
        assert wire.echoes(client)

        def told() -> list[Mapping]:
            lines = [line for line in gateway.events() if line["source"]["port"] == local]
            return lines if {"open", "interval"} <= {line["event"] for line in lines} else []

        before = eventually(told, "an interval line")
    line = gateway.logged(0, local)
    for each in (*before, line):
        check(each)
        assert each["id"] == line["id"] and each["rule"] == "ClusterEgressPolicy/open"
    assert all(each["outcome"] is None for each in before if each["event"] == "interval")
    assert (line["event"], line["outcome"]) == ("close", "closed")


def test_a_stream(gateway: Gateway, world: World) -> None:
    target = wire.target("localhost", world.echo.port)
    with RfcClient(gateway.port) as client:
        stream = client.open(target)
        assert client.echoes(stream)
        line = gateway.event(event="interval", protocol="http2tunnel")
        check(line)
    for event in ("open", "close"):
        found = gateway.event(event=event, id=line["id"])
        check(found)
        assert found["protocol"] == "http2tunnel"


def test_a_refusal(gateway: Gateway) -> None:
    with wire.connect(gateway.port) as client:
        local = client.getsockname()[1]
        assert wire.http(client, "elsewhere.test:443").status == 403
    line = gateway.logged(0, local)
    check(line)
    assert (line["event"], line["verdict"], line["outcome"]) == ("decision", "deny", "denied")


def test_a_tunnel_whose_worker_is_killed(world: World) -> None:
    rules = [policy("open", [{"host": "localhost", "ports": [world.echo.port]}])]
    with Gateway(rules) as gateway, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "localhost", world.echo.port)
        assert wire.echoes(client)
        os.kill(gateway.workers()[0], signal.SIGKILL)
        line = gateway.event(event="close", outcome="worker_lost")
        check(line)
        assert line["destination"]["host"] == "localhost"
