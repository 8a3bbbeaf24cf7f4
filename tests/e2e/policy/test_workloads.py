"""Pods from files decide real connections: two source addresses that are two pods, their labels and owners, reloads
that change them, and the article's routes. Every address of 127.0.0.0/8 is this machine's."""

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.run_gateway import Gateway, Mapping, policy, sluice

CART: Final = "127.0.0.11"
TILL: Final = "127.0.0.12"
NEW: Final = "127.0.0.13"  # of podNetworks, and of no pod
EXAMPLES: Final = Path(__file__).parents[3] / "deploy/examples"


def pod(name: str, address: str, labels: dict[str, str], **facts: Any) -> Mapping:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{name}-5f", "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-5f-a",
            "namespace": "shop",
            "uid": facts.get("uid", name),
            "ownerReferences": [owner],
            "labels": {**labels, "pod-template-hash": "5f"},
        },
        "spec": {"serviceAccountName": facts.get("account", name)},
        "status": {"phase": facts.get("phase", "Running"), "podIPs": [{"ip": address}]},
    }


def space(**labels: str) -> Mapping:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}}


def config(world: World, **more: Any) -> Mapping:
    return {
        "dns": {"servers": [world.names.address]},
        "gateway": {"podNetworks": ["127.0.0.8/29"], "services": ["linkerd-egress/linkerd-egress"]},
        "identity": {"networks": [{"cidr": "127.0.0.0/8", "namespace": "shop", "serviceAccount": "mapped"}]},
        **more,
    }


def rules(world: World) -> list[Mapping]:
    ports = [world.echo.port]
    return [
        policy("web", [{"host": "open.test", "ports": ports}], namespace="shop",
               sources=[{"podSelector": {"matchLabels": {"app": "web"}}}]),
        policy("mapped", [{"host": "a.wild.test", "ports": ports}], namespace="shop",
               sources=[{"serviceAccount": "mapped"}]),
        policy("mesh", [{"host": "both.test", "ports": ports}]),
        policy("trial", [{"host": "open.test"}], "Deny",
               sources=[{"namespaceSelector": {"matchLabels": {"stage": "trial"}}}]),
    ]  # fmt: skip


PODS: Final = [space(stage="live"), pod("cart", CART, {"app": "web"}), pod("till", TILL, {"app": "desk"})]


@pytest.fixture
def gateway(world: World) -> Iterator[Gateway]:
    with Gateway([*rules(world), *PODS], config(world)) as running:
        yield running


def reply(gateway: Gateway, world: World, host: str, source: str) -> int:
    with wire.connect(gateway.port, source=source) as client:
        return wire.socks5(client, host, world.echo.port)


def tunnel(gateway: Gateway, world: World, host: str, source: str) -> socket.socket:
    client = wire.connect(gateway.port, source=source)
    wire.open_socks5(client, host, world.echo.port)
    assert wire.echoes(client)
    return client


def assert_reset(client: socket.socket) -> None:
    with pytest.raises(ConnectionResetError):
        wire.to_the_end(client)


def test_labels_tell_two_sources_apart(gateway: Gateway, world: World) -> None:
    assert reply(gateway, world, "open.test", CART) == 0
    assert reply(gateway, world, "open.test", TILL) == 2
    line = gateway.event(event="close", verdict="allow")
    assert line["source"]["ip"] == CART and line["rule"] == "EgressPolicy/shop/web"
    assert (line["source"]["identity"], line["source"]["identity_source"]) == ("shop/cart", "workload")
    denied = gateway.event(event="decision", verdict="deny")
    assert (denied["source"]["identity"], denied["reason"]) == ("shop/till", "no_rule")
    assert gateway.counter("workloads") == 2


def test_an_address_of_pods_without_one_matches_mesh_wide_rules_alone(gateway: Gateway, world: World) -> None:
    assert reply(gateway, world, "a.wild.test", NEW) == 2, "the network map gives it nothing"
    assert reply(gateway, world, "both.test", NEW) == 0
    line = gateway.event(event="close", verdict="allow")
    assert (line["source"]["identity"], line["source"]["identity_source"]) == (None, "none")
    assert reply(gateway, world, "a.wild.test", "127.0.0.99") == 0, "outside podNetworks it does"


def test_curl_and_explain_agree(gateway: Gateway, world: World) -> None:
    for source, code in ((CART, 0), (TILL, 97)):
        command = ["curl", "-s", "--interface", source, "-x", f"socks5h://127.0.0.1:{gateway.port}", "--max-time", "1"]
        found = subprocess.run([*command, f"telnet://open.test:{world.echo.port}"], check=False, input=b"")
        assert (found.returncode == 97) == (code == 97), source
        for live in ((), ("--live",)):
            asked = ("explain", "-c", str(gateway.config_file), "--source", source, "--json", *live)
            answer = json.loads(sluice(*asked, "--to", f"open.test:{world.echo.port}").stdout)
            assert answer["verdict"] == ("allow" if code == 0 else "deny"), live
            assert answer["identity_source"] == "workload"
            name = "cart" if source == CART else "till"
            assert (answer["source"]["namespace"], answer["source"]["service_account"]) == ("shop", name)
            assert (answer["source"]["pod"], answer["source"]["owner"]) == (f"{name}-5f-a", f"Deployment/{name}")
    asked = ("explain", "-c", str(gateway.config_file), "--from", "shop/mapped", "--json")
    assert json.loads(sluice(*asked, "--to", f"a.wild.test:{world.echo.port}").stdout)["verdict"] == "allow"
    asked = ("explain", "-c", str(gateway.config_file), "--source", CART, "--from", "shop/cart", "--json")
    answer = json.loads(sluice(*asked, "--to", f"open.test:{world.echo.port}").stdout)
    assert answer["verdict"] == "allow", "it is what the pod of the address is"


