"""Live tunnels over all workers: pages, killing one, and what becomes of them when a worker dies."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, Final

import pytest

from gateway import contract
from supervisor.logs.access_log import AccessLog
from supervisor.segment.labels import OUTCOMES, write_key
from supervisor.segment.rule_slots import RuleSlots
from supervisor.segment.segment import RECORD, Segment, size_of
from supervisor.tunnels.filter import TunnelFilter, make_filter
from supervisor.tunnels.live import NoSuchTunnel, Page, Tunnels
from supervisor.tunnels.view import Viewer
from supervisor.workers.slot import Slot
from tests.support.writer import Writer

ANY: Final = make_filter(TunnelFilter())
LOST: Final = OUTCOMES.index("worker_lost")


class Lines(AccessLog):
    """An access log that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(lambda text: None)
        self.given: list[tuple[str, dict[str, Any]]] = []

    def write(self, lines: Iterable[bytes], level: str) -> None:
        self.given += [(level, json.loads(line)) for line in lines]

    def write_batch(self, text: bytes, count: int, level: str) -> None:
        assert text.count(b"\n") == count
        self.write(text.splitlines(), level)


class World:
    """Two slots whose workers are written by hand."""

    def __init__(self) -> None:
        self.slots = [Slot(number, Segment(number, 2000)) for number in range(2)]
        self.workers = [Writer(slot.segment, start=0x100 + slot.number) for slot in self.slots]
        self.log = Lines()
        self.sent: list[tuple[int, Mapping[str, object]]] = []
        self.on_send: Callable[[], bool] = lambda: True
        self.waiting = b""  # lines of a worker that has died
        self.tunnels = Tunnels(lambda: self.slots, self.viewer, self.send, self.log, lambda _: self.waiting)

    async def viewer(self) -> Viewer:
        return Viewer(1, ["mesh"], RuleSlots())

    def send(self, slot: int, message: Mapping[str, object]) -> bool:
        self.sent.append((slot, message))
        return self.on_send()

    def page(self, *arguments: Any) -> Page:
        return asyncio.run(self.tunnels.page(*arguments))

    def close(self) -> None:
        for worker in self.workers:
            worker.__exit__()
        for slot in self.slots:
            slot.segment.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def ids(page: Page) -> list[object]:
    return [item["id"] for item in page.items]


def test_nothing_is_a_page_too(world: World) -> None:
    assert world.page(ANY) == Page([], None)


def test_all_workers_are_listed(world: World) -> None:
    world.workers[1].tunnel(5)
    world.workers[0].tunnel(7)
    assert ids(world.page(ANY)) == ["0-100-7", "1-101-5"]


def test_pages_hold_every_tunnel_once(world: World) -> None:
    for number in range(1, 701):
        world.workers[number % 2].tunnel(number)
    seen: list[object] = []
    after: str | None = None
    lengths = []
    while True:
        page = world.page(ANY, 300, after)
        seen += ids(page)
        lengths.append(len(page.items))
        after = page.next
        if after is None:
            break
    assert lengths == [300, 300, 100]
    assert len(set(seen)) == len(seen) == 700
    assert world.page(ANY, 700).next is None, "a page that holds the rest names no next one"


def test_a_page_passes_over_what_ended_meanwhile(world: World) -> None:
    records = [world.workers[0].tunnel(number) for number in range(1, 11)]
    first = world.page(ANY, 4)
    for record in records[2:7]:
        world.workers[0].release(record)
    assert ids(world.page(ANY, 10, first.next)) == ["0-100-8", "0-100-9", "0-100-10"]


def test_filtered_pages_are_full(world: World) -> None:
    for number in range(1, 1001):
        world.workers[0].tunnel(number, port=443 if number % 10 else 80)
    match = make_filter(TunnelFilter(to="*.com:80"))
    page = world.page(match, 60)
    assert len(page.items) == 60 and page.next is not None
    assert len(world.page(match, 60, page.next).items) == 40


@pytest.mark.parametrize("after", ["", "x", "1", "1.", ".1", "-1.0", "1.0.0", "9" * 40 + ".1", "\u0661.1"])
def test_a_next_that_no_page_gave(world: World, after: str) -> None:
    with pytest.raises(ValueError, match="next"):
        world.page(ANY, 10, after)


@pytest.mark.parametrize("after", ["7.0", "0.99999999", "1.5000"])
def test_a_next_past_the_end(world: World, after: str) -> None:
    world.workers[0].tunnel(1)
    assert world.page(ANY, 10, after) == Page([], None)


def test_a_table_of_garbage_is_listed_without_harm(world: World) -> None:
    os.pwrite(world.slots[0].segment.fd, b"\xfe" * (2000 * RECORD), size_of(0))
    os.pwrite(world.slots[0].segment.fd, b"\xff" * 4, 44)
    world.workers[1].tunnel(3)
    page = world.page(ANY, 1000)
    assert len(page.items) == 1000 and page.next == "0.1000"
    assert ids(world.page(ANY, 1000, "0.2000")) == ["1-101-3"]


