"""Texts that clients choose (user names, hosts, header fields, names inside tunnels) reach no log, no terminal and no
answer as anything but printable ASCII: nothing forges a line, ends a string or moves a cursor."""

import base64
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final

import pytest
import yaml

from tests.e2e.conftest import World, hashed
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, policy, sluice

PASSWORD: Final = "secret"
# As far as users.yaml allows: everything here is printable, and a format string, a quote or a tag to some reader.
ODD_USER: Final = "a\"b'c\\d<e>{f}%s[red]$(g)`h`"
PIECES: Final = {
    "a new line": b'x\n{"event":"close","forged":true}\r\n',
    "a terminal's commands": b"\x1b[2J\x1b]0;owned\x07\x9b31m",
    "the end of a string": b'","forged":"',
    "text that turns round": "\u202egnp.exe\u2028\u200b".encode(),
    "no UTF-8": b"\xff\xfe\xc3\x28",
    "NUL": b"a\0b",
    "backslashes": b"\\u001b\\x1b\\n",
}


@pytest.fixture(scope="module")
def gateway(world: World) -> Iterator[Gateway]:
    users = {"users": [{"name": ODD_USER, "hash": hashed(PASSWORD)}]}
    config = {"identity": {"users": "users.yaml"}, "dns": {"servers": [world.names.address]}}
    rules = [policy("open", [{"host": "open.test"}], innerName="audit"), policy("shut", [{"host": "no.test"}], "Deny")]
    with Gateway(rules, config, files={"users.yaml": yaml.safe_dump(users)}) as running:
        yield running


def harmless(text: bytes) -> bool:
    """Printable ASCII and line ends."""
    return all(0x20 <= byte < 0x7F or byte in b"\r\n" for byte in text)


def as_user(piece: bytes) -> bytes:
    return b"\x05\x01\x02\x01" + bytes([len(piece)]) + piece + b"\x01x" + wire.socks5_request("open.test", 80)


def as_basic_user(piece: bytes) -> bytes:
    credentials = base64.b64encode(piece + b":x").decode()
    return wire.connect_request("open.test:80", f"Proxy-Authorization: Basic {credentials}\r\n")


def as_host(piece: bytes) -> bytes:
    return b"\x05\x01\x00\x05\x01\x00\x03" + bytes([len(piece)]) + piece + b"\x00\x50"


def as_socks4_user(piece: bytes) -> bytes:
    return wire.socks4a_request("no.test", 80, piece.replace(b"\0", b""))


def as_target(piece: bytes) -> bytes:
    return b"CONNECT " + piece + b":80 HTTP/1.1\r\nHost: " + piece + b"\r\n\r\n"


def as_field(piece: bytes) -> bytes:
    return b"CONNECT no.test:80 HTTP/1.1\r\nHost: no.test:80\r\nUser-Agent: " + piece + b"\r\nX: " + piece + b"\r\n\r\n"


def as_path(piece: bytes) -> bytes:
    return b"GET http://no.test/" + piece + b" HTTP/1.1\r\nHost: no.test\r\n\r\n"


PLACES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "SOCKS5 user": as_user,
    "Basic user": as_basic_user,
    "SOCKS5 host": as_host,
    "SOCKS4 user": as_socks4_user,
    "CONNECT target": as_target,
    "header field": as_field,
    "path": as_path,
}


def lines_of(gateway: Gateway) -> list[bytes]:
    """The whole lines of the access log, raw: the last one may be on its way."""
    lines = (gateway.folder / "access.log").read_bytes().splitlines(keepends=True)
    return [line for line in lines if line.endswith(b"\n")]


@pytest.mark.parametrize("piece", PIECES.values(), ids=list(PIECES))
@pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))
def test_a_request(gateway: Gateway, place: Callable[[bytes], bytes], piece: bytes) -> None:
    answer = wire.exchange(gateway.port, place(piece), finish=True)
    if answer.startswith(b"HTTP"):
        assert harmless(answer)
    check_logs(gateway)


def check_logs(gateway: Gateway) -> None:
    for line in lines_of(gateway):
        assert harmless(line), line
        assert "forged" not in json.loads(line), line
    assert harmless(gateway.errors().encode("latin-1", "replace"))


@pytest.mark.parametrize("piece", PIECES.values(), ids=list(PIECES))
def test_a_name_inside_a_tunnel(gateway: Gateway, world: World, piece: bytes) -> None:
    """innerName: audit writes down what it found, whatever that is."""
    with wire.connect(gateway.port) as client:
        wire.open_socks5(client, "open.test", world.collect.port)
        port = client.getsockname()[1]
        client.sendall(b"GET / HTTP/1.1\r\nHost: evil" + piece.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        wire.to_the_end(client)
    line = gateway.logged(0, port)
    assert line["inner"] is None or line["inner"].isascii()
    check_logs(gateway)


def test_a_server_name_of_tls(gateway: Gateway, world: World) -> None:
    """The bytes of SNI are changed after Python, which would not send such a name."""
    outgoing = ssl.MemoryBIO()
    session = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(
        ssl.MemoryBIO(), outgoing, server_hostname="evil-name.test"
    )
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    hello = outgoing.read().replace(b"evil-name.test", b'\x1b[2J"\n\xff\0.test')
    with wire.connect(gateway.port) as client:
        wire.open_socks5(client, "open.test", world.collect.port)
        port = client.getsockname()[1]
        client.sendall(hello)
        client.shutdown(socket.SHUT_WR)
        wire.to_the_end(client)
    assert gateway.logged(0, port)["event"] == "close"
    check_logs(gateway)


def test_what_operators_see_of_an_odd_user(gateway: Gateway, world: World) -> None:
    """A user whose name is allowed and reads like code, in every view of a live tunnel."""
    with wire.connect(gateway.port) as client:
        assert wire.socks5(client, "open.test", world.echo.port, ODD_USER, PASSWORD) == 0
        shown = ODD_USER.replace("\\", "\\x5c")
        eventually(lambda: shown in gateway.sluice("tunnels").stdout, "the table shows it")
        (item,) = json.loads(gateway.sluice("tunnels", "--from", ODD_USER, "--json").stdout)["items"]
        assert item["source"]["user"] == shown
        assert gateway.sluice("stats").returncode == 0
        live = gateway.sluice("explain", "--live", "--user", ODD_USER, "--to", "open.test:80")
        assert ODD_USER in live.stdout, live
    check_logs(gateway)


@pytest.mark.parametrize(
    "command",
    [
        ["explain", "--live", "--to", "open.test:80", "--user"],
        ["explain", "--live", "--user", "x", "--to"],
        ["tunnels", "--from"],
        ["tunnels", "--to"],
        ["tunnels", "--kill"],
        ["tunnels", "--after"],
        ["stats", "--endpoint"],
    ],
    ids=lambda command: " ".join(command[:1] + command[-1:]),
)
def test_what_is_asked_comes_back_harmless(gateway: Gateway, command: list[str]) -> None:
    done = sluice(*command, "\x1b[2J\na\u202egnp[red]x[/red]%s{0}", "-c", str(gateway.config_file), cwd=gateway.folder)
    assert harmless((done.stdout + done.stderr).encode("utf-8", "surrogateescape")), done
    assert "Traceback" not in done.stderr
