"""How a draining worker spreads the end of what is left, step by step, without waiting for a clock."""

import time
from typing import Any

import pytest

from gateway import worker


class Connections:
    """Counts what is ended."""

    def __init__(self, count: int) -> None:
        self.open_connections = count
        self.steps: list[int] = []

    def close_some(self, count: int) -> None:
        self.steps += [count] if count else []
        self.open_connections -= count

    def close_all(self) -> None:
        self.close_some(self.open_connections)


class Alarm:
    """A clock that waits by setting the time."""

    now = 1000.0
    rings_at: float | None = None

    def start(self, delay: float) -> None:
        assert delay > 0
        self.rings_at = self.now + delay


def draining(monkeypatch: pytest.MonkeyPatch, connections: int, seconds: float) -> tuple[list[int], float]:
    """The steps in which they were ended, and how long before the deadline the first came."""
    alarm, context = Alarm(), Connections(connections)
    monkeypatch.setattr(time, "monotonic", lambda: alarm.now)
    one: Any = object.__new__(worker.Worker)
    one._context, one._deadline, one._drain_until, one._spread = context, alarm, alarm.now + seconds, None
    finished: list[bool] = []
    one._finish = lambda: finished.append(True)
    alarm.start(seconds * (1 - worker.SPREAD))
    begun = alarm.rings_at
    while not finished:
        assert alarm.rings_at is not None
        alarm.now, alarm.rings_at = alarm.rings_at, None
        one._on_deadline()
    assert context.open_connections == 0
    assert begun is not None
    return context.steps, one._drain_until - begun


def test_ends_are_spread_evenly_over_the_last_fifth(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, span = draining(monkeypatch, 10_000, 30.0)
    assert span == pytest.approx(6.0)
    assert len(steps) > 100 and max(steps) <= 100


def test_a_few_connections_are_spread_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, _ = draining(monkeypatch, 3, 30.0)
    assert steps == [1, 1, 1]


def test_no_time_at_all_ends_them_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, _ = draining(monkeypatch, 500, 0.001)
    assert sum(steps) == 500 and len(steps) <= 2
