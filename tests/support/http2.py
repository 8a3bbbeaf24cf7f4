"""HTTP/2 clients of the gateway: frames by hand, as a Pipy sidecar speaks them, and the h2 library as an RFC client."""

import socket
import ssl
import struct
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final, Self

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hpack

from tests.support import wire
from tests.vectors.http2 import CODES, PREFACE, Frame, frame, frames

WINDOW: Final = 1 << 20


class FrameClient:
    """A connection spoken frame by frame. Frames that come are kept in `seen`; PING and SETTINGS are acknowledged."""

    def __init__(self, port: int, opening: bytes = PREFACE + frame("SETTINGS")) -> None:
        self.socket = wire.connect(port)
        self.socket.sendall(opening)
        self.buffer = b""
        self.seen: list[Frame] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, kind: str, flags: int = 0, stream: int = 0, payload: bytes = b"") -> None:
        self.socket.sendall(frame(kind, flags, stream, payload))

    def next(self) -> Frame | None:
        """The next frame; None when the connection has ended."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            data = self.socket.recv(65536)
            if not data:
                return None
            self.buffer += data
        length = int.from_bytes(self.buffer[:3], "big")
        raw, self.buffer = self.buffer[: 9 + length], self.buffer[9 + length :]
        found = _frame(raw)
        self.seen.append(found)
        if found.kind in ("PING", "SETTINGS") and not found.flags & 1:
            self.send(found.kind, 1, 0, found.payload if found.kind == "PING" else b"")
        return found

    def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        """The first frame from now on that is wanted."""
        while (found := self.next()) is not None:
            if wanted(found):
                return found
        raise AssertionError(f"the connection ended; seen: {self.seen[-5:]}")

    def to_the_end(self) -> list[Frame]:
        """Bytes that still come."""
        found = []
        while (one := self.next()) is not None:
            found.append(one)
        return found


def _frame(raw: bytes) -> Frame:
    (found,) = frames(raw)
    return found


def goaway(client: FrameClient) -> str:
    """The error of the GOAWAY that comes next."""
    found = client.until(lambda one: one.kind == "GOAWAY")
    return CODES[int.from_bytes(found.payload[4:8], "big")]


class PipySidecar(FrameClient):
    """One upstream session of a Pipy 1.5 sidecar: byte for byte its opening, and as touchy as it is.

    It tolerates no frame but RST_STREAM, PRIORITY and HEADERS on a stream that is closed for it, nothing larger than
    16,384 bytes, no GOAWAY while it has streams, no 1xx, and no second SETTINGS.
    """

    OPENING: Final = PREFACE + bytes.fromhex(
        "000018040000000000 000100001000 000200000000 000400100000 000500004000 000004080000000000 000f0001"
    )

    def __init__(self, port: int) -> None:
        super().__init__(port, self.OPENING)
        self.last = -1
        self.decoder = hpack.Decoder()  # another than ours
        self.status: dict[int, int] = {}
        self.data: dict[int, bytes] = defaultdict(bytes)
        self.open: set[int] = set()
        self.ended: set[int] = set()
        self.settings = 0
        self.taken = 0

    def connect(self, target: str) -> int:
        """Asks for a tunnel; the stream's number. No Huffman, no indexing, as the sidecar does it."""
        self.last += 2
        path = target.encode()
        head = b"\x02\x07CONNECT\x86\x04" + bytes([len(path)]) + path
        self.send("HEADERS", 4, self.last, head)
        self.open.add(self.last)
        return self.last

    def write(self, stream: int, data: bytes, end: bool = False) -> None:
        self.send("DATA", 1 if end else 0, stream, data)

    def end(self, stream: int) -> None:
        """The application has closed: END_STREAM, and the stream is gone for the sidecar once both have ended."""
        self.send("DATA", 1, stream)

    def reset(self, stream: int) -> None:
        self.send("RST_STREAM", 0, stream, (8).to_bytes(4, "big"))
        self.open.discard(stream)

    def step(self) -> Frame | None:
        """Takes one frame as the sidecar would."""
        found = self.next()
        if found is None:
            return None
        assert len(found.payload) <= 16384, "a frame larger than it takes"
        # Every block changes the decoder's table, also that of a closed stream.
        fields = dict(self.decoder.decode(found.payload, raw=True)) if found.kind == "HEADERS" else {}
        if found.kind == "GOAWAY":
            assert not self.open, "GOAWAY tears down every stream it has"
        elif found.kind == "SETTINGS":
            self.settings += not found.flags & 1
            assert self.settings == 1, "a second SETTINGS"
        elif found.stream and found.stream not in self.open:
            assert found.kind in ("RST_STREAM", "PRIORITY", "HEADERS"), f"{found.kind} on a closed stream"
        elif found.kind == "HEADERS":
            self.status[found.stream] = int(fields[b":status"])
            assert self.status[found.stream] >= 200, "1xx is a failure"
        elif found.kind == "DATA":
            self.data[found.stream] += found.payload
            self.taken += len(found.payload)
            if found.payload:
                self.send("WINDOW_UPDATE", 0, found.stream, len(found.payload).to_bytes(4, "big"))
                self.send("WINDOW_UPDATE", 0, 0, len(found.payload).to_bytes(4, "big"))
        elif found.kind == "RST_STREAM":
            self.open.discard(found.stream)
            self.ended.add(found.stream)
        if found.kind in ("HEADERS", "DATA") and found.flags & 1:
            self.open.discard(found.stream)
            self.ended.add(found.stream)
        return found

    def wait(self, done: Callable[[], bool], what: str) -> None:
        while not done():
            assert self.step() is not None, f"the connection ended before {what}"

    def wait_for_end(self, stream: int) -> None:
        self.wait(lambda: stream in self.ended, "the stream's end")


