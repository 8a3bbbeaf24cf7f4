"""HTTP/2 end to end, what is bounded and how: floods, unfinished frames, stalled uploads, too many streams, drains."""

import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.conftest import World
from tests.e2e.operation.test_drain import refused
from tests.e2e.operation.test_observation import scrape, value
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import FrameClient, PipySidecar, RfcClient, goaway
from tests.support.origins import Origin, holding
from tests.support.parents import OK, Peer, near_gateway, parent, tunnel
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.vectors.http2 import CODES, PREFACE, block, frame

EVERYWHERE: Final = [policy("all", [{"cidr": "127.0.0.0/8"}])]
SETTINGS: Final = frame("SETTINGS")
ACK: Final = frame("SETTINGS", 1)
NO_WINDOW: Final = frame("SETTINGS", payload=bytes.fromhex("000400000000"))
DENIED: Final = block(":method CONNECT, :authority denied.test:443")
GET: Final = block(":method GET, :scheme http, :authority gateway, :path /")
POST: Final = block(":method POST, :scheme http, :authority gateway, :path /")
ROOM: Final = 65535


def target(origin: Origin) -> str:
    return f"127.0.0.1:{origin.port}"


def connect(origin: Origin) -> bytes:
    return block(f":method CONNECT, :authority {target(origin)}")


# ---- what has begun and does not end ----


@pytest.fixture(scope="module")
def hasty() -> Iterator[Gateway]:
    """A gateway with a short time for requests, and a long one for what is idle."""
    listener = {"protocol": "auto", "diagnostics": True}
    with Gateway(EVERYWHERE, {"limits": {"requestTimeout": "1s", "idleTimeout": "1h"}}, listener=listener) as gateway:
        yield gateway


UNFINISHED: Final[dict[str, bytes]] = {
    "half a preface": PREFACE[:14],
    "no SETTINGS": PREFACE,
    "half of the first SETTINGS": PREFACE + frame("SETTINGS", payload=bytes(12))[:15],
    "SETTINGS that are not acknowledged": PREFACE + SETTINGS,
    "one byte of a frame's header": PREFACE + SETTINGS + ACK + b"\0",
    "a frame's header alone": PREFACE + SETTINGS + ACK + frame("HEADERS", 4, 1, GET)[:9],
    "HEADERS but for their last byte": PREFACE + SETTINGS + ACK + frame("HEADERS", 4, 1, GET)[:-1],
    "a header block without its end": PREFACE + SETTINGS + ACK + frame("HEADERS", 0, 1, GET),
    "half a CONTINUATION": PREFACE + SETTINGS + ACK + frame("HEADERS", 0, 1, GET[:5])
    + frame("CONTINUATION", 4, 1, GET[5:])[:-3],
    "half a PING": PREFACE + SETTINGS + ACK + frame("PING", 0, 0, bytes(8))[:12],
    "half a frame of a type that is not known": PREFACE + SETTINGS + ACK + frame("0xee", 0, 0, bytes(100))[:50],
    "half a DATA frame on a stream that has ended": PREFACE + SETTINGS + ACK + frame("HEADERS", 5, 1, DENIED)
    + frame("DATA", 0, 1, bytes(100))[:50],
}  # fmt: skip


@pytest.mark.parametrize("what", list(UNFINISHED))
def test_what_is_not_finished_has_the_time_of_a_request(hasty: Gateway, what: str) -> None:
    with wire.connect(hasty.port) as client:
        client.sendall(UNFINISHED[what])
        wire.to_the_end(client)


def test_settings_that_are_not_acknowledged_end_a_connection_that_carries_a_tunnel(
    hasty: Gateway, world: World
) -> None:
    with wire.connect(hasty.port) as client:
        client.sendall(PREFACE + SETTINGS + frame("HEADERS", 4, 1, connect(world.echo)))
        assert frame("GOAWAY", 0, 0, b"\0\0\0\1\0\0\0\4")[3:17] in wire.to_the_end(client)


