"""tests/vectors/http: manifests, requests, and what becomes of them, by the image that is compiled of the manifests.

A file's `requests` have `request: {method, url, headers}` and `expect`, with these parts, each of which may be absent:
`route` (name/rule), `status` and `location` of an answer that the gateway gives itself, `upstream` (the backend, or
backends with their weights; `asked` is the destination asked for, a reason one that cannot be used; path, host and
headers as they arrive there, null = absent; protocol, endpoints, dns), `mirrored_to`, `timeouts` and `retry`. A route's
text is read here once more, by the documentation of Gateway API alone.
"""

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml

from gateway.policy.image import PolicyImage
from gateway.policy.target import HttpRequest
from tests.supervisor.policy.dialects.gateway_api.loading import load
from tests.supervisor.policy.dialects.gateway_api.test_property import image_of

FOLDER: Final = Path(__file__).resolve().parents[4] / "vectors" / "http"
FILES: Final = sorted(FOLDER.glob("*.yaml"))
PORTS: Final = {"http": 80, "https": 443}
PUBLIC: Final = "1.1.1.1"  # of whatever name
STATUSES: Final = {"no_route": 404}

Value = dict[str, Any]


class Request:
    """One request of a file."""

    def __init__(self, said: Value) -> None:
        self.url = urlsplit(said["url"])
        self.method = said["method"]
        self.fields = {name.lower(): value for name, value in said.get("headers", {}).items()}
        self.host, self.port = self.url.hostname or "", self.url.port or PORTS[self.url.scheme]

    def decided(self, image: PolicyImage) -> Value:
        """As `explain` has it."""
        seen = HttpRequest(self.method, self.url.path or "/", self.url.query or None, tuple(self.fields.items()))
        where = {"host": self.host, "port": self.port, "address": PUBLIC}
        found: Value = image.explain(listener="default", request=seen, namespace="egress", **where)
        return found


def path_of(new: Value | None, request: Request) -> str:
    """The path of a redirection or a rewrite, and the query as it was."""
    path = request.url.path or "/"
    if new is not None and "full" in new:
        path = new["full"]
    elif new is not None:
        rest = path.removeprefix(new["matched"].rstrip("/"))
        path = new["prefix"].rstrip("/") + ("/" + rest.lstrip("/") if rest.strip("/") else rest)
        path = path or "/"
    return path + (f"?{request.url.query}" if request.url.query else "")


def location_of(filter_: Value, request: Request) -> str:
    scheme = filter_["scheme"] or request.url.scheme
    port = filter_["port"] or (PORTS[scheme] if filter_["scheme"] else request.port)
    at = "" if port == PORTS[scheme] else f":{port}"
    return f"{scheme}://{filter_['hostname'] or request.host}{at}{path_of(filter_['path'], request)}"


def name_of(backend: Value) -> str:
    kind = backend["kind"]
    named = {"service": "name", "invalid": "reason"}
    return f"{backend['host']}:{backend['port']}" if kind == "name" else backend[named[kind]] if kind in named else kind


def change(fields: dict[str, str], filter_: Value) -> None:
    for name, value in filter_["set"]:
        fields[name] = value
    for name, value in filter_["add"]:
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    for name in filter_["remove"]:
        fields.pop(name, None)


def upstream_of(route: Value, request: Request) -> Value:
    """The request as it arrives at the backends."""
    found: Value = {"path": path_of(None, request), "host": request.host, "headers": dict(request.fields)}
    live = [one for one in route["backends"] if one["weight"]]
    for one in [*route["filters"], *(live[0]["filters"] if len(live) == 1 else [])]:
        if one["type"] == "request-headers":
            change(found["headers"], one)
        elif one["type"] == "rewrite":
            found |= {"path": path_of(one["path"], request), "host": one["hostname"] or request.host}
    shares = {name_of(one["backend"]): one["weight"] for one in live} or {"asked": 1}
    found["backend"] = next(iter(shares)) if len(shares) == 1 else shares
    return found | {name: live[0]["backend"].get(name) for name in ("protocol", "endpoints", "dns") if live}


def outcome_of(decision: Value, request: Request) -> Value:
    """All that a file may expect of a decision."""
    route = decision["attributes"].get("route", {}).get("value")
    if decision["verdict"] != "allow" or route is None:
        return {"status": STATUSES.get(decision["reason"], 403)}
    assert route["route"].startswith(("HTTPRoute/egress/", "GRPCRoute/egress/")) and route["system"] == "gateway-api"
    found: Value = {"route": f"{route['route'].rpartition('/')[2]}/{route['rule']}"}
    found |= {"timeouts": route["timeouts"], "retry": route["retry"]}
    for one in route["filters"]:
        if one["type"] == "redirect":
            return found | {"status": one["status"], "location": location_of(one, request)}
    copies = [one for one in route["filters"] if one["type"] == "mirror"]
    found["mirrored_to"] = [
        {"backend": name_of(one["backend"]), "share": [one["numerator"], one["denominator"]]} for one in copies
    ]
    backends = route["backends"]
    if backends and not any(one["weight"] and one["backend"]["kind"] != "invalid" for one in backends):
        return found | {"status": 500}
    return found | {"upstream": upstream_of(route, request)}


def agrees(expected: Any, found: Any) -> bool:
    """Whether all that is expected is so; null = absent."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return all(agrees(value, found.get(name)) for name, value in expected.items())
    return bool(expected == found)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_vectors(tmp_path: Path, file: Path) -> None:
    vector = yaml.safe_load(file.read_text())
    policy, problems = load(tmp_path, vector["manifests"])
    assert problems.errors == [], str(problems.errors)
    image = image_of(policy)
    for one in vector["requests"]:
        request = Request(one["request"])
        decision = request.decided(image)
        found = outcome_of(decision, request)
        assert agrees(one["expect"], found), (one, found, decision["reason"])
        if "status" not in one["expect"]:
            assert "status" not in found, one


def test_there_are_vectors() -> None:
    assert sum(len(yaml.safe_load(file.read_text())["requests"]) for file in FILES) >= 50
