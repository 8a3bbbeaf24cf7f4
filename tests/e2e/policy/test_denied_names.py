"""Denied names behind addresses: a rule about a name holds for tunnels that were asked for by address as well
(DECISIONS.md section 3). FSM's sidecar sends all passthrough traffic so.
"""

import contextlib
import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.policy.test_inner_names import REQUEST, client_hello
from tests.support import wire
from tests.support.certificates import client_context, server_context
from tests.support.eventually import eventually
from tests.support.http2 import PipySidecar, RfcClient
from tests.support.origins import Origin, collect, echo, holding
from tests.support.run_gateway import Gateway, Mapping, policy

DENIES: Final = [
    policy("hard", [{"host": "*.evil.test"}], "Deny", hard=True),
    policy("soft", [{"host": "bad.test"}], "Deny"),
]
BEHIND: Final[dict[str, tuple[list[Mapping], Mapping]]] = {
    "passthrough": ([], {"policy": {"passthrough": True}}),
    "a CIDR allow": ([policy("net", [{"cidr": "127.0.0.0/8"}, {"cidr": "::1/128"}])], {}),
    "a CIDR allow of one address and port": ([policy("net", [{"cidr": "127.0.0.1/32", "ports": ["1-65535"]}])], {}),
    "a CIDR allow with innerName off": ([policy("net", [{"cidr": "127.0.0.0/8"}], innerName="off")], {}),
}
EVIL: Final = {"TLS": client_hello("x.evil.test"), "HTTP": REQUEST % b"x.evil.test"}


def behind(way: str, listener: Mapping | None = None) -> Gateway:
    policies, config = BEHIND[way]
    return Gateway([*DENIES, *policies], config, listener=listener)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with behind("passthrough") as running:
        yield running


def is_cut(client: socket.socket, payload: bytes, origin: Origin) -> None:
    """Sending `payload` ends the tunnel with a reset, and nothing of it arrives."""
    client.sendall(payload)
    with pytest.raises(ConnectionResetError):
        wire.to_the_end(client)
    (seen,) = origin.wait()
    assert isinstance(seen, ConnectionResetError) or seen == b""


def assert_denied(line: Mapping, rule: str = "hard", inner: str = "x.evil.test") -> None:
    found = {key: line[key] for key in ("verdict", "phase", "reason", "outcome", "inner")}
    assert found == {
        "verdict": "deny", "phase": "inner", "reason": f"rule_{rule}_deny" if rule == "hard" else "rule_deny",
        "outcome": "denied", "inner": inner,
    }  # fmt: skip
    assert line["rule"].rpartition("/")[2] == rule


@pytest.mark.parametrize("way", BEHIND)
@pytest.mark.parametrize("payload", EVIL.values(), ids=list(EVIL))
def test_a_denied_name_is_denied_behind_whatever_passed_its_address(way: str, payload: bytes) -> None:
    with behind(way) as gateway, Origin(collect) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        is_cut(client, payload, origin)
        assert_denied(gateway.event(event="close"))


@pytest.mark.parametrize(
    "listener", [{"audit": True}, {"innerName": "off"}, {"innerName": "audit"}, {"audit": True, "innerName": "off"}],
    ids=lambda listener: " ".join(f"{key}={value}" for key, value in listener.items()),
)  # fmt: skip
def test_a_hard_deny_holds_whatever_a_listener_is_lenient_about(listener: Mapping) -> None:
    with behind("a CIDR allow", listener) as gateway, Origin(collect) as origin:
        with wire.connect(gateway.port) as client:
            wire.open_socks5(client, "127.0.0.1", origin.port)
            is_cut(client, EVIL["TLS"], origin)
        assert_denied(gateway.event(event="close"))


def test_audit_mode_reports_a_deny_and_lets_it_pass() -> None:
    with behind("passthrough", {"audit": True}) as gateway, Origin(collect) as origin:
        with wire.connect(gateway.port) as client:
            wire.open_socks5(client, "127.0.0.1", origin.port)
            payload = client_hello("bad.test")
            client.sendall(payload)
            client.shutdown(socket.SHUT_WR)
            wire.to_the_end(client)
        assert origin.wait() == [payload]
        line = gateway.event(event="close")
        assert (line["verdict"], line["would_deny"], line["phase"], line["inner"]) == (
            "audit",
            True,
            "inner",
            "bad.test",
        )


def test_an_audit_rule_counts_behind_a_default() -> None:
    watch = policy("watch", [{"host": "odd.test"}], "Audit")
    with Gateway([watch], {"policy": {"passthrough": True}}) as gateway, Origin(collect) as origin:
        for name in ("odd.test", "even.test"):
            with wire.connect(gateway.port) as client:
                wire.open_socks5(client, "127.0.0.1", origin.port)
                client.sendall(REQUEST % name.encode())
                client.shutdown(socket.SHUT_WR)
                wire.to_the_end(client)
            line = gateway.event(event="close", inner=name)
            assert (line["verdict"], line["would_deny"]) == (
                ("audit", True) if name == "odd.test" else ("allow", False)
            )


