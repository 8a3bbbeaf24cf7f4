"""HTTP/2 tunnels end to end: both forms of CONNECT, answers, ends of every kind, flow control, revocation, drain."""

import base64
import hashlib
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Final

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, World, sample_policy, sample_users
from tests.e2e.policy.test_inner_names import client_hello
from tests.e2e.protocols.test_answers import ROWS, Row
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import FrameClient, PipySidecar, RfcClient, goaway
from tests.support.origins import Origin, digest, holding, reset, resetting, sending
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.vectors.http2 import CODES, PREFACE, block, frame

MIB: Final = 1 << 20
EVERYWHERE: Final = [policy("all", [{"cidr": "127.0.0.0/8"}, {"host": "localhost"}])]


def target(origin: Origin, host: str = "127.0.0.1") -> str:
    return f"{host}:{origin.port}"


@pytest.fixture(scope="module")
def port() -> Iterator[Gateway]:
    """A gateway whose listener speaks HTTP/2 alone."""
    with Gateway(EVERYWHERE, listener={"protocol": "http2tunnel", "diagnostics": True}) as gateway:
        yield gateway


@pytest.fixture(params=list(ROWS.values()), ids=list(ROWS))
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


# ---- answers ----


def test_an_rfc_client_gets_the_row_s_status_and_proxy_status(mesh: Gateway, world: World, row: Row) -> None:
    host, number = row.ask(world)
    with RfcClient(mesh.port) as client:
        answer = client.refused(wire.target(host, number))
    assert answer.status == row.status and answer.ended
    assert f"error={row.error}" in answer.headers["proxy-status"].replace(" ", "").split(";")
    assert int(answer.headers["content-length"]) == len(answer.data) > 0


def test_a_pipy_sidecar_gets_the_row_s_bare_status(mesh: Gateway, world: World, row: Row) -> None:
    host, number = row.ask(world)
    with PipySidecar(mesh.port) as client:
        stream = client.connect(f"{host}:{number}")
        client.wait(lambda: stream in client.ended, "an answer")
        assert client.status[stream] == row.status
        assert client.data[stream] == b""


def test_the_log_tells_protocol_and_outcome(mesh: Gateway, world: World, row: Row) -> None:
    host, number = row.ask(world)
    before = len(mesh.events())
    with RfcClient(mesh.port) as client:
        client.refused(wire.target(host, number))
        local = client.socket.getsockname()[1]
    line = mesh.logged(before, local)
    assert (line["protocol"], line["outcome"]) == ("http2tunnel", row.outcome)
    assert (line["destination"]["host"], line["destination"]["port"]) == (host, number)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "open.test", "both.test", "a.wild.test"])
def test_both_forms_of_connect_carry_bytes(mesh: Gateway, world: World, host: str) -> None:
    with RfcClient(mesh.port) as client:
        assert client.echoes(client.open(target(world.echo, host)))
    with PipySidecar(mesh.port) as sidecar:
        stream = sidecar.connect(target(world.echo, host))
        sidecar.wait(lambda: stream in sidecar.status, "an answer")
        assert sidecar.status[stream] == 200
        sidecar.write(stream, b"\x00ping")
        sidecar.wait(lambda: sidecar.data[stream] == b"\x00ping", "an echo")


def test_ipv6_with_brackets_and_without(mesh: Gateway, world: World) -> None:
    with RfcClient(mesh.port) as client:
        assert client.echoes(client.open(f"[::1]:{world.echo6.port}"))
    with PipySidecar(mesh.port) as sidecar:
        stream = sidecar.connect(f"::1:{world.echo6.port}")
        sidecar.wait(lambda: stream in sidecar.status, "an answer")
        assert sidecar.status[stream] == 200


def test_a_broken_target_is_400(mesh: Gateway) -> None:
    with RfcClient(mesh.port) as client:
        assert client.refused("user@localhost:1").status == 400
        assert client.refused("localhost:0").status == 400
        assert client.streams[1].headers["proxy-status"].startswith("sluice; error=http_protocol_error")


