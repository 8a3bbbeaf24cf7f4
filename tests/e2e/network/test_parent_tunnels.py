"""Tunnels through a parent gateway on shared HTTP/2 connections: chains of two gateways."""

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient, abort
from tests.support.origins import Origin, digest, received, reset
from tests.support.parents import far_gateway, gone, near_gateway, send_all, tunnel
from tests.support.run_gateway import Gateway, open_files, policy

BULK: Final = 5_000_000


@contextlib.contextmanager
def chain(world: World, **config: Any) -> Iterator[tuple[Gateway, Gateway]]:
    """A child and its parent."""
    with far_gateway(world) as far, near_gateway(far.port, **config) as near:
        yield near, far


@pytest.mark.parametrize("host", ["open.test", "127.0.0.1"])
def test_content_is_the_same_at_both_ends(world: World, host: str) -> None:
    sent = os.urandom(BULK)
    with chain(world) as (near, far), Origin(digest) as origin:
        with tunnel(near, "127.0.0.1", origin.port) as client:
            writer = send_all(client, sent)
            assert wire.to_the_end(client).decode() == hashlib.sha256(sent).hexdigest()
            writer.join()
        assert origin.seen == [(BULK, hashlib.sha256(sent).hexdigest())]
        assert far.event(event="open")["protocol"] == "http2tunnel"
        line = near.event(event="close")
        assert (line["bytes_up"], line["outcome"]) == (BULK, "closed")
        with tunnel(near, host, world.echo.port) as client:
            assert wire.echoes(client)
        gone(near, far)


def test_bulk_comes_down_whole(world: World) -> None:
    content = os.urandom(BULK)

    def give(connection: socket.socket, _: Origin) -> None:
        connection.sendall(content)

    with chain(world) as (near, _), Origin(give) as origin, tunnel(near, "127.0.0.1", origin.port) as client:
        assert hashlib.sha256(wire.to_the_end(client)).digest() == hashlib.sha256(content).digest()


def test_both_ways_at_once(world: World) -> None:
    sent = os.urandom(BULK)
    with chain(world) as (near, _), tunnel(near, "open.test", world.echo.port) as client:
        client.sendall(b"\0")  # nothing that an inner name could be looked for in
        writer = send_all(client, sent)
        assert wire.to_the_end(client) == b"\0" + sent
        writer.join()


def test_an_http2_client_through_an_http2_parent(world: World) -> None:
    with chain(world) as (near, far), RfcClient(near.port) as client:
        numbers = [client.open(f"open.test:{world.echo.port}") for _ in range(20)]
        for number in numbers:
            assert client.echoes(number, b"\0" + bytes([number]) * 50_000)
        client.write(numbers[0], b"", end=True)
        assert client.over(numbers[0]).ended
        client.reset(numbers[1])
        assert client.refused("blocked.test:443").status == 502
        assert near.counter("parent_connections_open") == 1
        assert far.counter("http2_connections_open") == 1
        eventually(lambda: far.counter("tunnels_open") == 18, "the parent has both ends")


def test_half_closes_cross_both_ways(world: World) -> None:
    with chain(world) as (near, far):
        with tunnel(near, "open.test", world.collect.port) as client:
            client.sendall(b"\0all of it")
            client.shutdown(socket.SHUT_WR)
            assert wire.to_the_end(client).decode() == hashlib.sha256(b"\0all of it").hexdigest()
        ended = threading.Event()

        def first(connection: socket.socket, origin: Origin) -> None:
            connection.sendall(b"done")
            connection.shutdown(socket.SHUT_WR)
            origin.note(b"".join(received(connection)))
            ended.set()

        with Origin(first) as origin, tunnel(near, "127.0.0.1", origin.port) as client:
            assert wire.to_the_end(client) == b"done"
            client.sendall(b"still said")
            client.shutdown(socket.SHUT_WR)
            assert origin.wait() == [b"still said"]
        gone(near, far)
        assert not near.events(outcome="reset")


def test_a_reset_of_the_origin_reaches_the_client_behind_what_was_said(world: World) -> None:
    def cruel(connection: socket.socket, _: Origin) -> None:
        connection.sendall(b"last words")
        connection.recv(1)
        reset(connection)

    with chain(world) as (near, far), Origin(cruel) as origin:
        with tunnel(near, "127.0.0.1", origin.port) as client:
            assert wire.exactly(client, 10) == b"last words"
            client.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                wire.to_the_end(client)
        with RfcClient(near.port) as other:
            number = other.open(f"127.0.0.1:{origin.port}")
            assert other.read(number, 10) == b"last words"
            other.write(number, b"x")
            assert other.over(number).reset is not None
        assert near.event(event="close")["outcome"] == "reset"
        gone(near, far)