# ---- every protocol, every spelling --------------------------------------------------------------------------------


SPELLINGS: Final[dict[str, tuple[Callable[..., None], str, str]]] = {
    "SOCKS5": (wire.open_socks5, "127.0.0.1", "127.0.0.1"),
    "SOCKS5 IPv6": (wire.open_socks5, "::1", "::1"),
    "SOCKS4": (wire.open_socks4a, "127.0.0.1", "127.0.0.1"),
    "CONNECT": (wire.open_http, "127.0.0.1", "127.0.0.1"),
    "CONNECT IPv6": (wire.open_http, "::1", "::1"),
    "CONNECT IPv6 at length": (wire.open_http, "0000:0:0:0:0:0:0:0001", "::1"),
    "CONNECT IPv6 with dots": (wire.open_http, "0:0:0:0:0:0:0.0.0.1", "::1"),
}


@pytest.mark.parametrize(("opening", "spelled", "host"), SPELLINGS.values(), ids=list(SPELLINGS))
@pytest.mark.parametrize("payload", EVIL.values(), ids=list(EVIL))
def test_every_spelling_of_an_address(
    gateway: Gateway, opening: Callable[..., None], spelled: str, host: str, payload: bytes
) -> None:
    before = len(gateway.events())
    with Origin(collect, host) as origin, wire.connect(gateway.port) as client:
        opening(client, spelled, origin.port)
        is_cut(client, payload, origin)
        assert_denied(gateway.logged(before, client.getsockname()[1]))


@pytest.mark.parametrize("text", ["127.0.0.1", "::1"])
def test_an_address_as_a_socks_name_is_an_address(gateway: Gateway, text: str) -> None:
    with Origin(collect, text) as origin, wire.connect(gateway.port) as client:
        client.sendall(b"\x05\x01\x00")
        assert wire.exactly(client, 2) == b"\x05\x00"
        name = text.encode()
        client.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + origin.port.to_bytes(2, "big"))
        assert wire.socks5_reply(client) == 0
        is_cut(client, EVIL["TLS"], origin)


@pytest.mark.parametrize("payload", EVIL.values(), ids=list(EVIL))
def test_http2_streams_of_rfc_clients(gateway: Gateway, payload: bytes) -> None:
    with Origin(collect) as origin, RfcClient(gateway.port) as client:
        number = client.open(f"127.0.0.1:{origin.port}")
        client.write(number, payload)
        assert client.over(number).reset is not None
        (seen,) = origin.wait()
        assert isinstance(seen, ConnectionResetError) or seen == b""
        other = client.open(f"127.0.0.1:{origin.port}")  # the connection's other streams live
        client.write(other, REQUEST % b"good.test", end=True)
        eventually(lambda: REQUEST % b"good.test" in origin.seen, "the other name arrives")


@pytest.mark.parametrize("payload", EVIL.values(), ids=list(EVIL))
def test_http2_streams_of_a_pipy_sidecar(gateway: Gateway, payload: bytes) -> None:
    with Origin(collect) as origin, PipySidecar(gateway.port) as client:
        number = client.connect(f"127.0.0.1:{origin.port}")
        client.wait(lambda: number in client.status, "the answer")
        client.write(number, payload)
        client.wait(lambda: number not in client.open, "the end of the stream")
        (seen,) = origin.wait()
        assert isinstance(seen, ConnectionResetError) or seen == b""


# ---- real clients --------------------------------------------------------------------------------------------------


def serving_tls(folder: Path) -> Callable[[socket.socket, Origin], None]:
    context = server_context(folder)

    def handler(connection: socket.socket, origin: Origin) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                origin.note(secured.recv(65536)[:3])
                secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nserved")
        except OSError as wrong:
            origin.note(type(wrong).__name__)

    return handler


@pytest.mark.parametrize(("name", "good"), [("x.evil.test", False), ("good.test", True)])
@pytest.mark.parametrize("opening", wire.OPENINGS.values(), ids=list(wire.OPENINGS))
def test_a_tls_client(gateway: Gateway, tmp_path: Path, opening: Callable[..., None], name: str, good: bool) -> None:
    with Origin(serving_tls(tmp_path)) as origin, wire.connect(gateway.port) as client:
        opening(client, "127.0.0.1", origin.port)
        if good:
            with client_context().wrap_socket(client, server_hostname=name) as secured:
                secured.sendall(b"GET / HTTP/1.1\r\nHost: good.test\r\n\r\n")
                assert secured.recv(4) == b"HTTP"
            assert origin.wait()[0] == b"GET"
        else:
            with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
                client_context().wrap_socket(client, server_hostname=name)


