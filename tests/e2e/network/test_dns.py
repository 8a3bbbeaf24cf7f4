"""Names on their way to a connection: what is dialed was checked, whatever DNS says before and after.

The gateway asks Debian's dnsmasq, which knows some names itself and passes the others on to a scripted server. Only
127.0.0.2 to .7 and ::1 are opened by addresses.allow: they stand for the public Internet, 127.0.0.1 for what the guard
refuses.
"""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from tests.support import wire
from tests.support.dns_server import NXDOMAIN, SERVFAIL, Dnsmasq, Query, Scripted, addresses, reply
from tests.support.eventually import eventually
from tests.support.names import NameServer
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, Mapping, policy

GOOD: Final = "127.0.0.2"
TRAPPED: Final = "127.0.0.1"
# No socket listens on the first; the queues of the others are full, so that they drop every SYN.
REFUSING: Final = "127.0.0.3"
SILENT: Final = ["127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7"]

PROHIBITED: Final = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254",
    "168.63.129.16", "100.100.100.200", "224.0.0.1", "255.255.255.255", "::", "fe80::1", "fc00::1", "fd00:ec2::254",
    "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::",
]  # fmt: skip

# Addresses of a name, question after question; the last stays. Names with other beginnings are in `Names.__call__`.
FIXED: Final = {
    "mixed.test": [[TRAPPED, "10.0.0.1", GOOD, "169.254.169.254", "::ffff:127.0.0.1", "fd00:ec2::254"]],
    "swing.test": [[GOOD], [TRAPPED]] * 500,
    "steady.test": [[GOOD]],
    "refused-first.test": [[REFUSING, GOOD]],
    "silent-first.test": [[SILENT[0], GOOD]],
    "many-silent.test": [[*SILENT, GOOD]],
    "silent.test": [SILENT],
    "six-works.test": [["::1", SILENT[0]]],
    "four-works.test": [["::1", GOOD]],
}


class Names:
    """The script of the server behind dnsmasq: every answer has no time to live."""

    def __init__(self) -> None:
        self.turns: Counter[tuple[str, int]] = Counter()

    def __call__(self, query: Query) -> bytes | None:
        turn = self.turns[query.name, query.kind]
        self.turns[query.name, query.kind] += 1
        if query.name.startswith("unanswered"):
            return None
        if query.name.startswith("failing"):
            return reply(query, code=SERVFAIL)
        if query.name.startswith("rebind-"):
            found = [GOOD] if turn == 0 else [PROHIBITED[int(query.name.removeprefix("rebind-").split(".")[0])]]
        elif query.name.startswith("bad-"):
            found = [PROHIBITED[int(query.name.removeprefix("bad-").split(".")[0])]]
        elif query.name in FIXED:
            found = FIXED[query.name][min(turn, len(FIXED[query.name]) - 1)]
        else:
            return reply(query, code=NXDOMAIN)
        return addresses(query, *found, ttl=60 if query.name == "steady.test" else 0)


class Outside(NamedTuple):
    gateway: Gateway
    names: Scripted
    port: int  # of the echo origin on GOOD, of the trap, and of every other listener
    six: int  # of an echo origin on ::1; SILENT[0] drops SYNs on it, GOOD has nothing
    trap: socket.socket


