"""A client of TLS listeners that can end its writing alone."""

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Self

from cryptography import x509

CHUNK: Final = 65536


class TlsSocket:
    """A socket as tests use it, over TLS: shutdown(SHUT_WR) is close_notify, and reading goes on behind it."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, name: str = "gateway.test") -> None:
        self.socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._seen = b""
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._step(self._object.do_handshake)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        """Options, addresses and timeouts are the socket's."""
        return getattr(self.socket, name)

    @property
    def protocol(self) -> str | None:
        """That ALPN has chosen."""
        return self._object.selected_alpn_protocol()

    @property
    def version(self) -> str | None:
        return self._object.version()

    def certificate(self) -> x509.Certificate:
        """The server's."""
        found = self._object.getpeercert(binary_form=True)
        assert found is not None
        return x509.load_der_x509_certificate(found)

    def sealed(self, data: bytes) -> bytes:
        """The records of `data`, which are not sent."""
        self._object.write(data)
        return self._outgoing.read()

    def sendall(self, data: bytes) -> None:
        if data:
            self._object.write(data)
            self._flush()

    def send(self, data: bytes) -> int:
        self.sendall(data)
        return len(data)

    def recv(self, most: int) -> bytes:
        if self._seen:
            found, self._seen = self._seen[:most], self._seen[most:]
            return found
        try:
            return bytes(self._step(lambda: self._object.read(most)))
        except ssl.SSLZeroReturnError:
            return b""

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_WR
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while data := self._object.read(CHUNK):  # else the library drops what came before
                self._seen += data
        with contextlib.suppress(ssl.SSLWantReadError):
            self._object.unwrap()
        self._flush()

    def close(self) -> None:
        """With close_notify, unless SO_LINGER asks for a reset."""
        if self.socket.fileno() >= 0 and not self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            with contextlib.suppress(OSError):
                self.shutdown(socket.SHUT_WR)
        self.socket.close()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self.socket.sendall(data)

    def _step(self, call: Callable[[], Any]) -> Any:
        while True:
            try:
                found = call()
                self._flush()
                return found
            except ssl.SSLWantReadError:
                self._flush()
                data = self.socket.recv(CHUNK)
                if not data:
                    raise ConnectionResetError("an end without close_notify") from None
                self._incoming.write(data)
            except ssl.SSLZeroReturnError:
                raise
            except ssl.SSLError:
                self._flush()  # the alert
                raise
