"""Tunnels on shared HTTP/2 connections to parents that refuse, leave, stall or lie: each spoken frame by frame."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient, abort
from tests.support.parents import OK, Peer, echoing, far_gateway, gone, linger, near_gateway, parent, tunnel
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, policy
from tests.vectors.http2 import PREFACE, block, frame


def test_requests_a_goaway_did_not_take_are_asked_again() -> None:
    taken = threading.Event()

    def leaving(connection: socket.socket) -> None:
        peer = Peer(connection)
        first = peer.accept()
        second = peer.asked()
        assert second == first + 2
        peer.send("GOAWAY", 0, 0, first.to_bytes(4, "big") + bytes(4))
        taken.set()
        peer.echo()

    with parent(leaving, echoing) as origin, near_gateway(origin.port) as near:
        with tunnel(near, "open.test", 443) as old, wire.connect(near.port) as moved:
            wire.open_socks5(moved, "open.test", 443)
            assert taken.is_set()
            assert wire.echoes(moved) and wire.echoes(old)
            assert near.counter("parent_connections_total") == 2
        eventually(lambda: near.counter("parent_connections_open") == 1, "the first one ends with its last stream")


@pytest.mark.parametrize("way", ["goaway", "refused_stream"])
def test_a_request_is_asked_again_once(way: str) -> None:
    def unwilling(connection: socket.socket) -> None:
        peer = Peer(connection)
        stream = peer.asked()
        if way == "goaway":
            peer.send("GOAWAY", 0, 0, bytes(8))
        else:
            peer.send("RST_STREAM", 0, stream, (7).to_bytes(4, "big"))
        peer.echo()

    with parent(unwilling) as origin, near_gateway(origin.port) as near, wire.connect(near.port) as client:
        status = wire.http(client, "open.test:443").status
        # The connection that has refused a stream is asked again, and takes the second request.
        assert status == (502 if way == "goaway" else 200)
        assert near.counter("parent_connections_total") == (2 if way == "goaway" else 1)


def test_a_kept_connection_that_the_parent_closes_costs_no_request() -> None:
    closing = threading.Event()

    def mortal(connection: socket.socket) -> None:
        peer = Peer(connection)
        peer.send("HEADERS", 5, peer.asked(), OK)
        peer.asked()
        closing.set()

    with parent(mortal, echoing) as origin, near_gateway(origin.port) as near:
        with tunnel(near, "open.test", 443) as client:
            assert wire.to_the_end(client) == b""
        with tunnel(near, "open.test", 443) as client:
            assert closing.is_set()
            assert wire.echoes(client), "it was asked again on another"


def test_the_parents_limit_of_streams_is_obeyed() -> None:
    most = []

    def narrow(connection: socket.socket) -> None:
        peer = Peer(connection, frame("SETTINGS", payload=bytes.fromhex("000300000002")))
        streams: set[int] = set()
        while (found := peer.next()) is not None:
            kind, flags, stream, payload = found
            if kind == 1:
                streams.add(stream)
                most.append(len(streams))
                peer.send("HEADERS", 4, stream, OK)
            elif kind == 0:
                peer.send("DATA", flags & 1, stream, payload)
            if (kind == 0 and flags & 1) or kind == 3:
                streams.discard(stream)

    with parent(narrow) as origin, near_gateway(origin.port) as near, contextlib.ExitStack() as stack:
        for _ in range(7):
            assert wire.echoes(stack.enter_context(tunnel(near, "open.test", 443)))
        assert max(most) == 2
        assert near.counter("parent_connections_open") == 4


def test_a_stream_that_the_parent_resets_resets_its_client_alone() -> None:
    def cruel(connection: socket.socket) -> None:
        peer = Peer(connection)
        streams = [peer.accept(), peer.accept()]
        peer.send("RST_STREAM", 0, streams[0], (10).to_bytes(4, "big"))
        peer.echo()

    with (
        parent(cruel) as origin,
        near_gateway(origin.port) as near,
        tunnel(near, "open.test", 443) as first,
        tunnel(near, "open.test", 443) as second,
    ):
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(first)
        assert wire.echoes(second)


def test_what_came_in_one_piece_with_a_reset_is_delivered_before_it() -> None:
    def cruel(connection: socket.socket) -> None:
        peer = Peer(connection)
        while True:
            stream = peer.asked()
            connection.sendall(
                frame("HEADERS", 4, stream, OK)
                + frame("DATA", 0, stream, b"last words")
                + frame("RST_STREAM", 0, stream, (10).to_bytes(4, "big"))
            )

    with parent(cruel) as origin, near_gateway(origin.port) as near, RfcClient(near.port) as other:
        for _ in range(5):
            with tunnel(near, "open.test", 443) as client:
                assert wire.exactly(client, 10) == b"last words"
                with pytest.raises(ConnectionResetError):
                    wire.to_the_end(client)
            number = other.open("open.test:443")
            over = other.over(number)
            assert (over.data, over.reset) == (b"last words", 10)


def window(stream: int, more: int) -> bytes:
    return frame("WINDOW_UPDATE", 0, stream, more.to_bytes(4, "big"))


# Frames that a parent sends behind its SETTINGS to a request on stream 1.
HOSTILE: Final = {
    "garbage": b"\xff" * 500,
    "http1": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "long-headers": frame("HEADERS", 0, 1, block(":status 200, a a*16000"))
    + frame("CONTINUATION", 0, 1, block("a a*16000")) * 12,
    "no-hpack": frame("HEADERS", 4, 1, b"\xff" * 20),
    "window-overflow": window(0, 0x7FFFFFFF) * 2,
    "stream-overflow": window(1, 0x7FFFFFFF) * 2,
    "too-much-data": frame("HEADERS", 4, 1, OK) + frame("DATA", 0, 1, bytes(16384)) * 600,
    "push": frame("PUSH_PROMISE", 4, 1, b"\0\0\0\2" + OK),
    "pings": frame("PING", 0, 0, bytes(8)) * 3000,
    "answer-to-no-request": frame("HEADERS", 4, 9, OK),
    "end-at-once": frame("HEADERS", 5, 1, block(":status 500")),
    "cut-frame": frame("HEADERS", 4, 1, OK)[:-2],
    "nothing": b"",
}


def hostile(said: bytes) -> Callable[[socket.socket], None]:
    def live(connection: socket.socket) -> None:
        Peer(connection).asked()
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        linger(connection)

    return live


def test_hostile_parents_harm_their_own_tunnels_alone(world: World) -> None:
    with contextlib.ExitStack() as stack:
        far = stack.enter_context(far_gateway(world))
        ports = {name: stack.enter_context(parent(hostile(said))).port for name, said in HOSTILE.items()}
        ports["open"] = far.port
        upstreams = [
            {"name": name, "type": "http2tunnel", "addresses": [f"127.0.0.1:{port}"]} for name, port in ports.items()
        ]
        rules = [policy(name, [{"host": f"{name}.test"}], upstream=name) for name in ports]
        near = stack.enter_context(Gateway(rules, {"upstreams": upstreams}))
        honest = stack.enter_context(tunnel(near, "open.test", world.echo.port))
        for name in [*HOSTILE, *HOSTILE]:
            with wire.connect(near.port) as client:
                status = wire.http(client, f"{name}.test:443").status
                assert status in (200, 502), name
                if status == 200:
                    with contextlib.suppress(ConnectionResetError):
                        wire.to_the_end(client)
            assert wire.echoes(honest), name
        eventually(lambda: near.counter("tunnels_open") == 1, "only the honest one is left")
        eventually(lambda: near.counter("parent_connections_open") == 1, "connections to the others have ended")
        assert near.counter("internal_errors_total") == 0


@pytest.mark.parametrize("how", ["silent", "greets"])
def test_a_parent_that_stalls_is_a_timeout(how: str) -> None:
    def stalled(connection: socket.socket) -> None:
        if how == "greets":
            Peer(connection)
        linger(connection)

    with parent(stalled) as origin, near_gateway(origin.port, limits={"dialTimeout": "1s"}) as near:
        with wire.connect(near.port) as client:
            assert wire.http(client, "open.test:443").status == 504
        with wire.connect(near.port) as client:
            assert wire.socks5(client, "open.test", 443) == 4


def test_a_parent_that_opens_no_window_stalls_the_tunnel_and_a_reset_ends_it() -> None:
    over = threading.Event()

    def closed(connection: socket.socket) -> None:
        peer = Peer(connection, frame("SETTINGS", payload=bytes.fromhex("000400000000")))
        peer.accept()
        kind, _, _, payload = peer.until(3)
        assert (kind, int.from_bytes(payload, "big")) == (3, 8), "CANCEL"
        over.set()
        linger(connection)

    with parent(closed) as origin, near_gateway(origin.port) as near:
        with tunnel(near, "open.test", 443) as client:
            client.sendall(b"\0never leaves")
            eventually(lambda: near.counter("http2_stalls_total") == 1, "it waits for the window")
            abort(client)
        assert over.wait(20)
        gone(near)


def test_a_parent_that_allows_no_streams_is_no_parent() -> None:
    def empty(connection: socket.socket) -> None:
        Peer(connection, frame("SETTINGS", payload=bytes.fromhex("000300000000")))
        linger(connection)

    with parent(empty) as origin, near_gateway(origin.port) as near, wire.connect(near.port) as client:
        assert wire.http(client, "open.test:443").status == 502
        eventually(lambda: "it allows no streams" in near.errors(), "the log says so")
        assert origin.accepted == 1


@pytest.mark.parametrize("last_words", [b"", frame("GOAWAY", 0, 0, bytes(8))], ids=["end", "goaway"])
def test_a_parent_that_greets_and_leaves_is_not_dialed_again_and_again(last_words: bytes) -> None:
    def fleeting(connection: socket.socket) -> None:
        wire.exactly(connection, len(PREFACE))
        connection.sendall(frame("SETTINGS") + last_words)
        if last_words:
            linger(connection)

    with parent(fleeting) as origin, near_gateway(origin.port) as near, wire.connect(near.port) as client:
        assert wire.http(client, "open.test:443").status == 502
        assert origin.accepted == 1


def test_a_parent_that_is_not_there_is_asked_less_and_less() -> None:
    with near_gateway(free_port()) as near:
        for _ in range(300):
            with wire.connect(near.port) as client:
                assert wire.http(client, "open.test:443").status == 502
        assert near.counter("parent_connections_failed_total") < 150, "most were refused without a dial"
        assert near.counter("parent_connections_open") == 0
