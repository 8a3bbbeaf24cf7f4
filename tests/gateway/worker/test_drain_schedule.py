"""How a draining worker spreads the end of the tunnels that are left."""

import pytest

from gateway.worker.drain_schedule import DrainSchedule


def ended(connections: int, seconds: float, leaving: int = 0) -> tuple[list[int], float]:
    """The steps in which they were ended, and the seconds from the first step to the deadline. `leaving`: connections
    that end by themselves between two steps."""
    now = 1000.0
    schedule = DrainSchedule(now, seconds)
    now += schedule.quiet
    begun, steps = now, []
    while True:
        ends, wait = schedule.step(now, connections)
        assert 0 <= ends <= connections
        steps += [ends] if ends else []
        connections -= ends
        if wait is None:
            assert connections == 0 and now >= schedule.until
            return steps, schedule.until - begun
        assert wait > 0
        now += wait
        connections -= min(connections, leaving)


def test_ends_are_spread_evenly_over_the_last_fifth() -> None:
    steps, span = ended(10_000, 30.0)
    assert span == pytest.approx(6.0)
    assert len(steps) > 100 and max(steps) <= 100


def test_a_few_connections_are_spread_as_well() -> None:
    assert ended(3, 30.0)[0] == [1, 1, 1]


def test_connections_that_end_by_themselves_count() -> None:
    assert ended(1000, 30.0, leaving=9)[0] == []
    assert sum(ended(1000, 30.0, leaving=4)[0]) == pytest.approx(520, abs=10)


def test_no_time_at_all_ends_them_at_once() -> None:
    steps, _ = ended(500, 0.001)
    assert sum(steps) == 500 and len(steps) <= 2


def test_nothing_is_ended_where_nothing_is_left() -> None:
    assert ended(0, 30.0)[0] == []
