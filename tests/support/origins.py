"""Local origins for the end-to-end tests: threads that accept, serve one handler each, and remember what they saw.

They are the outside world of the gateway under test. Everything listens on loopback, on a port from bind(0).
"""

import contextlib
import errno
import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

CHUNK = 65536
OTHERS = {"127.0.0.1": (socket.AF_INET6, "::1"), "::1": (socket.AF_INET, "127.0.0.1")}
TWINS: dict[tuple[str, int], socket.socket] = {}


def keep_twin(host: str, port: int) -> bool:
    """Keeps the same port of the other address family without a listener, until release_twin(): names lead to both
    families, and there might be another process's server. False: it is taken."""
    if host not in OTHERS:
        return True
    family, other = OTHERS[host]
    twin = socket.socket(family)
    try:
        twin.bind((other, port))
    except OSError as wrong:
        twin.close()
        return wrong.errno != errno.EADDRINUSE
    TWINS[other, port] = twin
    return True


def release_twin(host: str, port: int) -> None:
    """Of an origin that ends, or because a test wants that port itself."""
    if (twin := TWINS.pop((host, port), None)) is not None:
        twin.close()


class Origin:
    """A TCP server that runs `handler(connection, origin)` in a thread for each connection.

    `seen` collects what handlers note; `errors` what they could not handle. Connections are closed after the handler.
    """

    def __init__(
        self, handler: Callable[[socket.socket, "Origin"], None], host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.handler = handler
        self.host = host
        self.seen: list[object] = []
        self.errors: list[BaseException] = []
        self.noted = threading.Condition()
        self.accepted = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        release_twin(host, port)
        self.listener = socket.create_server((host, port), family=family, backlog=512)
        while not port and not keep_twin(host, self.listener.getsockname()[1]):
            self.listener.close()
            self.listener = socket.create_server((host, 0), family=family, backlog=512)
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # close() alone would leave accept() waiting.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        release_twin(OTHERS.get(self.host, (0, ""))[1], self.port)
        self.thread.join(5)

    def note(self, what: object) -> None:
        """Keeps `what` in `seen` and wakes the threads that wait for it."""
        with self.noted:
            self.seen.append(what)
            self.noted.notify_all()

    def wait(self, count: int = 1, timeout: float = 20) -> list[object]:
        """The notes, once there are `count`."""
        with self.noted:
            assert self.noted.wait_for(lambda: len(self.seen) >= count, timeout), f"only {self.seen} was noted"
            return list(self.seen)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            connection.settimeout(30)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.handler(connection, self)
            except ConnectionError as error:
                self.note(error)
            except Exception as error:
                self.errors.append(error)
                self.note(error)


def received(connection: socket.socket) -> Iterator[bytes]:
    """The chunks of a stream until its end."""
    while chunk := connection.recv(CHUNK):
        yield chunk


def echo(connection: socket.socket, _: Origin) -> None:
    """Sends back what it gets; its own end follows the client's."""
    for chunk in received(connection):
        connection.sendall(chunk)


def collect(connection: socket.socket, origin: Origin) -> None:
    """Reads to the end, notes the bytes, and answers with their SHA-256 in hex: the answer needs a half-close."""
    content = b"".join(received(connection))
    origin.note(content)
    connection.sendall(hashlib.sha256(content).hexdigest().encode())


def digest(connection: socket.socket, origin: Origin) -> None:
    """Reads to the end and notes (length, SHA-256 in hex), keeping nothing: for large streams."""
    total, state = 0, hashlib.sha256()
    for chunk in received(connection):
        total += len(chunk)
        state.update(chunk)
    origin.note((total, state.hexdigest()))
    connection.sendall(state.hexdigest().encode())


def sending(content: bytes) -> Callable[[socket.socket, Origin], None]:
    """Sends `content` at once, ends its direction, and keeps reading: a half-close from the far side."""

    def handler(connection: socket.socket, origin: Origin) -> None:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        origin.note(b"".join(received(connection)))

    return handler


def reset(connection: socket.socket) -> None:
    """Closes with a reset instead of an end: SO_LINGER on, 0 seconds."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def resetting(connection: socket.socket, _: Origin) -> None:
    """Waits for the first bytes, answers half a word, and resets."""
    connection.recv(CHUNK)
    reset(connection)


def holding(connection: socket.socket, origin: Origin) -> None:
    """Says hello and stays until the other side goes away; notes how it went (b"" for an end, an error for a reset)."""
    connection.sendall(b"hello")
    while connection.recv(CHUNK):
        pass
    origin.note(b"")


class _Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"served {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Test output stays about tests."""


class _Server6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


@contextlib.contextmanager
def http_origin(host: str = "127.0.0.1") -> Iterator[int]:
    """An HTTP/1.1 server that answers `served PATH`; gives its port."""
    kind = _Server6 if ":" in host else ThreadingHTTPServer
    server = kind((host, 0), _Page)
    while not keep_twin(host, server.server_address[1]):
        server.server_close()
        server = kind((host, 0), _Page)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        release_twin(OTHERS.get(host, (0, ""))[1], server.server_address[1])
        thread.join(5)
