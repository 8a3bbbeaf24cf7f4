"""An HTTP/1.1 origin that behaves as its path says, well or badly, and keeps every byte that it was sent.

It reads requests by itself, strictly: what it takes for a request is what the gateway sent, not what a library repairs.
"""

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, Self

from tests.support.origins import Origin, reset

LARGE: Final = bytes(range(256)) * 4096  # 1 MiB
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


class Seen(NamedTuple):
    """A request as it came."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Of all fields of a name, in lower case."""
        return [value for key, value in self.fields if key == name]


class Broken(Exception):
    """The bytes are no request."""


class Stream:
    """The bytes of one connection, with all that has come in `raw`."""

    def __init__(self, connection: socket.socket, raw: bytearray) -> None:
        self.connection, self.raw, self.rest = connection, raw, b""

    def more(self) -> None:
        data = self.connection.recv(65536)
        if not data:
            raise EOFError
        self.raw += data
        self.rest += data

    def until(self, end: bytes) -> bytes:
        while end not in self.rest:
            self.more()
        found, _, self.rest = self.rest.partition(end)
        return found

    def exactly(self, count: int) -> bytes:
        while len(self.rest) < count:
            self.more()
        found, self.rest = self.rest[:count], self.rest[count:]
        return found


class HttpOrigin(Origin):
    """`requests` are those that came whole, `heads` all whose head did, `raw` the bytes of each connection."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.requests: list[Seen] = []
        self.heads: list[str] = []
        self.raw: list[bytearray] = []
        self.released = threading.Event()  # ends what stalls
        super().__init__(serve, host, port)

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __exit__(self, *rest: object) -> None:
        self.released.set()
        super().__exit__(*rest)

    def received(self) -> bytes:
        """Everything that has come, over all connections."""
        return b"".join(bytes(one) for one in self.raw)


def serve(connection: socket.socket, origin: Origin) -> None:
    assert isinstance(origin, HttpOrigin)
    origin.raw.append(bytearray())
    stream = Stream(connection, origin.raw[-1])
    try:
        while one_request(stream, origin):
            pass
    except (EOFError, ConnectionError, TimeoutError):
        pass


def one_request(stream: Stream, origin: HttpOrigin) -> bool:
    """Whether the connection goes on."""
    line, *lines = stream.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
    method, target, version = line.split(" ")
    assert version == "HTTP/1.1", line
    fields = [(name.lower(), value.strip()) for name, _, value in (each.partition(":") for each in lines)]
    origin.heads.append(f"{method} {target}")
    path = target.partition("?")[0]
    if path in BEFORE_BODY:
        return BEFORE_BODY[path](stream.connection, origin)
    if ("expect", "100-continue") in fields and path != "/silent-expect":
        stream.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = body_of(stream, dict(fields))
    seen = Seen(method, target, fields, body)
    origin.requests.append(seen)
    if path == "/websocket":
        return websocket(stream, seen)
    return BEHAVIOURS.get(path, echo)(stream.connection, origin, seen)


def body_of(stream: Stream, fields: dict[str, str]) -> bytes:
    if fields.get("transfer-encoding") == "chunked":
        assert "content-length" not in fields
        found = b""
        while size := int(stream.until(b"\r\n"), 16):
            found += stream.exactly(size)
            assert stream.exactly(2) == b"\r\n"
        while stream.until(b"\r\n"):
            pass  # trailers
        return found
    return stream.exactly(int(fields.get("content-length", "0")))


# ---- answers ---------------------------------------------------------------------------------------------------------


def answer(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def echo(connection: socket.socket, _: HttpOrigin, seen: Seen) -> bool:
    """The request, as JSON."""
    told: dict[str, Any] = {
        "method": seen.method,
        "target": seen.target,
        "fields": seen.fields,
        "length": len(seen.body),
        "sha256": hashlib.sha256(seen.body).hexdigest(),
    }
    body = json.dumps(told).encode()
    text = answer(body, "Content-Type: application/json")
    connection.sendall(text[: len(text) - len(body)] if seen.method == "HEAD" else text)
    return True


Act = Callable[[socket.socket, HttpOrigin, Seen], bool]


def sends(data: bytes, goes_on: bool = True) -> Act:
    def act(connection: socket.socket, _: HttpOrigin, seen: Seen) -> bool:
        connection.sendall(data)
        return goes_on

    return act


def resets(connection: socket.socket, _: HttpOrigin, seen: Seen) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    reset(connection)
    return False


def stalls(connection: socket.socket, origin: HttpOrigin, seen: Seen) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf.")
    origin.released.wait(30)
    return False


def silence(connection: socket.socket, origin: HttpOrigin, seen: Seen) -> bool:
    origin.released.wait(30)
    return False


def answers_early(connection: socket.socket, origin: HttpOrigin) -> bool:
    """Before any byte of the content."""
    connection.sendall(answer(b"no more\n", "Connection: close", status="413 Content Too Large"))
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass
    return False


def websocket(stream: Stream, seen: Seen) -> bool:
    """RFC 6455: the opening, then frames of text come back as they were."""
    (key,) = seen.values("sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
    stream.connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept.encode()
    )
    for payload in frames(stream):
        stream.connection.sendall(bytes([0x81, len(payload)]) + payload)
    return False


def frames(stream: Stream) -> Iterator[bytes]:
    """Payloads of masked frames of less than 126 bytes, to a close."""
    while True:
        kind, length = stream.exactly(2)
        mask = stream.exactly(4)
        data = stream.exactly(length & 0x7F)
        if kind & 0xF == 8:
            return
        yield bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


BEFORE_BODY: Final[dict[str, Callable[[socket.socket, HttpOrigin], bool]]] = {"/early": answers_early}
BEHAVIOURS: Final[dict[str, Act]] = {
    "/v1/tickets/7": sends(answer(b'{"ticket": 7, "state": "open"}\n')),
    "/404": sends(answer(b"nothing here\n", status="404 Not Found")),
    "/redirect": sends(answer(b"", "Location: /moved", status="302 Found")),
    "/204": sends(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "/204-length": sends(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
    "/304": sends(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'),
    "/large": sends(answer(LARGE)),
    "/large-chunks": sends(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(LARGE), LARGE)
    ),
    "/until-close": sends(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", goes_on=False),
    "/chunked": sends(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n"
        b"X-Sum: 11\r\n\r\n"
    ),
    "/interim": sends(
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + answer(b"after two\n")
    ),
    "/close": sends(answer(b"and the end\n", "Connection: close"), goes_on=False),
    "/nothing": sends(b"", goes_on=False),
    "/cut": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", goes_on=False),
    "/cut-chunk": sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", goes_on=False),
    "/cut-head": sends(b"HTTP/1.1 200 OK\r\nContent-", goes_on=False),
    "/surplus": sends(answer(b"whole\n") + b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsmuggled\n"),
    "/garbage": sends(b"\x00\x01 this is no answer\r\n\r\n", goes_on=False),
    "/two-lengths": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "/length-and-chunks": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "/bad-chunk": sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", goes_on=False),
    "/huge-head": sends(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n"),
    "/many-fields": sends(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 1100 + b"Content-Length: 0\r\n\r\n"),
    "/wide-head": sends(answer(b"wide\n", *(f"X-Field-{i}: {'v' * 40}" for i in range(900)))),
    "/upgrade-unasked": sends(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", False),
    "/reset": resets,
    "/stall": stalls,
    "/silence": silence,
}
