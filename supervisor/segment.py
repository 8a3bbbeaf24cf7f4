"""The shared segment of a worker slot, seen from the supervisor: counters read without asking the worker.

The layout is that of csrc/segment.h; tests/supervisor/test_segment.py parses the header and holds the two together.
A segment belongs to the slot and outlives its workers, so counters never go down (DESIGN.md section 3).
"""

import fcntl
import mmap
import os
import struct
from collections.abc import Iterable
from typing import Final

__all__ = ["COUNTERS", "MAGIC", "SIZE", "VERSION", "Segment", "total"]

MAGIC: Final = 0x4745534349554C53
VERSION: Final = 1
SIZE: Final = 4096
COUNTERS: Final = (
    "connections_accepted",
    "connections_open",
    "tunnels_open",
    "tunnels_total",
    "bytes_up",
    "bytes_down",
    "decisions_allow",
    "decisions_deny",
    "decisions_audit",
    "requests_failed",
    "auth_failed",
    "protocol_errors",
    "request_timeouts",
    "tunnels_reset",
    "tunnels_idle_timeout",
    "dns_queries",
    "dns_failures",
    "dials",
    "limited",
    "log_dropped",
    "internal_errors",
    "turns",
    "turn_longest_us",
)

_HEADER = struct.Struct("<QIIQ")  # magic, version, pid, generation
_COUNTERS_AT = 64
_VALUES = struct.Struct(f"<{len(COUNTERS)}Q")
_PID_AT = 12
_LONGEST = "turn_longest_us"  # a maximum, not a sum


class Segment:
    """One slot's segment. The worker is its only writer while it lives; reap() writes when it does not."""

    def __init__(self, slot: int) -> None:
        self.fd = os.memfd_create(f"sluice-segment-{slot}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, SIZE)
            # A worker that shrank it would kill us with SIGBUS.
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._map = mmap.mmap(self.fd, SIZE)
        except BaseException:
            os.close(self.fd)
            raise

    def header(self) -> tuple[int, int, int, int]:
        """(magic, version, pid, generation); zeros before the first worker attached."""
        magic, version, pid, generation = _HEADER.unpack_from(self._map, 0)
        return magic, version, pid, generation

    def counters(self) -> dict[str, int]:
        """Every counter by name; zeros before the first worker attached."""
        return dict(zip(COUNTERS, _VALUES.unpack_from(self._map, _COUNTERS_AT), strict=True))

    def reap(self) -> None:
        """After the slot's worker died: pid 0, gauges zero, counters kept (as sl_segment_reap in csrc/segment.c)."""
        struct.pack_into("<I", self._map, _PID_AT, 0)
        for index, name in enumerate(COUNTERS):
            if name.endswith("_open"):
                struct.pack_into("<Q", self._map, _COUNTERS_AT + 8 * index, 0)

    def close(self) -> None:
        self._map.close()
        os.close(self.fd)


def total(segments: Iterable[Segment]) -> dict[str, int]:
    """Counters of all slots together."""
    sums = dict.fromkeys(COUNTERS, 0)
    for segment in segments:
        for name, value in segment.counters().items():
            sums[name] = max(sums[name], value) if name == _LONGEST else sums[name] + value
    return sums
