"""A request refused before any question leaves one `refused` line with its source and reason; a flood of it is
counted, not written. Every HTTP refusal names its line by Sluice-Id and carries the operator's own words."""

import re
from collections.abc import Callable, Iterator
from typing import Final

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, World, sample_users
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.run_gateway import Gateway, Mapping, policy

WORDS: Final = "ask in #egress"
SOURCES: Final = iter(f"127.0.7.{number}" for number in range(1, 200))
WRONG: Final = wire.basic("robot", "wrong").strip().partition(": ")[2]


@pytest.fixture(scope="module")
def gateway(world: World) -> Iterator[Gateway]:
    rules = [policy("open", [{"host": "localhost", "ports": [world.echo.port]}])]
    config = {
        "gateway": {"denyMessage": WORDS},
        "identity": {"users": "users.yaml"},
        "limits": {"requestTimeout": "1s"},
        "addresses": {"allow": ["127.0.0.1/32"], "deny": ["127.0.0.9/32"]},
    }
    files = {"users.yaml": yaml.safe_dump(sample_users())}
    with Gateway(rules, config, files=files, listener={"requests": False}) as running:
        yield running


def socks_login(port: int, source: str) -> bytes:
    with wire.connect(port, source=source) as client:
        client.sendall(b"\x05\x01\x02" + wire.socks5_login("robot", "wrong"))
        return wire.to_the_end(client)


def http(port: int, source: str, text: str) -> bytes:
    with wire.connect(port, source=source) as client:
        client.sendall(text.encode("latin-1"))
        return wire.to_the_end(client)


def login(user: str, password: str) -> str:
    return f"CONNECT a.test:1 HTTP/1.1\r\nHost: a.test:1\r\n{wire.basic(user, password)}\r\n"


