"""Real clients, each let through once and turned away once: curl, nc, PySocks, python-socks and Node."""

import asyncio
import socket
import subprocess
from pathlib import Path
from typing import Final

import pytest
import socks
from python_socks import ProxyError
from python_socks.async_.asyncio import Proxy as AsyncProxy
from python_socks.sync import Proxy

from tests.e2e.conftest import PASSWORD, World
from tests.support import wire
from tests.support.run_gateway import Gateway

HERE: Final = Path(__file__).parent
# curl resolves names itself for --socks5 and --socks4; `localhost` it knows without asking.
CURL_WAYS: Final = {
    "--socks5": ["--socks5", "127.0.0.1:{port}"],
    "--socks5-hostname": ["--socks5-hostname", "127.0.0.1:{port}"],
    "--socks4a": ["--socks4a", "127.0.0.1:{port}"],
    "--socks4": ["--socks4", "127.0.0.1:{port}"],
    "-p -x": ["-p", "-x", "127.0.0.1:{port}"],
    "-p -x with --proxy1.0": ["-p", "--proxy1.0", "127.0.0.1:{port}"],
}
# Exit codes of curl(1): 7 could not connect (SOCKS4), 56 CONNECT refused, 97 SOCKS refused.
CURL_REFUSED: Final = {"--socks5": 97, "--socks5-hostname": 97, "--socks4a": 97, "--socks4": 97}
each_way = pytest.mark.parametrize("way", CURL_WAYS)


def run(*command: str, stdin: bytes = b"", timeout: float = 30) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False)


def curl(gateway: Gateway, way: str, url: str, *more: str) -> subprocess.CompletedProcess[bytes]:
    options = [option.format(port=gateway.port) for option in CURL_WAYS[way]]
    return run("curl", "-sS", "--max-time", "20", "--noproxy", "", *options, *more, url)


@each_way
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_curl_allowed(mesh: Gateway, world: World, way: str, host: str) -> None:
    done = curl(mesh, way, f"http://{host}:{world.http}/a/page", "-4")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"served /a/page\n", b"")


@pytest.mark.parametrize("way", ["--socks5", "--socks5-hostname", "-p -x"])
def test_curl_allowed_over_ipv6(mesh: Gateway, world: World, way: str) -> None:
    done = curl(mesh, way, f"http://[::1]:{world.http6}/six", "-g")
    assert (done.returncode, done.stdout) == (0, b"served /six\n"), done.stderr


@each_way
def test_curl_denied(mesh: Gateway, way: str) -> None:
    done = curl(mesh, way, "http://127.0.0.1:9/", "-v")
    assert done.returncode == CURL_REFUSED.get(way, 56), done.stderr
    assert done.stdout == b""
    if way.startswith("-p"):
        assert b"HTTP/1.1 403" in done.stderr and b"http_request_denied" in done.stderr


@pytest.mark.parametrize("way", ["--socks5-hostname", "--socks4a", "-p -x"])
def test_curl_denied_by_name(mesh: Gateway, way: str) -> None:
    done = curl(mesh, way, "http://blocked.test/", "-v")
    assert done.returncode == CURL_REFUSED.get(way, 56), done.stderr


@pytest.mark.parametrize("way", ["--socks5-hostname", "--socks5", "-p -x"])
@pytest.mark.parametrize(("password", "good"), [(PASSWORD, True), ("wrong", False)])
def test_curl_with_credentials(mesh: Gateway, world: World, way: str, password: str, good: bool) -> None:
    # `:` ends the user's name only: passwords may hold it.
    url = f"http://localhost:{world.http}/in"
    done = curl(mesh, way, url, "-4", "--proxy-user", f"build-bot:{password}", "-v")
    if good:
        assert (done.returncode, done.stdout) == (0, b"served /in\n"), done.stderr
    else:
        assert done.returncode == CURL_REFUSED.get(way, 56), done.stderr
        assert way != "-p -x" or b"HTTP/1.1 407" in done.stderr


def test_curl_reuses_a_tunnel_for_several_requests(mesh: Gateway, world: World) -> None:
    url = f"http://localhost:{world.http}/[1-5]"
    done = curl(mesh, "--socks5-hostname", url)
    assert done.stdout == b"".join(b"served /%d\n" % number for number in range(1, 6)), done.stderr


