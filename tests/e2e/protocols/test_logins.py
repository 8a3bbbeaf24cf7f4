"""Logins as seen from outside: late answers, floods of guesses, reloads, changed passwords."""

import base64
import contextlib
import hashlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, World, hashed
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.run_gateway import Gateway, Mapping, policy

SALT: Final = b"0123456789abcdef"


def dear(password: str, parallel: int) -> str:
    """A hash that takes about a tenth of a second of one core for each of `parallel`."""
    cost = {"n": 1 << 15, "r": 8, "p": parallel}
    key = hashlib.scrypt(password.encode(), salt=SALT, dklen=32, maxmem=1 << 28, **cost)
    salt, text = (base64.b64encode(part).decode() for part in (SALT, key))
    return f"scrypt${cost['n']}$8${parallel}${salt}${text}"


def users(**hashes: str | Mapping) -> str:
    """users.yaml: hashes, or entries, by name."""
    entries = [{"name": name, **({"hash": one} if isinstance(one, str) else one)} for name, one in hashes.items()]
    return yaml.safe_dump({"users": entries})


def gateway_with(
    world: World, text: str, config: Mapping | None = None, auth: str = "optional", **spec: Any
) -> Gateway:
    """A gateway that allows the echo origin, with these users."""
    allowed = policy("open", [{"host": "open.test", "ports": [world.echo.port]}], **spec)
    names = {"dns": {"servers": [world.names.address]}, "identity": {"users": "users.yaml"}}
    return Gateway([allowed], {**names, **(config or {})}, files={"users.yaml": text}, listener={"auth": auth})


def socks_login(gateway: Gateway, user: str, password: str, source: str | None = None) -> int:
    """The status of RFC 1929: 0 = let in."""
    with wire.connect(gateway.port, source=source) as client:
        client.sendall(b"\x05\x01\x02" + wire.socks5_login(user, password))
        return wire.exactly(client, 4)[3]


def http_login(gateway: Gateway, world: World, user: str, password: str, source: str | None = None) -> int:
    with wire.connect(gateway.port, source=source) as client:
        return wire.http(client, f"open.test:{world.echo.port}", wire.basic(user, password)).status


def http2_login(gateway: Gateway, world: World, user: str, password: str) -> int:
    with RfcClient(gateway.port) as client:
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        number = client.connect(f"open.test:{world.echo.port}", ("proxy-authorization", f"Basic {token}"))
        return int(client.answer(number).status or 0)


# ---- late answers ----------------------------------------------------------------------------------------------------


def late_socks5(gateway: Gateway, world: World) -> socket.socket:
    client = wire.connect(gateway.port)
    client.sendall(b"\x05\x01\x02" + wire.socks5_login("late", PASSWORD))
    assert wire.exactly(client, 4) == b"\x05\x02\x01\x01"
    return client


def late_http(gateway: Gateway, world: World) -> socket.socket:
    client = wire.connect(gateway.port)
    assert wire.http(client, f"open.test:{world.echo.port}", wire.basic("late", PASSWORD)).status == 408
    return client


def late_http2(gateway: Gateway, world: World) -> socket.socket:
    client = RfcClient(gateway.port)
    token = base64.b64encode(f"late:{PASSWORD}".encode()).decode()
    number = client.connect(f"open.test:{world.echo.port}", ("proxy-authorization", f"Basic {token}"))
    assert int(client.answer(number).status or 0) == 408
    return client.socket


LATE: Final = {"socks5": late_socks5, "http": late_http, "http2": late_http2}


@pytest.mark.parametrize("late", LATE.values(), ids=list(LATE))
def test_a_verdict_that_comes_after_the_refusal_is_remembered_and_nothing_else(
    world: World, late: Callable[[Gateway, World], socket.socket]
) -> None:
    """The refused client still lingers when its password turns out to be right. A verdict is in time only when it is
    remembered: verifying takes longer than a request may."""
    limits = {"limits": {"requestTimeout": "50ms"}}
    with gateway_with(world, users(late=dear(PASSWORD, 5)), limits) as gateway:
        before = gateway.workers()
        with late(gateway, world):
            eventually(lambda: http_login(gateway, world, "late", PASSWORD) == 200, "the verdict is remembered")
        assert socks_login(gateway, "late", PASSWORD) == 0
        assert http2_login(gateway, world, "late", PASSWORD) == 200
        assert gateway.workers() == before
        assert gateway.counter("internal_errors_total") == 0


