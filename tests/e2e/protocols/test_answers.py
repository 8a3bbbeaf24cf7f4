"""The table of answers: each outcome, asked over each protocol, is answered with exactly the codes promised."""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.run_gateway import Gateway, policy


class Row(NamedTuple):
    """One outcome: what is asked, and what SOCKS5, HTTP and Proxy-Status (RFC 9209) answer."""

    ask: Callable[[World], tuple[str, int]]
    rep: int
    status: int
    error: str
    outcome: str


ROWS: Final = {
    "denied by a rule": Row(lambda _: ("blocked.test", 443), 2, 403, "http_request_denied", "denied"),
    "denied as no rule matches": Row(lambda _: ("stranger.test", 443), 2, 403, "http_request_denied", "denied"),
    "denied for an address no rule names": Row(lambda _: ("127.0.0.1", 9), 2, 403, "http_request_denied", "denied"),
    "every address is prohibited": Row(
        lambda _: ("inside.test", 443), 2, 403, "destination_ip_prohibited", "address_prohibited"
    ),
    "the name does not exist": Row(lambda _: ("missing.test", 443), 4, 502, "dns_error", "name_not_found"),
    "the name has no address": Row(lambda _: ("empty.test", 443), 4, 502, "dns_error", "name_not_found"),
    "no name server answers": Row(lambda _: ("silent.test", 443), 4, 504, "dns_timeout", "dns_timeout"),
    "the destination refuses": Row(lambda w: ("127.0.0.1", w.refused), 5, 502, "connection_refused", "refused"),
    # Linux answers a TCP connect() to a broadcast address with ENETUNREACH, and sends nothing.
    "there is no route": Row(
        lambda w: ("127.255.255.255", w.refused), 3, 502, "destination_ip_unroutable", "net_unreachable"
    ),
    "the destination does not answer": Row(
        lambda w: ("127.0.0.1", w.full), 4, 504, "connection_timeout", "dial_timeout"
    ),
}  # fmt: skip


@pytest.fixture(params=list(ROWS.values()), ids=list(ROWS))
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


def test_socks5_answers_the_rows_reply_code_and_closes(mesh: Gateway, world: World, row: Row) -> None:
    with wire.connect(mesh.port) as client:
        assert wire.socks5(client, *row.ask(world)) == row.rep
        assert wire.to_the_end(client) == b""


def test_socks4a_answers_every_failure_alike_and_closes(mesh: Gateway, world: World, row: Row) -> None:
    with wire.connect(mesh.port) as client:
        assert wire.socks4a(client, *row.ask(world)) == 0x5B
        assert wire.to_the_end(client) == b""


def test_http_answers_the_rows_status_and_proxy_status(mesh: Gateway, world: World, row: Row) -> None:
    host, port = row.ask(world)
    with wire.connect(mesh.port) as client:
        answer = wire.http(client, wire.target(host, port))
        body = wire.to_the_end(client)
    assert answer.status == row.status
    assert f"error={row.error}" in answer.headers["proxy-status"].replace(" ", "").split(";")
    assert int(answer.headers["content-length"]) == len(body) > 0
    assert str(mesh.folder).encode() not in body, "file names are not the client's business"


def test_the_log_tells_the_outcome(mesh: Gateway, world: World, row: Row) -> None:
    host, port = row.ask(world)
    before = len(mesh.events())
    with wire.connect(mesh.port) as client:
        wire.socks5(client, host, port)
        local = client.getsockname()[1]
    line = mesh.logged(before, local)
    assert line["outcome"] == row.outcome
    assert (line["destination"]["host"], line["destination"]["port"]) == (host, port)
    assert line["protocol"] == "socks5" and line["listener"] == "mesh"


@pytest.mark.parametrize("opening", wire.OPENINGS.values(), ids=list(wire.OPENINGS))
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "open.test", "OPEN.Test.", "both.test", "a.wild.test"])
def test_success_is_answered_and_bytes_flow(
    mesh: Gateway, world: World, opening: Callable[..., None], host: str
) -> None:
    with wire.connect(mesh.port) as client:
        opening(client, host, world.echo.port)
        assert wire.echoes(client)