def basic(user: str, password: str) -> tuple[str, str]:
    return "proxy-authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_credentials_open_what_is_the_user_s(mesh: Gateway, world: World) -> None:
    team = target(world.team, "team.test")
    with RfcClient(mesh.port) as client:
        assert client.refused(team).status == 403
        assert client.echoes(client.open(team, basic("build-bot", PASSWORD)))
        wrong = client.refused(team, basic("build-bot", "wrong"))
        assert wrong.status == 407 and "proxy-authenticate" in wrong.headers
        assert client.refused(team, ("proxy-authorization", "Bearer x")).status == 407
        assert client.echoes(client.open(team, basic("build-bot", PASSWORD))), "the connection is as good as before"


def test_a_listener_that_requires_credentials(world: World) -> None:
    config = {"identity": {"users": "users.yaml"}}
    files = {"users.yaml": yaml.safe_dump(sample_users())}
    only = {"protocol": "http2tunnel", "auth": "required"}
    with (
        Gateway(sample_policy(world), config, files=files, listener=only) as gateway,
        RfcClient(gateway.port) as client,
    ):
        assert client.refused(target(world.echo)).status == 407
        assert client.open(target(world.echo), basic("build-bot", PASSWORD))


# ---- listeners ----


@pytest.mark.parametrize("first", [b"\x05\x01\x00", b"\x04\x01\0\x50\x7f\0\0\1\0", wire.connect_request("a:1")])
def test_a_listener_for_http2_takes_nothing_else(port: Gateway, first: bytes) -> None:
    with wire.connect(port.port) as client:
        client.sendall(first)
        assert wire.to_the_end(client) == b""


def test_a_listener_for_socks_refuses_http2_in_its_own_words() -> None:
    with Gateway(EVERYWHERE, listener={"protocol": "socks5"}) as gateway, FrameClient(gateway.port) as client:
        assert goaway(client) == "HTTP_1_1_REQUIRED"


def test_the_diagnostic_page_is_there_only_where_it_is_asked_for(port: Gateway, mesh: Gateway) -> None:
    page = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")]
    for gateway, path, status in ((port, "/", 200), (port, "/other", 404), (mesh, "/", 403)):
        with RfcClient(gateway.port) as client:
            number = client.request([*page[:3], (":path", path)], end=True)
            answer = client.over(number)
            assert answer.status == status
            assert int(answer.headers["content-length"]) == len(answer.data) > 0


def test_an_upgrade_to_h2c_is_not_taken(mesh: Gateway, world: World) -> None:
    with wire.connect(mesh.port) as client:
        fields = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        assert wire.http(client, target(world.echo), fields).status == 200, "the field is ignored, not obeyed"
        assert wire.echoes(client)


def test_extended_connect_is_refused_where_it_is_not_offered(port: Gateway) -> None:
    with FrameClient(port.port) as client:
        fields = ":method CONNECT, :protocol websocket, :scheme https, :path /, :authority a.example"
        client.send("HEADERS", 5, 1, block(fields))
        found = client.until(lambda one: one.kind == "RST_STREAM")
        assert CODES[int.from_bytes(found.payload, "big")] == "PROTOCOL_ERROR"


# ---- ends ----


def test_a_half_close_crosses_both_ways(mesh: Gateway, world: World) -> None:
    content = random.Random(1).randbytes(300_000)
    with RfcClient(mesh.port) as client:
        number = client.open(target(world.collect))
        client.write(number, content, end=True)
        assert client.read(number, 64) == hashlib.sha256(content).hexdigest().encode()
        client.wait(lambda: client.streams[number].ended)
        assert client.streams[number].reset is None


def test_an_end_from_the_far_side_leaves_the_other_direction_open(port: Gateway) -> None:
    with Origin(sending(b"\x00all of it")) as origin, RfcClient(port.port) as client:
        number = client.open(target(origin))
        client.wait(lambda: client.streams[number].ended)
        assert client.streams[number].data == b"\x00all of it"
        client.write(number, b"\x00and more", end=True)
        assert origin.wait() == [b"\x00and more"]


def test_a_reset_by_the_client_is_a_reset_upstream(port: Gateway) -> None:
    with Origin(holding) as origin, RfcClient(port.port) as client:
        number = client.open(target(origin))
        assert client.read(number, 5) == b"hello"
        client.reset(number)
        assert isinstance(origin.wait()[0], ConnectionResetError)


