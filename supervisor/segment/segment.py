"""The shared segment of a worker slot, seen from the supervisor: read without asking the worker.

The layout is that of csrc/shared/segment.h (gateway/tables); test_segment.py reads what the C code writes. A
segment belongs to the slot and outlives its workers, so counters never go down (DESIGN.md section 3).

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

from gateway import tables
from gateway.pending import take_lines

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
    "layout",
    "size_of",
    "total",
]

MAGIC: Final[int] = tables.SEGMENT_MAGIC
VERSION: Final[int] = tables.SEGMENT_VERSION
COUNTERS: Final[tuple[str, ...]] = tuple(name for name, _, _ in tables.COUNTERS)
HISTOGRAMS: Final[tuple[str, ...]] = tuple(tables.HISTOGRAMS)
FAMILIES: Final[tuple[str, ...]] = tuple(row[0] for row in tables.FAMILIES)
BUCKETS: Final[int] = tables.BUCKETS
BUCKET_FIRST_US: Final[int] = tables.BUCKET_FIRST_US
LABELLED_MAX: Final[int] = tables.LABELLED_MAX
LABEL_OTHER: Final[int] = tables.LABEL_OTHER
SLOT_NONE: Final[int] = tables.RULE_SLOT_NONE
TUNNELS_MAX: Final[int] = tables.TUNNELS_MAX
RECORD: Final[int] = tables.TUNNEL_SIZE  # bytes of a live tunnel
PENDING_LOGS: Final[int] = tables.PENDING_LOGS

_COUNTERS_AT: Final[int] = tables.COUNTERS_AT
_HISTOGRAMS_AT: Final[int] = tables.HISTOGRAMS_AT
_LABELLED_AT: Final[int] = tables.LABELLED_AT
_TUNNELS_AT: Final[int] = tables.TUNNELS_AT
_PLACES: Final[dict[str, int]] = {name: at for name, at, _ in tables.SEGMENT_FIELDS}
_NUMBER_AT, _STATE_AT = (at for name, at, _ in tables.TUNNEL_FIELDS if name in ("number", "state"))
_WORD = (1 << 64) - 1
_LONGEST = "turn_longest_us"  # a maximum, not a sum
_GAUGES = frozenset(FAMILIES.index(name) + 1 for name in ("tunnels_open", "upstream_connections"))
_ROUTES_AT: Final[int] = tables.ROUTES_AT
_ROUTE: Final[int] = tables.ROUTE_TIMES_SIZE
_ROUTES_MAX: Final[int] = tables.ROUTE_TIMES_MAX
_WIPE = 4096  # records at a time
PIECE: Final = 32_768  # bytes of lines that are written, or dropped, together


def layout(fields: Iterable[tuple[str, int, int]]) -> struct.Struct:
    """Reads a structure of C whose fields (name, position, size in bytes) leave no gap: whole numbers, else bytes."""
    codes = {1: "B", 2: "H", 4: "I", 8: "Q"}
    found = struct.Struct("=" + "".join(codes.get(size, f"{size}s") for _, _, size in fields))
    assert found.size == sum(size for _, _, size in fields), "a gap"
    return found


_HEADER: Final = layout(tables.SEGMENT_FIELDS)


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
    routes_used: int


assert Header._fields == tuple(_PLACES)


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

    def routes(self) -> dict[tuple[int, int], Histogram]:
        """How long requests took, by route slot and number of their status class (STATUS_CLASSES)."""
        found: dict[tuple[int, int], Histogram] = {}
        first = _ROUTES_AT // 8
        for index in range(min(self.header().routes_used, _ROUTES_MAX)):
            at = first + index * _ROUTE // 8
            key, sum_us, _, *buckets = self._words[at : at + 3 + BUCKETS].tolist()
            found[key >> 8 & 0xFFFF, key & 0xFF] = Histogram(sum_us, buckets)
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
            struct.pack_into("=I", self._map, _PLACES["labelled_used"], used + 1)
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

    def take_lines(self, level: int, most: int = PIECE) -> tuple[bytes, int]:
        """Access log lines of a level (gateway.contract.LOG_LEVELS) that wait, whole ones with their newlines, in at
        most so many bytes, and how many; of a dead worker as well as of a live one. 0 when none is left."""
        found: tuple[bytes, int] = take_lines(self._bytes, level, most)
        return found

    def reap(self) -> None:
        """After the slot's worker died, and all it left was read: pid 0, gauges and tunnels gone, counters kept (as
        sl_segment_reap). Slow only with very many tunnels: 256 bytes each are wiped."""
        struct.pack_into("=I", self._map, _PLACES["pid"], 0)
        for index, name in enumerate(COUNTERS):
            if name.endswith("_open"):
                self._words[_COUNTERS_AT // 8 + index] = 0
        first = _LABELLED_AT // 8
        for index, key in enumerate(self._words[first : first + 2 * LABELLED_MAX].tolist()[::2]):
            if key >> 56 in _GAUGES:
                self._words[first + 2 * index + 1] = 0
        high = self.tunnels_high()
        for index in range(0, high, _WIPE):
            count = min(_WIPE, high - index)
            self.records[index * RECORD : (index + count) * RECORD] = bytes(count * RECORD)
        for name in ("tunnels_high", "tunnels_free", "tunnels_listed"):
            struct.pack_into("=I", self._map, _PLACES[name], 0)

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
