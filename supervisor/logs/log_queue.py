"""The bounded queue in front of a log target, and what is dropped from it first. It writes nothing and locks nothing.

The order of DESIGN.md section 3: when there is no room, interval lines go first, then decisions of whichever source has
the most of them waiting, so that one noisy client cannot push out what is said of the others; lines about tunnels are
refused only when nothing else is left to drop. What stays comes out in the order in which it came in.
"""

import socket
from collections import Counter, deque
from operator import itemgetter
from typing import Final, NamedTuple

from gateway.contract import LOG_LEVELS
from gateway.tables import LOG_EVENTS

__all__ = ["LogQueue", "count_events"]

STEP: Final = 16  # a pass over the decisions makes room for 1/STEP of them, so that its cost spreads over as many lines


class _Entry(NamedTuple):
    number: int  # in the order of arrival
    text: bytes  # a line, or a batch of them
    source: bytes  # of a decision, which stands alone
    lines: int


_SOURCE: Final = itemgetter(2)


class LogQueue:
    """Lines of three levels, alone or in batches. `dropped` counts by event; an unknown event is `other`."""

    def __init__(self, max_lines: int, max_bytes: int) -> None:
        self._most_lines = max_lines
        self._most_bytes = max_bytes
        self._rows: dict[str, deque[_Entry]] = {level: deque() for level in LOG_LEVELS}
        self._number = 0
        self._last_lines = self._last_bytes = 0  # of the level that is never dropped once it is in
        self.lines = self.bytes = 0
        self.dropped: Counter[str] = Counter()

    def put(self, text: bytes, level: str) -> bool:
        """Takes one line (with its newline). False: there was no room for it. A level of no name counts as `tunnel`."""
        return self._put(text, 1, level) == 1

    def put_batch(self, text: bytes, lines: int, level: str) -> int:
        """Takes lines (with their newlines) and returns how many there was room for. They come and go together, but
        that decisions are weighed one by one once there is no room for all."""
        if level != "decision" or self._fits(lines, len(text)):
            return self._put(text, lines, level)
        return sum(self._put(line, 1, level) for line in _lines(text))

    def _put(self, text: bytes, lines: int, level: str) -> int:
        row = self._rows.get(level)
        if row is None:
            level, row = "tunnel", self._rows["tunnel"]
        if not self._fits(lines, len(text)) and not self._make_room(lines, len(text), level):
            self.dropped.update(count_events(text))
            return 0
        self._number += 1
        row.append(_Entry(self._number, text, _source(text) if level == "decision" and lines == 1 else b"", lines))
        if level == "tunnel":
            self._last_lines += lines
            self._last_bytes += len(text)
        self.lines += lines
        self.bytes += len(text)
        return lines

    def take(self, room: int) -> list[bytes]:
        """The oldest lines that fit `room` bytes together, but one at least when there is one."""
        return self.take_counted(room)[0]

    def take_counted(self, room: int) -> tuple[list[bytes], int]:
        """The same, and how many lines these are."""
        batch: list[bytes] = []
        count = 0
        while self.lines:
            row = min((row for row in self._rows.values() if row), key=lambda row: row[0].number)
            if batch and len(row[0].text) > room:
                break
            line = self._remove(row)
            room -= len(line.text)
            batch.append(line.text)
            count += line.lines
        return batch, count

    def clear(self) -> None:
        """Drops everything."""
        for row in self._rows.values():
            while row:
                self._drop(row)

    def _fits(self, lines: int, size: int) -> bool:
        return self.lines + lines <= self._most_lines and self.bytes + size <= self._most_bytes

    def _make_room(self, lines: int, size: int, level: str) -> bool:
        """Drops what may be dropped for lines of `level`, until they fit or nothing is left."""
        intervals, decisions = self._rows["interval"], self._rows["decision"]
        if level == "interval" or self._last_lines + lines > self._most_lines:
            return False
        if self._last_bytes + size > self._most_bytes:
            return False  # and nothing is dropped in vain
        while intervals and not self._fits(lines, size):
            self._drop(intervals)
        while decisions and not self._fits(lines, size):
            self._thin_out(max(1, sum(entry.lines for entry in decisions) // STEP))
        return self._fits(lines, size)

    def _thin_out(self, wanted: int) -> None:
        """Drops at least `wanted` decisions, the oldest of those sources that have the most."""
        row = self._rows["decision"]
        self._take_apart(row)
        counts = Counter(map(_SOURCE, row))
        most = _level(sorted(counts.values(), reverse=True), wanted)
        excess = {source: count - most for source, count in counts.items() if count > most}
        kept: list[_Entry] = []
        for line in row:
            if left := excess.get(line[2]):
                excess[line[2]] = left - 1
                self.lines -= line.lines
                self.bytes -= len(line.text)
                self.dropped[_event(line.text)] += 1
            else:
                kept.append(line)
        row.clear()
        row.extend(kept)

    @staticmethod
    def _take_apart(row: deque[_Entry]) -> None:
        """Makes an entry of each decision: only where some are to be dropped it matters whose they are."""
        if all(entry.lines == 1 for entry in row):
            return
        single = [
            entry._replace(text=line, source=_source(line), lines=1) for entry in row for line in _lines(entry.text)
        ]
        row.clear()
        row.extend(single)

    def _drop(self, row: deque[_Entry]) -> None:
        self.dropped.update(count_events(self._remove(row).text))

    def _remove(self, row: deque[_Entry]) -> _Entry:
        entry = row.popleft()
        if row is self._rows["tunnel"]:
            self._last_lines -= entry.lines
            self._last_bytes -= len(entry.text)
        self.lines -= entry.lines
        self.bytes -= len(entry.text)
        return entry


def count_events(text: bytes) -> Counter[str]:
    """How many lines there are of each event."""
    return Counter(map(_event, _lines(text)))


def _lines(text: bytes) -> list[bytes]:
    """With their newlines, which the last one may lack."""
    found = [line + b"\n" for line in text.split(b"\n")]
    last = found.pop()[:-1]
    return [*found, last] if last else found


def _level(counts: list[int], wanted: int) -> int:
    """The highest level to which counts (descending) must be cut so that `wanted` are cut off together."""
    taken = 0
    for index, count in enumerate(counts):
        below = counts[index + 1] if index + 1 < len(counts) else 0
        step = (count - below) * (index + 1)
        if taken + step >= wanted:
            return count - -(-(wanted - taken) // (index + 1))
        taken += step
    return 0


def _event(text: bytes) -> str:
    """Of an access log line. Its fields stand in the order of CONTRACT.md section 6: nothing of a client's comes before
    this one."""
    name = _field(text, b'"event":"').decode("ascii", "replace")
    return name if name in LOG_EVENTS else "other"


def _source(text: bytes) -> bytes:
    """The source that a decision's line counts for: an IPv4 address, or the /64 of an IPv6 one, as for limits."""
    address = _field(text, b'"ip":"')
    if b":" in address:
        try:
            return socket.inet_pton(socket.AF_INET6, address.decode("ascii"))[:8]
        except (OSError, ValueError):
            pass
    return address


def _field(text: bytes, key: bytes) -> bytes:
    begin = text.find(key)
    if begin < 0:
        return b""
    begin += len(key)
    return text[begin : max(begin, text.find(b'"', begin))]
