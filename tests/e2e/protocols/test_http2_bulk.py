"""Bulk over HTTP/2, which is spliced: whole frames within every window, the same bytes and ends, and no pipe left."""

import hashlib
import json
import random
import socket
import struct
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import PipySidecar
from tests.support.origins import Origin, echo, reset, sending
from tests.support.run_gateway import Gateway, open_files, policy
from tests.vectors.http2 import CODES, PREFACE, Frame, block, frame

MIB: Final = 1 << 20
WINDOW_LAST: Final = (1 << 31) - 1
CONTENT: Final = random.Random(14).randbytes(10 * MIB)
DIGEST: Final = hashlib.sha256(CONTENT).hexdigest()
POOLED: Final = 2 * 32  # descriptors of the empty pipes that a worker keeps at most
ALL: Final = policy("all", [{"cidr": "127.0.0.0/8"}])


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway([ALL]) as started:
        yield started


@pytest.fixture(autouse=True)
def no_pipe_stays(gateway: Gateway) -> Iterator[None]:
    """After each test every pipe is empty, and the worker holds no descriptor but those of its pool."""
    (worker,) = gateway.workers()
    eventually(lambda: gateway.counter("http2_connections_open") == 0, "a quiet gateway")
    before = open_files(worker) - 2 * gateway.counter("idle_pipes_open")
    yield
    eventually(lambda: gateway.counter("http2_connections_open") == 0, "every connection has ended")
    eventually(lambda: gateway.counter("tunnels_open") == 0, "every tunnel has ended")
    assert gateway.counter("busy_pipes_open") == 0
    assert gateway.counter("splices_begun_total") == gateway.counter("splices_ended_total")
    eventually(lambda: open_files(worker) - 2 * gateway.counter("idle_pipes_open") == before, "no descriptor is left")
    assert open_files(worker) <= before + POOLED
    assert gateway.counter("internal_errors_total") == 0