def test_a_reset_of_the_client_reaches_the_origin(world: World) -> None:
    def noting(connection: socket.socket, origin: Origin) -> None:
        for chunk in received(connection):
            origin.note(chunk)
        origin.note("a clean end")

    with chain(world) as (near, far), Origin(noting) as origin:
        with tunnel(near, "127.0.0.1", origin.port) as client:
            client.sendall(b"x")
            origin.wait(1)
            abort(client)
            _, seen = origin.wait(2)
            assert isinstance(seen, ConnectionResetError)
        gone(near, far)


def test_what_the_parent_denies_is_refused_and_the_connection_stays(world: World) -> None:
    with chain(world) as (near, far):
        for _ in range(3):
            with wire.connect(near.port) as client:
                answer = wire.http(client, "blocked.test:443")
                assert answer.status == 502
                assert "error=connection_refused" in answer.headers["proxy-status"]
        with wire.connect(near.port) as client:
            assert wire.socks5(client, "blocked.test", 443) == 1
        assert near.event(event="decision", outcome="upstream_failed")["rule"] == "ClusterEgressPolicy/via"
        assert far.event(event="decision", outcome="denied")["destination"]["host"] == "blocked.test"
        with tunnel(near, "open.test", world.echo.port) as client:
            assert wire.echoes(client)
        assert near.counter("parent_connections_total") == 1


def test_two_hundred_and_fifty_tunnels_share_three_connections(world: World) -> None:
    with chain(world) as (near, far), contextlib.ExitStack() as stack:
        clients = []
        for _ in range(250):
            client = stack.enter_context(wire.connect(near.port))
            client.sendall(b"\x05\x01\x00" + wire.socks5_request("open.test", world.echo.port))
            clients.append(client)
            if len(clients) % 50 == 0:  # a source may have 100 requests without an answer
                for asking in clients[-50:]:
                    assert wire.exactly(asking, 2) == b"\x05\x00"
                    assert wire.socks5_reply(asking) == 0
        for number, client in enumerate(clients):
            client.sendall(b"\0%d" % number)
        for number, client in enumerate(clients):
            assert wire.exactly(client, len(b"\0%d" % number)) == b"\0%d" % number
        assert near.counter("parent_connections_open") == 3
        assert far.counter("http2_connections_open") == 3
        assert far.counter("http2_streams_open") == 250
        (worker,) = near.workers()
        held = open_files(worker)
        stack.close()
        gone(near, far)
        eventually(lambda: open_files(worker) <= held - 3 * 250, "three descriptors a tunnel are given back")
        with tunnel(near, "open.test", world.echo.port) as client:
            assert wire.echoes(client)
        assert near.counter("parent_connections_total") == 3, "the connections are kept"


def test_a_tunnel_that_is_not_read_holds_up_itself_alone(world: World) -> None:
    def flood(connection: socket.socket, _: Origin) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(bytes(1 << 16))

    with chain(world) as (near, far), Origin(flood) as origin, contextlib.ExitStack() as stack:
        stuck = [stack.enter_context(tunnel(near, "127.0.0.1", origin.port)) for _ in range(20)]

        def stands_still() -> bool:
            """Whether nothing moves but one tunnel, which is as good as ever."""
            before = near.counter("bytes_total")
            with tunnel(near, "open.test", world.collect.port) as client:
                client.sendall(b"\0" + bytes(100_000))
                client.shutdown(socket.SHUT_WR)
                assert len(wire.to_the_end(client)) == 64
            return near.counter("bytes_total") == before + 100_001 + 64

        eventually(stands_still, "they all wait for their clients")
        for client in stuck:
            assert len(wire.exactly(client, 4_000_000)) == 4_000_000, "they go on when they are read"
        stack.close()
        gone(near, far)


def test_an_origin_that_does_not_read_holds_up_its_client_alone(world: World) -> None:
    go_on = threading.Event()

    def late(connection: socket.socket, origin: Origin) -> None:
        go_on.wait(20)
        digest(connection, origin)

    content = os.urandom(12_000_000)
    with chain(world) as (near, _), Origin(late) as origin, tunnel(near, "127.0.0.1", origin.port) as slow:
        writer = send_all(slow, content)
        for _ in range(20):
            with tunnel(near, "open.test", world.echo.port) as client:
                assert wire.echoes(client)
        go_on.set()
        assert wire.to_the_end(slow).decode() == hashlib.sha256(content).hexdigest()
        writer.join()


