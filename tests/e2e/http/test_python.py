"""Python's clients with a proxy for `http://`: urllib, http.client, requests (as pip carries it), aiohttp."""

import asyncio
import http.client
import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest

from tests.e2e.http.conftest import Site
from tests.support.http_origin import LARGE

requests: Any = pytest.importorskip("pip._vendor.requests")


def test_urllib(site: Site) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": site.proxy}))
    assert json.load(opener.open(site.url("/urllib"), timeout=20))["target"] == "/urllib"
    with pytest.raises(urllib.error.HTTPError) as denied:
        opener.open(site.url("/", "blocked.test"), timeout=20)
    assert denied.value.code == 403


def test_http_client_keeps_its_connection(site: Site) -> None:
    client = http.client.HTTPConnection("127.0.0.1", site.gateway.port, timeout=20)
    for number in range(20):
        client.request("POST", site.url(f"/{number}"), body=b"x" * number, headers={"Host": site.authority})
        answer = json.loads(client.getresponse().read())
        assert (answer["target"], answer["length"]) == (f"/{number}", number)
    client.close()


def test_requests(site: Site) -> None:
    with requests.Session() as session:
        session.proxies, session.trust_env = {"http": site.proxy}, False
        assert session.get(site.url("/r"), params={"a": "b c"}, timeout=20).json()["target"] == "/r?a=b+c"
        assert session.post(site.url("/r"), data=iter([b"one", b"two"]), timeout=20).json()["length"] == 6, "chunked"
        assert session.get(site.url("/redirect"), timeout=20).json()["target"] == "/moved"
        assert session.get(site.url("/large"), timeout=20).content == LARGE
        denied = session.get(site.url("/", "blocked.test"), timeout=20)
        assert denied.status_code == 403 and "no-blocked" in denied.headers["Proxy-Status"]


def test_aiohttp_many_at_once(site: Site) -> None:
    async def go() -> list[Any]:
        async with aiohttp.ClientSession() as session:

            async def one(number: int) -> Any:
                async with session.put(site.url(f"/{number}"), data=b"y" * number * 100, proxy=site.proxy) as answer:
                    return await answer.json()

            return await asyncio.gather(*(one(number) for number in range(100)))

    answers = asyncio.run(go())
    assert [(one["target"], one["length"]) for one in answers] == [(f"/{n}", n * 100) for n in range(100)]


def test_a_websocket_in_the_clear(site: Site) -> None:
    async def go() -> list[str]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(site.url("/websocket"), proxy=site.proxy) as socket,
        ):
            found = []
            for text in ("one", "two", "x" * 100):
                await socket.send_str(text)
                found.append(await socket.receive_str(timeout=20))
            return found

    assert asyncio.run(go()) == ["one", "two", "x" * 100]
    line = site.gateway.event(event="close", protocol="http")
    assert line["outcome"] in ("closed", "reset") and line["bytes_up"] > 100


def test_threads_share_kept_connections(site: Site) -> None:
    """One connection to the origin serves one request at a time, of one client after the other."""
    local = threading.local()

    def one(number: int) -> str:
        client = vars(local).setdefault("client", http.client.HTTPConnection("127.0.0.1", site.gateway.port))
        client.request("GET", site.url(f"/t{number}"), headers={"Host": site.authority})
        target: str = json.loads(client.getresponse().read())["target"]
        return target

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(400))) == [f"/t{number}" for number in range(400)]
