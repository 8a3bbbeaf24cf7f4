"""curl with `-x` and without `-p`: plain requests of a real client."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.http.conftest import Site
from tests.support.http_origin import LARGE


def curl(site: Site, *arguments: str, code: int = 0, stdin: bytes | None = None) -> bytes:
    """The output of one run."""
    command = ["curl", "-sS", "--max-time", "20", "-x", site.proxy, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=40, check=False)
    assert done.returncode == code, (done.returncode, done.stderr, done.stdout[:300])
    return done.stdout


def told(site: Site, *arguments: str, stdin: bytes | None = None) -> dict[str, Any]:
    """The request, as the origin sent it back."""
    found: dict[str, Any] = json.loads(curl(site, *arguments, stdin=stdin))
    return found


def test_get(site: Site) -> None:
    seen = told(site, site.url("/a/b?q=1&r=%20"), "-H", "X-Team: shop")
    assert (seen["method"], seen["target"]) == ("GET", "/a/b?q=1&r=%20"), "in origin-form"
    fields = dict(map(tuple, seen["fields"]))
    assert fields["host"] == site.authority and fields["x-team"] == "shop"
    assert fields["via"].startswith("1.1 sluice-") and "proxy-connection" not in fields


def test_a_query_alone_and_a_fragment(site: Site) -> None:
    assert told(site, f"http://{site.authority}?x=1")["target"] == "/?x=1"
    assert told(site, site.url("/a#part"))["target"] == "/a"


def test_head(site: Site) -> None:
    text = curl(site, "-I", site.url("/x")).decode()
    assert text.startswith("HTTP/1.1 200 OK\r\n") and text.endswith("\r\n\r\n")
    assert int(text.lower().partition("content-length: ")[2].partition("\r\n")[0]) > 0


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_post(site: Site, tmp_path: Path, size: int) -> None:
    content = (LARGE * 3)[:size]
    (tmp_path / "content").write_bytes(content)
    seen = told(site, "--data-binary", f"@{tmp_path}/content", site.url("/post"))
    assert (seen["method"], seen["length"]) == ("POST", size)
    assert seen["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_chunked_upload(site: Site) -> None:
    seen = told(site, "-T", "-", site.url("/put"), stdin=LARGE)
    assert (seen["method"], seen["sha256"]) == ("PUT", hashlib.sha256(LARGE).hexdigest())
    fields = dict(map(tuple, seen["fields"]))
    assert fields["transfer-encoding"] == "chunked" and "content-length" not in fields


def test_a_continue_that_comes_and_one_that_does_not(site: Site, tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(LARGE)
    for path in ("/expect", "/silent-expect"):
        arguments = ("-H", "Expect: 100-continue", "--expect100-timeout", "0.5", "-T", f"{tmp_path}/content")
        assert told(site, *arguments, site.url(path))["sha256"] == hashlib.sha256(LARGE).hexdigest()


def test_an_answer_before_the_content(site: Site, tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(LARGE * 8)
    out = curl(site, "-T", f"{tmp_path}/content", "-w", "%{http_code}", site.url("/early"))
    assert out == b"no more\n413"


def test_two_requests_share_both_connections(site: Site) -> None:
    accepted, connected = site.origin.accepted, site.gateway.counter("connections_accepted_total")
    out = curl(site, "-w", "%{num_connects} ", "-o", "/dev/null", "-o", "/dev/null", site.url("/1"), site.url("/2"))
    assert out == b"1 0 "
    assert site.origin.accepted - accepted <= 1 and site.gateway.counter("connections_accepted_total") - connected == 1


def test_statuses_pass_and_redirects_are_the_clients_own(site: Site) -> None:
    assert curl(site, "-w", "%{http_code}", site.url("/404")) == b"nothing here\n404"
    assert curl(site, "-f", site.url("/404"), code=22) == b""
    assert json.loads(curl(site, "-L", site.url("/redirect")))["target"] == "/moved"
    assert curl(site, "-w", "%{http_code}", site.url("/204")) == b"204"


@pytest.mark.parametrize("path", ["/large", "/chunked", "/until-close", "/interim", "/close"])
def test_every_framing_of_an_answer(site: Site, path: str) -> None:
    expected = {
        "/large": LARGE, "/chunked": b"hello world", "/until-close": b"until the end", "/interim": b"after two\n",
        "/close": b"and the end\n",
    }  # fmt: skip
    assert curl(site, site.url(path)) == expected[path]


def test_http_1_0(site: Site) -> None:
    assert json.loads(curl(site, "-0", site.url("/old")))["target"] == "/old"
    assert curl(site, "-0", site.url("/chunked")) == b"hello world"


def test_origin_form_goes_by_host(site: Site) -> None:
    url = f"http://127.0.0.1:{site.gateway.port}/direct"
    command = ["curl", "-sS", "--noproxy", "*", "-H", f"Host: {site.authority}", url]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert json.loads(done.stdout)["target"] == "/direct"


@pytest.mark.parametrize(
    ("host", "status", "words"),
    [
        ("blocked.test", b"403", b"rule_deny"),
        ("unknown.test", b"403", b"no_rule"),
        ("missing.test", b"502", b"dns_error"),
        ("closed.test:9", b"502", b"connection_refused"),
    ],
)
def test_refusals_say_why(site: Site, host: str, status: bytes, words: bytes) -> None:
    requests = len(site.origin.requests)
    out = curl(site, "-i", f"http://{host}/")
    assert out.startswith(b"HTTP/1.1 " + status) and words in out and b"Sluice-Id: " in out
    assert len(site.origin.requests) == requests


def test_a_refusal_keeps_the_connection(site: Site) -> None:
    out = curl(site, "-w", "%{num_connects}%{http_code} ", "-o", "/dev/null", "-o", "/dev/null",
               site.url("/", "blocked.test"), site.url("/"))  # fmt: skip
    assert out == b"1403 0200 "


def test_connect_and_requests_share_a_listener(site: Site) -> None:
    assert json.loads(curl(site, "-p", site.url("/tunnel")))["target"] == "/tunnel"


def test_fields_of_the_mesh_stay_inside(site: Site) -> None:
    inside = ["X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1", "l5d-dst-canonical: a", "ServiceIdentity: a.b",
              "X-Envoy-Attempt-Count: 1", "Proxy-Foo: 1", "Baggage: k8s.pod=a,own=1,service.name=b",
              "Connection: X-Hop, close", "X-Hop: 1", "TE: trailers", "Keep-Alive: 5"]  # fmt: skip
    arguments = [part for field in inside for part in ("-H", field)]
    fields = dict(map(tuple, told(site, *arguments, site.url("/fields"))["fields"]))
    assert fields.pop("baggage") == "own=1"
    assert set(fields) <= {"host", "user-agent", "accept", "via", "te", "connection"}, fields
