"""Routes of Gateway API decide real connections: curl asks by name, over clear text and TLS."""

import json
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.inside import TUNNELS, Inside, port_of
from tests.support.names import NameServer
from tests.support.run_gateway import SLUICE, Gateway, environment

Command = Callable[..., subprocess.CompletedProcess[str]]
EXAMPLE: Final = Path(__file__).parents[3] / "deploy/examples/gateway-api"
OWN: Final = [{"name": "sluice", "namespace": "egress", "port": 443}]
NAMES: Final = ("plain.test", "secure.test", "both.test", "paths.test", "mixed.test", "foreign.test", "moved.test")


def resource(kind: str, name: str, spec: dict[str, Any], namespace: str = "egress") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def route(kind: str, name: str, host: str, rules: list[dict[str, Any]], namespace: str = "egress") -> dict[str, Any]:
    parents = [{"name": "outside", "namespace": "egress"}]
    return resource(kind, name, {"parentRefs": parents, "hostnames": [host], "rules": rules}, namespace)


def policies(port: int) -> list[dict[str, Any]]:
    listener = {"name": "mesh", "port": port, "protocol": "sluice.dev/proxy"}
    listener["allowedRoutes"] = {"namespaces": {"from": "All"}}
    return [
        resource("Gateway", "outside", {"gatewayClassName": "sluice", "listeners": [listener]}),
        route("HTTPRoute", "plain", "plain.test", [{}]),
        route("TLSRoute", "secure", "secure.test", [{"backendRefs": OWN}]),
        route("HTTPRoute", "both", "both.test", [{}]),
        route("TLSRoute", "both-secure", "both.test", [{"backendRefs": OWN}]),
        route("HTTPRoute", "paths", "paths.test", [{"matches": [{"path": {"value": "/v1"}}]}]),
        route("HTTPRoute", "mixed", "mixed.test", [{"matches": [{"path": {"value": "/v1"}}]}]),
        route("TLSRoute", "mixed-secure", "mixed.test", [{"backendRefs": OWN}]),
        route("HTTPRoute", "foreign", "foreign.test", [{}], "shop"),
        route("TLSRoute", "moved", "moved.test", [{"backendRefs": [{"name": "web", "port": 443}]}]),
    ]


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with NameServer({name: ["127.0.0.1"] for name in NAMES}) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(names: NameServer) -> Iterator[Gateway]:
    config = {
        "dns": {"servers": [names.address]},
        "identity": {"networks": [{"cidr": "127.0.0.1/32", "namespace": "curl", "serviceAccount": "curl"}]},
    }
    one = Gateway([], config)
    one.write_policy(policies(one.port))
    with one as running:
        yield running


def curl(gateway: Gateway, url: str) -> int:
    command = ["curl", "-sSk", "--max-time", "10", "-x", f"socks5h://127.0.0.1:{gateway.port}", url]
    return subprocess.run(command, capture_output=True, text=True, check=False).returncode


def test_an_http_route_lets_plain_http_pass(gateway: Gateway, world: World) -> None:
    assert curl(gateway, f"http://plain.test:{world.http}/") == 0
    line = eventually(lambda: rules(gateway) & {"HTTPRoute/egress/plain"}, "it is written")
    assert line


def rules(gateway: Gateway) -> set[str]:
    return {line["rule"] for line in gateway.events() if line.get("rule")}


def test_what_shows_inside_has_to_be_of_the_route(gateway: Gateway, world: World) -> None:
    assert curl(gateway, f"http://secure.test:{world.http}/") != 0
    assert curl(gateway, f"https://plain.test:{world.http}/") != 0
    eventually(partial(mismatches, gateway, 2), "both are ended")


def mismatches(gateway: Gateway, count: int) -> bool:
    return [line["reason"] for line in gateway.events()].count("inner_protocol_mismatch") >= count


