"""The floor: bench/floor.c, a relay that does nothing but what it must; over TLS, the cryptography alone.

Over TLS it carries nothing: bench/floor/tls.c does the same handshakes in memory, on the core of the proxies.
"""

import re
import subprocess
from pathlib import Path
from typing import Final

from bench.machine import FLOOR, TLS_FLOOR, confined, versions
from bench.peers.base import Absent, Peer

ROW: Final = re.compile(r"TLS 1\.3 P-256(, client certificate)? +full +(\S+) us +resumed +(\S+) us")
IDLE: Final = re.compile(r"idle(, client certificate)? +(\d+) bytes")


def cryptography(where: frozenset[int], handshakes: int, connections: int) -> dict[str, float]:
    """CPU microseconds of a handshake and bytes of an idle connection, on the server's side, by name: `tls full`,
    `mtls resumed`, `tls idle`."""
    command = [str(TLS_FLOOR), str(handshakes), str(connections), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=confined(where))
    found: dict[str, float] = {}
    for client, full, resumed in ROW.findall(done.stdout):
        way = "mtls" if client else "tls"
        found |= {f"{way} full": float(full), f"{way} resumed": float(resumed)}
    return found | {f"{'mtls' if client else 'tls'} idle": float(count) for client, count in IDLE.findall(done.stdout)}


class Floor(Peer):
    name = "floor"
    title = "floor (minimal C relay)"
    ways = ("socks5", "connect", "tls", "mtls")

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
