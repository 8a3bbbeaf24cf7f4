"""Resources of Linkerd decide real connections: routes under an EgressNetwork, whom they admit, the Server of a
listener; and the example of deploy/examples."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.run_gateway import Gateway, Mapping, sluice

EXAMPLE: Final = Path(__file__).parents[3] / "deploy/examples/linkerd"
CART, WEB, STRANGER = "127.0.0.1", "127.0.0.2", "127.0.0.3"
POLICY: Final = "policy.linkerd.io"
ROUTES: Final = "gateway.networking.k8s.io"


def manifest(
    kind: str, name: str, spec: Mapping, version: str = f"{POLICY}/v1alpha1", space: str = "egress"
) -> Mapping:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": space}, "spec": spec}


def manifests(world: World) -> list[Mapping]:
    """Nothing leaves but TCP to one port, for the service account cart, and HTTP to one host."""
    parent: dict[str, Any] = {"group": POLICY, "kind": "EgressNetwork", "name": "all"}
    target = {"group": ROUTES, "kind": "TCPRoute", "name": "echo"}
    cart = {"kind": "ServiceAccount", "name": "cart", "namespace": "shop"}
    tcp = {"parentRefs": [{**parent, "port": world.echo.port}], "rules": [{"backendRefs": [parent]}]}
    http = {"parentRefs": [{**parent, "port": world.http}], "hostnames": ["open.test"]}
    return [
        manifest("EgressNetwork", "all", {"trafficPolicy": "Deny"}),
        manifest("TCPRoute", "echo", tcp, f"{ROUTES}/v1alpha2"),
        manifest("HTTPRoute", "http", http, f"{ROUTES}/v1"),
        manifest("AuthorizationPolicy", "cart", {"targetRef": target, "requiredAuthenticationRefs": [cart]}),
        manifest(
            "Server",
            "gate",
            {"podSelector": {}, "port": "mesh", "accessPolicy": "all-authenticated"},
            f"{POLICY}/v1beta3",
        ),
    ]


@pytest.fixture(scope="module")
def gateway(world: World) -> Iterator[Gateway]:
    networks = [
        {"cidr": f"{CART}/32", "namespace": "shop", "serviceAccount": "cart"},
        {"cidr": f"{WEB}/32", "namespace": "shop", "serviceAccount": "web"},
        {"cidr": f"{STRANGER}/32", "namespace": "shop"},
    ]
    config = {
        "dns": {"servers": [world.names.address]},
        "gateway": {"namespace": "egress"},
        "linkerd": {"globalNamespace": "egress"},
        "identity": {"networks": networks},
    }
    with Gateway(manifests(world), config) as running:
        yield running


def reply(gateway: Gateway, source: str, host: str, port: int) -> int:
    with wire.connect(gateway.port, source=source) as client:
        return wire.socks5(client, host, port)


def test_a_route_admits_one_workload_and_not_the_other(gateway: Gateway, world: World) -> None:
    for host in ("open.test", "127.0.0.1"):
        assert reply(gateway, CART, host, world.echo.port) == 0
        assert reply(gateway, WEB, host, world.echo.port) == 2
    line = gateway.event(event="decision", verdict="deny", reason="unauthorized")
    assert (line["rule"], line["source"]["identity"]) == ("TCPRoute/egress/echo", "shop/web")


def test_what_no_route_names_goes_by_traffic_policy(gateway: Gateway, world: World) -> None:
    assert reply(gateway, WEB, "open.test", world.http) == 0
    assert reply(gateway, WEB, "both.test", world.http) == 2
    assert reply(gateway, WEB, "127.0.0.1", 9) == 2
    assert gateway.event(event="decision", reason="default_deny")["rule"] == "EgressNetwork/egress/all"


def test_the_server_of_the_listener_refuses_who_has_no_identity(gateway: Gateway, world: World) -> None:
    assert reply(gateway, STRANGER, "open.test", world.http) == 2
    line = gateway.event(event="decision", reason="unauthorized", rule="Server/egress/gate")
    assert line["source"]["ip"] == STRANGER


def test_explain_agrees_with_the_worker(gateway: Gateway, world: World) -> None:
    for source in (CART, WEB, STRANGER):
        for host, port in (("open.test", world.echo.port), ("open.test", world.http), ("both.test", world.http)):
            to = f"{host}:{port}"
            options = ("--source", source, "--to", to, "--address", "127.0.0.1", "--listener", "mesh", "--json")
            answer = json.loads(sluice("explain", "-c", str(gateway.config_file), *options).stdout)
            assert (answer["verdict"] == "allow") == (reply(gateway, source, host, port) == 0), (source, to, answer)


def test_the_example_is_accepted_and_decides() -> None:
    config = ("-c", str(EXAMPLE / "sluice.yaml"))
    done = sluice("check", *config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "TLSRoute linkerd-egress/httpbin under EgressNetwork linkerd-egress/all-egress-traffic:443: Accepted=True"
        in (done.stdout)
    )
    for source, to, address, verdict in (
        ("10.244.1.9", "httpbin.org:443", "93.184.216.34", "allow"),
        ("10.244.2.9", "httpbin.org:443", "93.184.216.34", "deny"),
        ("10.244.2.9", "api.example.com:80", "93.184.216.34", "allow"),
        ("10.244.3.9", "api.example.com:80", "93.184.216.34", "allow"),
        ("10.244.3.9", "api.example.com:80", "93.184.216.200", "deny"),
    ):
        answer = sluice("explain", *config, "--source", source, "--to", to, "--address", address, "--json")
        assert json.loads(answer.stdout)["verdict"] == verdict, (source, to, address)
