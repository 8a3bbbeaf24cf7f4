"""Requests a second of a listener, by HTTPLocalRateLimitPolicies on the Server that stands for it: of all, of each
identity, and of those that share a limit; over all workers, and over reloads."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.operation.test_limits import limited as limited_by
from tests.support import wire
from tests.support.http2 import RfcClient
from tests.support.http_client import Client
from tests.support.http_origin import HttpOrigin
from tests.support.run_gateway import Gateway, Mapping, policy

CART, WEB, BATCH, NIGHT, STRANGER, OTHER = (f"127.0.0.{number}" for number in range(1, 7))
POLICY = "policy.linkerd.io"


def manifest(kind: str, name: str, spec: Mapping, version: str = "v1alpha1") -> Mapping:
    metadata = {"name": name, "namespace": "egress"}
    return {"apiVersion": f"{POLICY}/{version}", "kind": kind, "metadata": metadata, "spec": spec}


def limited(**spec: Any) -> list[Mapping]:
    target = {"group": POLICY, "kind": "Server", "name": "gate"}
    server = {"podSelector": {}, "port": "mesh", "accessPolicy": "all-unauthenticated"}
    return [
        policy("open", [{"cidr": "127.0.0.0/8"}]),
        manifest("Server", "gate", server, "v1beta3"),
        manifest("HTTPLocalRateLimitPolicy", "rate", {"targetRef": target, **spec}),
    ]


def per_second(rate: int, *accounts: str) -> Mapping:
    clients = [{"kind": "ServiceAccount", "name": name, "namespace": "shop"} for name in accounts]
    return {"requestsPerSecond": rate, **({"clientRefs": clients} if clients else {})}


@pytest.fixture(scope="module")
def origin() -> Iterator[HttpOrigin]:
    with HttpOrigin() as running:
        yield running


def config() -> Mapping:
    names = {CART: "cart", WEB: "web", BATCH: "batch", NIGHT: "night"}
    networks = [{"cidr": f"{ip}/32", "namespace": "shop", "serviceAccount": account} for ip, account in names.items()]
    return {"identity": {"networks": networks}, "gateway": {"namespace": "egress"}, "workers": 2}


def statuses(gateway: Gateway, origin: HttpOrigin, source: str, count: int) -> list[int]:
    with Client(gateway.port, source) as client:
        return [client.get(f"http://127.0.0.1:{origin.port}/").status for _ in range(count)]


def test_all_requests_count_whoever_asks_and_whichever_worker_answers(origin: HttpOrigin) -> None:
    with Gateway(limited(total=per_second(20)), config()) as gateway:
        began = time.monotonic()
        found = [status for number in range(30) for status in statuses(gateway, origin, f"127.0.0.{number + 1}", 2)]
        most = 20 + 20 * (time.monotonic() - began) + 1
        assert set(found) == {200, 429} and 20 <= found.count(200) <= most
        assert limited_by(gateway) == {"rate": found.count(429)}


def test_what_is_over_is_told(origin: HttpOrigin) -> None:
    with Gateway(limited(identity=per_second(1)), config()) as gateway, Client(gateway.port, CART) as client:
        url = f"http://127.0.0.1:{origin.port}/"
        assert client.get(url).status == 200
        refused = client.get(url)
        assert refused.status == 429 and refused.value("retry-after") == "1"
        assert "connection_limit_reached" in refused.value("proxy-status")
        line = gateway.event(outcome="route_limit")
        assert line["id"] == refused.value("sluice-id") and line["source"]["identity"] == "shop/cart"
        time.sleep(1.1)
        assert client.get(url).status == 200, "a second later"


def test_each_identity_has_its_own_and_those_without_share_one(origin: HttpOrigin) -> None:
    with Gateway(limited(identity=per_second(3)), config()) as gateway:
        for source in (CART, WEB):
            assert statuses(gateway, origin, source, 5).count(200) in (3, 4)
        both = statuses(gateway, origin, STRANGER, 3) + statuses(gateway, origin, OTHER, 3)
        assert both.count(200) in (3, 4)


def test_an_override_is_shared_by_its_clients_and_stands_for_their_own(origin: HttpOrigin) -> None:
    rates = limited(total=per_second(100), identity=per_second(1), overrides=[per_second(5, "batch", "night")])
    with Gateway(rates, config()) as gateway:
        both = statuses(gateway, origin, BATCH, 4) + statuses(gateway, origin, NIGHT, 4)
        assert both.count(200) in (5, 6)
        assert statuses(gateway, origin, WEB, 3).count(200) == 1


def test_tunnels_over_http_count_and_socks_does_not(origin: HttpOrigin) -> None:
    with Gateway(limited(identity=per_second(1)), config()) as gateway:
        found = []
        for _ in range(3):
            with wire.connect(gateway.port, source=CART) as client:
                client.sendall(wire.connect_request(f"127.0.0.1:{origin.port}"))
                found.append(wire.http_head(client).status)
        assert found == [200, 429, 429]
        with RfcClient(gateway.port) as fresh:  # from the same address
            assert fresh.refused(f"127.0.0.1:{origin.port}").status == 429
        for _ in range(3):
            with wire.connect(gateway.port, source=CART) as client:
                assert wire.socks5(client, "127.0.0.1", origin.port) == 0


def test_denied_requests_do_not_count(origin: HttpOrigin) -> None:
    with Gateway(limited(identity=per_second(1)), config()) as gateway, Client(gateway.port, CART) as client:
        for _ in range(3):
            assert client.get("http://192.0.2.1/").status == 403
        assert client.get(f"http://127.0.0.1:{origin.port}/").status == 200


def test_a_reload_changes_the_limit_and_forgets_no_debt(origin: HttpOrigin) -> None:
    with Gateway(limited(identity=per_second(1)), config()) as gateway:
        assert statuses(gateway, origin, CART, 2) == [200, 429]
        gateway.reload(limited(identity=per_second(1)))
        assert statuses(gateway, origin, CART, 1) == [429]
        gateway.reload(limited())
        assert statuses(gateway, origin, CART, 5) == [200] * 5
