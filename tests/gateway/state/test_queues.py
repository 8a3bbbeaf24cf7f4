"""Waiting below the limits of a source: in order by destination, the destinations in turn."""

import time
from collections.abc import Callable

import pytest

from gateway.io.loop import Loop
from gateway.io.watch import Clock
from gateway.state.limits import Limits
from tests.support.limiting import settings, table
from tests.support.queue_probe import Applicant, Probe

ONE, OTHER = 1 << 20, 2 << 30
PATIENCE = 30.0


class Bench:
    """Two workers' queues over one table of limits; the test runs the first one's loop."""

    def __init__(self, **by_kind: int) -> None:
        shared = table(2)
        self.loop = Loop()
        self.limits = [Limits(shared, worker) for worker in range(2)]
        for limits in self.limits:
            limits.load(settings(**by_kind), [])
        self.queues = Probe(self.loop, self.limits[0])
        self.sibling = Probe(Loop(), self.limits[1])
        self.heard: list[Applicant] = []

    def ask(self, wanted: bytes, count: int = 1, kind: str = "dials", source: int = ONE) -> list[Applicant]:
        return [self.queues.ask(source, kind, wanted, self.heard.append) for _ in range(count)]

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        holds = False

        def look() -> None:
            nonlocal holds
            holds = bool(condition())
            if holds or time.monotonic() > deadline:
                self.loop.stop()

        clock = Clock(self.loop, look, 0.002)
        clock.start(0)
        self.loop.run()
        clock.stop()
        assert holds

    def until_heard(self, count: int) -> None:
        self.until(lambda: len(self.heard) == count)

    def until_all_hold(self, applicants: list[Applicant]) -> None:
        self.until(lambda: all(one.holds for one in applicants))

    def settled(self) -> None:
        """Lets everything happen that needs no more than the next turn."""
        turns = self.loop.turns + 4
        self.until(lambda: self.loop.turns >= turns)


def results(applicants: list[Applicant]) -> list[str]:
    return [one.result for one in applicants]


def test_below_the_limit_nobody_waits() -> None:
    bench = Bench(dials=15)
    assert results(bench.ask(b"a", 15)) == ["done"] * 15
    assert bench.queues.waiting == bench.queues.remembered == 0


def test_what_is_over_waits_in_order() -> None:
    bench = Bench(dials=3)
    under_way = bench.ask(b"a", 3)
    waiting = bench.ask(b"a", 4)
    bench.settled()
    assert results(waiting) == ["queued"] * 4
    for count in range(1, 4):
        under_way[count - 1].leave()
        bench.until_heard(count)
        assert bench.heard == waiting[:count]
    assert bench.queues.waiting == 1


def test_destinations_take_turns() -> None:
    bench = Bench(dials=1)
    (under_way,) = bench.ask(b"first")
    many, few = bench.ask(b"many", 6), bench.ask(b"few", 2)
    order = []
    for _ in range(8):
        under_way.leave()
        bench.until_heard(len(bench.heard) + 1)
        under_way = bench.heard[-1]
        order.append(under_way)
    assert order == [many[0], few[0], many[1], few[1], *many[2:]]


def test_one_destination_leaves_room_for_others() -> None:
    """However many ask for one that does not answer, the next one's first request waits for nothing."""
    bench = Bench(dials=500)
    dead = bench.ask(b"dead", 900)
    bench.settled()
    assert 437 <= sum(one.holds for one in dead) < 500
    for number in range(20):
        bench.until_all_hold(bench.ask(b"%d" % number))
    assert sum(one.holds for one in dead) < 500


def test_requests_for_one_destination_do_not_use_up_those_of_a_source() -> None:
    bench = Bench(requests=1000)
    dead = bench.ask(b"dead", 1500, "requests")
    (other,) = bench.ask(b"other", 1, "requests")
    bench.until(lambda: other.holds)
    assert results(dead).count("refused") == 0


def test_a_small_limit_is_met_exactly() -> None:
    bench = Bench(requests=5)
    assert results(bench.ask(b"a", 12, "requests")) == ["done"] * 5 + ["queued"] * 5 + ["refused"] * 2


def test_who_leaves_the_queue_is_passed_over() -> None:
    bench = Bench(dials=1)
    (under_way,) = bench.ask(b"a")
    waiting = [*bench.ask(b"a", 2), *bench.ask(b"b")]
    waiting[0].quit()
    waiting[2].quit()
    waiting[2].quit()
    under_way.leave()
    bench.until(lambda: bench.heard)
    bench.settled()
    assert bench.heard == [waiting[1]]
    waiting[1].leave()
    assert bench.queues.waiting == bench.queues.remembered == 0


def test_who_leaves_makes_room_in_the_queue() -> None:
    bench = Bench(requests=2)
    asked = bench.ask(b"a", 5, "requests")
    assert asked[4].result == "refused"
    asked[3].quit()
    assert results(bench.ask(b"b", 2, "requests")) == ["queued", "refused"]


def test_sources_do_not_wait_for_each_other() -> None:
    bench = Bench(dials=2)
    bench.ask(b"a", 10)
    assert results(bench.ask(b"a", 3, source=OTHER)) == ["done", "done", "queued"]


def test_a_place_that_a_sibling_gives_back_is_found() -> None:
    bench = Bench(dials=2)
    theirs = [bench.sibling.ask(ONE, "dials", b"a") for _ in range(2)]
    (waiting,) = bench.ask(b"a")
    bench.settled()
    assert waiting.result == "queued"
    theirs[0].leave()
    bench.until(lambda: waiting.holds)


def test_a_raised_limit_reaches_those_that_wait() -> None:
    bench = Bench(dials=1)
    bench.ask(b"a")
    waiting = bench.ask(b"a", 3)
    bench.limits[0].load(settings(dials=3), [])
    bench.until(lambda: len(bench.heard) == 2)
    assert results(waiting) == ["granted", "granted", "queued"]


@pytest.mark.parametrize("kind", ["requests", "lookups", "dials"])
def test_nothing_is_left_when_all_have_gone(kind: str) -> None:
    bench = Bench(requests=100, lookups=100, dials=100)
    applicants = [one for number in range(250) for one in bench.ask(b"%d" % (number % 3), 1, kind)]
    while bench.queues.waiting:
        for one in applicants:
            one.leave()
        bench.settled()
    for one in applicants:
        one.quit()
        one.leave()
    bench.settled()
    assert (bench.queues.waiting, bench.queues.remembered) == (0, 0)
    assert [limits.strays for limits in bench.limits] == [0, 0]
    assert bench.loop.failures == 0
    taken = bench.ask(b"again", 100, kind)
    assert sum(one.holds for one in taken) >= 87
