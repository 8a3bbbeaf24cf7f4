"""An HTTP/1.1 client by hand: exact bytes out, responses read strictly, one after the other."""

import socket
from typing import NamedTuple, Self

from tests.support import wire
from tests.support.http_origin import Stream


class Response(NamedTuple):
    """`whole`: its end was told by its framing, not by that of the connection."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    trailers: list[tuple[str, str]]
    whole: bool = True

    def value(self, name: str) -> str:
        """Of the one field of a name in lower case; "" where there is none."""
        found = [value for key, value in self.fields if key == name]
        assert len(found) <= 1, found
        return found[0] if found else ""


class Client:
    """One connection to a gateway, from an address of this machine."""

    def __init__(self, port: int, source: str | None = None) -> None:
        self.socket: socket.socket = wire.connect(port, source=source)
        self.stream = Stream(self.socket, bytearray())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, url: str, *fields: str, method: str = "GET") -> Response:
        """One request without content, in absolute-form, and its response."""
        host = url.split("/")[2]
        lines = [f"{method} {url} HTTP/1.1", f"Host: {host}", *fields, "", ""]
        self.send("\r\n".join(lines).encode("latin-1"))
        return self.response(method)

    def response(self, method: str = "GET") -> Response:
        """The next final response; interim ones are left out. EOFError where the connection ends first."""
        while True:
            found = self.any_response(method)
            if found.status >= 200 or found.status == 101:
                return found

    def any_response(self, method: str = "GET") -> Response:
        line, *lines = self.stream.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1", line
        fields = _fields(lines)
        lengths = [value for name, value in fields if name == "content-length"]
        codings = [value for name, value in fields if name == "transfer-encoding"]
        if method == "HEAD" or int(status) < 200 or status in ("204", "304"):
            return Response(int(status), fields, b"", [])
        assert len(lengths) + len(codings) <= 1, "one framing"
        if codings:
            body, trailers = self._chunks()
            return Response(int(status), fields, body, trailers)
        if lengths:
            return Response(int(status), fields, self.stream.exactly(int(lengths[0])), [])
        body = self.stream.rest + wire.to_the_end(self.socket)
        return Response(int(status), fields, body, [], whole=False)

    def _chunks(self) -> tuple[bytes, list[tuple[str, str]]]:
        body = b""
        while size := int(self.stream.until(b"\r\n"), 16):
            body += self.stream.exactly(size)
            assert self.stream.exactly(2) == b"\r\n"
        lines = []
        while line := self.stream.until(b"\r\n"):
            lines.append(line.decode("latin-1"))
        return body, _fields(lines)

    def is_ended(self) -> bool:
        """Whether the gateway ends the connection now, with nothing more to say."""
        try:
            self.stream.more()
        except (EOFError, ConnectionResetError):
            return True
        return False


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