def test_a_reset_upstream_is_connect_error(port: Gateway) -> None:
    with Origin(resetting) as origin, RfcClient(port.port) as client:
        number = client.open(target(origin))
        client.write(number, b"\x00")
        client.wait(lambda: client.streams[number].over)
        code = client.streams[number].reset
        assert code is not None and CODES[code] == "CONNECT_ERROR"


def test_a_lost_connection_resets_every_origin(port: Gateway) -> None:
    with Origin(holding) as origin:
        client = RfcClient(port.port)
        for _ in range(5):
            assert client.read(client.open(target(origin)), 5) == b"hello"
        client.socket.close()
        assert all(isinstance(one, ConnectionResetError) for one in origin.wait(5))


def test_a_request_taken_back_before_its_answer(mesh: Gateway, world: World) -> None:
    with RfcClient(mesh.port) as client:
        for _ in range(20):
            client.reset(client.connect(f"127.0.0.1:{world.full}"))
        assert client.echoes(client.open(target(world.echo)))
    mesh.event(outcome="client_gone", protocol="http2tunnel")


def test_requests_beyond_what_a_source_may_have_unanswered_wait_for_their_turn(mesh: Gateway, world: World) -> None:
    with RfcClient(mesh.port) as one, RfcClient(mesh.port) as other, RfcClient(mesh.port) as late:
        for client in (one, other):
            for _ in range(60):  # 120 of the 100 that one source may have
                client.connect(f"127.0.0.1:{world.full}")
        eventually(lambda: mesh.counter("http2_streams_open") == 120, "120 that wait")
        first, second = late.connect(target(world.echo)), late.connect(target(world.echo))
        late.reset(first)  # who looks again for the others is gone
        one.socket.close()
        other.socket.close()
        assert late.answer(second).status == 200
        assert late.echoes(second)


def test_bytes_that_come_before_the_answer_follow_it(port: Gateway, world: World) -> None:
    with RfcClient(port.port) as client:
        number = client.connect(target(world.collect))
        client.write(number, b"\x00early", end=True)
        client.wait(lambda: client.streams[number].ended)
        assert client.streams[number].data == hashlib.sha256(b"\x00early").hexdigest().encode()


# ---- many ----


def test_two_hundred_sidecar_tunnels_on_one_connection_close_in_every_order(port: Gateway) -> None:
    draw = random.Random(7)

    def until_asked(connection: socket.socket, _: Origin) -> None:
        """Echoes; ends, or resets, when the first byte says so."""
        while data := connection.recv(65536):
            if data[:1] == b"\x01":
                return
            if data[:1] == b"\x02":
                reset(connection)
                return
            connection.sendall(data)

    with Origin(until_asked) as origin, PipySidecar(port.port) as sidecar:
        streams = [sidecar.connect(target(origin)) for _ in range(200)]
        sidecar.wait(lambda: len(sidecar.status) == 200, "200 answers")
        assert set(sidecar.status.values()) == {200}
        for stream in streams:
            sidecar.write(stream, b"\0" + stream.to_bytes(4, "big"))
        sidecar.wait(lambda: all(len(sidecar.data[s]) == 5 for s in streams), "200 echoes")
        assert all(sidecar.data[s] == b"\0" + s.to_bytes(4, "big") for s in streams)
        draw.shuffle(streams)
        for stream in streams:
            way = draw.randrange(4)
            if way == 0:  # the application closes
                sidecar.end(stream)
            elif way == 1:  # the application fails
                sidecar.reset(stream)
            elif way == 2:  # the origin closes, and the sidecar's side with it
                sidecar.write(stream, b"\x01")
                sidecar.wait_for_end(stream)
                sidecar.send("DATA", 1, stream)
            else:  # the origin fails
                sidecar.write(stream, b"\x02")
                sidecar.wait_for_end(stream)
        sidecar.wait(lambda: not sidecar.open, "every end")
        again = sidecar.connect(target(origin))
        sidecar.wait(lambda: again in sidecar.status, "one more answer")
        assert sidecar.status[again] == 200, "the connection is as good as new"


def test_streams_do_not_mix(port: Gateway, world: World) -> None:
    draw = random.Random(3)
    with RfcClient(port.port) as client:
        streams = {client.open(target(world.echo)): b"" for _ in range(50)}
        for _ in range(500):
            number = draw.choice(list(streams))
            data = b"\0" + draw.randbytes(draw.choice([1, 100, 3000]))
            streams[number] += data
            client.write(number, data)
        assert {number: client.read(number, len(data)) for number, data in streams.items()} == streams


