"""Bytes of an idle tunnel: its objects are listed, and none of them may grow unnoticed.

The figures are `__basicsize__` of a 64-bit build; the collector's head and what the allocator rounds up come on top.
An idle tunnel has no buffer and no pipe (tests/e2e/protocols/test_bulk.py), and nothing of its opening is left.
"""

import gc
from collections.abc import Iterator
from typing import Any, Final

import pytest

from gateway.downstream.http2.tunnel import H2Tunnel
from gateway.io.loop import Handler
from gateway.state.record import Record
from gateway.tunnel.socket_tunnel import SocketTunnel
from tests.gateway.worker.test_callbacks import HELLO, World, http2, port_of, socks

BYTES: Final[dict[type, int]] = {SocketTunnel: 248, H2Tunnel: 264, Record: 344}
# A tunnel refers to these, and many others do: they are not its own.
SHARED: Final = {"WorkerParts", "Generation", "H2Connection", "NoneType", "type"}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    one = World()
    yield one
    one.close()


def objects(tunnel: Handler) -> list[Any]:
    """A tunnel and everything that is there for it alone, as far as the collector sees."""
    found: list[Any] = []
    waiting: list[Any] = [tunnel]
    while waiting:
        one = waiting.pop()
        if type(one).__name__ not in SHARED and not any(one is other for other in found):
            found.append(one)
            waiting += gc.get_referents(one)
    return found


@pytest.mark.parametrize("kind", BYTES, ids=lambda kind: kind.__name__)
def test_an_object_has_its_bytes(kind: type) -> None:
    assert kind.__basicsize__ <= BYTES[kind], "an idle tunnel is larger than it was: is that worth it?"


@pytest.mark.parametrize("kind", [SocketTunnel, H2Tunnel], ids=lambda kind: kind.__name__)
def test_an_idle_tunnel_is_itself_and_its_record(world: World, kind: type) -> None:
    port = port_of(world.echo)
    parts = (HELLO, socks(b"localhost", port)) if kind is SocketTunnel else (http2("localhost", port),)
    with world.client(*parts, b"" if kind is H2Tunnel else b"SSH-2.0-x\r\n"):
        tunnel = world.settled({kind.__name__})[kind.__name__]
        for _ in range(10):
            world.turns()
        kept = objects(tunnel)
        names = sorted(type(one).__name__ for one in kept if not isinstance(one, (str, bytes, int)))
        assert names == sorted([kind.__name__, "Record", *(["InnerCheck"] if kind is H2Tunnel else [])])
        text = sum(len(one) for one in kept if isinstance(one, bytes))
        assert text < 64, "the name, and what was shown of the first bytes"
        del tunnel, kept
    world.clear()
