"""States of HTTP/2 connections and streams: tables, as the docs draw them, and no transition beside them."""

from typing import Any, Final

import pytest

from gateway.http2.states import transitions as connection_states
from gateway.proto.http2.streams import transitions as stream_states
from tests.support.h2_client_probe import ClientProbe
from tests.support.h2_server_probe import Probe
from tests.support.states import drawn
from tests.vectors.http2 import PREFACE, block, frame

END_STREAM, END_HEADERS = 1, 4
CONNECT: Final = [(b":method", b"CONNECT"), (b":authority", b"a.example:443")]


@pytest.mark.parametrize(
    ("title", "table"),
    [
        ("An HTTP/2 connection on a socket:", connection_states()),
        ("A stream of an HTTP/2 connection (RFC 9113 section 5.1):", stream_states()),
    ],
)
def test_the_docs_draw_the_tables(title: str, table: dict[str, list[str]]) -> None:
    assert drawn(title) == table


@pytest.mark.parametrize("table", [connection_states(), stream_states()])
def test_each_state_is_reached_and_none_is_left_for_an_earlier_one(table: dict[str, list[str]]) -> None:
    order = list(table)
    for state, followers in table.items():
        assert all(order.index(follower) > order.index(state) for follower in followers)
    assert {follower for followers in table.values() for follower in followers} == set(order[1:])
    assert table[order[-1]] == []


def server() -> Any:
    probe = Probe()
    request = frame("HEADERS", END_HEADERS, 1, block(":method CONNECT, :authority a.example:443"))
    probe.receive(PREFACE + frame("SETTINGS") + request)
    probe.respond(1, [(b":status", b"200")])
    return probe


def client() -> Any:
    probe = ClientProbe()
    probe.receive(frame("SETTINGS"))
    probe.ask(CONNECT)
    probe.receive(frame("HEADERS", END_HEADERS, 1, block(":status 200")))
    return probe


@pytest.mark.parametrize("make", [server, client])
@pytest.mark.parametrize("first", ["peer", "own"])
def test_a_stream_ends_once_each_way(make: Any, first: str) -> None:
    probe = make()
    if first == "own":
        probe.send(1, b"x", True)
    probe.receive(frame("DATA", END_STREAM, 1, b"y"))
    if first == "peer":
        probe.send(1, b"x", True)
    assert probe.missteps == 0
    probe.send(1, b"", True)
    assert probe.missteps == 1, "an end that was sent already is a misstep of the gateway's own"


@pytest.mark.parametrize("make", [server, client])
def test_a_peer_cannot_make_a_misstep(make: Any) -> None:
    probe = make()
    end = frame("DATA", END_STREAM, 1, b"")
    trailers = frame("HEADERS", END_HEADERS | END_STREAM, 1, block("x y"))
    probe.receive(end + end + trailers + trailers + end)
    assert probe.missteps == 0
