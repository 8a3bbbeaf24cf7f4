"""Access log lines from segments to the log: all of them, once, in pieces of whole lines, without a wake for each."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator

import pytest

from supervisor.logs.access_log import AccessLog
from supervisor.segment.segment import PIECE, Segment
from supervisor.tunnels.lines import Lines
from supervisor.workers.slot import Slot
from tests.supervisor.segment.test_segment import write_lines

TUNNEL, DECISION = 2, 1


class Kept(AccessLog):
    """An access log that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(lambda text: None)
        self.given: list[tuple[str, bytes]] = []

    def write_batch(self, text: bytes, count: int, level: str) -> None:
        assert text.count(b"\n") == count and text.endswith(b"\n")
        self.given.append((level, text))


class World:
    """Two slots, and the log."""

    def __init__(self) -> None:
        self.slots = [Slot(number, Segment(number, 8)) for number in range(2)]
        self.log = Kept()
        self.lines: Lines | None = None

    def run(self, test: Callable[[Lines], Awaitable[None]]) -> None:
        async def main() -> None:
            self.lines = Lines(asyncio.get_running_loop(), lambda: self.slots, self.log)
            try:
                await test(self.lines)
            finally:
                self.lines.close()

        asyncio.run(main())

    async def arrives(self, count: int) -> None:
        while len(self.log.given) < count:
            await asyncio.sleep(0.001)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    for slot in made.slots:
        slot.segment.close()


def test_one_wake_takes_what_waits_in_all_segments(world: World) -> None:
    async def test(lines: Lines) -> None:
        write_lines(world.slots[0].segment, TUNNEL, b"a\n")
        write_lines(world.slots[1].segment, DECISION, b"b\nc\n")
        os.eventfd_write(lines.fd, 1)
        await world.arrives(2)
        write_lines(world.slots[1].segment, TUNNEL, b"d\n")  # within the pause
        os.eventfd_write(lines.fd, 1)
        os.eventfd_write(lines.fd, 1)
        await world.arrives(3)

    world.run(test)
    assert world.log.given == [("tunnel", b"a\n"), ("decision", b"b\nc\n"), ("tunnel", b"d\n")]


def test_the_end_takes_what_no_worker_told_of(world: World) -> None:
    async def test(_: Lines) -> None:
        write_lines(world.slots[0].segment, TUNNEL, b"last\n")

    world.run(test)
    assert world.log.given == [("tunnel", b"last\n")]


def test_much_at_once_comes_in_pieces_of_whole_lines(world: World) -> None:
    text = b"".join(b"%06d %b\n" % (number, b"x" * (number % 300)) for number in range(10_000))

    async def test(_: Lines) -> None:
        write_lines(world.slots[0].segment, TUNNEL, text)

    world.run(test)
    assert b"".join(piece for _, piece in world.log.given) == text
    assert len(world.log.given) > 5 and max(len(piece) for _, piece in world.log.given) <= PIECE


def test_last_lines_of_a_dead_worker_are_those_taken_before_as_well(world: World) -> None:
    async def test(lines: Lines) -> None:
        first, second = world.slots[0].segment, world.slots[1].segment
        write_lines(first, TUNNEL, b"one\n")
        write_lines(second, TUNNEL, b"other\n")
        lines.collect()
        write_lines(first, TUNNEL, b"two\n")
        assert lines.last_of(first) == b"one\ntwo\n"
        assert lines.last_of(first) == b"", "the next worker of the slot begins anew"

    world.run(test)
    assert [text for _, text in world.log.given] == [b"one\n", b"other\n", b"two\n"]


def test_the_old_target_gets_what_was_meant_for_it(world: World) -> None:
    async def test(lines: Lines) -> None:
        write_lines(world.slots[0].segment, TUNNEL, b"old\n")
        world.log.before_change()
        assert world.log.given == [("tunnel", b"old\n")]

    world.run(test)