def test_an_address_that_changes_hands_ends_its_tunnels(gateway: Gateway, world: World) -> None:
    with tunnel(gateway, world, "both.test", CART) as client, tunnel(gateway, world, "both.test", TILL) as other:
        again = pod("cart", CART, {"app": "web"}, uid="another")
        gateway.reload([*rules(world), PODS[0], again, PODS[2]])
        assert_reset(client)
        line = gateway.event(event="close", outcome="revoked")
        assert (line["reason"], line["source"]["ip"]) == ("source_gone", CART)
        assert wire.echoes(other), "the other address is still the same pod's"
        gateway.reload([*rules(world), PODS[0], again, pod("till", TILL, {}, phase="Succeeded")])
        assert_reset(other)


def test_a_label_that_changes_judges_anew(gateway: Gateway, world: World) -> None:
    with tunnel(gateway, world, "open.test", CART) as client, tunnel(gateway, world, "both.test", CART) as other:
        gateway.reload([*rules(world), PODS[0], pod("cart", CART, {"app": "desk"}), PODS[2]])
        assert_reset(client)
        line = gateway.event(event="close", outcome="revoked")
        assert (line["reason"], line["verdict"]) == ("no_rule", "deny")
        assert wire.echoes(other), "it is the same pod, and a rule for the mesh allows it"
    gateway.reload([*rules(world), PODS[0], pod("cart", CART, {"app": "web"}), PODS[2]])
    with tunnel(gateway, world, "open.test", CART) as client:
        gateway.reload([*rules(world), space(stage="trial"), pod("cart", CART, {"app": "web"}), PODS[2]])
        assert_reset(client)
        assert gateway.event(event="close", reason="rule_deny")["rule"] == "ClusterEgressPolicy/trial"


def test_live_tunnels_say_whose_they_are(gateway: Gateway, world: World) -> None:
    with tunnel(gateway, world, "both.test", CART), tunnel(gateway, world, "both.test", NEW):
        (item,) = gateway.ask({"op": "tunnels", "from": "shop/cart"})["items"]
        assert (item["source"]["ip"], item["source"]["identity_source"]) == (CART, "workload")
        (item,) = gateway.ask({"op": "tunnels", "from": NEW})["items"]
        assert (item["source"]["identity"], item["source"]["identity_source"]) == (None, "none")


def test_the_articles_routes_know_a_service_account_and_a_deployment(world: World) -> None:
    def route(name: str, source: str, service: str = "linkerd-egress") -> Mapping:
        return {
            "apiVersion": "gateway.linkerd.io/v1alpha1",
            "kind": "TCPRoute",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {
                "parent": {"namespace": "linkerd", "name": source},
                "host": {"name": "open.test"},
                "forwardTo": [{"service": {"name": service, "port": {"number": 80}}}],
            },
        }

    pods = [pod("cart", CART, {}, account="other"), pod("till", TILL, {})]
    with Gateway([route("cart", "cart"), *pods], config(world)) as gateway:
        assert reply(gateway, world, "open.test", CART) == 0, "a Deployment of this name"
        assert reply(gateway, world, "open.test", TILL) == 2
        gateway.reload([route("till", "till"), *pods])
        assert reply(gateway, world, "open.test", TILL) == 0, "a service account of this name"
        gateway.reload([route("till", "till", "other"), *pods])
        assert reply(gateway, world, "open.test", TILL) == 2, "another gateway's"


@pytest.mark.parametrize(
    ("folder", "source", "host", "verdict"),
    [
        ("workloads", "10.244.1.5", "api.stripe.com", "allow"),
        ("workloads", "10.244.1.6", "api.stripe.com", "deny"),
        ("workloads", "10.244.2.9", "api.stripe.com", "deny"),
        ("linkerd-egress-routes", "10.244.1.5", "api.example.com", "allow"),
        ("linkerd-egress-routes", "10.244.2.5", "api.example.com", "deny"),
    ],
)
def test_the_examples(folder: str, source: str, host: str, verdict: str) -> None:
    path = str(EXAMPLES / folder / "sluice.yaml")
    checked = sluice("check", path)
    assert checked.returncode == 0 and "error" not in checked.stderr, checked.stderr
    asked = ("explain", "-c", path, "--source", source, "--to", f"{host}:443", "--json")
    assert json.loads(sluice(*asked).stdout)["verdict"] == verdict
