"""Names of every form, good and broken, from every protocol, played to a real gateway (tests/vectors/names.txt)."""

import json
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from tests.support import wire
from tests.support.names import NameServer
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, policy
from tests.vectors.loader import NameVector, names

VECTORS: Final = names()
each_name = pytest.mark.parametrize("vector", VECTORS, ids=[f"line {vector.line}" for vector in VECTORS])


class Obliging(NameServer):
    """Whatever it is asked has the origin's address, but for one name."""

    def answer(self, question: bytes) -> bytes | None:
        labels, offset = [], 12
        while length := question[offset]:
            labels.append(question[offset + 1 : offset + 1 + length].decode("latin-1"))
            offset += 1 + length
        name = ".".join(labels).lower()
        if name != "missing.test":
            self.names[name] = ["127.0.0.1"]
        return super().answer(question)


class Scene(NamedTuple):
    gateway: Gateway
    names: NameServer
    port: int


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    # IPv4 and IPv6 on one port: the same request reaches an echo at 127.0.0.1 and at ::1.
    with Origin(echo) as origin, Origin(echo, "::1", origin.port), Obliging({}) as server:
        rules = [policy("names", [{"host": "*.test", "ports": [origin.port]}])]
        rules.append(policy("addresses", [{"cidr": "127.0.0.0/8"}, {"cidr": "::1/128"}]))
        rules.append(policy("not", [{"host": name} for name in ("denied.example", "singlelabel")], action="Deny"))
        with Gateway(rules, {"dns": {"servers": [server.address]}}) as gateway:
            yield Scene(gateway, server, origin.port)


def good_names() -> set[str]:
    """Names that DNS may be asked: the canonical forms of the names that one protocol opens, or that do not resolve."""
    found = {vector.name.decode("latin-1").lower().removesuffix(".") for vector in VECTORS if vector.rep in (0, 4)}
    return {name for name in found if name.endswith(".test")}


def settled(scene: Scene) -> None:
    """Nothing of a broken name went further: not to DNS, not into a log line, and no internal error arose."""
    assert set(scene.names.asked) <= good_names()
    assert scene.gateway.counter("internal_errors_total") == 0
    for line in (scene.gateway.folder / "access.log").read_bytes().splitlines(keepends=True):
        assert line.isascii() and not any((byte < 0x20 and byte != 0x0A) or byte == 0x7F for byte in line)
        if line.endswith(b"\n"):
            json.loads(line)


@each_name
def test_socks5(scene: Scene, vector: NameVector) -> None:
    if vector.rep is None:
        assert len(vector.name) > 255, "RFC 1928 section 5: one byte for the length"
        return
    request = bytes([5, 1, 0, 3, len(vector.name)]) + vector.name + struct.pack("!H", scene.port)
    with wire.connect(scene.gateway.port) as client:
        client.sendall(b"\x05\x01\x00")
        assert wire.exactly(client, 2) == b"\x05\x00"
        client.sendall(request)
        assert wire.socks5_reply(client) == vector.rep
        assert wire.echoes(client) if vector.rep == 0 else wire.to_the_end(client) == b""
    settled(scene)


@each_name
def test_socks4a(scene: Scene, vector: NameVector) -> None:
    if vector.reply is None:
        assert b"\0" in vector.name, "a NUL ends the name"
        return
    request = struct.pack("!BBH", 4, 1, scene.port) + b"\0\0\0\1" + b"\0" + vector.name + b"\0"
    with wire.connect(scene.gateway.port) as client:
        client.sendall(request)
        assert wire.exactly(client, 8)[1:2] == bytes([vector.reply])
        assert wire.echoes(client) if vector.reply == 0x5A else wire.to_the_end(client) == b""
    settled(scene)


@each_name
@pytest.mark.parametrize("host", [True, False], ids=["with Host", "HTTP/1.0"])
def test_http(scene: Scene, vector: NameVector, host: bool) -> None:
    target = vector.name + b":%d" % scene.port
    head = b"CONNECT " + target + (b" HTTP/1.1\r\nHost: x\r\n\r\n" if host else b" HTTP/1.0\r\n\r\n")
    with wire.connect(scene.gateway.port) as client:
        client.sendall(head)
        answer = wire.http_head(client)
        assert answer.status == vector.status
        assert "x-injected" not in answer.headers
        assert wire.echoes(client) if vector.status == 200 else wire.to_the_end(client).isascii()
    settled(scene)