def test_the_loop_turns_while_a_long_list_is_made(world: World) -> None:
    for number in range(1, 2001):
        world.workers[0].tunnel(number)
    turns = 0

    async def ask() -> None:
        nonlocal turns
        listing = asyncio.ensure_future(world.tunnels.page(make_filter(TunnelFilter(rule="EgressPolicy/none")), 1000))
        while not listing.done():
            turns += 1
            await asyncio.sleep(0)

    asyncio.run(ask())
    assert turns >= 10


def kill(world: World, text: str) -> bool:
    return asyncio.run(world.tunnels.kill(text))


def test_kill_tells_the_worker_and_waits(world: World) -> None:
    world.workers[1].tunnel(4)
    record = world.workers[1].tunnel(5)

    def follow() -> bool:
        asyncio.get_running_loop().call_later(0.05, world.workers[1].release, record)
        return True

    world.on_send = follow
    assert kill(world, "1-101-5") is True
    assert world.sent == [(1, {"op": contract.KILL, "sequence": 5})]


def test_kill_says_when_the_worker_does_not_follow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.workers[1].tunnel(5)
    monkeypatch.setattr("supervisor.tunnels.live.KILL_PATIENCE", 0.05)
    assert kill(world, "1-101-5") is False
    world.on_send = lambda: False
    assert kill(world, "1-101-5") is False


@pytest.mark.parametrize("text", ["1-101-6", "1-100-5", "0-101-5", "2-101-5", "1-101-0", "x", "", "1-101-5 "])
def test_only_what_is_open_is_killed(world: World, text: str) -> None:
    world.workers[1].tunnel(5)
    with pytest.raises(NoSuchTunnel):
        kill(world, text)
    assert world.sent == []


def die(world: World, slot: int) -> None:
    """As the pool does it when a worker was reaped."""

    async def steps() -> None:
        world.tunnels.worker_died(world.slots[slot])
        world.slots[slot].segment.reap()
        await world.tunnels.settle()

    asyncio.run(steps())


def test_tunnels_of_a_dead_worker_get_their_close_lines(world: World) -> None:
    for number in range(1, 501):
        world.workers[0].tunnel(number, protocol=1 if number % 5 else 3, up=number, down=2 * number)
    world.workers[0].release(world.workers[0].tunnel(501))
    world.workers[0].labelled(write_key("tunnels_total", 1, LOST), 1)
    world.workers[1].tunnel(1)
    die(world, 0)
    assert {level for level, _ in world.log.given} == {"tunnel"}
    lines = [line for _, line in world.log.given]
    assert [line["id"] for line in lines] == [f"0-100-{number}" for number in range(1, 501)]
    assert {(line["event"], line["outcome"]) for line in lines} == {("close", "worker_lost")}
    assert [(line["bytes_up"], line["bytes_down"]) for line in lines] == [(n, 2 * n) for n in range(1, 501)]
    counted = world.slots[0].segment.labelled()
    assert counted[write_key("tunnels_total", 1, LOST)] == 401
    assert counted[write_key("tunnels_total", 3, LOST)] == 100
    assert world.tunnels.lost == 500
    assert ids(world.page(ANY)) == ["1-101-1"], "the other worker's is still there"


def test_a_tunnel_whose_close_line_waits_gets_no_second_one(world: World) -> None:
    """Its worker died between the line and the release of its record: two lines would count its bytes twice."""
    for number in (7, 8):
        world.workers[0].tunnel(number, up=100, down=200)
    world.waiting = b'{"ts":"x","event":"open","id":"0-100-8"}\n{"ts":"x","event":"close","id":"0-100-7"}\n'
    die(world, 0)
    assert [line["id"] for _, line in world.log.given if line["event"] == "close"] == ["0-100-8"]


def test_a_worker_that_had_no_tunnel_leaves_no_line(world: World) -> None:
    die(world, 0)
    assert world.log.given == [] and world.tunnels.lost == 0


def test_the_table_of_a_worker_that_went_mad_is_survived(world: World) -> None:
    os.pwrite(world.slots[0].segment.fd, b"\xff" * (2000 * RECORD), size_of(0))
    os.pwrite(world.slots[0].segment.fd, b"\xff" * 4, 44)
    die(world, 0)
    assert len(world.log.given) == 2000
    assert world.slots[0].segment.in_use() == []


def test_lists_are_made_one_at_a_time(world: World) -> None:
    for number in range(1, 2001):
        world.workers[0].tunnel(number)
    running, most = 0, 0
    plain = world.viewer

    async def counted() -> Viewer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        return await plain()

    async def one() -> None:
        nonlocal running
        await world.tunnels.page(ANY, 1000)
        running -= 1

    async def many() -> None:
        works: list[Coroutine[Any, Any, None]] = [one() for _ in range(8)]
        await asyncio.gather(*works)

    world.tunnels = Tunnels(lambda: world.slots, counted, world.send, world.log, lambda _: b"")
    asyncio.run(many())
    assert most == 1