class StrictClient:
    """Speaks frames, keeps its own account of windows, and fails at a byte beyond them or a frame too large.

    `window` and `frame_size` go out in the first SETTINGS. What is received is returned at once, on the connection and
    on streams that are not in `held`, unless `returns` is False.
    """

    def __init__(self, port: int, window: int = 65535, frame_size: int = 16384, connection: int = WINDOW_LAST) -> None:
        self.socket = wire.connect(port)
        self.buffer = bytearray()
        self.next_stream = 1
        self.window = self.window_first = 65535
        self.frame_size = 16384
        self.declared: list[dict[int, int]] = []  # SETTINGS that were not acknowledged
        self.connection = connection
        self.windows: dict[int, int] = {}
        self.held: set[int] = set()
        self.returns = True
        self.status: dict[int, bool] = {}
        self.content: dict[int, hashlib._Hash] = defaultdict(hashlib.sha256)
        self.sizes: dict[int, int] = defaultdict(int)
        self.echoed: dict[int, bytes] = defaultdict(bytes)
        self.chatty: set[int] = set()
        self.ended: set[int] = set()
        self.resets: dict[int, str] = {}
        self.largest = 0
        self.pongs = 0
        self.socket.sendall(PREFACE)
        self.declare({4: window, 5: frame_size})
        if connection > 65535:
            self.socket.sendall(frame("WINDOW_UPDATE", 0, 0, (connection - 65535).to_bytes(4, "big")))

    def __enter__(self) -> "StrictClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def declare(self, settings: dict[int, int]) -> None:
        """SETTINGS, which hold from their acknowledgement on; what allows more holds at once. One at a time."""
        self.declared.append(settings)
        self.socket.sendall(frame("SETTINGS", 0, 0, b"".join(struct.pack(">HI", *one) for one in settings.items())))
        if settings.get(4, 0) > self.window:
            self.apply_window(settings[4])
        self.frame_size = max(self.frame_size, settings.get(5, 0))

    def apply_window(self, window: int) -> None:
        for stream in self.windows:
            self.windows[stream] += window - self.window
        self.window = window

    def acknowledged(self) -> None:
        settings = self.declared.pop(0)
        self.frame_size = settings.get(5, self.frame_size)
        if 4 in settings and settings[4] < self.window:
            self.apply_window(settings[4])

    def connect(self, port: int, chatty: bool = False) -> int:
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.windows[stream] = self.window
        if chatty:
            self.chatty.add(stream)
        self.socket.sendall(frame("HEADERS", 4, stream, block(f":method CONNECT, :authority 127.0.0.1:{port}")))
        return stream

    def open(self, port: int, chatty: bool = False) -> int:
        stream = self.connect(port, chatty)
        self.wait(lambda: stream in self.status)
        return stream

    def write(self, stream: int, data: bytes, end: bool = False) -> None:
        self.socket.sendall(frame("DATA", 1 if end else 0, stream, data))

    def reset(self, stream: int) -> None:
        self.socket.sendall(frame("RST_STREAM", 0, stream, (8).to_bytes(4, "big")))
        self.ended.add(stream)

    def give(self, stream: int, more: int) -> None:
        """WINDOW_UPDATE."""
        if stream:
            self.windows[stream] += more
        else:
            self.connection += more
        self.socket.sendall(frame("WINDOW_UPDATE", 0, stream, more.to_bytes(4, "big")))

    def barrier(self) -> None:
        """All that was sent before this call has been read by the gateway, and its answers have come."""
        pongs = self.pongs + 1
        self.socket.sendall(frame("PING", 0, 0, bytes(8)))
        self.wait(lambda: self.pongs >= pongs)

    def wait(self, done: Callable[[], bool]) -> None:
        while not done():
            self.step()

    def step(self) -> None:
        """Takes what has come."""
        data = self.socket.recv(262144)
        assert data, "the connection has ended"
        self.buffer += data
        at = 0
        while len(self.buffer) - at >= 9:
            length = int.from_bytes(self.buffer[at : at + 3], "big")
            if len(self.buffer) - at < 9 + length:
                break
            self.take(_head(self.buffer, at), bytes(self.buffer[at + 9 : at + 9 + length]))
            at += 9 + length
        del self.buffer[:at]

    def take(self, head: Frame, payload: bytes) -> None:
        assert len(payload) <= self.frame_size, "a frame longer than MAX_FRAME_SIZE"
        if head.kind == "DATA":
            self.take_data(head.stream, payload, bool(head.flags & 1))
        elif head.kind == "HEADERS":
            assert payload == b"\x88", "a tunnel"
            self.status[head.stream] = True
        elif head.kind == "RST_STREAM":
            self.resets[head.stream] = CODES[int.from_bytes(payload, "big")]
            self.ended.add(head.stream)
        elif head.kind == "SETTINGS" and head.flags:
            self.acknowledged()
        elif head.kind == "SETTINGS":
            self.socket.sendall(frame("SETTINGS", 1))
        elif head.kind == "PING":
            self.pongs += 1
        else:
            assert head.kind == "WINDOW_UPDATE", f"{head.kind} that nothing here asks for"

    def take_data(self, stream: int, payload: bytes, end: bool) -> None:
        size = len(payload)
        assert size <= self.windows[stream], f"{size - self.windows[stream]} bytes beyond the stream's window"
        assert size <= self.connection, f"{size - self.connection} bytes beyond the connection's window"
        assert stream in self.status and (stream not in self.ended or stream not in self.resets)
        self.windows[stream] -= size
        self.connection -= size
        self.largest = max(self.largest, size)
        self.sizes[stream] += size
        if stream in self.chatty:
            self.echoed[stream] += payload
        else:
            self.content[stream].update(payload)
        if size and self.returns:
            self.give(0, size)
        if size and self.returns and stream not in self.held and stream not in self.ended and not end:
            self.give(stream, size)
        if end:
            self.ended.add(stream)

    def digest(self, stream: int) -> str:
        return self.content[stream].hexdigest()

    def echoes(self, stream: int, data: bytes) -> bool:
        """Whether a chatty stream says what it was told."""
        before = len(self.echoed[stream])
        self.write(stream, data)
        self.wait(lambda: len(self.echoed[stream]) >= before + len(data))
        return self.echoed[stream][before:] == data


def _head(buffer: bytearray, at: int) -> Frame:
    kinds = {0: "DATA", 1: "HEADERS", 3: "RST_STREAM", 4: "SETTINGS", 6: "PING", 7: "GOAWAY", 8: "WINDOW_UPDATE"}
    stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
    return Frame(kinds[buffer[at + 3]], buffer[at + 4], stream, b"")


