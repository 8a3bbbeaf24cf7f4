"""The floor: bench/floor.c, a relay that does nothing but what it must."""

from pathlib import Path

from bench.machine import FLOOR, versions
from bench.peers.base import Absent, Peer


class Floor(Peer):
    name = "floor"
    title = "floor (minimal C relay)"
    ways = ("socks5", "connect")

    @classmethod
    def binary(cls) -> Path:
        if not FLOOR.exists():
            raise Absent(f"{FLOOR} is not built")
        return FLOOR

    @classmethod
    def version(cls) -> str:
        return versions()["sluice"]

    def command(self) -> list[str]:
        return [str(self.binary()), f"127.0.0.1:{self.port}"]