class Stream:
    """One of an RFC client's streams, as the client knows it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.data = b""
        self.ended = False
        self.reset: int | None = None

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


class RfcClient:
    """The h2 library over one connection. `streams` tells what came; received data is acknowledged unless held."""

    def __init__(self, port: int, secure: ssl.SSLContext | None = None, way: Any = None) -> None:
        """`way`: what a socket is, in place of a connection to the port."""
        if way is not None:
            self.socket: socket.socket = way
        elif secure is None:
            self.socket = wire.connect(port)
        else:
            plain = socket.create_connection(("127.0.0.1", port), timeout=20)
            self.socket = secure.wrap_socket(plain, server_hostname="gateway.test")
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.connection.initiate_connection()
        self.connection.increment_flow_control_window(1 << 24)
        self.streams: dict[int, Stream] = {}
        self.held: set[int] = set()
        self.goaway: int | None = None
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.connection.data_to_send())

    def request(self, fields: list[tuple[str, str]], end: bool = False) -> int:
        number: int = self.connection.get_next_available_stream_id()
        self.streams[number] = Stream()
        self.connection.send_headers(number, fields, end_stream=end)
        self.flush()
        return number

    def connect(self, target: str, *fields: tuple[str, str]) -> int:
        return self.request([(":method", "CONNECT"), (":authority", target), *fields])

    def open(self, target: str, *fields: tuple[str, str]) -> int:
        """A tunnel that is answered with 200."""
        number = self.connect(target, *fields)
        assert self.answer(number).status == 200, vars(self.streams[number])
        return number

    def answer(self, number: int) -> Stream:
        self.wait(lambda: bool(self.streams[number].status) or self.streams[number].over)
        return self.streams[number]

    def refused(self, target: str, *fields: tuple[str, str]) -> Stream:
        """A whole answer to a request that is not granted."""
        return self.over(self.connect(target, *fields))

    def over(self, number: int) -> Stream:
        """A stream once it has ended."""
        self.wait(lambda: self.streams[number].over)
        return self.streams[number]

    def write(self, number: int, data: bytes, end: bool = False) -> None:
        """Sends everything, as windows allow, until the stream is reset. The far side's end does not end this side."""
        while (data or end) and self.streams[number].reset is None:
            room = min(self.connection.local_flow_control_window(number), self.connection.max_outbound_frame_size)
            if data and room <= 0:
                self.step()
                continue
            part, data = data[:room], data[room:]
            self.connection.send_data(number, part, end_stream=end and not data)
            self.flush()
            if not data:
                return

    def read(self, number: int, count: int) -> bytes:
        """`count` bytes of a stream, fewer at its end."""
        stream = self.streams[number]
        self.wait(lambda: len(stream.data) >= count or stream.over)
        found, stream.data = stream.data[:count], stream.data[count:]
        return found

    def echoes(self, number: int, data: bytes = b"\x00ping") -> bool:
        self.write(number, data)
        return self.read(number, len(data)) == data

    def reset(self, number: int) -> None:
        self.connection.reset_stream(number, 8)
        self.flush()

    def wait(self, done: Callable[[], bool]) -> None:
        while not done():
            self.step()

    def step(self) -> None:
        """Takes what has come."""
        data = self.socket.recv(65536)
        assert data, "the connection has ended"
        for event in self.connection.receive_data(data):
            self.take(event)
        self.flush()

    def take(self, event: Any) -> None:
        stream = self.streams.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code or 0)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            fields = {_text(name): _text(value) for name, value in event.headers}
            stream.status, stream.headers = int(fields[":status"]), fields
        elif isinstance(event, h2.events.DataReceived):
            stream.data += event.data
            if event.stream_id not in self.held:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = int(event.error_code)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def abort(connection: socket.socket) -> None:
    """Closes with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
