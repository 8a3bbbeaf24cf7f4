"""HTTP/2 origins over TLS: the h2 library as an honest one, and frames by hand as a hostile one."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hpack

from tests.support.certificates import Authority
from tests.vectors.http2 import PREFACE, Frame, frames

Fields = list[tuple[str, str]]


class Server:
    """Connections to a port of its own, each with a thread; `live` serves one."""

    def __init__(self, authority: Authority, live: Callable[[ssl.SSLSocket], None], *names: str) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*authority.issue("h2-origin", "127.0.0.1", "localhost", *names))
        self.context.set_alpn_protocols(["h2"])
        self.live = live
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.socket.getsockname()[1]
        self.accepted = 0
        self.open: list[socket.socket] = []

    def __enter__(self) -> "Server":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.end_all()

    def end_all(self) -> None:
        """Ends every connection; the thread of each closes it."""
        while self.open:
            with contextlib.suppress(OSError):
                self.open.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                self.accepted += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError, h2.exceptions.ProtocolError):
            secure = self.context.wrap_socket(connection, server_side=True)
            self.open.append(secure)
            with secure:
                self.live(secure)


# ---- an honest one ----


class Exchange:
    """One request, as far as it came, and what answers it."""

    def __init__(self, connection: h2.connection.H2Connection, number: int, fields: Fields) -> None:
        self.connection, self.number = connection, number
        self.fields = dict(fields)
        self.never_indexed: set[str] = set()  # names of fields that no table of HPACK may keep
        self.body = b""
        self.trailers: Fields = []
        self.unsent = b""
        self.end: Fields | None = None

    def respond(self, status: int, body: bytes = b"", *fields: tuple[str, str], trailers: Fields | None = None) -> None:
        ends = not body and trailers is None
        self.connection.send_headers(self.number, [(":status", str(status)), *fields], end_stream=ends)
        if not ends:
            self.send(body, trailers or [])

    def send(self, data: bytes, end: Fields | None = None) -> None:
        """More content; `end`: it is the last, with these trailers."""
        self.unsent += data
        self.end = end
        self.flush()

    def flush(self) -> None:
        while self.unsent:
            room = min(self.connection.local_flow_control_window(self.number), self.connection.max_outbound_frame_size)
            if room <= 0:
                return
            part, self.unsent = self.unsent[:room], self.unsent[room:]
            last = not self.unsent and self.end == []
            self.connection.send_data(self.number, part, end_stream=last)
            if last:
                return
        if self.end:
            self.connection.send_headers(self.number, self.end, end_stream=True)
        elif self.end == []:
            self.connection.end_stream(self.number)


# Called with "request", "data" or "end": what has come.
Serve = Callable[[Exchange, str], None]


def serving(serve: Serve, settings: dict[Any, int] | None = None) -> Callable[[ssl.SSLSocket], None]:
    """For Server: an h2 server whose answers `serve` gives."""

    def live(secure: ssl.SSLSocket) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        exchanges: dict[int, Exchange] = {}
        connection.initiate_connection()
        if settings:
            connection.update_settings(settings)
        connection.increment_flow_control_window(1 << 24)
        secure.sendall(connection.data_to_send())
        while data := secure.recv(65536):
            for event in connection.receive_data(data):
                number = getattr(event, "stream_id", None) or 0
                if isinstance(event, h2.events.RequestReceived):
                    pairs = [(_text(name), _text(value)) for name, value in event.headers]
                    exchanges[number] = Exchange(connection, number, pairs)
                    kept = [isinstance(field, hpack.NeverIndexedHeaderTuple) for field in event.headers]
                    exchanges[number].never_indexed = {
                        pair[0] for pair, never in zip(pairs, kept, strict=True) if never
                    }
                    serve(exchanges[number], "request")
                elif isinstance(event, h2.events.DataReceived):
                    exchanges[number].body += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, number)
                    serve(exchanges[number], "data")
                elif isinstance(event, h2.events.TrailersReceived):
                    exchanges[number].trailers = [(_text(name), _text(value)) for name, value in event.headers]
                elif isinstance(event, h2.events.StreamEnded):
                    serve(exchanges[number], "end")
                elif isinstance(event, h2.events.WindowUpdated):
                    for exchange in [exchanges[number]] if number in exchanges else exchanges.values():
                        if exchange.unsent:
                            exchange.flush()
                elif isinstance(event, h2.events.StreamReset):
                    exchanges.pop(number, None)
            secure.sendall(connection.data_to_send())

    return live


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


# ---- a hostile one ----


class Frames:
    """A connection spoken frame by frame behind the client's preface."""

    def __init__(self, secure: ssl.SSLSocket) -> None:
        self.secure = secure
        self.buffer = b""
        while len(self.buffer) < len(PREFACE):
            self.buffer += secure.recv(65536)
        self.buffer = self.buffer[len(PREFACE) :]

    def send(self, data: bytes) -> None:
        self.secure.sendall(data)

    def next(self) -> Frame | None:
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            data = self.secure.recv(65536)
            if not data:
                return None
            self.buffer += data
        length = int.from_bytes(self.buffer[:3], "big")
        raw, self.buffer = self.buffer[: 9 + length], self.buffer[9 + length :]
        (found,) = frames(raw)
        return found

    def request(self) -> int:
        """The next request's stream."""
        while (found := self.next()) is not None:
            if found.kind == "HEADERS":
                return found.stream
        raise OSError("the connection has ended")

    def to_the_end(self) -> Iterator[Frame]:
        while (found := self.next()) is not None:
            yield found


def hostile(attack: Callable[[Frames, int], None]) -> Callable[[ssl.SSLSocket], None]:
    """For Server: `attack` answers the first request, then the connection is read to its end."""

    def live(secure: ssl.SSLSocket) -> None:
        spoken = Frames(secure)
        number = spoken.request()
        attack(spoken, number)
        for _ in spoken.to_the_end():
            pass

    return live