def endless(connection: socket.socket, _: Origin) -> None:
    """Sends more than fits in all the buffers on its way, until that fails."""
    while True:
        connection.sendall(CONTENT)


def stalled(gateway: Gateway, port: int, frame_size: int) -> StrictClient:
    """A client that reads a little of an `endless` origin and no more: pipes are left with bytes in them."""
    busy = gateway.counter("busy_pipes_open")
    client = StrictClient(gateway.port, WINDOW_LAST, frame_size)
    stream = client.open(port)
    client.wait(lambda: client.sizes[stream] > MIB)
    eventually(
        lambda: 0 < gateway.counter("busy_pipes_open") - busy <= held(frame_size), "pipes that cannot be drained"
    )
    return client


def held(frame_size: int) -> int:
    """Pipes that a client holds which does not read: small frames take two."""
    return 1 if frame_size >= 32768 else 2


both_sizes = pytest.mark.parametrize("frame_size", [16384, 131072])


# ---- whole, in order, within the windows ----


@pytest.mark.parametrize("frame_size", [16384, 20000, 131072, 1 << 20])
@pytest.mark.parametrize("window", [65535, 300_000, WINDOW_LAST])
def test_bulk_and_chat_on_one_connection(gateway: Gateway, window: int, frame_size: int) -> None:
    before = gateway.counter("splices_begun_total")
    with (
        Origin(sending(CONTENT)) as origin,
        Origin(echo) as other,
        StrictClient(gateway.port, window, frame_size) as client,
    ):
        chats = [client.open(other.port, chatty=True) for _ in range(10)]
        bulk = [client.connect(origin.port) for _ in range(4)]
        for turn in range(20):
            assert all(client.echoes(stream, b"\0" + bytes([turn]) * (turn * 99)) for stream in chats)
        client.wait(lambda: set(bulk) <= client.ended)
        assert [client.digest(stream) for stream in bulk] == [DIGEST] * 4
        assert client.resets == {}
        assert 8192 < client.largest <= min(frame_size, 131072)
    # A stream that another one holds up for long may end before it is bulk.
    assert gateway.counter("splices_begun_total") >= before + 2


@both_sizes
def test_bulk_that_never_ends_starves_nobody(gateway: Gateway, frame_size: int) -> None:
    with (
        Origin(endless) as origin,
        Origin(echo) as other,
        Origin(sending(CONTENT)) as third,
        StrictClient(gateway.port, WINDOW_LAST, frame_size) as client,
    ):
        floods = [client.open(origin.port) for _ in range(3)]
        chats = [client.open(other.port, chatty=True) for _ in range(20)]
        for _ in range(5):
            assert all(client.echoes(stream, b"\0" + bytes(700)) for stream in chats)
        late = client.connect(third.port)
        client.wait(lambda: late in client.ended)
        assert client.digest(late) == DIGEST
        least, most = sorted(client.sizes[stream] for stream in floods)[::2]
        assert least > most / 4, "streams with equally much to say have their turns"


def test_windows_that_shrink_below_what_was_sent(gateway: Gateway) -> None:
    draw = random.Random(8)
    with Origin(sending(CONTENT)) as origin, StrictClient(gateway.port, 400_000, 131072) as client:
        bulk = [client.connect(origin.port) for _ in range(3)]
        seen = 0
        while not set(bulk) <= client.ended:
            client.step()
            if sum(client.sizes.values()) - seen > MIB and not client.declared:
                seen = sum(client.sizes.values())
                window, size = draw.choice([1000, 30_000, 65_535, 400_000]), draw.choice([16384, 50_000, 131072])
                client.declare({4: window, 5: size})
                # Room for those that the new size left without any.
                for stream in set(bulk) - client.ended:
                    client.give(stream, 100_000)
        assert [client.digest(stream) for stream in bulk] == [DIGEST] * 3


