"""The shared segment of a worker slot, seen from the supervisor: read without asking the worker.

The layout is that of csrc/segment.h; tests/supervisor/test_segment.py parses the header, and reads what the C code
writes. A segment belongs to the slot and outlives its workers, so counters never go down (DESIGN.md section 3).

Nothing that is read is trusted: the worker may have been taken over. Sizes and positions are the supervisor's own; what
the segment says about them is only ever a bound that is cut to those. Live tunnels are read by live_tunnels.py.
"""

import fcntl
import mmap
import os
import struct
from array import array
from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = [
    "BUCKETS",
    "BUCKET_FIRST_US",
    "COUNTERS",
    "FAMILIES",
    "HISTOGRAMS",
    "LABELLED_MAX",
    "LABEL_OTHER",
    "MAGIC",
    "PENDING_LOGS",
    "RECORD",
    "SLOT_NONE",
    "TUNNELS_MAX",
    "VERSION",
    "Header",
    "Histogram",
    "Segment",
    "size_of",
    "total",
]

MAGIC: Final = 0x4745534349554C53
VERSION: Final = 4
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
    "dns_cache_hits",
    "dials",
    "limited",
    "idle_pipes_open",
    "busy_pipes_open",
    "splices_refused",
    "splices_begun",
    "splices_ended",
    "log_dropped",
    "internal_errors",
    "turns",
    "turn_longest_us",
    "http2_connections_open",
    "http2_connections",
    "http2_streams_open",
    "http2_streams",
    "http2_stalls",
    "parent_connections_open",
    "parent_connections",
    "parent_connections_failed",
)
HISTOGRAMS: Final = ("dial_seconds", "dns_seconds", "worker_turn_seconds")
BUCKETS: Final = 20
BUCKET_FIRST_US: Final = 100
FAMILIES: Final = (
    "decisions_total",
    "tunnels_total",
    "tunnels_open",
    "bytes_total",
    "protocol_errors_total",
    "limited_total",
    "log_dropped_total",
    "rejudged_total",
    "http2_abuse_total",
    "http2_resets_total",
)
LABELLED_MAX: Final = 8192
LABEL_OTHER: Final = 0xFF
SLOT_NONE: Final = 0xFFFF
TUNNELS_MAX: Final = 1 << 20
RECORD: Final = 256  # bytes of a live tunnel

_HEADER = struct.Struct("=QIIQQQIIIIII")
_COUNTERS_AT = 64
_HISTOGRAMS_AT = 1024
_LABELLED_AT = 4096
_LOGS_AT = 167936
_LOG_SIZE = 139520  # of struct sl_pending_log
_LOG_TEXT_AT = 256  # of one
PENDING_LOGS: Final = 3
_TUNNELS_AT = 586496
_PID_AT = 12
_HIGH_AT = 44  # tunnels_high, tunnels_free, tunnels_listed
_USED_AT = 56
_NUMBER_AT = 8  # of a record
_STATE_AT = 62  # of a record
_WORD = (1 << 64) - 1
_LONGEST = "turn_longest_us"  # a maximum, not a sum
_GAUGE_FAMILY = FAMILIES.index("tunnels_open")
_WIPE = 4096  # records at a time


class Header(NamedTuple):
    """As written; only the supervisor's own fields (tunnel_capacity before a worker came) are sure."""

    magic: int
    version: int
    pid: int
    generation: int
    start: int
    tunnels_unlisted: int
    tunnel_capacity: int
    tunnels_high: int
    tunnels_free: int
    tunnels_listed: int
    labelled_used: int
    reserved: int


class Histogram(NamedTuple):
    """Observations: the sum in microseconds, and how many fell in each bucket (not cumulative)."""

    sum_us: int
    buckets: list[int]


def size_of(tunnels: int) -> int:
    """Bytes of a segment with so many tunnel records."""
    return _TUNNELS_AT + tunnels * RECORD