def test_of_two_routes_for_one_host_each_is_for_its_protocol(gateway: Gateway, world: World) -> None:
    assert curl(gateway, f"http://both.test:{world.http}/") == 0
    assert curl(gateway, f"https://both.test:{world.http}/") == 35, "the origin has no TLS"

    def ended() -> list[str]:
        return [line["outcome"] for line in gateway.events(event="close") if line["destination"]["host"] == "both.test"]

    eventually(lambda: len(ended()) == 2, "both are ended")
    assert "denied" not in ended()
    with wire.connect(gateway.port) as client:
        wire.open_socks5(client, "both.test", world.http)
        client.sendall(b"SSH-2.0-client\r\n")
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
    eventually(lambda: "denied" in ended(), "other bytes are for neither")


def test_a_path_is_judged_inside_a_tunnel(gateway: Gateway, world: World) -> None:
    assert curl(gateway, f"http://paths.test:{world.http}/v1") == 0
    assert curl(gateway, f"http://paths.test:{world.http}/x") == 0
    assert gateway.event(event="request", path="/v1")["rule"] == "HTTPRoute/egress/paths"
    line = gateway.event(event="request", path="/x")
    assert (line["status"], line["reason"]) == (404, "no_route")
    assert curl(gateway, f"https://paths.test:{world.http}/v1") not in (0, 97)
    assert gateway.event(event="decision", reason="needs_http")["destination"]["host"] == "paths.test"


@pytest.mark.parametrize("kind", ["socks5", "http2", "pipy"])
def test_requests_where_tls_passes(gateway: Gateway, world: World, kind: str) -> None:
    """The tunnel is open for TLS; HTTP inside goes on as requests, and nothing was sent before they were judged."""
    way = TUNNELS[kind](gateway.port, "mixed.test", world.http)
    with Inside(way, f"mixed.test:{world.http}") as client:
        port = port_of(way)
        assert [client.status(path) for path in ("/v1/a", "/x", "/v1/b")] == [200, 404, 200]
    lines = eventually(lambda: [one for one in gateway.events(event="close") if one["source"]["port"] == port], "close")
    assert (lines[0]["outcome"], lines[0]["bytes_up"]) == ("closed", 0)


@pytest.mark.parametrize("host", ["foreign.test", "moved.test", "none.test"])
def test_what_no_route_lets_pass_is_refused(gateway: Gateway, world: World, host: str) -> None:
    """A route of another namespace, a Service as its backend, no route at all."""
    assert curl(gateway, f"http://{host}:{world.http}/v1") == 97
    assert curl(gateway, f"https://{host}:{world.http}/v1") == 97


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command with the example's configuration, on a system that trusts one CA."""
    authority = Authority(tmp_path_factory.mktemp("system"))
    variables = {**environment(), "SSL_CERT_FILE": str(authority.path)}

    def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        whole = [SLUICE, command, "-c", str(EXAMPLE / "sluice.yaml"), *arguments]
        return subprocess.run(whole, env=variables, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_the_example_is_accepted_and_decides(checked: Command) -> None:
    done = checked("check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "policy.yaml" not in done.stderr, "no warning"
    assert "TLSRoute shop/payments under Gateway egress/outside#mesh: Accepted=True; ResolvedRefs=True" in done.stdout
    for source, to, verdict in (
        ("10.244.1.9", "pypi.org:443", "allow"),
        ("10.244.2.9", "pypi.org:443", "allow"),
        ("10.244.1.9", "api.stripe.com:443", "allow"),
        ("10.244.2.9", "api.stripe.com:443", "deny"),
        ("10.244.1.9", "status.partner.example.com:80", "allow"),
        ("10.244.1.9", "example.org:443", "deny"),
    ):
        answer = json.loads(checked("explain", "--source", source, "--to", to, "--json").stdout)
        assert answer["verdict"] == verdict, (source, to, answer)
    answer = json.loads(
        checked("explain", "--source", "10.244.1.9", "--to", "api.partner.example.com:80", "--json").stdout
    )
    assert answer["attributes"]["tls"]["rule"] is not None, answer["attributes"]


def test_conditions_in_json(checked: Command) -> None:
    conditions = json.loads(checked("check", "--json").stdout)["conditions"]
    found = {(one["resource"]["kind"], one["resource"]["name"], one["type"], one["status"]) for one in conditions}
    assert ("Gateway", "outside#mesh", "Accepted", "True") in found
    assert ("BackendTLSPolicy", "partner", "Accepted", "True") in found
