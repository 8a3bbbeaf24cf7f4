"""supervisor/segment.py says the same as csrc/segment.h."""

import os
import re
import struct
from pathlib import Path

import pytest

from supervisor import segment

HEADER = (Path(__file__).parents[2] / "csrc/segment.h").read_text()


def test_counters_are_those_of_the_header_in_its_order() -> None:
    listed = HEADER[HEADER.index("#define SL_COUNTERS(X)") : HEADER.index("#define SL_ENUM_COUNTER")]
    names = re.findall(r'X\(\w+,\s*"(\w+)"', listed)
    assert len(names) == listed.count(" X(")
    assert tuple(names) == segment.COUNTERS


def test_constants_are_those_of_the_header() -> None:
    assert int(re.findall(r"SL_SEGMENT_MAGIC (0x[0-9a-f]+)ull", HEADER)[0], 16) == segment.MAGIC
    (number,) = re.findall(r"SL_SEGMENT_VERSION = (\d+)", HEADER)
    assert int(number) == segment.VERSION


def fill(shared: segment.Segment, pid: int = 77) -> None:
    """What a worker writes: a header, then each counter's index + 1."""
    os.pwrite(shared.fd, struct.pack("<QIIQ", segment.MAGIC, segment.VERSION, pid, 5), 0)
    data = struct.pack(f"<{len(segment.COUNTERS)}Q", *range(1, len(segment.COUNTERS) + 1))
    os.pwrite(shared.fd, data, 64)


def test_reads_what_a_worker_writes() -> None:
    shared = segment.Segment(0)
    assert shared.header()[:4] == (segment.MAGIC, segment.VERSION, 0, 0)
    assert set(shared.counters().values()) == {0}
    fill(shared)
    assert shared.header()[:4] == (segment.MAGIC, segment.VERSION, 77, 5)
    assert list(shared.counters().values()) == list(range(1, len(segment.COUNTERS) + 1))
    shared.close()


def test_reaping_clears_gauges_and_keeps_counters() -> None:
    shared = segment.Segment(0)
    fill(shared)
    before = shared.counters()
    shared.reap()
    after = shared.counters()
    gauges = {name for name in segment.COUNTERS if name.endswith("_open")}
    assert gauges == {"connections_open", "tunnels_open"}
    assert {name for name in after if after[name] != before[name]} == gauges
    assert all(after[name] == 0 for name in gauges)
    assert shared.header()[2] == 0
    shared.close()


def test_totals_are_sums_and_the_longest_turn_is_a_maximum() -> None:
    pair = [segment.Segment(0), segment.Segment(1)]
    fill(pair[0])
    single = segment.total(pair)
    fill(pair[1])
    double = segment.total(pair)
    for name in segment.COUNTERS:
        assert double[name] == (single[name] if name == "turn_longest_us" else 2 * single[name])
    for shared in pair:
        shared.close()


def test_a_worker_cannot_shrink_it() -> None:
    shared = segment.Segment(0)
    with pytest.raises(PermissionError):
        os.ftruncate(shared.fd, 0)
    shared.close()