def test_a_large_upload_arrives_whole(port: Gateway) -> None:
    content = b"\0" + random.Random(5).randbytes(20 * MIB)
    with Origin(digest) as origin, RfcClient(port.port) as client:
        number = client.open(target(origin))
        client.write(number, content, end=True)
        assert origin.wait() == [(len(content), hashlib.sha256(content).hexdigest())]


def test_a_large_download_arrives_whole(port: Gateway) -> None:
    content = b"\0" + random.Random(6).randbytes(20 * MIB)
    with Origin(sending(content)) as origin, RfcClient(port.port) as client:
        number = client.open(target(origin))
        client.wait(lambda: client.streams[number].ended)
        assert hashlib.sha256(client.streams[number].data).digest() == hashlib.sha256(content).digest()


def test_a_reader_that_stops_holds_up_nobody_else(port: Gateway, world: World) -> None:
    with Origin(sending(bytes(30 * MIB))) as origin, RfcClient(port.port) as client:
        stuck = client.connect(target(origin))
        client.held.add(stuck)  # before its bytes come, which may be with the answer
        assert client.answer(stuck).status == 200
        others = [client.open(target(world.echo)) for _ in range(20)]
        for _ in range(20):
            assert all(client.echoes(number, b"\0" + bytes(5000)) for number in others)
        assert 0 < len(client.streams[stuck].data) <= 65535
    assert port.counter("http2_stalls_total") > 0


def test_an_origin_that_stops_holds_up_nobody_else(port: Gateway, world: World) -> None:
    over = threading.Event()

    def stopped(_: socket.socket, __: Origin) -> None:
        over.wait(60)

    with Origin(stopped) as origin, RfcClient(port.port) as client:
        stuck = client.open(target(origin))
        with pytest.raises(TimeoutError):
            client.socket.settimeout(0.5)
            client.write(stuck, bytes(64 * MIB))
        client.socket.settimeout(20)
        others = [client.open(target(world.echo)) for _ in range(20)]
        for _ in range(5):
            assert all(client.echoes(number, b"\0" + bytes(5000)) for number in others)
        over.set()


# ---- policy ----


def test_a_name_inside_that_is_another_ends_the_stream(mesh: Gateway, world: World) -> None:
    with RfcClient(mesh.port) as client:
        number = client.open(target(world.echo, "open.test"))
        client.write(number, client_hello("other.test"))
        client.wait(lambda: client.streams[number].over)
        assert client.streams[number].reset is not None
        good = client.open(target(world.echo, "open.test"))
        hello = client_hello("open.test")
        client.write(good, hello)
        assert client.read(good, len(hello)) == hello


def test_a_tunnel_is_judged_again_at_a_reload(world: World) -> None:
    with Gateway(EVERYWHERE) as gateway, RfcClient(gateway.port) as client:
        named = client.open(target(world.echo, "localhost"))
        literal = client.open(target(world.echo))
        assert client.echoes(named) and client.echoes(literal)
        gateway.reload([policy("addresses", [{"cidr": "127.0.0.0/8"}])])
        assert client.echoes(literal), "what is still allowed goes on"
        gateway.reload([policy("nothing", [{"host": "nowhere.test"}])])
        client.wait(lambda: client.streams[literal].over)
        assert client.streams[literal].reset is not None
        gateway.event(event="close", outcome="revoked", protocol="http2tunnel")


def test_tunnels_are_listed_and_one_can_be_killed(port: Gateway, world: World) -> None:
    with RfcClient(port.port) as client:
        one, other = client.open(target(world.echo)), client.open(target(world.echo))
        assert client.echoes(one) and client.echoes(other)
        local = client.socket.getsockname()[1]

        def opened() -> list[Mapping]:
            return [line for line in port.events(event="open") if line["source"]["port"] == local]

        eventually(lambda: len(opened()) == 2, "two lines in the log")
        assert port.sluice("tunnels", "--kill", opened()[0]["id"]).returncode == 0
        client.wait(lambda: client.streams[one].over or client.streams[other].over)
        survivor = other if client.streams[one].over else one
        assert client.echoes(survivor)
        assert port.counter("http2_streams_open") == 1


