"""Fixtures of the end-to-end tests: one gateway that most of them share, and the outside world it may reach."""

import base64
import contextlib
import hashlib
import socket
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest
import yaml

from tests.support.names import NameServer
from tests.support.origins import Origin, collect, echo, http_origin
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping, policy

PASSWORD: Final = "correct horse: battery"


class World(NamedTuple):
    """The outside: origins on 127.0.0.1 and ::1. `team` echoes as well, and no rule opens its port to every source."""

    http: int
    http6: int
    echo: Origin
    echo6: Origin
    collect: Origin
    team: Origin
    refused: int
    full: int
    names: NameServer


@contextlib.contextmanager
def full_listener(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port whose queue is full: the kernel drops further SYNs, so connecting takes until the timeout."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    names = NameServer(
        {
            "open.test": ["127.0.0.1"],
            "open6.test": ["::1"],
            "both.test": ["::1", "127.0.0.1"],
            "blocked.test": ["127.0.0.1"],
            "team.test": ["127.0.0.1"],
            "inside.test": ["10.1.2.3"],
            "a.wild.test": ["127.0.0.1"],
            "empty.test": [],
        },
        silent=frozenset({"silent.test"}),
    )
    with (
        http_origin() as http,
        http_origin("::1") as http6,
        Origin(echo) as plain,
        Origin(echo, "::1") as plain6,
        Origin(collect) as collector,
        Origin(echo) as team,
        full_listener() as full,
        names,
    ):
        yield World(http, http6, plain, plain6, collector, team, free_port(), full, names)


def sample_policy(world: World) -> list[Mapping]:
    """The rules of the shared gateway: each rule is one that a test asks for by name."""
    # Every host rule names its ports: where one does not, a destination asked by address could still be let in by the
    # name inside (DECISIONS.md section 3), and port 9 would not be denied at once.
    ports = [world.http, world.http6, world.echo.port, world.echo6.port, world.collect.port, world.refused, world.full]
    served = ("localhost", "open.test", "open6.test", "both.test")
    failing = ("missing.test", "empty.test", "silent.test", "inside.test")
    return [
        policy("open", [{"host": name, "ports": ports} for name in served]),
        policy("failing", [{"host": name, "ports": [443]} for name in failing]),
        policy("wild", [{"host": "*.wild.test", "ports": [443, *ports], "except": ["not.wild.test"]}]),
        policy("literals", [{"cidr": "127.0.0.0/8", "ports": ports}, {"cidr": "::1/128", "ports": ports}]),
        policy("no-blocked", [{"host": "blocked.test"}, {"host": "*.blocked.test"}], action="Deny"),
        policy("team", [{"host": "team.test", "ports": [world.team.port]}], sources=[{"user": "build-bot"}]),
        policy("watched", [{"host": "watched.test", "ports": [443]}], action="Audit"),
    ]


def hashed(password: str) -> str:
    """A hash as users.yaml holds it, at a cost that tests can pay (RFC 7914)."""
    salt = b"salt of the tests"
    key = hashlib.scrypt(password.encode(), salt=salt, n=1 << 14, r=8, p=1, dklen=32)
    return f"scrypt$16384$8$1${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def sample_users() -> Mapping:
    """users.yaml: a robot that has a workload's identity, and a visitor that has none."""
    robot = {"namespace": "shop", "serviceAccount": "robot"}
    return {
        "users": [
            {"name": "build-bot", "hash": hashed(PASSWORD), "identity": robot},
            {"name": "visitor", "hash": hashed(PASSWORD)},
        ]
    }


def sample_gateway(world: World, workers: int = 1) -> Gateway:
    """With the sample policy and users."""
    config = {
        "workers": workers,
        "identity": {"users": "users.yaml"},
        "dns": {"servers": [world.names.address], "timeout": "1s"},
        "limits": {"dialTimeout": "1s"},
    }
    return Gateway(sample_policy(world), config, files={"users.yaml": yaml.safe_dump(sample_users())})


@pytest.fixture(scope="session")
def mesh(world: World) -> Iterator[Gateway]:
    """A gateway with two workers, shared by every test that leaves it as it found it."""
    with sample_gateway(world, workers=2) as gateway:
        yield gateway