@pytest.mark.parametrize(
    "proxy", [["--socks5", "{}"], ["--socks4", "{}"], ["-p", "-x", "http://{}"]], ids=lambda way: way[0]
)
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_curl(gateway: Gateway, tmp_path: Path, proxy: list[str], scheme: str) -> None:
    """The name is in TLS or in Host, the proxy is asked for the address."""

    def plain(connection: socket.socket, origin: Origin) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nserved")

    handler = serving_tls(tmp_path) if scheme == "https" else plain
    ways = [option.format(f"127.0.0.1:{gateway.port}") for option in proxy]
    with Origin(handler) as origin:
        for name, wanted in (("good.test", "served"), ("x.evil.test", ""), ("bad.test", "")):
            done = subprocess.run(
                ["curl", "-sk", "--noproxy", "", "--max-time", "20", *ways,
                 "--connect-to", f"::127.0.0.1:{origin.port}",
                 "--resolve", f"*:{origin.port}:127.0.0.1", f"{scheme}://{name}:{origin.port}/"],
                capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
            assert done.stdout == wanted, (name, done.returncode)


# ---- what is not denied --------------------------------------------------------------------------------------------


PASSING: Final = {
    "another TLS name": client_hello("good.test"),
    "the apex of the wildcard": client_hello("evil.test"),
    "TLS without a name": client_hello(None),
    "HTTP for an address": REQUEST % b"127.0.0.1",
    "HTTP/1.0 without Host": b"GET / HTTP/1.0\r\n\r\n",
    "neither": b"\x00\x01\x02 binary",
    "a word": b"hello",
}


@pytest.mark.parametrize("payload", PASSING.values(), ids=list(PASSING))
def test_what_shows_no_denied_name_passes(gateway: Gateway, payload: bytes) -> None:
    with Origin(collect) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        client.sendall(payload)
        client.shutdown(socket.SHUT_WR)
        wire.to_the_end(client)
        assert origin.wait() == [payload]


def test_a_server_that_speaks_first_is_not_held(gateway: Gateway) -> None:
    with Origin(holding) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        assert wire.exactly(client, 5) == b"hello"
        is_cut(client, EVIL["TLS"], origin)


def test_without_a_rule_about_names_nothing_is_looked_at() -> None:
    denies = [policy("net", [{"cidr": "192.0.2.0/24"}], "Deny"), policy("port", [{"host": "*", "ports": [1]}], "Deny")]
    with Gateway(denies, {"policy": {"passthrough": True}}) as gateway, Origin(echo) as origin:
        with wire.connect(gateway.port) as client:
            wire.open_socks5(client, "127.0.0.1", origin.port)
            client.sendall(EVIL["HTTP"])
            assert wire.exactly(client, len(EVIL["HTTP"])) == EVIL["HTTP"]
        assert gateway.event(event="close")["inner"] is None


@pytest.mark.parametrize(("name", "verdict"), [("x.evil.test", "deny"), ("bad.test", "deny"), ("good.test", "allow")])
def test_explain_says_it_beforehand(gateway: Gateway, name: str, verdict: str) -> None:
    before = len(gateway.events())
    with Origin(collect) as origin, wire.connect(gateway.port) as client:
        done = gateway.sluice("explain", "--json", "--live", "--to", f"127.0.0.1:{origin.port}", "--sni", name)
        wire.open_socks5(client, "127.0.0.1", origin.port)
        client.sendall(client_hello(name))
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)
            wire.to_the_end(client)
        line = gateway.logged(before, client.getsockname()[1])
    said = json.loads(done.stdout)
    assert said["verdict"] == verdict
    for key in ("verdict", "phase", "reason"):
        assert said[key] == line[key]


# ---- re-judging ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["passthrough", "a CIDR allow"])
def test_a_reload_that_denies_the_name_shown_ends_its_tunnels_alone(way: str) -> None:
    policies, config = BEHIND[way]
    looked: list[Mapping] = [policy("looked", [{"host": "unseen.test"}], "Deny")]
    with Gateway([*looked, *policies], config) as gateway, Origin(echo) as origin, contextlib.ExitStack() as stack:
        clients: dict[str, socket.socket] = {}
        for name in ("later.test", "good.test", "none"):
            client = clients[name] = stack.enter_context(wire.connect(gateway.port))
            wire.open_socks5(client, "127.0.0.1", origin.port)
            payload = REQUEST % name.encode() if name != "none" else b"\x00nothing"
            client.sendall(payload)
            assert wire.exactly(client, len(payload)) == payload
        gateway.reload([*looked, *policies, policy("new", [{"host": "later.test"}, {"host": "none"}], "Deny")])
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(clients["later.test"])
        line = gateway.event(event="close", outcome="revoked")
        assert (line["phase"], line["inner"], line["rule"].rpartition("/")[2]) == ("inner", "later.test", "new")
        for name in ("good.test", "none"):
            clients[name].sendall(b"still?")
            assert wire.exactly(clients[name], 6) == b"still?"


@pytest.mark.parametrize("audit", [False, True])
def test_a_hard_deny_kills_what_a_rule_would_keep(audit: bool) -> None:
    policies: list[Any] = [policy("net", [{"cidr": "127.0.0.0/8"}], onRevoke="keep"), *DENIES]
    listener = {"audit": audit}
    with Gateway(policies, listener=listener) as gateway, Origin(echo) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        client.sendall(REQUEST % b"later.test")
        assert wire.exactly(client, 5) == b"GET /"
        gateway.reload([*policies, policy("new", [{"host": "later.test"}], "Deny", hard=True)])
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