# ---- drain ----


def test_a_drain_says_goodbye_and_lets_streams_end(world: World) -> None:
    with Gateway(EVERYWHERE, {"shutdown": {"drain": "20s"}}) as gateway, FrameClient(gateway.port) as client:
        client.send("HEADERS", 4, 1, block(f":method CONNECT, :authority {target(world.echo)}"))
        client.until(lambda one: one.kind == "HEADERS")
        gateway.process_signal(signal.SIGTERM)
        found = client.until(lambda one: one.kind == "GOAWAY")
        assert found.payload[:8] == bytes([0, 0, 0, 1, 0, 0, 0, 0]), "stream 1 may end, and there was no error"
        client.send("HEADERS", 4, 3, block(f":method CONNECT, :authority {target(world.echo)}"))
        late = client.until(lambda one: one.stream == 3)
        assert (late.kind, CODES[late.payload[3]]) == ("RST_STREAM", "REFUSED_STREAM")
        client.send("DATA", 1, 1, b"\0still here")
        assert client.until(lambda one: one.kind == "DATA").payload == b"\0still here"
        assert client.until(lambda one: one.kind == "DATA").flags & 1
        assert client.to_the_end() == []
        assert gateway.ended() == 0


def test_what_is_left_when_the_drain_is_over_is_reset(world: World) -> None:
    with Gateway(EVERYWHERE) as gateway, FrameClient(gateway.port) as client:
        client.send("HEADERS", 4, 1, block(f":method CONNECT, :authority {target(world.echo)}"))
        client.until(lambda one: one.kind == "HEADERS")
        gateway.process_signal(signal.SIGTERM)
        assert CODES[client.until(lambda one: one.kind == "RST_STREAM").payload[3]] == "CANCEL"
        assert client.to_the_end() == []
        assert gateway.ended() == 0


# ---- what asks too much ----


def test_a_flood_ends_its_own_connection_and_is_counted_by_reason(port: Gateway, world: World) -> None:
    with RfcClient(port.port) as honest:
        number = honest.open(target(world.echo))
        with FrameClient(port.port) as client:
            client.socket.sendall(frame("PING", 0, 0, bytes(8)) * 2000)
            assert goaway(client) == "ENHANCE_YOUR_CALM"
            assert client.to_the_end() == []
        assert honest.echoes(number), "a neighbour feels nothing"
    metrics = port.sluice("stats", "--json").stdout
    assert "http2_abuse_total" in metrics and port.counter("http2_abuse_total") >= 1


def test_a_client_that_never_speaks_is_let_go() -> None:
    with Gateway(EVERYWHERE, {"limits": {"requestTimeout": "500ms"}}) as gateway, wire.connect(gateway.port) as client:
        client.sendall(PREFACE)
        assert b"\x07" in wire.to_the_end(client)
        assert gateway.counter("request_timeouts_total") == 1


def test_a_header_block_that_never_ends_is_let_go() -> None:
    with Gateway(EVERYWHERE, {"limits": {"requestTimeout": "500ms"}}) as gateway, FrameClient(gateway.port) as client:
        client.until(lambda one: one.kind == "SETTINGS" and one.flags == 1)  # both sides have said theirs
        client.send("HEADERS", 0, 1, b"\x82")
        assert goaway(client) == "NO_ERROR"


def test_an_idle_connection_is_let_go() -> None:
    with Gateway(EVERYWHERE, {"limits": {"idleTimeout": "500ms"}}) as gateway, FrameClient(gateway.port) as client:
        assert goaway(client) == "NO_ERROR"
        assert client.to_the_end() == []


# ---- other clients ----


NODE: Final = """
const http2 = require('http2'), [port, target] = process.argv.slice(1)
const session = http2.connect('http://127.0.0.1:' + port)
const stream = session.request({':method': 'CONNECT', ':authority': target}, {endStream: false})
stream.on('response', h => { if (h[':status'] !== 200) process.exit(1); stream.write(Buffer.from([0, 104, 105])) })
stream.on('data', data => { process.stdout.write(data.toString('hex')); stream.end() })
stream.on('close', () => session.close())
"""


def test_node(mesh: Gateway, world: World) -> None:
    command = ["node", "-e", NODE, str(mesh.port), target(world.echo)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "006869"), done.stderr
