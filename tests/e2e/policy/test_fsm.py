"""Resources of FSM decide real connections: curl asks by name, over clear text and TLS."""

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http_origin import HttpOrigin
from tests.support.inside import TUNNELS, Inside
from tests.support.names import NameServer
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, sluice

EXAMPLE: Final = Path(__file__).parents[3] / "deploy/examples/fsm"


def egress(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    sources = [{"kind": "ServiceAccount", "name": "curl", "namespace": "curl"}]
    return {
        "apiVersion": "policy.flomesh.io/v1alpha1",
        "kind": "Egress",
        "metadata": {"name": name, "namespace": "curl"},
        "spec": {"sources": sources, **spec},
    }


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    near = {name: ["127.0.0.1"] for name in ("httpbin.test", "other.test", "near.test")}
    with NameServer({**near, "far.test": ["127.0.0.2"]}) as server:
        yield server


@pytest.fixture(scope="module")
def tcp() -> Iterator[Origin]:
    with Origin(echo) as origin:
        yield origin


@pytest.fixture(scope="module")
def gateway(world: World, names: NameServer, tcp: Origin) -> Iterator[Gateway]:
    http = {"hosts": ["httpbin.test"], "ports": [{"number": world.http, "protocol": "http"}]}
    secure = {"hosts": ["httpbin.test"], "ports": [{"number": world.echo.port, "protocol": "https"}]}
    inside = {**http, "hosts": ["near.test", "far.test"], "ipAddresses": ["127.0.0.1/32"]}
    raw = {"ipAddresses": ["127.0.0.1/32"], "ports": [{"number": tcp.port, "protocol": "tcp"}]}
    config = {
        "dns": {"servers": [names.address]},
        "identity": {"networks": [{"cidr": "127.0.0.1/32", "namespace": "curl", "serviceAccount": "curl"}]},
    }
    resources = {"http": http, "https": secure, "inside": inside, "tcp": raw}
    with Gateway([egress(name, spec) for name, spec in resources.items()], config) as running:
        yield running


def curl(gateway: Gateway, url: str) -> subprocess.CompletedProcess[str]:
    command = ["curl", "-sS", "--max-time", "10", "-x", f"socks5h://127.0.0.1:{gateway.port}", url]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_host_of_an_http_port(gateway: Gateway, world: World) -> None:
    assert curl(gateway, f"http://httpbin.test:{world.http}/").returncode == 0
    assert curl(gateway, f"http://other.test:{world.http}/").returncode == 97
    with wire.connect(gateway.port) as client:
        assert wire.socks5(client, "other.test", world.http) == 2


def test_a_host_at_an_address_that_is_listed(gateway: Gateway, world: World) -> None:
    assert curl(gateway, f"http://near.test:{world.http}/").returncode == 0
    with wire.connect(gateway.port) as client:
        assert wire.socks5(client, "far.test", world.http) == 2
    line = gateway.event(event="decision", reason="no_cidr_rule")
    assert (line["phase"], line["destination"]["host"]) == ("address", "far.test")


def found(gateway: Gateway, before: int, key: str) -> set[Any]:
    """The values of one field in the lines that were written since."""
    return {line[key] for line in gateway.events()[before:]}


def test_the_rule_is_in_the_log(gateway: Gateway, world: World) -> None:
    before = len(gateway.events())
    curl(gateway, f"http://httpbin.test:{world.http}/")
    eventually(lambda: "Egress/curl/http" in found(gateway, before, "rule"), "it is written")


def test_tls_is_not_http(gateway: Gateway, world: World) -> None:
    """And the reverse: what shows inside has to be the port's protocol."""
    for number, url in enumerate((f"https://httpbin.test:{world.http}/", f"http://httpbin.test:{world.echo.port}/"), 1):
        assert curl(gateway, url).returncode != 0
        eventually(partial(mismatches, gateway, number), f"{url} is ended")


def mismatches(gateway: Gateway, count: int) -> bool:
    return [line["reason"] for line in gateway.events()].count("inner_protocol_mismatch") >= count


def test_tcp_by_address_and_by_any_name(gateway: Gateway, tcp: Origin) -> None:
    for host in ("127.0.0.1", "other.test"):
        with wire.connect(gateway.port) as client:
            wire.open_socks5(client, host, tcp.port)
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"


def test_the_example_is_accepted_and_decides() -> None:
    config = ("-c", str(EXAMPLE / "sluice.yaml"))
    done = sluice("check", *config)
    assert done.returncode == 0, done.stdout + done.stderr
    for to, verdict in (
        ("httpbin.org:443", "allow"),
        ("httpbin.org:8443", "deny"),
        ("203.0.113.7:5432", "allow"),
    ):
        answer = sluice("explain", *config, "--source", "10.244.1.9", "--to", to, "--json")
        assert json.loads(answer.stdout)["verdict"] == verdict, to


ROUTES: Final[dict[str, Any]] = {
    "apiVersion": "specs.smi-spec.io/v1alpha4",
    "kind": "HTTPRouteGroup",
    "metadata": {"name": "egress-http-route", "namespace": "curl"},
    "spec": {"matches": [{"name": "get", "pathRegex": "/get", "methods": ["GET"]}, {"name": "v", "pathRegex": "/v.*"}]},
}


@pytest.mark.parametrize("kind", ["pipy", "socks5"])
def test_an_http_route_group_behind_a_sidecar(names: NameServer, kind: str) -> None:
    """The document's example, as a sidecar sends it: over http2tunnel, byte for byte Pipy's, and sock5."""
    group = {"apiGroup": "specs.smi-spec.io/v1alpha4", "kind": "HTTPRouteGroup", "name": "egress-http-route"}
    with HttpOrigin() as origin:
        spec = {"hosts": ["httpbin.test"], "ports": [{"number": origin.port, "protocol": "http"}], "matches": [group]}
        config = {
            "dns": {"servers": [names.address]},
            "identity": {"networks": [{"cidr": "127.0.0.1/32", "namespace": "curl", "serviceAccount": "curl"}]},
        }
        host = f"httpbin.test:{origin.port}"
        with Gateway([egress("httpbin-80", spec), ROUTES], config) as gateway:
            with Inside(TUNNELS[kind](gateway.port, "httpbin.test", origin.port), host) as client:
                assert client.status("/get?x=1", "serviceidentity: curl.curl") == 200
                assert client.status("/status/200") == 403
                assert client.status("/get", method="POST") == 403
                assert client.status("/v2", method="POST", body=b"x") == 200
                assert client.status("/get", host="other.test") == 421
            assert [seen.target for seen in origin.requests] == ["/get?x=1", "/v2"]
            assert b"serviceidentity" not in origin.received()
            line = gateway.event(event="request", path="/status/200")
            assert (line["status"], line["reason"], line["verdict"]) == (403, "no_rule", "deny")
            line = gateway.event(event="request", path="/v2")
            assert (line["rule"], line["route"]) == ("Egress/curl/httpbin-80", "HTTPRouteGroup/curl/egress-http-route")
            assert line["source"]["identity"] == "curl/curl"
            with wire.connect(gateway.port) as other:
                assert wire.socks5(other, "other.test", origin.port) == 2
