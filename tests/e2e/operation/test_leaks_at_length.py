"""The leak law (DESIGN.md section 2): over each outcome of CONTRACT.md section 5, and by resets in every state, tunnels
come and go many times, and no object, descriptor, pipe, place among the limits or byte is left.

`make leaks COUNT=100000` goes through each outcome that often; 100,000 objects of any kind would show in the memory.
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import yaml

from supervisor.segment.limit_table import COLUMNS_AT
from tests.e2e.conftest import PASSWORD, full_listener, sample_users
from tests.e2e.operation.test_leaks import LOAD
from tests.support import wire
from tests.support.crowd import Crowd, Step, Visit
from tests.support.eventually import eventually
from tests.support.names import NameServer
from tests.support.origins import Origin, resetting
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, open_files, policy, resident
from tests.support.sluice_process import ROOT

COUNT: Final = int(os.environ.get("SLUICE_LEAKS_COUNT", "3000"))
WARM: Final = 3000
MIB: Final = 1 << 20
HELLO: Final = b"\x05\x01\x00"
GREETED: Final = b"\x05\x00"
OPEN: Final = GREETED + b"\x05\x00\x00\x01"
STRANGE: Final = "192.0.2.1"

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]


class Place(NamedTuple):
    """One gateway, a parent that refuses everything, and what lies outside."""

    gateway: Gateway
    login: int  # a listener that wants credentials
    echo: int
    resets: int
    hidden: int  # no rule opens it to those who ask by address
    full: int
    refused: int


@contextlib.contextmanager
def load_origin() -> Iterator[int]:
    """The load generator's origin, which is faster than one in Python; its port."""
    subprocess.run(["make", "-s", "-C", str(ROOT / "bench")], check=True)
    with subprocess.Popen([LOAD, "origin", "--seconds", "3600"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["port"]
        process.terminate()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    names = {name: ["127.0.0.1"] for name in ("open.test", "other.test", "strange.test", "via.test")}
    with ExitStack() as stack:
        server = stack.enter_context(
            NameServer({**names, "inside.test": ["10.1.2.3"]}, silent=frozenset({"silent.test"}))
        )
        echo = stack.enter_context(load_origin())
        hidden = stack.enter_context(load_origin())
        resets = stack.enter_context(Origin(resetting))
        full = stack.enter_context(full_listener())
        parent = stack.enter_context(Gateway([policy("nothing", [{"host": "nothing.test"}])]))
        refused, login = free_port(), free_port()
        ports = [echo, resets.port, full, refused]
        rules = [
            policy("open", [{"host": f"{name}.test"} for name in ("open", "other", "missing", "silent", "inside")]),
            policy("addresses", [{"cidr": "127.0.0.0/16", "ports": ports}]),
            policy("broadcast", [{"cidr": "127.255.255.255/32"}]),
            policy("strange", [{"host": "strange.test"}], sourceAddress=[STRANGE]),
            policy("via", [{"host": "via.test"}], upstream="parent"),
            policy("no", [{"host": "blocked.test"}], action="Deny"),
        ]
        config = {
            "workers": 2,
            "identity": {"users": "users.yaml"},
            "upstreams": [{"name": "parent", "type": "http", "addresses": [f"127.0.0.1:{parent.port}"]}],
            "dns": {"servers": [server.address], "timeout": "0.5s"},
            "limits": {
                "dialTimeout": "0.5s",
                "requestTimeout": "1s",
                "idleTimeout": "1s",
                "perSource": {"loginFailures": "1000000/s"},
            },
            "logs": {"access": "off"},
        }
        gateway = Gateway(rules, config, files={"users.yaml": yaml.safe_dump(sample_users())})
        gateway.config["listeners"].append({"name": "login", "address": f"127.0.0.1:{login}", "auth": "required"})
        stack.enter_context(gateway)
        yield Place(gateway, login, echo, resets.port, hidden, full, refused)


def asks(name: str, port: int, answer: bytes, *, reset: bool = False) -> Visit:
    """A SOCKS5 request that is refused with these bytes."""
    return Visit((Step(HELLO, 2), Step(wire.socks5_request(name, port), to_the_end=True)), GREETED + answer, reset)


def connects(target: str, answer: bytes, fields: str = "") -> Visit:
    """The same for HTTP."""
    return Visit((Step(wire.connect_request(target, fields), to_the_end=True),), b"HTTP/1.1 " + answer)


def carries(place: Place, *steps: Step, name: str = "127.0.0.1", port: int = 0, reset: bool = False) -> Visit:
    """A tunnel, and what happens in it."""
    opening = (Step(HELLO, 2), Step(wire.socks5_request(name, port or place.echo), 10))
    return Visit((*opening, *steps), OPEN, reset)


def cut(data: bytes, *more: Step) -> Visit:
    """A reset right behind these bytes, whatever the gateway is doing."""
    return Visit((*more, Step(data)), reset=True)


# The load generator's origin echoes what follows an `e`.
PING: Final = Step(b"e\0ping", 5)
LOGIN: Final = wire.basic("build-bot", PASSWORD)
ABSOLUTE: Final = b"GET http://open.test/ HTTP/1.1\r\nHost: open.test\r\n\r\n"
OTHER_NAME: Final = Step(b"GET / HTTP/1.1\r\nHost: blocked.test\r\n\r\n", to_the_end=True)

# Every outcome of CONTRACT.md section 5 that this version has, then the ways an open tunnel ends.
OUTCOMES: Final[dict[str, Callable[[Place], Visit]]] = {
    "denied, socks5": lambda p: asks("blocked.test", 443, b"\x05\x02"),
    "denied, socks4a": lambda p: Visit((Step(wire.socks4a_request("blocked.test", 443), to_the_end=True),), b"\0\x5b"),
    "denied, http": lambda p: connects("blocked.test:443", b"403"),
    "inner name": lambda p: carries(p, OTHER_NAME, name="open.test"),
    "inner name, asked by address": lambda p: carries(p, OTHER_NAME, port=p.hidden),
    "prohibited": lambda p: asks("inside.test", 443, b"\x05\x02"),
    "credentials missing": lambda p: connects("open.test:443", b"407"),
    "credentials wrong": lambda p: connects("open.test:443", b"407", wire.basic("build-bot", "wrong")),
    "name not found": lambda p: connects("missing.test:443", b"502"),
    "refused": lambda p: asks("127.0.0.1", p.refused, b"\x05\x05"),
    "unreachable": lambda p: asks("127.255.255.255", p.refused, b"\x05\x03"),
    "dns timeout": lambda p: connects("silent.test:443", b"504"),
    "dial timeout": lambda p: connects(f"127.0.0.1:{p.full}", b"504"),
    "parent refuses": lambda p: connects("via.test:443", b"502"),
    "malformed": lambda p: connects("nowhere", b"400"),
    "malformed, socks5": lambda p: asks("a..b", 443, b"\x05\x01"),
    "not built": lambda p: Visit((Step(ABSOLUTE, to_the_end=True),), b"HTTP/1.1 501"),
    "internal": lambda p: connects(f"strange.test:{p.echo}", b"500"),
    "request timeout": lambda p: Visit((Step(b"CONNECT open.test:443", to_the_end=True),), b"HTTP/1.1 408"),
    "connected, closed": lambda p: carries(p, PING),
    "connected, reset": lambda p: carries(p, PING, reset=True),
    "connected, half-closed": lambda p: carries(p, PING, Step(b"", to_the_end=True, half=True)),
    "connected, with credentials": lambda p: Visit(
        (Step(wire.connect_request(f"127.0.0.1:{p.echo}", LOGIN), 12), PING), b"HTTP/1.1 200"
    ),
    "connected, by name": lambda p: carries(p, PING, name="open.test"),
    "connected, much at once": lambda p: carries(p, Step(b"e" + bytes(60_000), 60_000)),
    "connected, idle": lambda p: carries(p, PING, Step(b"", to_the_end=True)),
    "reset by the origin": lambda p: carries(p, Step(b"\0", to_the_end=True), port=p.resets),
    "reset before a word": lambda p: cut(b""),
    "reset in the greeting": lambda p: cut(b"\x05"),
    "reset in the login": lambda p: cut(wire.socks5_login("build-bot", "wrong"), Step(b"\x05\x01\x02", 2)),
    "reset in the request": lambda p: cut(b"\x05\x01\x00\x03", Step(HELLO, 2)),
    "reset in a head": lambda p: cut(b"CONNECT open.test:80 HTTP/1.1\r\nHost"),
    "reset while resolving": lambda p: cut(wire.socks5_request("open.test", p.echo), Step(HELLO, 2)),
    "reset while DNS is silent": lambda p: cut(wire.socks5_request("silent.test", 443), Step(HELLO, 2)),
    "reset while dialing": lambda p: cut(wire.socks5_request("127.0.0.1", p.echo), Step(HELLO, 2)),
    "reset while dialing in vain": lambda p: cut(wire.socks5_request("127.0.0.1", p.full), Step(HELLO, 2)),
    "reset with early payload": lambda p: cut(wire.connect_request(f"127.0.0.1:{p.echo}") + bytes(5000)),
    "reset while lingering": lambda p: Visit((Step(b"CONNECT nowhere\r\n\r\n", 20),), b"HTTP/1.1 400", reset=True),
    "reset while the parent is asked": lambda p: cut(wire.connect_request("via.test:443")),
    "reset in mid-stream": lambda p: carries(p, Step(b"e" + bytes(60_000), 1), reset=True),
}
RESETS: Final = {"inner name", "inner name, asked by address", "connected, idle", "reset by the origin"}
WAITING: Final = {"dns timeout", "dial timeout", "request timeout", "connected, idle"}
LOGINS: Final = {"credentials missing", "credentials wrong", "connected, with credentials", "reset in the login"}


def places_held(gateway: Gateway) -> bool:
    """Whether any place among the limits is taken, by the shared table itself."""
    for entry in Path(f"/proc/{gateway.pid}/fd").iterdir():
        if os.readlink(entry).startswith("/memfd:sluice-limits"):
            return any(entry.read_bytes()[COLUMNS_AT:])
    raise AssertionError("no table of limits")


def descriptors(gateway: Gateway) -> int:
    """Of all workers, but for the empty pipes that they keep."""
    return sum(open_files(worker) for worker in gateway.workers()) - 2 * gateway.counter("idle_pipes_open")


def quiet(gateway: Gateway) -> bool:
    gauges = ("connections_open", "tunnels_open", "busy_pipes_open")
    return not any(gateway.counter(name) for name in gauges) and not places_held(gateway)


def goes_through(place: Place, name: str, count: int) -> None:
    """So many visits of one kind; every one has to end as it should."""
    port = place.login if name in LOGINS else place.gateway.port
    visit = OUTCOMES[name](place)
    if name in LOGINS:  # passwords are remembered once they are verified: by each worker
        Crowd(port, visit, 1).run(20)
    ends = Crowd(port, visit, 1000 if name in WAITING else 64).run(count)
    if not name.startswith("reset"):
        assert ends == {"reset" if name in RESETS else "done": count}
    elif name in RESETS:
        assert ends == {"reset": count}


@pytest.mark.parametrize("name", OUTCOMES)
def test_nothing_is_left(place: Place, name: str) -> None:
    gateway = place.gateway
    workers = sorted(gateway.workers())
    eventually(lambda: quiet(gateway), "it is quiet to begin with")
    files = descriptors(gateway)
    goes_through(place, name, WARM)
    eventually(lambda: quiet(gateway), "it is quiet again")
    memory = sum(resident(worker) for worker in workers)
    goes_through(place, name, COUNT)
    eventually(lambda: quiet(gateway), "every connection, tunnel, pipe and place is given back")
    eventually(lambda: descriptors(gateway) <= files, "every descriptor is closed")
    grown = sum(resident(worker) for worker in workers) - memory
    assert grown <= 4 * MIB, f"{grown / COUNT:.1f} bytes a visit"
    assert gateway.counter("internal_errors_total") == 0
    assert sorted(gateway.workers()) == workers, "no worker has died"