@pytest.mark.parametrize("way", ["a refusal that cannot be sent", "content that does not end"])
def test_an_exchange_that_is_no_tunnel_has_the_time_of_a_request(hasty: Gateway, way: str) -> None:
    request = DENIED if way.startswith("a refusal") else POST
    with FrameClient(hasty.port, PREFACE + NO_WINDOW) as client:
        client.send("HEADERS", 4, 1, request)
        late = client.until(lambda one: one.kind == "RST_STREAM" and one.stream == 1)
        assert CODES[late.payload[3]] == "CANCEL"
        client.send("PING", 0, 0, b"still up")
        client.until(lambda one: one.kind == "PING")


def test_a_client_that_stops_within_data_keeps_its_tunnel(hasty: Gateway, world: World) -> None:
    """It is suspended, or its path is slow: that is nearly always within a frame."""
    with FrameClient(hasty.port) as client:
        client.send("HEADERS", 4, 1, connect(world.echo))
        client.until(lambda one: one.kind == "HEADERS")
        client.socket.sendall(frame("DATA", 0, 1, b"\0abcdefg")[:12])
        for _ in range(2):  # others come and time out, one after the other
            with wire.connect(hasty.port) as other:
                other.sendall(UNFINISHED["a frame's header alone"])
                wire.to_the_end(other)
        client.socket.sendall(b"cdefg")
        found = b""
        while found != b"\0abcdefg":
            found += client.until(lambda one: one.kind == "DATA").payload


@pytest.mark.parametrize(
    "last", [frame("HEADERS", 4, 1, OK)[:-1], frame("HEADERS", 0, 1, OK), frame("PING", 0, 0, bytes(8))[:11], b""]
)
def test_a_parent_that_leaves_something_unfinished_is_left(last: bytes) -> None:
    """With nothing unfinished it is our SETTINGS that it does not acknowledge."""
    ended = []

    def stalling(connection: socket.socket) -> None:
        peer = Peer(connection)
        first = peer.accept()
        connection.sendall(last.replace(b"\0\0\0\1", first.to_bytes(4, "big"), 1))
        with contextlib.suppress(AssertionError, OSError):
            while peer.next() is not None:
                pass
        ended.append(True)

    limits = {"requestTimeout": "1s", "dialTimeout": "20s"}
    with parent(stalling) as origin, near_gateway(origin.port, limits=limits) as near, tunnel(near, "open.test", 443):
        eventually(lambda: ended, "the gateway has ended the connection")
        eventually(lambda: near.counter("parent_connections_open") == 0, "and has forgotten it")


# ---- floods ----


def denied(gateway: Gateway) -> float:
    return value(scrape(gateway), "decisions_total", verdict="deny")


@pytest.mark.parametrize("form", ["rfc", "pipy"])
def test_a_flood_of_denied_requests_and_resets_is_cut(form: str) -> None:
    asks = DENIED if form == "rfc" else block(":method CONNECT, :scheme http, :path denied.test:443")
    with Gateway(EVERYWHERE) as gateway:
        with FrameClient(gateway.port) as client, contextlib.suppress(ConnectionError, BrokenPipeError):
            for start in range(1, 20_000, 200):
                client.socket.sendall(
                    b"".join(
                        frame("HEADERS", 4, number, asks) + frame("RST_STREAM", 0, number, b"\0\0\0\x08")
                        for number in range(start, start + 200, 2)
                    )
                )
            client.to_the_end()
        # A client that reads none of its answers may be cut for that before.
        eventually(lambda: value(scrape(gateway), "http2_abuse_total") == 1, "it was cut")
        assert denied(gateway) < 2000


def test_a_new_connection_of_the_same_source_has_what_the_last_one_left() -> None:
    def resets(gateway: Gateway) -> float:
        """So many are taken before the connection is cut."""
        before = denied(gateway)
        with FrameClient(gateway.port) as client, contextlib.suppress(ConnectionError):
            for number in range(1, 10_001, 2):
                client.socket.sendall(frame("HEADERS", 4, number, DENIED) + frame("RST_STREAM", 0, number, bytes(4)))
            client.to_the_end()
        return denied(gateway) - before

    with Gateway(EVERYWHERE) as gateway:
        first = resets(gateway)
        assert first > 1000
        assert resets(gateway) < first // 2