# ---- floods ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def guesses(gateway: Gateway, sources: int, connections: int) -> Iterator[list[int]]:
    """Clients of a few addresses that guess without end; the list counts what they are answered."""
    over = threading.Event()
    answers: list[int] = []

    def guess(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            with contextlib.suppress(OSError, AssertionError, EOFError):
                source = f"127.0.51.{1 + number % sources}"
                answers.append(socks_login(gateway, "known", f"guess-{number}-{turn}", source))
            over.wait(0.02)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_guesses_of_a_few_sources_lock_nobody_out(world: World) -> None:
    """Every user logs in for the first time while two sources guess; all of them get in, in any protocol."""
    entries = {name: dear(PASSWORD, 1) for name in ("known", "one", "two", "three")}
    with gateway_with(world, users(**entries), {"workers": 2}, auth="required") as gateway:
        assert socks_login(gateway, "known", PASSWORD) == 0
        with guesses(gateway, 2, 60) as answers:
            eventually(lambda: len(answers) > 60, "the guesses are on their way")
            assert socks_login(gateway, "one", PASSWORD, "127.0.0.9") == 0
            assert http_login(gateway, world, "two", PASSWORD, "127.0.0.9") == 200
            assert http2_login(gateway, world, "three", PASSWORD) == 200
            gateway.reload()
            assert socks_login(gateway, "known", PASSWORD, "127.0.0.9") == 0
        assert set(answers) == {1}
        assert 'sluice_limited_total{scope="source_logins"}' in metrics(gateway)


def metrics(gateway: Gateway) -> str:
    with wire.connect(gateway.admin) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return wire.to_the_end(client).decode()


def test_a_source_whose_logins_fail_too_often_is_refused_unverified(world: World) -> None:
    """429, also for a right password that was not verified yet; a verified one still passes."""
    config = {"limits": {"perSource": {"loginFailures": "3/h"}}}
    with gateway_with(world, users(known=hashed(PASSWORD)), config) as gateway:
        assert http_login(gateway, world, "known", PASSWORD) == 200
        answers = [http_login(gateway, world, "known", "the same wrong one") for _ in range(4)]
        assert answers == [407] * 4
        eventually(lambda: http_login(gateway, world, "known", "the same wrong one") == 429, "it is barred")
        assert http_login(gateway, world, "known", PASSWORD) == 200
        assert http_login(gateway, world, "known", "another", "127.0.0.77") == 407, "another source is verified"


# ---- reloads ---------------------------------------------------------------------------------------------------------


def test_a_reload_keeps_what_was_right(world: World) -> None:
    """Verifying takes longer than a request may: only what is remembered gets in."""
    limits = {"limits": {"requestTimeout": "50ms"}}
    with gateway_with(world, users(late=dear(PASSWORD, 5), other=hashed("x")), limits) as gateway:
        eventually(lambda: socks_login(gateway, "late", PASSWORD) == 0, "the verdict is remembered")
        for _ in range(3):
            gateway.reload()
            assert socks_login(gateway, "late", PASSWORD) == 0
        (gateway.folder / "users.yaml").write_text(users(other=hashed("y"), late=dear(PASSWORD, 5)))
        gateway.reload()
        assert socks_login(gateway, "late", PASSWORD) == 0, "another user's password has changed"


def login_tunnel(gateway: Gateway, world: World, user: str, password: str) -> socket.socket:
    client = wire.connect(gateway.port)
    assert wire.socks5(client, "open.test", world.echo.port, user, password) == 0
    assert wire.echoes(client)
    return client


ROBOT: Final = {"namespace": "shop", "serviceAccount": "robot"}
CHANGES: Final[dict[str, Callable[[str], str]]] = {
    "another password": lambda other: users(known=hashed("new"), other=other),
    "the same password, hashed anew": lambda other: users(known=dear(PASSWORD, 1), other=other),
    "another identity": lambda other: users(known={"hash": hashed(PASSWORD), "identity": ROBOT}, other=other),
    "removed": lambda other: users(other=other),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_changed_user_loses_its_tunnels_and_others_do_not(world: World, change: Callable[[str], str]) -> None:
    other = hashed(PASSWORD)
    text = users(known=hashed(PASSWORD), other=other)
    with gateway_with(world, text) as gateway, contextlib.ExitStack() as stack:
        one = stack.enter_context(login_tunnel(gateway, world, "known", PASSWORD))
        two = stack.enter_context(login_tunnel(gateway, world, "other", PASSWORD))
        gateway.reload()
        assert wire.echoes(one) and wire.echoes(two), "nothing has changed"
        (gateway.folder / "users.yaml").write_text(change(other))
        gateway.reload()
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(one)
        assert wire.echoes(two)
        line = gateway.event(event="close", outcome="revoked")
        assert (line["source"]["user"], line["reason"], line["generation"]) == ("known", "unauthorized", 3)


def test_a_changed_password_follows_the_rules_way_to_revoke(world: World) -> None:
    text = users(known=hashed(PASSWORD))
    with (
        gateway_with(world, text, onRevoke="keep") as gateway,
        login_tunnel(gateway, world, "known", PASSWORD) as client,
    ):
        (gateway.folder / "users.yaml").write_text(users(known=hashed("new")))
        gateway.reload()
        assert wire.echoes(client)
        assert socks_login(gateway, "known", PASSWORD) == 1
        assert socks_login(gateway, "known", "new") == 0


def test_a_login_before_a_reload_is_not_one_after_it(world: World) -> None:
    """The password is changed between the login and the request."""
    text = users(known=hashed(PASSWORD), other=hashed("x"))
    with gateway_with(world, text) as gateway, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(wire.connect(gateway.port)) for _ in range(2)]
        for client in clients:
            client.sendall(b"\x05\x01\x02" + wire.socks5_login("known", PASSWORD))
            assert wire.exactly(client, 4) == b"\x05\x02\x01\x00"
        (gateway.folder / "users.yaml").write_text(users(known=hashed("new"), other=hashed("x")))
        gateway.reload()
        for client in clients:
            client.sendall(wire.socks5_request("open.test", world.echo.port))
            assert wire.socks5_reply(client) == 2


# ---- clients without credentials -------------------------------------------------------------------------------------


def test_an_empty_socks5_password_counts_as_none_where_it_is_optional(world: World) -> None:
    with gateway_with(world, users(known=hashed(PASSWORD))) as gateway:
        with wire.connect(gateway.port) as client:  # as the JDK does: both methods, its process's user, nothing else
            local = client.getsockname()[1]
            client.sendall(b"\x05\x02\x00\x02")
            assert wire.exactly(client, 2) == b"\x05\x02"
            client.sendall(wire.socks5_login("root", ""))
            assert wire.exactly(client, 2) == b"\x01\x00"
            client.sendall(wire.socks5_request("open.test", world.echo.port))
            assert wire.socks5_reply(client) == 0
            assert wire.echoes(client)
        assert gateway.logged(0, local)["source"]["user"] is None, "it has no user, also with the name of one"
        assert http_login(gateway, world, "known", "") == 407
        assert http2_login(gateway, world, "known", "") == 407


def test_an_empty_socks5_password_is_refused_where_one_is_required(world: World) -> None:
    with gateway_with(world, users(known=hashed(PASSWORD)), auth="required") as gateway:
        assert socks_login(gateway, "known", "") == 1
        assert http_login(gateway, world, "known", "") == 407


def test_passwords_under_check_do_not_hold_up_the_end(world: World) -> None:
    """More checks wait than the end may take; none of them has an answer to give any more."""
    drain = {"shutdown": {"drain": "1s"}}
    with gateway_with(world, users(ann=dear("right", 15)), drain) as gateway, contextlib.ExitStack() as stack:
        for number in range(40):
            client = stack.enter_context(wire.connect(gateway.port, source=f"127.0.9.{1 + number}"))
            client.sendall(b"\x05\x01\x02" + wire.socks5_login("ann", f"guess {number}"))
            assert wire.exactly(client, 2) == b"\x05\x02"
        assert gateway.stop(signal.SIGTERM) == 0
        assert not gateway.workers()