def test_a_parent_that_is_killed_resets_its_tunnels_and_serves_again_when_it_is_back(world: World) -> None:
    with chain(world) as (near, far):
        with tunnel(near, "open.test", world.echo.port) as client:
            assert wire.echoes(client)
            far.stop(9)
            for worker in far.workers():
                os.kill(worker, 9)
            with pytest.raises(ConnectionResetError):
                wire.to_the_end(client)
        gone(near)
        with wire.connect(near.port) as client:
            assert wire.http(client, f"open.test:{world.echo.port}").status == 502
        far.launch()
        eventually(far.serves, "the parent is back")

        def served() -> bool:
            with wire.connect(near.port) as client:
                return wire.socks5(client, "open.test", world.echo.port) == 0 and wire.echoes(client)

        eventually(served, "tunnels go through it again")
        assert near.counter("parent_connections_failed_total") > 0
        eventually(lambda: "the connection was refused" in near.errors(), "the log says what was wrong")
        eventually(lambda: "it answers again" in near.errors(), "and that it is over")


def test_a_child_that_drains_lets_the_last_bytes_through(world: World) -> None:
    with chain(world, shutdown={"drain": "20s"}) as (near, _):
        with tunnel(near, "open.test", world.collect.port) as client:
            client.sendall(b"\0before")
            assert near.process is not None
            near.process_signal(15)
            eventually(lambda: "drain" in near.errors(), "it drains")
            client.sendall(b", after" * 20_000)
            client.shutdown(socket.SHUT_WR)
            expected = hashlib.sha256(b"\0before" + b", after" * 20_000).hexdigest()
            assert wire.to_the_end(client).decode() == expected
        assert near.ended() == 0


def test_a_parent_that_drains_takes_no_new_tunnels_and_keeps_the_old_ones(world: World) -> None:
    with far_gateway(world, shutdown={"drain": "20s"}) as far, near_gateway(far.port) as near:
        with tunnel(near, "open.test", world.echo.port) as client:
            assert wire.echoes(client)
            far.process_signal(15)
            eventually(lambda: near.counter("parent_connections_open") == 1 and _refused(near, world), "GOAWAY came")
            assert wire.echoes(client), "what is there goes on"
        assert far.ended() == 0, "nothing holds it"


def _refused(near: Gateway, world: World) -> bool:
    with wire.connect(near.port) as client:
        return wire.http(client, f"open.test:{world.echo.port}").status == 502


def test_a_reload_leaves_tunnels_and_moves_to_the_new_address(world: World) -> None:
    with chain(world) as (near, far), far_gateway(world) as other:
        with tunnel(near, "open.test", world.echo.port) as client:
            near.config["upstreams"][0]["addresses"] = [f"127.0.0.1:{other.port}"]
            near.write_config()
            near.reload()
            assert wire.echoes(client), "it ends where it began"
            with tunnel(near, "open.test", world.echo.port) as second:
                assert wire.echoes(second)
                assert other.counter("tunnels_open") == 1
            assert far.counter("tunnels_open") == 1
        eventually(lambda: far.counter("http2_connections_open") == 0, "the old connection ends with its last tunnel")
        near.config["upstreams"] = []
        near.write_config()
        near.reload([policy("direct", [{"cidr": "127.0.0.0/8"}])])
        eventually(lambda: near.counter("parent_connections_open") == 0, "so does one that no rule uses any more")


def test_a_tunnel_that_is_revoked_is_cut_at_the_parent(world: World) -> None:
    with chain(world) as (near, far), tunnel(near, "open.test", world.echo.port) as client:
        assert wire.echoes(client)
        near.reload([policy("other", [{"host": "b.example"}])])
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
        gone(near, far)
        assert far.event(event="close")["outcome"] == "reset"


def test_source_addresses_are_the_connections(world: World) -> None:
    with far_gateway(world) as far, near_gateway(far.port) as near:
        rules = [
            policy("one", [{"host": "open.test"}], upstream="corp", sourceAddress=["127.0.0.2"]),
            policy("two", [{"host": "a.wild.test"}], upstream="corp", sourceAddress=["127.0.0.3"]),
            policy("none", [{"host": "b.test"}], upstream="corp", sourceAddress=["192.0.2.1"]),
        ]
        near.reload(rules)
        for host, source in (("open.test", "127.0.0.2"), ("a.wild.test", "127.0.0.3")):
            with tunnel(near, host, world.echo.port) as client:
                assert wire.echoes(client)
            assert far.event(event="open", destination={"host": host, "port": world.echo.port, "address": "127.0.0.1"})
            assert source in {line["source"]["ip"] for line in far.events(event="open")}
            near.event(event="open", source_address=source)
        with wire.connect(near.port) as client:
            assert wire.http(client, "b.test:443").status == 500
        assert near.event(event="decision", rule="ClusterEgressPolicy/none")["reason"] == "source_address"