@pytest.mark.parametrize("form", ["rfc", "pipy"])
def test_two_hundred_streams_that_are_opened_at_once_all_echo(world: World, form: str) -> None:
    way = ":authority" if form == "rfc" else ":scheme http, :path"
    asks = block(f":method CONNECT, {way} {target(world.echo)}")
    numbers = range(1, 401, 2)
    with Gateway(EVERYWHERE) as gateway, FrameClient(gateway.port) as client:
        client.socket.sendall(b"".join(frame("HEADERS", 4, number, asks) for number in numbers))
        answered: dict[int, bytes] = {}
        while len(answered) < 200:
            found = client.until(lambda one: one.kind == "HEADERS")
            answered[found.stream] = found.payload
        assert set(answered.values()) == {b"\x88"}
        client.socket.sendall(b"".join(frame("DATA", 0, number, b"\0%d" % number) for number in numbers))
        echoes: dict[int, bytes] = {}
        while len(echoes) < 200:
            data = client.until(lambda one: one.kind == "DATA")
            echoes[data.stream] = echoes.get(data.stream, b"") + data.payload
        assert echoes == {number: b"\0%d" % number for number in numbers}
        assert gateway.counter("limited_total") == 0


# ---- uploads that stall ----


def test_uploads_that_stall_leave_the_other_streams_alone(world: World) -> None:
    """Each fills its window; their origins read nothing."""
    with Gateway(EVERYWHERE) as gateway, Origin(holding) as origin, FrameClient(gateway.port) as client:
        windows = {0: ROOM}

        def taken(kind: str, stream: int) -> None:
            """Up to a frame of that kind on that stream."""
            while True:
                found = client.next()
                assert found is not None, client.seen[-3:]
                if found.kind == "WINDOW_UPDATE":
                    windows[found.stream] = windows.get(found.stream, ROOM) + int.from_bytes(found.payload, "big")
                if (found.kind, found.stream) == (kind, stream):
                    return

        client.send("HEADERS", 4, 1, connect(world.echo))
        taken("HEADERS", 1)
        for number in range(3, 603, 2):
            client.send("HEADERS", 4, number, connect(origin))
            taken("HEADERS", number)
            for size in (16384, 16384, 16384, 16383):
                while windows[0] < size:
                    taken("WINDOW_UPDATE", 0)
                client.send("DATA", 0, number, bytes(size))
                windows[0] -= size
        for _ in range(20):
            client.send("DATA", 0, 1, bytes(1000))
            windows[0] -= 1000
            taken("DATA", 1)


# ---- streams that are too many ----


def test_streams_beyond_the_limit_of_a_connection_are_refused_with_a_line_a_counter_and_a_scope(world: World) -> None:
    with Gateway(EVERYWHERE, {"limits": {"streamsPerConnection": 3}}) as gateway, RfcClient(gateway.port) as client:
        opened = [client.open(target(world.echo)) for _ in range(3)]
        with FrameClient(gateway.port) as other:
            for number in (1, 3, 5, 7):
                other.send("HEADERS", 4, number, connect(world.echo))
            late = other.until(lambda one: one.kind == "RST_STREAM")
            assert (late.stream, CODES[late.payload[3]]) == (7, "REFUSED_STREAM")
        line = gateway.event(event="refused", outcome="gateway_limit")
        assert (line["reason"], line["protocol"]) == ("too_many_streams", "http2tunnel")
        assert line["destination"]["port"] == world.echo.port
        series = scrape(gateway)
        assert value(series, "limited_total", scope="streams") == 1
        assert value(series, "tunnels_total", outcome="gateway_limit", protocol="http2tunnel") == 1
        assert all(client.echoes(number) for number in opened)


def test_a_sidecar_s_streams_are_not_counted_by_connection(world: World) -> None:
    config = {"limits": {"streamsPerConnection": 3, "tunnelsPerSource": 30}}
    with Gateway(EVERYWHERE, config) as gateway, PipySidecar(gateway.port) as sidecar:
        streams = [sidecar.connect(target(world.echo)) for _ in range(31)]
        sidecar.wait(lambda: len(sidecar.status) == 31, "31 answers")
        assert sorted(sidecar.status.values()) == [200] * 30 + [429], "the source's own limit holds"
        for stream in streams:
            if sidecar.status[stream] == 200:
                sidecar.write(stream, b"\0here")
        sidecar.wait(lambda: sum(data == b"\0here" for data in sidecar.data.values()) == 30, "30 echoes")