def test_windows_of_every_size(gateway: Gateway) -> None:
    """The client gives windows in steps of all sizes, of streams and of the connection apart."""
    draw = random.Random(9)
    with Origin(sending(CONTENT)) as origin, StrictClient(gateway.port, 65535, 50_000, 65535) as client:
        client.returns = False
        bulk = [client.connect(origin.port) for _ in range(2)]
        while not set(bulk) <= client.ended:
            live = sorted(set(bulk) - client.ended)
            for stream in live:
                if client.windows[stream] < 300_000:
                    client.give(stream, draw.choice([1, 9, 4096, 16384, 65535, 250_000]))
            if client.connection < 500_000:
                client.give(0, draw.choice([1, 9, 16384, 65535, 500_000]))
            if any(client.windows[stream] > 100 for stream in live) and client.connection > 100:
                client.step()
        assert [client.digest(stream) for stream in bulk] == [DIGEST] * 2


def test_a_sidecar_gets_bulk_in_frames_that_it_takes(gateway: Gateway) -> None:
    before = gateway.counter("splices_begun_total")
    with Origin(sending(CONTENT[: 4 * MIB])) as origin, PipySidecar(gateway.port) as sidecar:
        stream = sidecar.connect(f"127.0.0.1:{origin.port}")
        sidecar.wait(lambda: stream in sidecar.ended, "the end")
        assert sidecar.data[stream] == CONTENT[: 4 * MIB]
    assert gateway.counter("splices_begun_total") > before


# ---- ends in the midst ----


@both_sizes
def test_streams_that_are_reset_in_bulk_leave_the_others_whole(gateway: Gateway, frame_size: int) -> None:
    draw = random.Random(10)
    with (
        Origin(endless) as flood,
        Origin(sending(CONTENT)) as origin,
        StrictClient(gateway.port, WINDOW_LAST, frame_size) as client,
    ):
        bulk = [client.connect(origin.port) for _ in range(3)]
        while not set(bulk) <= client.ended:
            victim = client.open(flood.port)
            size = draw.randrange(MIB)
            while client.sizes[victim] <= size and not set(bulk) <= client.ended:
                client.step()
            client.reset(victim)
        assert [client.digest(stream) for stream in bulk] == [DIGEST] * 3


@both_sizes
def test_what_a_reset_left_unsaid_is_returned_to_the_connection_s_window(gateway: Gateway, frame_size: int) -> None:
    """The client gives the connection no more than it had: the last stream gets exactly the rest."""
    total = 128 * MIB
    with Origin(endless) as flood, StrictClient(gateway.port, WINDOW_LAST, frame_size, total) as client:
        client.returns = False
        for _ in range(4):
            victim = client.open(flood.port)
            while client.sizes[victim] <= MIB:
                client.step()
            eventually(lambda: gateway.counter("busy_pipes_open") > 0, "a pipe that cannot be drained")
            client.reset(victim)
            client.barrier()
        last = client.open(flood.port)
        client.wait(lambda: client.connection == 0)
        assert client.sizes[last] > 0 and sum(client.sizes.values()) == total
        client.give(0, 100_000)
        client.wait(lambda: client.connection == 0)


@both_sizes
def test_an_origin_s_reset_in_bulk_is_connect_error_behind_whole_frames(gateway: Gateway, frame_size: int) -> None:
    def failing(connection: socket.socket, _: Origin) -> None:
        connection.sendall(CONTENT[: 5 * MIB])
        reset(connection)

    with (
        Origin(failing) as origin,
        Origin(sending(CONTENT)) as other,
        StrictClient(gateway.port, WINDOW_LAST, frame_size) as client,
    ):
        whole, cut = client.connect(other.port), client.connect(origin.port)
        client.wait(lambda: {whole, cut} <= client.ended)
        assert client.resets == {cut: "CONNECT_ERROR"}
        assert client.digest(whole) == DIGEST


@both_sizes
def test_an_answer_that_ends_is_whole_while_the_question_goes_on(gateway: Gateway, frame_size: int) -> None:
    """A half-close from the far side behind bulk: every byte, END_STREAM, and the other direction lives."""
    with Origin(sending(CONTENT)) as origin, StrictClient(gateway.port, WINDOW_LAST, frame_size) as client:
        stream = client.connect(origin.port)
        client.wait(lambda: stream in client.ended)
        assert client.digest(stream) == DIGEST
        client.write(stream, b"\0after it", end=True)
        assert origin.wait() == [b"\0after it"]


