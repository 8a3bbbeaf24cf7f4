"""Envoy as a tunnelling sidecar: plain TCP in, HTTP/2 CONNECT streams to the gateway out."""

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.sluice_process import ROOT

ENVOY: Final = ROOT / "build/peers/envoy/envoy/_bin/envoy"
TYPES: Final = "type.googleapis.com/envoy.extensions"
TUNNELS: Final = 1000
GATEWAY: Final = "spiffe://mesh.test/ns/egress/sa/sluice"


def address(port: int) -> Mapping:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def secured(authority: Authority, pair: tuple[str, str]) -> Mapping:
    """TLS of a cluster: it shows a certificate, and the gateway has to be a workload of the same mesh."""
    certificate, key = pair
    context = {
        "@type": f"{TYPES}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "gateway.test",
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_certificates": [{"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}],
            "validation_context": {
                "trusted_ca": {"filename": str(authority.path)},
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": GATEWAY}}],
            },
        },
    }
    return {"transport_socket": {"name": "tls", "typed_config": context}}


def sidecar(listen: int, gateway: int, target: str, tls: Mapping | None = None) -> Mapping:
    """Every connection to `listen` becomes a CONNECT to `target` through the gateway."""
    proxy = {
        "@type": f"{TYPES}.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tunnels",
        "cluster": "gateway",
        "tunneling_config": {"hostname": target},
    }
    http2 = {
        "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 100}},
    }
    plenty: dict[str, Any] = {"max_connections": 5000, "max_pending_requests": 5000, "max_requests": 5000}
    cluster = {
        "name": "gateway",
        **(tls or {}),
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [plenty]},
        "typed_extension_protocol_options": {f"{TYPES[20:]}.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {
            "cluster_name": "gateway",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(gateway)}}]}],
        },
    }
    listener = {
        "name": "tunnels",
        "address": address(listen),
        "filter_chains": [{"filters": [{"name": "tunnels", "typed_config": proxy}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def answers(port: int) -> bool:
    try:
        wire.connect(port, timeout=2).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def envoy(folder: Path, configuration: Mapping, port: int) -> Iterator[None]:
    assert ENVOY.exists(), f"{ENVOY} is not there: bench/peers/unpack.sh fetches it, make test-full does that"
    file = folder / "envoy.json"
    file.write_text(json.dumps(configuration))
    command = [str(ENVOY), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    with subprocess.Popen(command) as process:
        try:
            eventually(lambda: answers(port), "Envoy listens")
            yield
        finally:
            process.terminate()


@pytest.mark.full
def test_a_thousand_tunnels_through_a_sidecar(tmp_path: Path, world: World) -> None:
    rules = [policy("all", [{"cidr": "127.0.0.0/8"}])]
    listen = free_port()
    with Gateway(rules) as gateway, contextlib.ExitStack() as stack:
        target = f"127.0.0.1:{world.echo.port}"
        stack.enter_context(envoy(tmp_path, sidecar(listen, gateway.port, target), listen))
        clients: list[socket.socket] = []
        for number in range(TUNNELS):
            client = stack.enter_context(wire.connect(listen))
            client.sendall(b"\0" + number.to_bytes(4, "big"))
            clients.append(client)
        for number, client in enumerate(clients):
            assert wire.exactly(client, 5) == b"\0" + number.to_bytes(4, "big")
        assert gateway.counter("tunnels_open") == TUNNELS
        assert gateway.counter("http2_streams_open") == TUNNELS
        for client in clients:
            client.sendall(bytes(10_000))
        for client in clients:
            assert wire.exactly(client, 10_000) == bytes(10_000)
        clients[0].shutdown(socket.SHUT_WR)
        assert wire.to_the_end(clients[0]) == b"", "a half-close goes there and back"


@pytest.mark.full
def test_a_refusal_reaches_the_sidecar_s_client(tmp_path: Path) -> None:
    listen = free_port()
    with (
        Gateway([policy("none", [{"host": "nowhere.test", "ports": [443]}])]) as gateway,
        envoy(tmp_path, sidecar(listen, gateway.port, "127.0.0.1:9"), listen),
        wire.connect(listen) as client,
    ):
        client.sendall(b"\0")
        with contextlib.suppress(ConnectionResetError):
            assert wire.to_the_end(client) == b""
        assert gateway.event(outcome="denied")["protocol"] == "http2tunnel"


@pytest.mark.full
@pytest.mark.parametrize(("account", "let_through"), [("cart", True), ("till", False)])
def test_a_sidecar_with_a_workload_s_certificate(tmp_path: Path, world: World, account: str, let_through: bool) -> None:
    """mTLS with SPIFFE IDs on both sides, as the proxies of a mesh have them."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("gateway", GATEWAY, "gateway.test")
    cart = policy("cart", [{"cidr": "127.0.0.0/8"}], namespace="shop", sources=[{"serviceAccount": "cart"}])
    gateway, listen, secure = Gateway([cart]), free_port(), free_port()
    gateway.config["identity"] = {"trustDomains": [{"name": "mesh.test", "ca": str(authority.path)}]}
    tls = {"certificates": [{"certificate": certificate, "key": key}], "clientCA": str(authority.path)}
    gateway.config["listeners"].append({"name": "mutual", "address": f"127.0.0.1:{secure}", "tls": tls})
    pair = authority.issue(account, f"spiffe://mesh.test/ns/shop/sa/{account}", client=True)
    settings = sidecar(listen, secure, f"127.0.0.1:{world.echo.port}", secured(authority, pair))
    with gateway, envoy(tmp_path, settings, listen), wire.connect(listen) as client:
        client.sendall(b"\0ping")
        if let_through:
            assert wire.exactly(client, 5) == b"\0ping"
            line = gateway.event(event="open")
        else:
            with contextlib.suppress(ConnectionResetError):
                assert wire.to_the_end(client) == b""
            line = gateway.event(outcome="denied")
        assert (line["source"]["identity"], line["source"]["identity_source"]) == (f"shop/{account}", "certificate")
        assert (line["protocol"], line["tls"]["client"]["alpn"]) == ("http2tunnel", "h2")
