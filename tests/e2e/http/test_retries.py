"""Further tries that routes want: after which answers and losses, how often, within which times, and never twice what
may not be; their budget holds."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.e2e.conftest import full_listener
from tests.e2e.operation.test_observation import scrape
from tests.support import wire
from tests.support.http2 import RfcClient
from tests.support.http_client import Client, Response
from tests.support.http_origin import Stream, body_of
from tests.support.names import NameServer
from tests.support.origins import Origin, reset
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping

ROUTES: Final = "gateway.networking.k8s.io/v1"
GATEWAY: Final = {
    "apiVersion": ROUTES,
    "kind": "Gateway",
    "metadata": {"name": "outside", "namespace": "egress"},
    "spec": {"gatewayClassName": "sluice", "listeners": [{"name": "mesh", "port": 1080, "protocol": "HTTP"}]},
}


class Script:
    """An origin that does one thing after the other, and then answers 200: a status, `close` after a request, `reset`,
    `stall` until it is over, `half` an answer, or `grpc N`, a status of gRPC without content."""

    def __init__(self) -> None:
        self.acts: list[str] = []
        self.bodies: list[bytes] = []
        self.times: list[float] = []
        self.over = threading.Event()

    def plays(self, *acts: str) -> None:
        self.acts, self.bodies, self.times = list(acts), [], []

    def __call__(self, connection: socket.socket, _: Origin) -> None:
        stream = Stream(connection, bytearray())
        with contextlib.suppress(EOFError, ConnectionError):
            while self.one(stream):
                pass

    def one(self, stream: Stream) -> bool:
        _, *lines = stream.until(b"\r\n\r\n").decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.bodies.append(body_of(stream, fields))
        self.times.append(time.monotonic())
        act = self.acts.pop(0) if self.acts else "200"
        if act == "reset":
            reset(stream.connection)
        elif act == "stall":
            self.over.wait(20)
        elif act == "half":
            stream.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        elif act.startswith("grpc"):
            status = f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\ngrpc-status: {act[5:]}\r\n\r\n"
            stream.connection.sendall(status.encode())
            return True
        elif act != "close":
            stream.connection.sendall(f"HTTP/1.1 {act} Said\r\nContent-Length: {len(act)}\r\n\r\n{act}".encode())
            return True
        return False


class Site:
    """A gateway whose route for a.test has what tests ask for; or one of Linkerd, with annotations."""

    def __init__(self, script: Script, origin: Origin, names: NameServer) -> None:
        self.script, self.origin, self.names = script, origin, names
        self.url = f"http://a.test:{origin.port}/"

    def gateway(self, rule: Mapping) -> Gateway:
        route = {
            "apiVersion": ROUTES,
            "kind": "HTTPRoute",
            "metadata": {"name": "tries", "namespace": "egress"},
            "spec": {"parentRefs": [{"name": "outside"}], "hostnames": ["a.test"], "rules": [rule]},
        }
        config = {"dns": {"servers": [self.names.address]}, "limits": {"dialTimeout": "2s"}}
        gateway = Gateway([], config)
        gateway.write_policy([with_port(GATEWAY, gateway.port), route])
        return gateway

    def annotated(self, kind: str, **annotations: str) -> Gateway:
        group, parent = "policy.linkerd.io", {"kind": "EgressNetwork", "name": "all"}
        network = {"apiVersion": f"{group}/v1alpha1", "kind": "EgressNetwork", "spec": {"trafficPolicy": "Deny"}}
        route = {
            "apiVersion": ROUTES,
            "kind": kind,
            "spec": {
                "parentRefs": [{"group": group, **parent, "port": self.origin.port}],
                "hostnames": ["a.test"],
                "rules": [{"backendRefs": [{"group": group, **parent}]}],
            },
        }
        network["metadata"] = {"name": "all", "namespace": "egress"}
        known = {f"retry.linkerd.io/{name}": value for name, value in annotations.items()}
        route["metadata"] = {"name": "tries", "namespace": "egress", "annotations": known}
        config = {
            "dns": {"servers": [self.names.address]},
            "linkerd": {"globalNamespace": "egress"},
            "identity": {"networks": [{"cidr": "127.0.0.0/8", "namespace": "shop", "serviceAccount": "cart"}]},
        }
        return Gateway([network, route], config)


def with_port(manifest: Mapping, port: int) -> Mapping:
    listeners = [{**one, "port": port} for one in manifest["spec"]["listeners"]]
    return {**manifest, "spec": {**manifest["spec"], "listeners": listeners}}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    script = Script()
    with Origin(script) as origin, NameServer({"a.test": ["127.0.0.1"]}) as names:
        yield Site(script, origin, names)
        script.over.set()


def ask(gateway: Gateway, site: Site, *acts: str, method: str = "GET", body: bytes = b"") -> Response:
    site.script.plays(*acts)
    with Client(gateway.port) as client:
        head = f"{method} {site.url} HTTP/1.1\r\nHost: a.test:{site.origin.port}\r\nContent-Length: {len(body)}\r\n\r\n"
        client.send(head.encode() + body)
        return client.response(method)


def retried(gateway: Gateway) -> dict[str, float]:
    """sluice_http_retries_total of the route, by result."""
    series = scrape(gateway).get("sluice_http_retries_total", {})
    return {dict(labels)["result"]: count for labels, count in series.items() if count}


RETRY: Final[dict[str, Any]] = {"retry": {"codes": [500, 503], "attempts": 2, "backoff": "10ms"}}


def test_after_answers_that_are_named_and_losses(site: Site) -> None:
    with site.gateway(RETRY) as gateway:
        for acts in (("503",), ("500", "503"), ("close",), ("reset", "close"), ("503", "reset")):
            assert ask(gateway, site, *acts).status == 200, acts
            assert len(site.script.bodies) == len(acts) + 1, acts
        line = gateway.event(event="request", tries=3)
        assert (line["status"], line["route"]) == (200, "HTTPRoute/egress/tries")
        # A kept connection that closes untouched is a free try, of none that the route has.
        assert retried(gateway) == {"success": 4, "failure": 2, "free": 2}


def test_the_last_answer_is_passed_on(site: Site) -> None:
    with site.gateway(RETRY) as gateway:
        found = ask(gateway, site, "503", "500", "503", "200")
        assert (found.status, found.body, len(site.script.bodies)) == (503, b"503", 3)
        assert ask(gateway, site, "503", "close", "close").status == 502
        assert len(site.script.bodies) == 3


def test_nothing_else_is_tried_again(site: Site) -> None:
    with site.gateway(RETRY) as gateway:
        assert ask(gateway, site, "502").status == 502, "a status that is not named"
        assert ask(gateway, site, "503", method="POST").status == 503, "not idempotent"
        with pytest.raises((EOFError, ConnectionError)):
            ask(gateway, site, "half")  # its response has begun
        assert len(site.script.bodies) == 1
    with site.gateway({}) as gateway:
        assert ask(gateway, site, "503").status == 503


def test_content_is_sent_again_up_to_64_kib(site: Site) -> None:
    with site.gateway(RETRY) as gateway:
        for size, status, count in ((1, 200, 2), (65_536, 200, 2), (65_537, 503, 1), (300_000, 503, 1)):
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            assert ask(gateway, site, "503", method="PUT", body=body).status == status, size
            assert site.script.bodies == [body] * count, size


def test_annotations_of_linkerd_retry_whatever_the_method_is(site: Site) -> None:
    with site.annotated("HTTPRoute", http="5xx", limit="2", timeout="300ms") as gateway:
        assert ask(gateway, site, "500", "stall", method="POST", body=b"once more").status == 200
        assert site.script.bodies == [b"once more"] * 3
        assert ask(gateway, site, "404").status == 404


def test_a_status_of_grpc_without_content_is_tried_again(site: Site) -> None:
    with site.annotated("GRPCRoute", grpc="unavailable") as gateway:
        for act, tries in (("grpc 14", 2), ("grpc 13", 1), ("grpc 0", 1), ("503", 1)):
            site.script.plays(act)
            authority = f"a.test:{site.origin.port}"
            fields = [(":method", "POST"), (":scheme", "http"), (":path", "/p.S/M"), (":authority", authority)]
            with RfcClient(gateway.port) as client:
                client.over(client.request([*fields, ("content-type", "application/grpc")], end=True))
            assert len(site.script.bodies) == tries, act


def test_the_back_off_is_waited_for_and_doubles(site: Site) -> None:
    rule = {"retry": {"codes": [503], "attempts": 2, "backoff": "200ms"}}
    with site.gateway(rule) as gateway:
        assert ask(gateway, site, "503", "503").status == 200
        first, second, third = site.script.times
        assert second - first >= 0.19 and third - second >= 0.39


def test_all_tries_lie_within_the_time_of_the_request(site: Site) -> None:
    rule = {"timeouts": {"request": "600ms"}, "retry": {"codes": [503], "attempts": 5, "backoff": "250ms"}}
    with site.gateway(rule) as gateway:
        began = time.monotonic()
        assert ask(gateway, site, *["503"] * 6).status == 503, "the next one would begin too late"
        assert time.monotonic() - began < 2 and len(site.script.bodies) <= 3
        assert ask(gateway, site, "503", "stall").status == 504


def test_the_time_of_the_request_holds_before_there_is_a_connection(site: Site) -> None:
    with site.gateway({"timeouts": {"request": "400ms"}}) as gateway, full_listener() as silent:
        began = time.monotonic()
        with Client(gateway.port) as client:
            found = client.get(f"http://a.test:{silent}/")
            assert found.status == 504 and "http_response_timeout" in found.value("proxy-status")
            assert 0.3 < time.monotonic() - began < 1.8, "before limits.dialTimeout"
            site.script.plays()
            assert client.get(site.url).status == 200, "the connection goes on"


def test_each_try_has_its_time(site: Site) -> None:
    rule = {"timeouts": {"backendRequest": "300ms"}, "retry": {"attempts": 2, "backoff": "10ms"}}
    with site.gateway(rule) as gateway:
        assert ask(gateway, site, "stall").status == 200
        assert ask(gateway, site, "stall", "stall", "stall").status == 504


def test_a_destination_that_takes_no_connection_at_first(site: Site) -> None:
    rule = {"retry": {"attempts": 5, "backoff": "150ms"}}
    port = free_port()
    with site.gateway(rule) as gateway, Client(gateway.port) as client, contextlib.ExitStack() as later:

        def opens() -> None:
            later.enter_context(Origin(site.script, port=port))

        timer = threading.Timer(0.4, opens)
        timer.start()
        site.script.plays()
        assert client.get(f"http://a.test:{port}/").status == 200
        timer.join()
        assert client.get(f"http://a.test:{free_port()}/").status == 502, "no longer than its tries"


def test_a_destination_that_was_not_reached_has_cost_its_tries(site: Site) -> None:
    """All of them are counted together, whatever they fail by."""
    with site.gateway({"retry": {"codes": [503], "attempts": 2, "backoff": "300ms"}}) as gateway:
        port = free_port()
        with Client(gateway.port) as client, contextlib.ExitStack() as later:
            timer = threading.Timer(0.15, lambda: later.enter_context(Origin(site.script, port=port)))
            timer.start()
            site.script.plays("503", "503", "503")
            assert client.get(f"http://a.test:{port}/").status == 503
            timer.join()
            assert len(site.script.bodies) == 2, "the first of three tries met no listener"
        site.script.plays()


def test_over_http2_and_for_its_next_requests(site: Site) -> None:
    with site.gateway(RETRY) as gateway, RfcClient(gateway.port) as client:
        for acts, status in ((["503"], 200), (["503", "503", "503"], 503), (["close"], 200)):
            site.script.plays(*acts)
            authority = f"a.test:{site.origin.port}"
            fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", authority)]
            assert client.over(client.request(fields, end=True)).status == status


def test_a_client_that_leaves_while_a_try_waits_leaves_nothing(site: Site) -> None:
    with site.gateway({"retry": {"codes": [503], "attempts": 1, "backoff": "1s"}}) as gateway:
        site.script.plays("503")
        with wire.connect(gateway.port) as client:
            client.sendall(f"GET {site.url} HTTP/1.1\r\nHost: a.test:{site.origin.port}\r\n\r\n".encode())
            time.sleep(0.3)
            reset(client)
        assert gateway.event(event="request", outcome="client_gone")["tries"] == 1
        time.sleep(1.6)
        assert len(site.script.bodies) == 1


def test_a_storm_stays_within_its_budget(site: Site) -> None:
    """A fifth of the requests, and ten a second over ten seconds."""
    with site.gateway({"retry": {"codes": [503], "attempts": 1, "backoff": "1ms"}}) as gateway:
        site.script.plays(*["503"] * 100_000)
        with Client(gateway.port) as client:
            for _ in range(1000):
                assert client.get(site.url).status == 503
        retries = len(site.script.bodies) - 1000
        assert 100 <= retries <= 100 + 200
        assert retried(gateway)["limited"] >= 1000 - retries
        site.script.plays()
