"""The vectors of routes (tests/vectors/http), asked of a running gateway: what an image says is what a worker does."""

import contextlib
import json
import socket
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.names import NameServer
from tests.support.origins import Origin
from tests.support.run_gateway import Gateway

STALL: Final = "stall="  # a query with it: the answer comes after so many milliseconds
VECTORS: Final = Path(__file__).resolve().parents[2] / "vectors/http"
# Where the Services of the vectors are, at their port, and the destination that is asked for itself.
PLACES: Final = {"v1": ("127.0.0.2", 8080), "v2": ("127.0.0.3", 8080), "v3": ("127.0.0.4", 8080)}
ASKED: Final = ("127.0.0.9", 80)
TIMES: Final = VECTORS / "timeouts-and-retries.yaml"
FILES: Final = sorted(file for file in VECTORS.glob("*.yaml") if file != TIMES)
HOSTS: Final = ("a.example.com", "www.example.com", "example.com", "example.net", "foo.example.com")


class Seen(NamedTuple):
    """A request as an origin got it; names of fields in lower case."""

    origin: str
    method: str
    path: str
    fields: dict[str, str]


def noting(name: str, seen: list[Seen]) -> Any:
    """A handler that answers each request with the origin's name."""

    def serve(connection: socket.socket, origin: Origin) -> None:
        del origin
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                chunk = connection.recv(65536)
                if not chunk:
                    return
                rest += chunk
            head, _, rest = rest.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            fields: dict[str, str] = {}
            for field, _, value in (line.partition(":") for line in lines):
                known = fields.get(field.lower())
                fields[field.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
            method, path, _ = first.split(" ")
            seen.append(Seen(name, method, path, fields))
            length = int(fields.get("content-length", "0"))
            while len(rest) < length:
                rest += connection.recv(65536)
            rest = rest[length:]
            time.sleep(int(path.partition(STALL)[2] or 0) / 1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name.encode()))

    return serve


class Site(NamedTuple):
    seen: list[Seen]
    server: NameServer


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    seen: list[Seen] = []
    names = {f"{service}.egress.svc.cluster.local": [host] for service, (host, _) in PLACES.items()}
    with contextlib.ExitStack() as stack:
        for name, (host, port) in {**PLACES, "asked": ASKED}.items():
            stack.enter_context(Origin(noting(name, seen), host, port))
        server = stack.enter_context(NameServer(names | {host: [ASKED[0]] for host in HOSTS}))
        yield Site(seen, server)


def documents(text: str, port: int) -> list[dict[str, Any]]:
    found = [one for one in yaml.safe_load_all(text) if one]
    for one in found:
        if one["kind"] == "Gateway":
            for listener in one["spec"]["listeners"]:
                listener["port"] = port
    return found


def ask(gateway: Gateway, request: dict[str, Any]) -> tuple[int, dict[str, str]]:
    """The status and the fields of the answer."""
    url = urllib.parse.urlsplit(request["url"])
    lines = [f"{request['method']} {request['url']} HTTP/1.1", f"Host: {url.netloc}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in request.get("headers", {}).items()]
    with wire.connect(gateway.port) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        head = wire.to_the_end(client).partition(b"\r\n\r\n")[0].decode("latin-1")
    first, *rest = head.split("\r\n")
    fields = (line.partition(":") for line in rest)
    return int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in fields}


def origins_of(upstream: dict[str, Any]) -> set[str]:
    """The origins that a request may have reached, of those that are here; empty: another one."""
    backend = upstream.get("backend", "asked")
    names = set(backend) if isinstance(backend, dict) else {backend}
    return names if names <= {*PLACES, "asked"} else set()


def check(gateway: Gateway, site: Site, request: dict[str, Any], expect: dict[str, Any]) -> bool:
    """Asks, and compares; False where nothing here can show what is expected."""
    upstream = expect.get("upstream")
    reached = set() if upstream is None else origins_of(upstream)
    if upstream is not None and not reached:
        return False
    if upstream is None and "status" not in expect:
        return False
    before = len(site.seen)
    status, fields = ask(gateway, request)
    if upstream is None:
        assert status == expect["status"], (request, fields)
        assert fields.get("location") == expect.get("location"), request
        assert len(site.seen) == before, request
        return True
    assert status == 200, (request, fields)
    mirrors = [one["backend"] for one in expect.get("mirrored_to", ()) if one["share"][0] == one["share"][1]]
    eventually(lambda: len(site.seen) >= before + 1 + len(mirrors), "the request and its mirrors have come")
    new = site.seen[before:]
    assert {one.origin for one in new} & reached, (request, new)
    assert set(mirrors) <= {one.origin for one in new}, (request, new)
    main = next(one for one in new if one.origin in reached)
    assert main.method == request["method"]
    if "path" in upstream:
        assert main.path == upstream["path"], request
    if "host" in upstream:
        assert main.fields["host"] == upstream["host"], request
    for name, value in upstream.get("headers", {}).items():
        assert main.fields.get(name) == value, (request, main)
    return True


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_worker_does_as_the_vectors_say(site: Site, file: Path) -> None:
    vectors = yaml.safe_load(file.read_text())
    gateway = Gateway([], {"dns": {"servers": [site.server.address]}}, listener={"name": "default"})
    gateway.write_policy(documents(vectors["manifests"], gateway.port))
    with gateway:
        shown = [check(gateway, site, one["request"], one["expect"]) for one in vectors["requests"]]
        routes = {line["route"] for line in gateway.events(event="request") if line["status"] not in (404,)}
    assert sum(shown) * 3 >= len(shown), f"too few of {len(shown)} requests could be shown"
    named = {str(one["expect"].get("route", "/")).rpartition("/")[0] for one in vectors["requests"]} - {""}
    assert {str(route).rpartition("/")[2] for route in routes if route} <= named, json.dumps(sorted(map(str, routes)))


def test_a_worker_keeps_the_times_of_the_vectors(site: Site) -> None:
    """An origin that takes longer than the shorter of both limits is 504 by then; without one it is waited for."""
    vectors = yaml.safe_load(TIMES.read_text())
    gateway = Gateway([], {"dns": {"servers": [site.server.address]}}, listener={"name": "default"})
    gateway.write_policy(documents(vectors["manifests"], gateway.port))
    with gateway:
        for one in vectors["requests"]:
            times = one["expect"].get("timeouts", {})
            limit = min((most for most in times.values() if most is not None), default=None)
            began = time.monotonic()
            url = f"{one['request']['url']}?{STALL}{700 if limit is None else limit + 300}"
            status, fields = ask(gateway, one["request"] | {"url": url})
            took = (time.monotonic() - began) * 1000
            if limit is None:
                assert (status, took >= 700) == (200, True), one
            else:
                assert status == 504 and "http_response_timeout" in fields["proxy-status"], (one, status)
                assert took >= limit, one
        told = gateway.events(event="request")
    assert [line["outcome"] for line in told].count("response_timeout") == 2
    assert {line["route"] for line in told} == {"HTTPRoute/egress/times"}