@both_sizes
def test_urgent_data_do_not_stop_bulk(gateway: Gateway, frame_size: int) -> None:
    def marked(connection: socket.socket, _: Origin) -> None:
        connection.sendall(CONTENT[: 2 * MIB])
        connection.send(b"!", socket.MSG_OOB)
        connection.sendall(CONTENT[2 * MIB :])

    with Origin(marked) as origin, StrictClient(gateway.port, WINDOW_LAST, frame_size) as client:
        stream = client.connect(origin.port)
        client.wait(lambda: stream in client.ended)
        assert client.digest(stream) == DIGEST


# ---- clients that do not read ----


@both_sizes
def test_a_client_that_stops_reading_hurts_nobody(gateway: Gateway, frame_size: int) -> None:
    with Origin(endless) as flood, Origin(sending(CONTENT)) as origin:
        clients = [stalled(gateway, flood.port, frame_size) for _ in range(3)]
        busy = gateway.counter("busy_pipes_open")
        assert 3 <= busy <= 3 * held(frame_size)
        with StrictClient(gateway.port, WINDOW_LAST, frame_size) as client:
            stream = client.connect(origin.port)
            client.wait(lambda: stream in client.ended)
            assert client.digest(stream) == DIGEST
        # One goes, one takes its stream back, one reads on.
        clients[0].socket.close()
        eventually(lambda: gateway.counter("busy_pipes_open") < busy, "the pipes of who has gone are closed")
        clients[1].reset(1)
        clients[1].barrier()
        before = clients[2].sizes[1]
        clients[2].wait(lambda: clients[2].sizes[1] > before + 20 * MIB)
        chat = clients[1].open(origin.port)
        clients[1].wait(lambda: chat in clients[1].ended)
        assert clients[1].digest(chat) == DIGEST
        for client in clients[1:]:
            client.socket.close()


@both_sizes
def test_a_tunnel_that_is_taken_away_with_bytes_in_its_pipe(gateway: Gateway, frame_size: int) -> None:
    """`sluice tunnels --kill`: the frame that was begun is ended, then RST_STREAM; what else the pipe held is gone."""
    with (
        Origin(endless) as flood,
        Origin(sending(CONTENT)) as origin,
        stalled(gateway, flood.port, frame_size) as client,
    ):
        (tunnel,) = json.loads(gateway.sluice("tunnels", "--json").stdout)["items"]
        assert gateway.sluice("tunnels", "--kill", tunnel["id"]).returncode == 0
        eventually(lambda: gateway.counter("tunnels_open") == 0, "the tunnel has ended")
        client.wait(lambda: 1 in client.resets)
        assert client.resets == {1: "CANCEL"}
        after = client.open(origin.port)
        client.wait(lambda: after in client.ended)
        assert client.digest(after) == DIGEST


# ---- other clients ----

NODE: Final = """
const http2 = require('http2'), crypto = require('crypto'), [port, bulk, chat] = process.argv.slice(1)
const session = http2.connect('http://127.0.0.1:' + port)
const open = target => session.request({':method': 'CONNECT', ':authority': '127.0.0.1:' + target}, {endStream: false})
const digests = []
let left = 8
const over = () => { if (--left === 0) { session.close(); console.log(digests.join(' ')) } }
for (let i = 0; i < 4; i++) {
  const hash = crypto.createHash('sha256'), stream = open(bulk)
  stream.on('data', data => hash.update(data))
  stream.on('end', () => { digests.push(hash.digest('hex')); stream.end(); over() })
}
for (let i = 0; i < 4; i++) {
  const stream = open(chat)
  let turns = 0, got = 0
  const say = () => { got = 0; stream.write(Buffer.alloc(501)) }
  stream.on('response', say)
  stream.on('data', data => { got += data.length; if (got === 501) { ++turns === 200 ? stream.end() : say() } })
  stream.on('end', over)
}
"""


def test_node_with_bulk_and_chat(gateway: Gateway, world: World) -> None:
    with Origin(sending(CONTENT)) as origin:
        command = ["node", "-e", NODE, str(gateway.port), str(origin.port), str(world.echo.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()) == (0, [DIGEST] * 4), done.stderr
