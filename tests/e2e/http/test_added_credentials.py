"""Credentials that the gateway sets in requests: where a value goes, and every way by which one could leak
(DECISIONS.md section 7, "Credentials")."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from tests.support.certificates import Authority
from tests.support.h2_origin import Exchange, Server, serving
from tests.support.http2 import RfcClient
from tests.support.http_client import Client, Response
from tests.support.http_origin import HttpOrigin
from tests.support.names import NameServer
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.secure_origin import SecureOrigin

VALUE: Final = "sk_live_5Jq8Zr2Xw9TkVb3NmLcPyH7dGf4"
OTHER: Final = "sk_live_rotated_0001"
BEARER: Final = {"set": {"Authorization": "Bearer ${credential:api}"}}


def headers(**more: Any) -> Mapping:
    return {**BEARER, **more}


class Site(NamedTuple):
    """api.test and old.test are a TLS origin with HTTP/1.1, h2.test one with HTTP/2; stolen.test is served with a
    certificate of another name, plain.test in clear text."""

    gateway: Gateway
    origin: SecureOrigin
    modern: Server
    plain: HttpOrigin
    received: list[dict[str, str]]  # fields of requests to h2.test

    def get(self, url: str, *fields: str, method: str = "GET") -> Response:
        with Client(self.gateway.port) as client:
            return client.get(url, *fields, method=method)

    def over_http2(self, host: str, *fields: tuple[str, str], method: str = "GET", path: str = "/") -> tuple[int, str]:
        named = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path), *fields]
        with RfcClient(self.gateway.port) as client:
            answer = client.over(client.request(named, end=True))
        return int(answer.status or 0), answer.data.decode()

    def seen(self, name: str = "authorization") -> list[str]:
        """The values of a field in the last request to api.test."""
        return self.origin.requests[-1].values(name)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def answering(received: list[dict[str, str]]) -> Any:
    def serve(exchange: Exchange, what: str) -> None:
        if what == "end":
            received.append({**exchange.fields, "never-indexed": ",".join(sorted(exchange.never_indexed))})
            exchange.respond(200, b"seen")

    return serving(serve)


@pytest.fixture(scope="module")
def site(authority: Authority) -> Iterator[Site]:
    hosts = ("api", "old", "h2", "stolen", "plain", "free", "read")
    received: list[dict[str, str]] = []
    with (
        NameServer({f"{name}.test": ["127.0.0.1"] for name in hosts}) as names,
        SecureOrigin(authority, "api.test", "free.test", "read.test") as origin,
        SecureOrigin(authority, "elsewhere.test") as stolen,
        HttpOrigin() as plain,
        Server(authority, answering(received), "h2.test") as modern,
    ):
        ca = str(authority.path)

        def tls(port: int, **more: Any) -> Mapping:
            return {"originate": True, "port": port, "ca": ca, **more}

        rules = [
            policy("api", [{"host": "api.test"}], tls=tls(origin.port), headers=headers(remove=["x-drop"])),
            policy(
                "h2", [{"host": "h2.test"}], tls=tls(modern.port), headers={"set": {"x-api-key": "${credential:api}"}}
            ),
            policy("stolen", [{"host": "stolen.test"}], tls=tls(stolen.port), headers=headers()),
            policy("old", [{"host": "old.test"}], tls=tls(stolen.port, sans=["elsewhere.test"]), headers=headers()),
            policy("plain", [{"host": "plain.test"}], headers=headers()),
            policy("read", [{"host": "read.test", "access": "read-only"}], tls=tls(origin.port), headers=headers()),
            policy("free", [{"host": "free.test"}], tls=tls(origin.port)),
        ]
        hosts_of = ["read.test", "api.test", "h2.test", "stolen.test", "old.test", "plain.test"]
        config = {
            "dns": {"servers": [names.address]},
            "logs": {"access": "access.log", "level": "debug", "query": "keep"},
            "credentials": [{"name": "api", "file": "api.token", "hosts": hosts_of}],
        }
        with Gateway(rules, config, files={"api.token": VALUE + "\n"}) as gateway:
            yield Site(gateway, origin, modern, plain, received)
            assert gateway.counter("internal_errors_total") == 0
            said = (gateway.folder / "access.log").read_text() + gateway.errors()
            assert VALUE not in said, "no line of any log has the value"
        assert VALUE.encode() not in plain.received() + stolen.received()


# ---- set, on both versions of HTTP and both sides ----


def test_a_value_is_set_with_text_around_it(site: Site) -> None:
    assert site.get("http://api.test/v1").status == 200
    assert site.seen() == [f"Bearer {VALUE}"]
    assert site.over_http2("api.test")[0] == 200
    assert site.seen() == [f"Bearer {VALUE}"]


def test_a_value_is_set_towards_http2(site: Site) -> None:
    assert site.get("http://h2.test/v1", "X-API-Key: mine").status == 200
    assert site.received[-1]["x-api-key"] == VALUE
    assert site.over_http2("h2.test", ("x-api-key", "mine"))[0] == 200
    assert site.received[-1]["x-api-key"] == VALUE
    assert "x-api-key" in site.received[-1]["never-indexed"], "no table of HPACK has it"


def test_the_client_cannot_add_keep_or_remove_the_field(site: Site) -> None:
    own = ("Authorization: Bearer mine", "AUTHORIZATION: Basic bWluZQ==")
    for more in ((), ("Connection: authorization",), ("Connection: keep-alive, Authorization, x-drop",)):
        assert site.get("http://api.test/", *own, *more).status == 200
        assert site.seen() == [f"Bearer {VALUE}"]


def test_trailers_do_not_bring_the_field_back(site: Site) -> None:
    with Client(site.gateway.port) as client:
        client.send(
            b"POST http://h2.test/ HTTP/1.1\r\nHost: h2.test\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nab\r\n0\r\nX-API-Key: mine\r\nX-Kept: yes\r\n\r\n"
        )
        assert client.response("POST").status == 200
    assert site.received[-1]["x-api-key"] == VALUE


def test_an_upgrade_has_it_as_well(site: Site) -> None:
    with Client(site.gateway.port) as client:
        found = client.get(
            "http://api.test/websocket", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "Authorization: mine",
        )  # fmt: skip
        assert found.status == 101
    assert site.seen() == [f"Bearer {VALUE}"]


# ---- what does not get it ----


@pytest.mark.parametrize("version", [1, 2])
def test_trace_is_refused(site: Site, version: int) -> None:
    before = len(site.origin.requests)
    if version == 1:
        found = site.get("http://api.test/", method="TRACE")
        status, text, allow = found.status, found.body.decode(), found.value("allow")
        assert "GET" in allow and "TRACE" not in allow
    else:
        status, text = site.over_http2("api.test", method="TRACE")
    assert (status, "credential_trace" in text) == (405, True)
    assert len(site.origin.requests) == before


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("host", "reason"), [("plain.test", "credential_cleartext"), ("old.test", "credential_host")])
def test_a_connection_that_may_not_have_it_gets_no_request(site: Site, host: str, reason: str, version: int) -> None:
    port = f":{site.plain.port}" if host == "plain.test" else ""
    if version == 1:
        found = site.get(f"http://{host}{port}/", "Authorization: mine")
        status, text = found.status, found.body.decode()
        assert "proxy_configuration_error" in found.value("proxy-status")
    else:
        status, text = site.over_http2(host + port)
    assert (status, f"{reason}: ${{credential:api}}" in text) == (502, True), text
    line = site.gateway.event(event="request", outcome="credential_unavailable", reason=reason)
    assert line["status"] == 502
    assert not site.plain.requests


def test_a_certificate_of_another_name_ends_it_before(site: Site) -> None:
    """The name leads to another server, whose certificate has another name."""
    found = site.get("http://stolen.test/")
    assert (found.status, "tls_upstream" in found.body.decode()) == (502, True)


def test_read_only_means_no_content_no_upgrade_and_no_other_method(site: Site) -> None:
    """Nor do the fields leave by which some servers take another method."""
    overrides = ("X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override")
    for method in ("GET", "HEAD", "OPTIONS"):
        assert site.get("http://read.test/", *(f"{name}: DELETE" for name in overrides), method=method).status == 200
        assert site.seen() == [f"Bearer {VALUE}"]
        assert not {name.lower() for name in overrides} & {name for name, _ in site.origin.requests[-1].fields}
        assert site.over_http2("read.test", *((name.lower(), "DELETE") for name in overrides), method=method)[0] == 200
        assert not {name.lower() for name in overrides} & {name for name, _ in site.origin.requests[-1].fields}
    before = len(site.origin.requests)
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
        assert site.get("http://read.test/", "Content-Length: 0", method=method).status == 403
        assert site.over_http2("read.test", method=method)[0] == 403
    for more in (
        ("Content-Length: 1",),
        ("Transfer-Encoding: chunked",),
        ("Connection: Upgrade", "Upgrade: websocket"),
    ):
        assert site.get("http://read.test/", *more).status == 403
    assert len(site.origin.requests) == before


def test_a_kept_connection_gives_it_to_no_other_request(site: Site) -> None:
    assert site.get("http://api.test/").status == 200
    accepted = site.origin.accepted
    assert site.get("http://free.test/", "Authorization: mine").status == 200
    assert site.seen() == ["mine"]
    assert site.get("http://api.test/").status == 200
    assert site.seen() == [f"Bearer {VALUE}"]
    assert site.origin.accepted <= accepted + 1, "one connection for each name"


def test_a_redirection_of_the_origin_is_the_clients_to_follow(site: Site) -> None:
    found = site.get("http://api.test/redirect")
    assert (found.status, found.value("location")) == (302, "/moved")
    assert VALUE not in str(found)


def test_explain_check_and_pages_show_the_reference(site: Site) -> None:
    told = []
    for words in (
        ("explain", "--source", "127.0.0.1", "--to", "api.test:80", "--method", "GET", "--path", "/"),
        (
            "explain",
            "--source",
            "127.0.0.1",
            "--to",
            "api.test:80",
            "--method",
            "GET",
            "--path",
            "/",
            "--json",
            "--live",
        ),
        ("check", "--print"),
        ("stats",),
        ("policy",),
    ):
        done = site.gateway.sluice(*words)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout + done.stderr)
    assert all(VALUE not in text for text in told)
    assert "${credential:api}" in told[0] and "${credential:api}" in told[1]
    assert "api.token" in told[2]
