"""nghttpx: HTTP/2 CONNECT as a forward proxy, one worker, no access log.

It ends no tunnel itself: it asks the next proxy for each, in HTTP/1.1. Here that next one is the origin, which answers
any CONNECT: the cheapest there can be, as with the others that have one fixed origin.
"""

from pathlib import Path

from bench.peers.base import Peer, find, tunnels_most


class Nghttpx(Peer):
    name = "nghttpx"
    title = "nghttpx"
    ways = ("http2",)
    package = "nghttp2-proxy"

    @classmethod
    def binary(cls) -> Path:
        return find("usr/sbin/nghttpx")

    def command(self) -> list[str]:
        return [
            str(self.binary()),
            "--conf=/dev/null",
            f"--frontend=127.0.0.1,{self.port};no-tls",
            f"--backend=127.0.0.1,{self.origin};;proto=http/1.1",
            "--http2-proxy",
            "--workers=1",
            "--single-process",
            f"--worker-frontend-connections={tunnels_most()}",
            f"--backend-connections-per-host={tunnels_most()}",
            "--accesslog-file=/dev/null",
            "--errorlog-file=/dev/stderr",
            "--no-ocsp",
            "--frontend-http2-window-size=1048576",
        ]

    def target(self, way: str) -> tuple[str, ...]:
        """It does not carry a half-close, which is how tunnels end otherwise."""
        return (*super().target(way), "--end", "reset")