@contextlib.contextmanager
def full(host: str, port: int) -> Iterator[None]:
    """A listener whose queue is full: the kernel drops further SYNs."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, port), backlog=0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((host, port))
        yield


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    # 523 bytes in one answer: too many for UDP without extensions, and no more addresses than are taken.
    many = [f"{GOOD} many.test", *(f"10.9.9.{number} many.test" for number in range(1, 31))]
    options = ["--address=/wild.test/127.0.0.2", "--host-record=node.test,127.0.0.2", "--cname=cdn.test,node.test"]
    with contextlib.ExitStack() as stack:
        good = stack.enter_context(Origin(echo, GOOD))
        six = stack.enter_context(Origin(echo, "::1"))
        trap = stack.enter_context(socket.create_server((TRAPPED, good.port)))
        trap.settimeout(0)
        for host in SILENT:
            stack.enter_context(full(host, good.port))
        stack.enter_context(full(SILENT[0], six.port))
        names = stack.enter_context(Scripted(Names()))
        dnsmasq = stack.enter_context(
            Dnsmasq(f"--server=/test/127.0.0.1#{names.port}", "--cname=www.test,cdn.test", *options, hosts=many)
        )
        config = {
            "addresses": {"allow": [*(f"127.0.0.{last}/32" for last in range(2, 8)), "::1/128"]},
            "dns": {"servers": [dnsmasq.address], "timeout": "1s", "minTTL": "0s"},
            "limits": {"dialTimeout": "4s"},
        }
        rules = [policy("tests", [{"host": "*.test"}]), policy("not", [{"host": "secret.test"}], action="Deny")]
        gateway = stack.enter_context(Gateway(rules, config))
        yield Outside(gateway, names, good.port, six.port, trap)


def nobody_fell_into(trap: socket.socket) -> bool:
    """Whether no connection has come, accepted or not."""
    try:
        trap.accept()[0].close()
    except BlockingIOError:
        return True
    return False


def opens(outside: Outside, name: str, port: int = 0) -> bool:
    """Whether a tunnel to a name opens and carries bytes."""
    with wire.connect(outside.gateway.port) as client:
        return wire.socks5(client, name, port or outside.port) == 0 and wire.echoes(client)


@pytest.mark.parametrize("number", range(len(PROHIBITED)), ids=PROHIBITED)
def test_a_name_that_moves_to_a_prohibited_address(outside: Outside, number: int) -> None:
    name = f"rebind-{number}.test"
    assert opens(outside, name)
    for _ in range(2):
        with wire.connect(outside.gateway.port) as client:
            answer = wire.http(client, f"{name}:{outside.port}")
        assert answer.status == 403
        assert "error=destination_ip_prohibited" in answer.headers["proxy-status"].replace(" ", "")
    assert nobody_fell_into(outside.trap)


@pytest.mark.parametrize("number", range(len(PROHIBITED)), ids=PROHIBITED)
def test_a_name_at_a_prohibited_address(outside: Outside, number: int) -> None:
    with wire.connect(outside.gateway.port) as client:
        assert wire.socks5(client, f"bad-{number}.test", outside.port) == 2
    assert nobody_fell_into(outside.trap)


def test_what_is_dialed_was_checked(outside: Outside) -> None:
    """The name swings between a good and a bad address with every question: a second look would dial the bad one."""
    opened = [opens(outside, "swing.test") for _ in range(40)]
    assert 0 < sum(opened) < 40
    assert nobody_fell_into(outside.trap)

    def logged() -> list[Mapping]:
        lines = outside.gateway.events(event="open")
        return [line["destination"] for line in lines if line["destination"]["host"] == "swing.test"]

    eventually(lambda: len(logged()) == sum(opened), "every tunnel is in the log")
    assert {destination["address"] for destination in logged()} == {GOOD}


def test_of_mixed_answers_the_good_address_is_dialed(outside: Outside) -> None:
    assert all(opens(outside, "mixed.test") for _ in range(10))
    assert nobody_fell_into(outside.trap)


def test_a_chain_of_aliases(outside: Outside) -> None:
    assert opens(outside, "www.test")


def test_an_answer_that_needs_tcp(outside: Outside) -> None:
    assert opens(outside, "many.test")


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [("gone.test", 502, "dns_error"), ("failing.test", 502, "dns_error"), ("unanswered.test", 504, "dns_timeout")],
)
def test_names_that_do_not_resolve(outside: Outside, name: str, status: int, error: str) -> None:
    with wire.connect(outside.gateway.port) as client:
        answer = wire.http(client, f"{name}:443")
    assert answer.status == status
    assert f"error={error}" in answer.headers["proxy-status"].replace(" ", "").split(";")
    with wire.connect(outside.gateway.port) as client:
        assert wire.socks5(client, name, 443) == 4


@pytest.mark.parametrize("name", ["secret.test", "unknown.example"])
def test_a_denied_name_is_never_asked_for(outside: Outside, name: str) -> None:
    with wire.connect(outside.gateway.port) as client:
        assert wire.socks5(client, name, 443) == 2
    assert opens(outside, "mixed.test")
    assert name not in {query.name for query in outside.names.asked}


def test_many_requests_for_a_name_are_one_query(outside: Outside) -> None:
    queries, hits = (outside.gateway.counter(name) for name in ("dns_queries_total", "dns_cache_hits_total"))
    assert all(opens(outside, "steady.test") for _ in range(30))
    for _ in range(10):
        with wire.connect(outside.gateway.port) as client:
            assert wire.socks5(client, "gone-for-good.test", 443) == 4
    assert outside.gateway.counter("dns_queries_total") == queries + 2
    assert outside.gateway.counter("dns_cache_hits_total") == hits + 29 + 9
    assert outside.names.names["steady.test"] == 1


def test_names_asked_for_all_at_once(outside: Outside) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(wire.connect(outside.gateway.port)) for _ in range(40)]
        for client in clients:
            client.sendall(b"\x05\x01\x00")
        for number, client in enumerate(clients):
            assert wire.exactly(client, 2) == b"\x05\x00"
            client.sendall(wire.socks5_request(f"n{number}.wild.test", outside.port))
        assert [wire.socks5_reply(client) for client in clients] == [0] * 40
        assert all(wire.echoes(client) for client in clients)


@pytest.mark.parametrize("name", ["refused-first.test", "silent-first.test", "many-silent.test", "four-works.test"])
def test_an_address_that_fails_does_not_fail_the_name(outside: Outside, name: str) -> None:
    # More than once: addresses take turns in being the first.
    assert all(opens(outside, name) for _ in range(3))


def test_ipv6_works_where_ipv4_is_silent(outside: Outside) -> None:
    assert all(opens(outside, "six-works.test", outside.six) for _ in range(3))


def test_ipv4_works_where_ipv6_is_refused(outside: Outside) -> None:
    # ::1 has no listener on this port.
    assert all(opens(outside, "four-works.test") for _ in range(3))


def test_one_deadline_bounds_all_attempts(outside: Outside) -> None:
    with wire.connect(outside.gateway.port) as client:
        answer = wire.http(client, f"silent.test:{outside.port}")
    assert (answer.status, "error=connection_timeout" in answer.headers["proxy-status"].replace(" ", "")) == (504, True)


def test_a_reload_changes_the_servers_and_forgets_what_the_old_ones_said() -> None:
    gate = threading.Event()

    def old(query: Query) -> bytes:
        if query.name == "slow.test":
            gate.wait(20)
        return addresses(query, GOOD, ttl=3600)

    with (
        Origin(echo, GOOD) as origin,
        Scripted(old) as before,
        Scripted(lambda query: reply(query, code=NXDOMAIN)) as after,
    ):
        config = {"dns": {"servers": [before.address], "timeout": "20s"}}
        with Gateway([policy("tests", [{"host": "*.test"}])], config) as gateway:
            with wire.connect(gateway.port) as client:
                assert wire.socks5(client, "a.test", origin.port) == 0
            with wire.connect(gateway.port) as client:
                client.sendall(b"\x05\x01\x00")
                assert wire.exactly(client, 2) == b"\x05\x00"
                client.sendall(wire.socks5_request("slow.test", origin.port))
                while not any(query.name == "slow.test" for query in before.asked):
                    gate.wait(0.01)
                gateway.config["dns"]["servers"] = [after.address]
                gateway.write_config()
                gateway.reload()
                # Questions under way end with the server that was asked.
                gate.set()
                assert wire.socks5_reply(client) == 0
                assert wire.echoes(client)
            with wire.connect(gateway.port) as client:
                assert wire.socks5(client, "a.test", origin.port) == 4
            assert after.names == {"a.test": 1}


@pytest.mark.parametrize("code", [1, 2, 4, 5], ids=["FORMERR", "SERVFAIL", "NOTIMP", "REFUSED"])
def test_name_servers_that_cannot_tell(code: int) -> None:
    """The row of a name that does not resolve, with an outcome and a detail of its own."""
    names = NameServer({}, codes={"broken.test": code})
    with names, Gateway([policy("all", [{"host": "*.test"}])], {"dns": {"servers": [names.address]}}) as gateway:
        with wire.connect(gateway.port) as client:
            answer = wire.http(client, "broken.test:443")
        assert answer.status == 502 and "error=dns_error" in answer.headers["proxy-status"]
        assert "dns_failed" in answer.headers["proxy-status"]
        with wire.connect(gateway.port) as client:
            assert wire.socks5(client, "broken.test", 443) == 4
            line = gateway.logged(1, client.getsockname()[1])
        assert line["outcome"] == "dns_failed"
        assert gateway.event(event="decision")["outcome"] == "dns_failed"