@pytest.mark.parametrize("version", ["5", "4", "connect"])
def test_nc(mesh: Gateway, world: World, version: str) -> None:
    base = ["nc", "-X", version, "-x", f"127.0.0.1:{mesh.port}", "-w", "20", "-N"]
    allowed = run(*base, "127.0.0.1", str(world.collect.port), stdin=b"\x00from nc")
    assert allowed.returncode == 0, allowed.stderr
    assert len(allowed.stdout) == 64 and world.collect.wait()[-1] == b"\x00from nc"
    denied = run(*base, "127.0.0.1", "9", stdin=b"\x00from nc")
    assert denied.returncode == 1 and denied.stdout == b""
    assert {"5": b"Forbidden", "4": b"rejected", "connect": b"403"}[version].lower() in denied.stderr.lower() or (
        version == "5" and b"not allowed" in denied.stderr.lower()
    )


def test_nc_sends_names_when_asked_to(mesh: Gateway, world: World) -> None:
    base = ["nc", "-X", "connect", "-x", f"127.0.0.1:{mesh.port}", "-w", "20", "-N"]
    done = run(*base, "open.test", str(world.collect.port), stdin=b"\x00by name")
    assert done.returncode == 0 and len(done.stdout) == 64, done.stderr


def pysocks(gateway: Gateway, kind: int, host: str, port: int, user: str | None = None) -> socket.socket:
    connection: socket.socket = socks.create_connection(
        (host, port), timeout=20, proxy_type=kind, proxy_addr="127.0.0.1", proxy_port=gateway.port, proxy_rdns=True,
        proxy_username=user, proxy_password=user and PASSWORD,
    )  # fmt: skip
    return connection


@pytest.mark.parametrize("kind", [socks.SOCKS5, socks.SOCKS4, socks.HTTP], ids=["socks5", "socks4", "http"])
def test_pysocks(mesh: Gateway, world: World, kind: int) -> None:
    with pysocks(mesh, kind, "open.test", world.echo.port) as tunnel:
        assert wire.echoes(tunnel)
    expected = {socks.SOCKS5: "not allowed by ruleset", socks.SOCKS4: "rejected", socks.HTTP: "403"}[kind]
    with pytest.raises(socks.ProxyError, match=expected):
        pysocks(mesh, kind, "blocked.test", 443)


def test_pysocks_with_credentials(mesh: Gateway, world: World) -> None:
    with pysocks(mesh, socks.SOCKS5, "team.test", world.team.port, "build-bot") as tunnel:
        assert wire.echoes(tunnel)
    with pytest.raises(socks.ProxyError, match="authentication failed"):
        pysocks(mesh, socks.SOCKS5, "team.test", world.team.port, "stranger")


@pytest.mark.parametrize("scheme", ["socks5", "socks4", "http"])
def test_python_socks(mesh: Gateway, world: World, scheme: str) -> None:
    proxy = Proxy.from_url(f"{scheme}://127.0.0.1:{mesh.port}", rdns=True)
    with proxy.connect("open.test", world.echo.port, timeout=20) as tunnel:
        assert wire.echoes(tunnel)
    with pytest.raises(ProxyError):
        proxy.connect("blocked.test", 443, timeout=20)


@pytest.mark.parametrize("scheme", ["socks5", "http"])
def test_python_socks_on_asyncio(mesh: Gateway, world: World, scheme: str) -> None:
    async def talk(host: str, port: int) -> bytes:
        proxy = AsyncProxy.from_url(f"{scheme}://127.0.0.1:{mesh.port}", rdns=True)
        tunnel = await proxy.connect(host, port, timeout=20)
        reader, writer = await asyncio.open_connection(sock=tunnel)
        writer.write(b"\x00ping")
        answer = await reader.readexactly(5)
        writer.close()
        await writer.wait_closed()
        return answer

    assert asyncio.run(talk("open.test", world.echo.port)) == b"\x00ping"
    with pytest.raises(ProxyError):
        asyncio.run(talk("blocked.test", 443))


NODE: Final = ["node", str(HERE / "client.mjs")]


@pytest.mark.parametrize("protocol", ["http", "socks5"])
def test_node(mesh: Gateway, world: World, protocol: str) -> None:
    base = [*NODE, protocol, str(mesh.port)]
    allowed = run(*base, "open.test", str(world.http), "/from-node")
    assert (allowed.returncode, allowed.stdout) == (0, b"served /from-node\n"), allowed.stderr
    denied = run(*base, "blocked.test", "443", "/")
    assert denied.returncode == 3, denied.stderr
    assert denied.stderr.strip() == {"http": b"refused: 403", "socks5": b"refused: 2"}[protocol]
