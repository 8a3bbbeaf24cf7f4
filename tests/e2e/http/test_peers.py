"""Servers and clients of others on both sides of plain requests: Node's HTTP/2 and nginx as origins; h2load, httpx and
chromium as clients."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.http.conftest import Site
from tests.e2e.protocols.test_tls_clients import unpacked
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.http_client import Client
from tests.support.http_origin import LARGE
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, policy

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[2]
full = pytest.mark.full


# ---- origins ----


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in front of Node's HTTP/2: requests for localhost leave over TLS."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed")
    authority = Authority(tmp_path_factory.mktemp("ca"))
    command = [program, str(HERE / "origin.mjs"), *authority.issue("node", "localhost", "127.0.0.1")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as origin:
        assert origin.stdout is not None
        tls = {"originate": True, "port": int(origin.stdout.readline()), "ca": str(authority.path)}
        with Gateway([policy("node", [{"host": "localhost"}], tls=tls)]) as gateway:
            yield gateway
            assert gateway.counter("internal_errors_total") == 0
        origin.kill()


def test_nodes_http2_is_asked_by_http1(node: Gateway) -> None:
    with Client(node.port) as client:
        told = client.get("http://localhost/a?b", "TE: trailers")
        seen = json.loads(told.body)
        assert (seen["path"], seen["scheme"], seen["method"]) == ("/a?b", "https", "GET")
        assert told.trailers == [("x-length", "0")] and seen["via"].startswith("1.1 sluice-")
        client.send(b"POST http://localhost/up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n" + LARGE)
        assert json.loads(client.response().body)["length"] == len(LARGE)
        assert len(client.get("http://localhost/big").body) == 1 << 20
        client.send(b"GET http://localhost/interim HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert [client.any_response().status for _ in range(2)] == [103, 200]
        empty = client.get("http://localhost/nothing")
        assert (empty.status, empty.body, empty.whole) == (200, b"", True)
    with Client(node.port) as client, pytest.raises((EOFError, ConnectionResetError, ValueError)):
        client.get("http://localhost/reset")


def test_nodes_http2_is_asked_by_http2(node: Gateway) -> None:
    def head(path: str, method: str = "GET") -> list[tuple[str, str]]:
        return [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path)]

    with RfcClient(node.port) as client:
        numbers = [client.request(head(f"/{at}"), end=True) for at in range(50)]
        assert [json.loads(client.over(one).data)["path"] for one in numbers] == [f"/{at}" for at in range(50)]
        number = client.request(head("/up", "PUT"))
        client.write(number, LARGE, end=True)
        assert json.loads(client.over(number).data)["length"] == len(LARGE)
        assert client.over(client.request(head("/reset"), end=True)).reset is not None
        assert client.over(client.request(head("/after"), end=True)).status == 200
    assert {line["tls"]["upstream"]["alpn"] for line in node.events(event="request")} == {"h2"}


NGINX: Final = """
user root root; daemon off; worker_processes 1; error_log stderr; pid {folder}/pid;
events {{ worker_connections 200; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 5;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/www; gzip on; gzip_proxied any; gzip_types *; gzip_min_length 1;
        location /dav {{ client_max_body_size 1k; return 200 "taken\\n"; }}
        location /gone {{ return 444; }}
    }}
}}
"""


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[int]:
    program = ROOT / "build/peers/usr/sbin/nginx"
    assert program.exists(), f"{program} is not there: make peers fetches it"
    port = free_port()
    (tmp_path / "www").mkdir()
    (tmp_path / "www/large.txt").write_bytes(LARGE)
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port))
    with subprocess.Popen([str(program), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]) as running:
        try:
            yield port
        finally:
            running.terminate()


@full
def test_nginx(site: Site, nginx: int) -> None:
    url = f"http://www.test:{nginx}"
    with Client(site.gateway.port) as client:

        def serves() -> bool:
            return client.get(f"{url}/large.txt").status == 200

        eventually(serves, "nginx serves")
        for _ in range(20):  # it ends its connection behind each fifth request
            assert client.get(f"{url}/large.txt").body == LARGE
        part = client.get(f"{url}/large.txt", "Range: bytes=1-3")
        assert (part.status, part.body) == (206, LARGE[1:4])
        packed = client.get(f"{url}/large.txt", "Accept-Encoding: gzip")
        assert packed.value("content-encoding") == "gzip" and 0 < len(packed.body) < len(LARGE)
        since = client.get(f"{url}/large.txt").value("last-modified")
        assert client.get(f"{url}/large.txt", f"If-Modified-Since: {since}").status == 304
        assert client.get(f"{url}/gone").status == 502
    with Client(site.gateway.port) as client:  # refused by its length alone
        client.send(f"PUT {url}/dav HTTP/1.1\r\nHost: www.test:{nginx}\r\nContent-Length: 9999\r\n\r\n".encode())
        assert client.response().status == 413


# ---- clients ----


@full
@pytest.mark.parametrize("arguments", [(), ("--h1",)], ids=["HTTP/2", "HTTP/1.1"])
def test_h2load(site: Site, arguments: tuple[str, ...]) -> None:
    """All of its requests are answered, and by the origin."""
    count, before = 2000, len(site.origin.heads)
    libraries = unpacked("usr/lib/x86_64-linux-gnu")
    to = ("-n", str(count), "-c", "8", "-m", "10", f"--connect-to=127.0.0.1:{site.gateway.port}", *arguments)
    done = subprocess.run(
        [unpacked("usr/bin/h2load"), *to, site.url("/load")], env={"LD_LIBRARY_PATH": libraries}, capture_output=True,
        text=True, timeout=120, check=True,
    )  # fmt: skip
    assert re.search(rf"{count} succeeded, 0 failed, 0 errored, 0 timeout", done.stdout), done.stdout
    assert re.search(rf"status codes: {count} 2xx", done.stdout), done.stdout
    assert len(site.origin.heads) - before == count


HTTPX: Final = """
import asyncio, json, sys
import httpx

