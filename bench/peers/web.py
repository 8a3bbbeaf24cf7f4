"""The origin of HTTP requests as peers know it, and the ways in which they carry requests to it."""

from typing import Final, NamedTuple

__all__ = ["WAYS", "Web"]

# By way: the door of the origin that it leads to, and what the load generator says ahead of a peer.
# get: HTTP/1.1 both sides; get-h2: HTTP/2 in clear, HTTP/1.1; get-tls: HTTP/1.1, HTTP/1.1 over TLS;
# unary: HTTP/2 in clear, HTTP/2 over TLS.
WAYS: Final = {"get": "port", "get-h2": "port", "get-tls": "tls", "unary": "tls_http2"}


class Web(NamedTuple):
    """Ports of `load web`; `silent` accepts and reads nothing. Its certificate has the name `localhost`."""

    port: int
    tls: int
    tls_http2: int
    silent: int

    def of(self, way: str) -> int:
        """The port of a way."""
        return int(getattr(self, WAYS[way]))
