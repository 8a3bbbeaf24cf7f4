"""The supervisor's segment.py reads what csrc/shared/segment.c writes, takes it over, trusts nothing."""

import ctypes
import os
import struct
from collections.abc import Iterator

import pytest

from gateway import tables
from supervisor.segment import segment
from supervisor.segment.labels import write_key
from supervisor.segment.segment import Segment
from tests.support.writer import Writer, library

OPEN = segment.COUNTERS.index("connections_open")
ACCEPTED = segment.COUNTERS.index("connections_accepted")


@pytest.fixture
def shared() -> Iterator[Segment]:
    opened = Segment(0, 8)
    yield opened
    opened.close()


def test_sizes_are_those_of_the_worker() -> None:
    assert [segment.size_of(count) for count in (0, 1, 1000)] == [
        library().sl_segment_size(count) for count in (0, 1, 1000)
    ]


def test_a_worker_takes_what_was_prepared(shared: Segment) -> None:
    assert shared.header()[:5] == (segment.MAGIC, segment.VERSION, 0, 0, 0)
    assert set(shared.counters().values()) == {0}
    assert shared.labelled() == {}
    with Writer(shared, start=0x1234, pid=99):
        header = shared.header()
    assert (header.pid, header.start, header.tunnel_capacity) == (99, 0x1234, 8)


def write_lines(shared: Segment, level: int, text: bytes) -> None:
    """As a worker whose ring is empty does, whole lines or not."""
    at = tables.LOGS_AT + level * tables.LOG_SIZE
    (written,) = struct.unpack("=Q", os.pread(shared.fd, 8, at))
    os.pwrite(shared.fd, struct.pack("=Q", written), at + 16)
    os.pwrite(shared.fd, text, at + 256)
    os.pwrite(shared.fd, struct.pack("=Q", (written + len(text)) % 2**64), at)


def test_lines_are_taken_once_of_a_dead_worker_as_well(shared: Segment) -> None:
    for level in range(segment.PENDING_LOGS):
        write_lines(shared, level, b"one %d\ntwo\n" % level)
        assert shared.take_lines(level) == (b"one %d\ntwo\n" % level, 2)
        assert shared.take_lines(level) == (b"", 0)
        write_lines(shared, level, b"three\n")
    shared.reap()
    assert [shared.take_lines(level) for level in range(segment.PENDING_LOGS)] == [
        (b"three\n", 1)
    ] * segment.PENDING_LOGS


def test_no_worker_tears_lines(shared: Segment) -> None:
    """Neither by a line without an end, nor by counts of bytes that it has not written."""
    write_lines(shared, 0, b"one\nhal")
    assert shared.take_lines(0) == (b"one\n", 1)
    write_lines(shared, 0, b"no end")
    assert shared.take_lines(0) == (b"", 0)
    at = tables.LOGS_AT
    os.pwrite(shared.fd, struct.pack("=Q", (1 << 64) - 1), at)
    assert shared.take_lines(0) == (b"", 0)
    os.pwrite(shared.fd, struct.pack("=Q", (1 << 64) - 1), at + 16)
    write_lines(shared, 0, b"again\n")
    assert shared.take_lines(0) == (b"again\n", 1)


def test_preparing_is_the_same_on_both_sides(shared: Segment) -> None:
    ours = os.pread(shared.fd, segment.size_of(8), 0)
    theirs = ctypes.create_string_buffer(segment.size_of(8))
    assert library().sl_segment_prepare(theirs, len(ours), 8) == 1
    assert theirs.raw[: len(ours)] == ours


def test_reads_what_a_worker_counts(shared: Segment) -> None:
    key = write_key("decisions_total", 1, 2, 3, 4)
    assert key == library().writer_key(segment.FAMILIES.index("decisions_total"), 1, 2, 3, 4)
    with Writer(shared) as worker:
        for number in range(len(segment.COUNTERS)):
            worker.count(number, number + 1)
        worker.labelled(key, 5)
        worker.labelled(key, 6)
        worker.labelled(write_key("bytes_total"), 0)
        worker.observe(1, 150)
        worker.observe(1, 10**9)
    assert list(shared.counters().values()) == list(range(1, len(segment.COUNTERS) + 1))
    assert shared.labelled() == {key: 11, write_key("bytes_total"): 0}
    found = shared.histograms()["dns_seconds"]
    assert found.sum_us == 150 + 10**9
    assert found.buckets == [0, 1, *[0] * 17, 1]
    assert sum(shared.histograms()["dial_seconds"].buckets) == 0


def test_large_counters_are_read_whole(shared: Segment) -> None:
    with Writer(shared) as worker:
        worker.count(ACCEPTED, (1 << 64) - 1)
        worker.labelled(write_key("bytes_total"), (1 << 63) + 5)
    assert shared.counters()["connections_accepted"] == (1 << 64) - 1
    assert shared.labelled()[write_key("bytes_total")] == (1 << 63) + 5