# ---- drain ----


def test_a_sidecar_s_connection_takes_streams_until_the_drain_is_over(world: World) -> None:
    with Gateway(EVERYWHERE, {"shutdown": {"drain": "20s"}}) as gateway, PipySidecar(gateway.port) as sidecar:
        first = sidecar.connect(target(world.echo))
        sidecar.wait(lambda: first in sidecar.status, "an answer")
        gateway.process_signal(signal.SIGTERM)
        eventually(lambda: refused(gateway.port), "nothing new is taken")
        late = sidecar.connect(target(world.echo))
        sidecar.wait(lambda: late in sidecar.status, "an answer")
        assert sidecar.status[late] == 200
        sidecar.write(late, b"\0late")
        sidecar.wait(lambda: sidecar.data[late] == b"\0late", "an echo")
        for stream in (first, late):
            sidecar.end(stream)
        sidecar.wait(lambda: not sidecar.open, "both ends")
        while sidecar.step() is not None:
            pass
        assert gateway.ended() == 0


@pytest.mark.parametrize("protocol", ["socks5", "http", "http2"])
def test_every_refusal_of_a_drain_says_so(world: World, protocol: str) -> None:
    with Gateway(EVERYWHERE, {"shutdown": {"drain": "20s"}}) as gateway, contextlib.ExitStack() as stack:
        busy = stack.enter_context(wire.connect(gateway.port))
        wire.open_socks5(busy, "127.0.0.1", world.echo.port)
        if protocol == "http2":
            rfc = stack.enter_context(FrameClient(gateway.port))
            rfc.send("HEADERS", 4, 1, connect(world.echo))
            rfc.until(lambda one: one.kind == "HEADERS")
        else:
            client = stack.enter_context(wire.connect(gateway.port))
        gateway.process_signal(signal.SIGTERM)
        eventually(lambda: refused(gateway.port), "it drains")
        if protocol == "socks5":
            assert wire.socks5(client, "127.0.0.1", world.echo.port) == 1
        elif protocol == "http":
            answer = wire.http(client, target(world.echo))
            assert answer.status == 503 and "draining" in answer.headers["proxy-status"]
        else:
            assert goaway(rfc) == "NO_ERROR"
            rfc.send("HEADERS", 4, 3, connect(world.echo))
            rfc.until(lambda one: (one.kind, one.stream) == ("RST_STREAM", 3))
        line: Mapping = gateway.event(event="refused", outcome="gateway_limit")
        assert line["reason"] == "draining"
        assert line["destination"]["port"] == world.echo.port
        series = scrape(gateway)
        assert value(series, "limited_total", scope="draining") == 1
        kind = {"socks5": "socks5", "http": "http", "http2": "http2tunnel"}[protocol]
        assert value(series, "tunnels_total", outcome="gateway_limit", protocol=kind) == 1


@pytest.mark.parametrize("protocol", ["socks5", "http2"])
def test_a_request_that_is_under_way_when_the_drain_is_over_says_so(world: World, protocol: str) -> None:
    config = {"shutdown": {"drain": "1s"}, "limits": {"dialTimeout": "60s"}}
    with Gateway(EVERYWHERE, config) as gateway, wire.connect(gateway.port) as client:
        if protocol == "socks5":
            client.sendall(b"\x05\x01\0" + wire.socks5_request("127.0.0.1", world.full))
        else:
            asks = block(f":method CONNECT, :authority 127.0.0.1:{world.full}")
            client.sendall(PREFACE + SETTINGS + ACK + ACK + frame("HEADERS", 4, 1, asks))
        eventually(lambda: gateway.counter("connections_open") == 1, "it is under way")
        gateway.process_signal(signal.SIGTERM)
        assert gateway.ended() == 0
        line = gateway.event(event="refused", outcome="gateway_limit")
        assert line["reason"] == "draining"