@pytest.mark.parametrize("name", ["socks5", "http"])
@pytest.mark.parametrize("host", ["::1", "open6.test", "both.test"])
def test_ipv6_destinations(mesh: Gateway, world: World, name: str, host: str) -> None:
    with wire.connect(mesh.port) as client:
        wire.OPENINGS[name](client, host, world.echo6.port)
        assert wire.echoes(client)


def test_a_denial_names_its_rule_and_reason(mesh: Gateway) -> None:
    with wire.connect(mesh.port) as client:
        answer = wire.http(client, "blocked.test:443")
        body = wire.to_the_end(client).decode()
    assert "no-blocked" in body and "rule_deny" in body
    assert "no-blocked" in answer.headers["proxy-status"]


@pytest.mark.parametrize("host", ["127.0.0.1", "missing.test"])
def test_a_failure_is_not_told_the_reason_of_what_allowed_it(mesh: Gateway, world: World, host: str) -> None:
    with wire.connect(mesh.port) as client:
        answer = wire.http(client, f"{host}:{world.refused if host == '127.0.0.1' else 443}")
        body = wire.to_the_end(client)
    assert answer.status == 502
    assert "rule" not in answer.headers["proxy-status"] and b"rule" not in body


@pytest.mark.parametrize("name", ["blocked.test", "deep.blocked.test", "stranger.test"])
def test_a_denied_name_is_never_asked_of_dns(mesh: Gateway, world: World, name: str) -> None:
    with wire.connect(mesh.port) as client:
        assert wire.socks5(client, name, 443) == 2
    assert name not in world.names.asked


def test_an_exception_to_a_wildcard_is_denied(mesh: Gateway) -> None:
    with wire.connect(mesh.port) as client:
        assert wire.socks5(client, "not.wild.test", 443) == 2


def test_an_audit_rule_lets_pass_and_says_so(mesh: Gateway) -> None:
    # `watched.test` does not resolve: that it was asked at all is the verdict.
    before = len(mesh.events())
    with wire.connect(mesh.port) as client:
        assert wire.socks5(client, "watched.test", 443) == 4
        local = client.getsockname()[1]
    line = mesh.logged(before, local)
    assert line["verdict"] == "audit" and line["would_deny"] is True
    assert line["rule"] == "ClusterEgressPolicy/watched"


def test_the_gateways_own_port_is_refused(world: World) -> None:
    with Gateway([policy("all", [{"cidr": "127.0.0.0/8"}, {"host": "localhost"}])]) as gateway:
        for host in ("127.0.0.1", "localhost"):
            with wire.connect(gateway.port) as client:
                answer = wire.http(client, f"{host}:{gateway.port}")
                assert answer.status == 403
                assert "destination_ip_prohibited" in answer.headers["proxy-status"]


@pytest.mark.parametrize("command", [2, 3])
def test_socks5_commands_that_are_not_built_are_named(mesh: Gateway, world: World, command: int) -> None:
    with wire.connect(mesh.port) as client:
        assert wire.socks5(client, "127.0.0.1", world.echo.port, command=command) == 7
        assert wire.to_the_end(client) == b""


def test_an_address_type_nobody_knows(mesh: Gateway) -> None:
    with wire.connect(mesh.port) as client:
        client.sendall(b"\x05\x01\x00")
        assert wire.exactly(client, 2) == b"\x05\x00"
        client.sendall(b"\x05\x01\x00\x09\x00\x00\x00\x00")
        assert wire.socks5_reply(client) == 8


def test_a_method_nobody_offers(mesh: Gateway) -> None:
    with wire.connect(mesh.port) as client:
        client.sendall(b"\x05\x01\x01")  # GSSAPI only
        assert wire.to_the_end(client) == b"\x05\xff"


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET http://open.test/ HTTP/1.1\r\nHost: open.test\r\nConnection: close\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: open.test\r\nConnection: close\r\n\r\n", 403),
    ],
    ids=["absolute form", "origin form"],
)
def test_a_plain_request_is_judged_as_a_tunnel_is(mesh: Gateway, request_head: bytes, status: int) -> None:
    with wire.connect(mesh.port) as client:
        client.sendall(request_head)
        assert wire.http_head(client).status == status
        wire.to_the_end(client)