def test_reaping_clears_gauges_and_tunnels_and_keeps_counters(shared: Segment) -> None:
    opened = write_key("tunnels_open", 1)
    with Writer(shared) as worker:
        worker.count(OPEN, 3)
        worker.count(ACCEPTED, 4)
        worker.labelled(opened, 2)
        worker.labelled(write_key("tunnels_total", 1), 7)
        worker.tunnel(1)
        worker.tunnel(2)
        assert shared.in_use() == [0, 1]
    shared.reap()
    assert shared.header().pid == 0
    assert (shared.counters()["connections_open"], shared.counters()["connections_accepted"]) == (0, 4)
    assert shared.labelled() == {opened: 0, write_key("tunnels_total", 1): 7}
    assert shared.in_use() == [] and shared.tunnels_high() == 0
    with Writer(shared, start=1) as worker:
        assert shared.header().start == 0x1001, "ids are never used twice"
        worker.count(ACCEPTED)
        worker.labelled(write_key("tunnels_total", 1))
    assert shared.counters()["connections_accepted"] == 5
    assert shared.labelled()[write_key("tunnels_total", 1)] == 8


@pytest.fixture
def twins() -> Iterator[list[Segment]]:
    pair = [Segment(0, 4), Segment(0, 4)]
    yield pair
    for shared in pair:
        shared.close()


def test_reaping_is_the_same_on_both_sides(twins: list[Segment]) -> None:
    images = []
    for shared in twins:
        with Writer(shared) as worker:
            for number in range(len(segment.COUNTERS)):
                worker.count(number, 9)
            worker.labelled(write_key("tunnels_open", 2), 3)
            worker.tunnel(5)
            if shared is twins[0]:
                shared.reap()
            else:
                library().sl_segment_reap(worker.base, len(worker.map))
        data = bytearray(os.pread(shared.fd, segment.size_of(4), 0))
        for record in range(4):  # the worker's side counts its locks on
            at = segment.size_of(record)
            data[at : at + 8] = bytes(8)
        images.append(bytes(data))
    assert images[0] == images[1]


def test_counting_for_a_dead_worker(shared: Segment) -> None:
    known, new = write_key("tunnels_total", 1, 2), write_key("tunnels_total", 3, 4)
    with Writer(shared) as worker:
        worker.labelled(known, 1)
    shared.add(known, 2)
    shared.add(new, 3)
    shared.add(new, 4)
    assert shared.labelled() == {known: 3, new: 7}
    with Writer(shared) as worker:
        worker.labelled(new, 1)
        worker.labelled(known, 1)
        for number in range(segment.LABELLED_MAX):
            worker.labelled(write_key("bytes_total", 0, 0, 0, number))
    late = write_key("tunnels_total", 5, 6)
    shared.add(late, 9)
    found = shared.labelled()
    assert (found[known], found[new]) == (4, 8)
    assert late not in found and found[write_key("tunnels_total", 255, 255, 255)] == 9, "the overflow entry"


def test_finding_a_tunnel_by_its_number(shared: Segment) -> None:
    with Writer(shared) as worker:
        first = worker.tunnel(71)
        worker.tunnel(72)
        assert [shared.find(number) for number in (71, 72, 73, 0, -1, 1 << 64)] == [0, 1, None, None, None, None]
        worker.release(first)
        assert shared.find(71) is None
        assert shared.in_use() == [1]
        assert shared.in_use(0, 1) == [] and shared.in_use(1, 5) == [1] and shared.in_use(7, 5) == []


def test_totals_are_sums_and_the_longest_turn_is_a_maximum() -> None:
    pair = [Segment(0), Segment(1)]
    for number, shared in enumerate(pair):
        with Writer(shared) as worker:
            for counter in range(len(segment.COUNTERS)):
                worker.count(counter, 10 + number)
    for name, value in segment.total(pair).items():
        assert value == (11 if name == "turn_longest_us" else 21)
    for shared in pair:
        shared.close()


def test_a_worker_cannot_shrink_it(shared: Segment) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(shared.fd, 0)


def test_room_for_tunnels_is_bounded_and_costs_nothing_until_used() -> None:
    for asked, given in ((-5, 0), (0, 0), (1 << 30, segment.TUNNELS_MAX)):
        shared = Segment(0, asked)
        assert shared.tunnels == given == shared.header().tunnel_capacity
        assert os.fstat(shared.fd).st_blocks * 512 <= 2 * 4096
        shared.close()


@pytest.mark.parametrize("filler", [0xFF, 0x01, 0x5A])
def test_any_bytes_are_read_and_reaped_without_harm(shared: Segment, filler: int) -> None:
    os.pwrite(shared.fd, bytes([filler]) * segment.size_of(8), 0)
    assert len(shared.counters()) == len(segment.COUNTERS)
    assert set(shared.histograms()) == set(segment.HISTOGRAMS)
    assert len(shared.labelled()) <= segment.LABELLED_MAX
    assert shared.tunnels_high() == 8
    assert shared.in_use() == list(range(8))
    assert shared.find(int.from_bytes(bytes([filler]) * 8, "little")) == 0
    shared.add(write_key("tunnels_total", 1), 1)
    shared.reap()
    assert shared.in_use() == []


def test_a_list_of_counters_that_lies_about_its_length(shared: Segment) -> None:
    with Writer(shared) as worker:
        worker.labelled(write_key("bytes_total"), 1)
    os.pwrite(shared.fd, struct.pack("=I", 0xFFFFFFFF), 56)
    assert shared.labelled() == {write_key("bytes_total"): 1}
    os.pwrite(shared.fd, struct.pack("=I", 0), 56)
    assert shared.labelled() == {}
    shared.add(write_key("bytes_total"), 1)
    assert write_key("bytes_total") in shared.labelled()