class Segment:
    """One slot's segment. The worker is its only writer while it lives; reap() writes when it does not."""

    def __init__(self, slot: int, tunnels: int = 1024) -> None:
        """`tunnels`: how many live tunnels of one worker can be listed. Memory is used only for those there are."""
        self.slot = slot
        self.tunnels = min(max(tunnels, 0), TUNNELS_MAX)
        size = size_of(self.tunnels)
        self.fd = os.memfd_create(f"sluice-segment-{slot}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, size)
            # A worker that shrank it would kill us with SIGBUS.
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._map = mmap.mmap(self.fd, size)
        except BaseException:
            os.close(self.fd)
            raise
        self._bytes = memoryview(self._map)
        # Items of a cast view are loaded as whole words: a counter is never seen half written.
        self._words = self._bytes.cast("Q")
        self.records = self._bytes[_TUNNELS_AT:]
        self._prepare()

    def _prepare(self) -> None:
        """As sl_segment_prepare."""
        for family in range(len(FAMILIES)):
            self._words[_LABELLED_AT // 8 + 2 * family] = (family + 1) << 56 | 0xFFFFFF << 32
        _HEADER.pack_into(self._map, 0, MAGIC, VERSION, 0, 0, 0, 0, self.tunnels, 0, 0, 0, len(FAMILIES), 0)

    def header(self) -> Header:
        """As it stands."""
        return Header(*_HEADER.unpack_from(self._map, 0))

    def counters(self) -> dict[str, int]:
        """Every scalar counter by name; zeros before the first worker."""
        first = _COUNTERS_AT // 8
        return dict(zip(COUNTERS, self._words[first : first + len(COUNTERS)].tolist(), strict=True))

    def histograms(self) -> dict[str, Histogram]:
        """By name."""
        found = {}
        for index, name in enumerate(HISTOGRAMS):
            first = _HISTOGRAMS_AT // 8 + index * (BUCKETS + 2)
            sum_us, _, *buckets = self._words[first : first + BUCKETS + 2].tolist()
            found[name] = Histogram(sum_us, buckets)
        return found

    def labelled(self) -> dict[int, int]:
        """Key -> value of every labelled counter that there is. Overflow entries count once something is in them,
        entries that make no sense never."""
        used = min(self.header().labelled_used, LABELLED_MAX)
        first = _LABELLED_AT // 8
        pairs = self._words[first : first + 2 * used].tolist()
        found: dict[int, int] = {}
        for index, (key, value) in enumerate(zip(pairs[::2], pairs[1::2], strict=True)):
            if (value or index >= len(FAMILIES)) and 0 < key >> 56 <= len(FAMILIES):
                found[key] = found.get(key, 0) + value
        return found

    def add(self, key: int, amount: int) -> None:
        """Counts for a worker that no longer can, as sl_segment_labelled. Only while the slot has no worker."""
        first = _LABELLED_AT // 8
        used = min(max(self.header().labelled_used, len(FAMILIES)), LABELLED_MAX)
        keys = self._words[first : first + 2 * used].tolist()[::2]
        if key in keys:
            index = keys.index(key)
        elif used < LABELLED_MAX:
            index = used
            self._words[first + 2 * index : first + 2 * index + 2] = array("Q", (key, 0))
            struct.pack_into("=I", self._map, _USED_AT, used + 1)
        else:
            index = (key >> 56) - 1
        at = first + 2 * index + 1
        self._words[at] = (self._words[at] + amount) & _WORD

    def tunnels_high(self) -> int:
        """How many of the first records may hold live tunnels."""
        return min(self.header().tunnels_high, self.tunnels)

    def in_use(self, first: int = 0, count: int = TUNNELS_MAX) -> list[int]:
        """Which of `count` records from `first` on hold live tunnels, as they stand."""
        return [first + index for index, state in enumerate(self.states(first, count)) if state]

    def states(self, first: int = 0, count: int = TUNNELS_MAX) -> bytes:
        """The states of `count` records from `first` on, a byte each; zero is free."""
        last = min(first + count, self.tunnels_high())
        return self.records[first * RECORD + _STATE_AT : last * RECORD : RECORD].tobytes()

    def find(self, number: int) -> int | None:
        """The record that holds the live tunnel of that number."""
        if not 0 < number <= _WORD:
            return None
        first = _TUNNELS_AT // 8 + _NUMBER_AT // 8
        numbers = self._words[first : first + self.tunnels_high() * RECORD // 8 : RECORD // 8].tolist()
        for index, found in enumerate(numbers):
            if found == number and self.records[index * RECORD + _STATE_AT]:
                return index
        return None

    def pending_lines(self, level: int) -> bytes:
        """Access log lines of a level (log_queue.LEVELS) that a dead worker had not sent: whole ones."""
        at = _LOGS_AT + level * _LOG_SIZE
        used = min(self._words[at // 8], _LOG_SIZE - _LOG_TEXT_AT)
        text = self._bytes[at + _LOG_TEXT_AT : at + _LOG_TEXT_AT + used].tobytes()
        return text[: text.rfind(b"\n") + 1]

    def reap(self) -> None:
        """After the slot's worker died, and all it left was read: pid 0, gauges and tunnels gone, counters kept (as
        sl_segment_reap). Slow only with very many tunnels: 256 bytes each are wiped."""
        struct.pack_into("=I", self._map, _PID_AT, 0)
        for index, name in enumerate(COUNTERS):
            if name.endswith("_open"):
                self._words[_COUNTERS_AT // 8 + index] = 0
        first = _LABELLED_AT // 8
        for index, key in enumerate(self._words[first : first + 2 * LABELLED_MAX].tolist()[::2]):
            if key >> 56 == _GAUGE_FAMILY + 1:
                self._words[first + 2 * index + 1] = 0
        high = self.tunnels_high()
        for index in range(0, high, _WIPE):
            count = min(_WIPE, high - index)
            self.records[index * RECORD : (index + count) * RECORD] = bytes(count * RECORD)
        struct.pack_into("=III", self._map, _HIGH_AT, 0, 0, 0)
        for level in range(PENDING_LOGS):
            self._words[(_LOGS_AT + level * _LOG_SIZE) // 8] = 0

    def close(self) -> None:
        self.records.release()
        self._words.release()
        self._bytes.release()
        self._map.close()
        os.close(self.fd)


def total(segments: Iterable[Segment]) -> dict[str, int]:
    """Scalar counters of all slots together."""
    sums = dict.fromkeys(COUNTERS, 0)
    for segment in segments:
        for name, value in segment.counters().items():
            sums[name] = max(sums[name], value) if name == _LONGEST else sums[name] + value
    return sums