CASES: Final[dict[str, tuple[Callable[[int, str], bytes], str, str, str, str | None]]] = {
    "a SOCKS5 password": (socks_login, "socks5", "login_failed", "auth_failed", "robot"),
    "a Basic password": (
        lambda port, source: http(port, source, login("robot", "wrong")),
        "http", "login_failed", "auth_failed", "robot",
    ),
    "an unknown user": (
        lambda port, source: http(port, source, login("no\x7fone", "x")), "http", "login_failed", "auth_failed", None,
    ),
    "a malformed request": (
        lambda port, source: http(port, source, "CONNECT a b:1 HTTP/1.1\r\n\r\n"),
        "http", "malformed", "malformed", None,
    ),
    "a plain request": (
        lambda port, source: http(port, source, "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        "http", "not_built", "not_built", None,
    ),
    "no protocol at all": (
        lambda port, source: http(port, source, "\x01\x02\x03\x04"), "unknown", "malformed", "malformed", None,
    ),
    "half a request": (
        lambda port, source: http(port, source, "CONNECT a.test:1 HT"),
        "http", "request_timeout", "request_timeout", None,
    ),
    "nothing": (lambda port, source: http(port, source, ""), "unknown", "request_timeout", "request_timeout", None),
}  # fmt: skip


def refused(gateway: Gateway, source: str) -> list[Mapping]:
    return [line for line in gateway.events(event="refused") if line["source"]["ip"] == source]


@pytest.mark.parametrize("name", list(CASES))
def test_one_line(gateway: Gateway, name: str) -> None:
    act, protocol, reason, outcome, user = CASES[name]
    source = next(SOURCES)
    answer = act(gateway.port, source).decode("latin-1")
    (line,) = eventually(lambda: refused(gateway, source), f"a line for {name}")
    assert (line["protocol"], line["reason"], line["outcome"]) == (protocol, reason, outcome)
    assert (line["verdict"], line["rule"], line["phase"], line["suppressed"]) == (None, None, "none", 0)
    assert line["source"]["user"] == user or user is None
    assert line["source"]["identity"] is None, "an unproven name is not a user"
    if answer.startswith("HTTP/"):
        assert re.findall(r"(?im)^sluice-id: (\S+)\r$", answer) == [line["id"]]
        assert answer.endswith(f"\n{WORDS}\n")


HTTP2: Final[dict[str, tuple[list[tuple[str, str]], str, str]]] = {
    "a password": (
        [(":method", "CONNECT"), (":authority", "a.test:1"), ("proxy-authorization", WRONG)],
        "407", "login_failed",
    ),
    "an invalid port": ([(":method", "CONNECT"), (":authority", "a.test:0")], "400", "malformed"),
    "a plain request": (
        [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/x")], "501", "not_built",
    ),
    "a denial": ([(":method", "CONNECT"), (":authority", "a.test:1")], "403", "no_rule"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(HTTP2))
def test_a_stream(gateway: Gateway, name: str) -> None:
    fields, status, reason = HTTP2[name]
    with RfcClient(gateway.port) as client:
        stream = client.over(client.request(fields, end=True))
    headers = stream.headers
    assert stream.status == int(status)
    assert stream.data.decode().endswith(f"\n{WORDS}\n")
    line = gateway.event(id=headers["sluice-id"])
    assert (line["event"], line["reason"]) == ("decision" if name == "a denial" else "refused", reason)
    assert line["protocol"] == "http2tunnel"


def test_a_denial_names_its_line(gateway: Gateway) -> None:
    answer = http(gateway.port, next(SOURCES), "CONNECT a.test:1 HTTP/1.1\r\nHost: a.test:1\r\n\r\n").decode()
    (number,) = re.findall(r"(?m)^Sluice-Id: (\S+)\r$", answer)
    line = gateway.event(id=number)
    assert (line["event"], line["reason"], line["destination"]["host"]) == ("decision", "no_rule", "a.test")
    assert answer.endswith(f"denied by policy (no_rule)\n{WORDS}\n")


def test_a_flood_is_counted_and_not_written(gateway: Gateway) -> None:
    source, many = next(SOURCES), 200
    for _ in range(many):
        http(gateway.port, source, "CONNECT a b:1 HTTP/1.1\r\n\r\n")

    def told() -> bool:
        """One more line brings the count of those left out; each request is in one or the other."""
        http(gateway.port, source, "CONNECT a b:1 HTTP/1.1\r\n\r\n")
        nonlocal many
        many += 1
        lines = refused(gateway, source)
        return any(line["suppressed"] for line in lines)

    eventually(told, "the count of the lines left out")
    lines = refused(gateway, source)
    assert 20 <= len(lines) < many / 2
    assert len(lines) + sum(line["suppressed"] for line in lines) <= many
    other = next(SOURCES)
    http(gateway.port, other, "CONNECT a b:1 HTTP/1.1\r\n\r\n")
    assert eventually(lambda: refused(gateway, other), "another source's line")[0]["suppressed"] == 0


@pytest.mark.parametrize(("host", "reason"), [("127.0.0.9", "address_denied"), ("127.0.0.5", "address_loopback")])
def test_the_addresses_that_were_refused(gateway: Gateway, host: str, reason: str) -> None:
    source = next(SOURCES)
    http(gateway.port, source, f"CONNECT {host}:1 HTTP/1.1\r\nHost: {host}:1\r\n\r\n")
    line = eventually(
        lambda: [each for each in gateway.events(event="decision") if each["source"]["ip"] == source], "the line"
    )[0]
    assert line["addresses_refused"] == [{"address": host, "reason": reason}]
    assert line["outcome"] == "address_prohibited"


def test_a_good_login_leaves_no_refusal(gateway: Gateway, world: World) -> None:
    source = next(SOURCES)
    with wire.connect(gateway.port, source=source) as client:
        assert wire.socks5(client, "localhost", world.echo.port, "build-bot", PASSWORD) == 0
        assert wire.echoes(client)
    gateway.event(event="close", outcome="closed")
    assert refused(gateway, source) == []