proxy, url = sys.argv[1:]
with httpx.Client(proxy=proxy) as client:
    told = [client.get(f"{url}/a").json()["target"], client.post(f"{url}/b", content=b"x" * 100000).json()["length"]]
    told.append(client.post(f"{url}/c", content=(b"y" * 1000 for _ in range(10))).json()["length"])
    told.append(len(client.get(f"{url}/large").content))
    told.append(client.get(url.replace("www", "blocked")).status_code)

async def many():
    async with httpx.AsyncClient(proxy=proxy) as client:
        answers = await asyncio.gather(*(client.get(f"{url}/{n}") for n in range(50)))
        return [one.json()["target"] for one in answers]

print(json.dumps([told, asyncio.run(many())]))
"""


@full
def test_httpx(site: Site) -> None:
    command = [sys.executable, "-c", HTTPX, site.proxy, site.url("")]
    environment = {"PYTHONPATH": unpacked("httpx")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    told, many = json.loads(done.stdout)
    assert told == ["/a", 100_000, 10_000, len(LARGE), 403]
    assert many == [f"/{number}" for number in range(50)]


@full
@pytest.mark.timeout(200)
def test_chromium(site: Site, tmp_path: Path) -> None:
    """A page in clear text through the proxy: in absolute-form, with a browser's fields."""
    program = unpacked("usr/lib/chromium/chromium-headless-shell")
    libraries = ":".join(unpacked(f"usr/lib/x86_64-linux-gnu{folder}") for folder in ("", "/pulseaudio"))

    def dump(url: str) -> str:
        options = (
            "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}",
            f"--proxy-server={site.proxy}", "--proxy-bypass-list=<-loopback>", "--timeout=20000", "--dump-dom",
        )  # fmt: skip
        environment = {"LD_LIBRARY_PATH": libraries, "HOME": str(tmp_path)}
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                [program, *options, url], env=environment, capture_output=True, text=True, timeout=90, check=False
            )
            return done.stdout
        return ""

    assert "/browsed" in dump(site.url("/browsed"))
    seen = next(one for one in site.origin.requests if one.target == "/browsed")
    assert seen.values("user-agent") and not seen.values("proxy-connection")
    assert "no-blocked" in dump(site.url("/", "blocked.test"))
