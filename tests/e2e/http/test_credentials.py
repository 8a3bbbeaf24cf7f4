"""Plain requests with credentials: Basic and Bearer over either version, 407 and the next try on one connection."""

import base64
import json
from collections.abc import Iterator
from typing import Final

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, sample_users
from tests.e2e.http.conftest import Site
from tests.support.http2 import RfcClient
from tests.support.http_client import Client, Response
from tests.support.http_origin import HttpOrigin
from tests.support.names import NameServer
from tests.support.run_gateway import Gateway, policy
from tests.support.tokens import AUDIENCE, ISSUER, SigningKey, claims, write_keys

KEY: Final = SigningKey("k")
BOT: Final = {"user": "build-bot"}


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """www.test is open to build-bot alone, by its password or a token; every request needs one."""
    issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "keys": "keys.json", "identity": {"user": "sub"}}
    files = {"users.yaml": yaml.safe_dump(sample_users())}
    with NameServer({"www.test": ["127.0.0.1"]}) as server, HttpOrigin() as origin:
        rules = [policy("bots", [{"host": "www.test"}], sources=[BOT])]
        config = {
            "dns": {"servers": [server.address]},
            "identity": {"users": "users.yaml", "tokens": [issuer]},
        }
        gateway = Gateway(rules, config, files=files, listener={"auth": "required"})
        write_keys(gateway.folder / "keys.json", KEY)
        with gateway:
            yield Site(gateway, origin)
            assert gateway.counter("internal_errors_total") == 0


def own(found: Response) -> dict[str, str]:
    """The fields of the request that the origin got."""
    return dict(map(tuple, json.loads(found.body)["fields"]))


GOOD: Final = {"Basic": basic("build-bot", PASSWORD), "Bearer": f"Bearer {KEY.token(claims(sub='build-bot'))}"}


@pytest.mark.parametrize("scheme", GOOD)
def test_credentials_stay_here_and_those_for_the_origin_go_on(site: Site, scheme: str) -> None:
    fields = (f"Proxy-Authorization: {GOOD[scheme]}", "Authorization: Basic b3JpZ2lu", "Proxy-Connection: keep-alive")
    with Client(site.gateway.port) as client:
        for _ in range(2):
            found = client.get(site.url("/a"), *fields)
            assert found.status == 200 and own(found)["authorization"] == "Basic b3JpZ2lu"
            assert not [name for name in own(found) if name.startswith("proxy-")]
    line = site.gateway.event(event="request", status=200)
    assert line["source"]["user"] == "build-bot"


def test_407_and_the_next_try_on_the_same_connection(site: Site) -> None:
    heads = len(site.origin.heads)
    with Client(site.gateway.port) as client:
        for fields in ((), (f"Proxy-Authorization: {basic('build-bot', 'wrong')}",)):
            refused = client.get(site.url("/a"), *fields)
            assert refused.status == 407 and refused.value("sluice-id")
            challenges = [value for name, value in refused.fields if name == "proxy-authenticate"]
            assert [one.split(" ")[0] for one in challenges] == ["Basic", "Bearer"]
        assert len(site.origin.heads) == heads, "nothing of it leaves"
        assert client.get(site.url("/a"), f"Proxy-Authorization: {GOOD['Basic']}").status == 200
        assert client.get(site.url("/a")).status == 407, "each request by itself"


def test_a_request_with_content_is_asked_for_credentials_before_it(site: Site) -> None:
    with Client(site.gateway.port) as client:
        head = f"POST {site.url('/up')} HTTP/1.1\r\nHost: {site.authority}\r\nContent-Length: 5\r\n"
        client.send(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert client.any_response().status == 407, "and no 100 before it"
    with Client(site.gateway.port) as client:
        client.send(f"{head}Proxy-Authorization: {GOOD['Basic']}\r\n\r\nhello".encode())
        assert json.loads(client.response().body)["length"] == 5


def test_origin_form_takes_the_same(site: Site) -> None:
    with Client(site.gateway.port) as client:
        head = f"GET /direct HTTP/1.1\r\nHost: {site.authority}\r\n"
        client.send(f"{head}\r\n".encode())
        assert client.response().status == 407
        client.send(f"{head}Proxy-Authorization: {GOOD['Basic']}\r\n\r\n".encode())
        assert json.loads(client.response().body)["target"] == "/direct"


def test_http2_takes_the_same_stream_by_stream(site: Site) -> None:
    head = [(":method", "GET"), (":scheme", "http"), (":authority", site.authority), (":path", "/h2")]
    with RfcClient(site.gateway.port) as client:
        refused = client.over(client.request(head, end=True))
        assert refused.status == 407 and "proxy-authenticate" in refused.headers
        for value in (*GOOD.values(), *GOOD.values()):
            found = client.over(client.request([*head, ("proxy-authorization", value)], end=True))
            assert found.status == 200
            assert "proxy-authorization" not in dict(map(tuple, json.loads(found.data)["fields"]))
        wrong = ("proxy-authorization", basic("build-bot", "wrong"))
        assert client.over(client.request([*head, wrong], end=True)).status == 407
