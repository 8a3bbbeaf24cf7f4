"""The floor of HTTP/2: bench/floor/http2.c, CONNECT streams framed by libnghttp2 and copied, and nothing else."""

from pathlib import Path

from bench.machine import H2_FLOOR, versions
from bench.peers.base import Absent, Peer


class H2Floor(Peer):
    name = "h2-floor"
    title = "floor (minimal libnghttp2 server)"
    ways = ("http2",)

    @classmethod
    def binary(cls) -> Path:
        if not H2_FLOOR.exists():
            raise Absent(f"{H2_FLOOR} is not built")
        return H2_FLOOR

    @classmethod
    def version(cls) -> str:
        return versions()["sluice"]

    def command(self) -> list[str]:
        return [str(self.binary()), f"127.0.0.1:{self.port}"]
