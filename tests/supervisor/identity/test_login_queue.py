"""Whose login is next, and whose fail too often: sources in turns, each with its share, times as arguments."""

import pytest

from supervisor.identity.login_queue import FailureLimit, LoginQueue


def test_sources_take_turns_and_each_keeps_its_order() -> None:
    queue: LoginQueue[str] = LoginQueue()
    for source, login in [(1, "a"), (1, "b"), (1, "c"), (2, "x"), (3, "m"), (3, "n")]:
        assert queue.put(source, login) is None
    assert [queue.take() for _ in range(len(queue))] == ["a", "x", "m", "b", "n", "c"]
    with pytest.raises(IndexError):
        queue.take()


def test_a_source_that_comes_late_is_next_after_one_of_each() -> None:
    queue: LoginQueue[str] = LoginQueue()
    for number in range(8):
        queue.put(1, f"guess {number}")
    queue.take()
    queue.put(2, "honest")
    assert [queue.take(), queue.take()] == ["guess 1", "honest"]


def test_a_source_has_its_share_and_no_more() -> None:
    queue: LoginQueue[int] = LoginQueue(of_source=3)
    assert [queue.put(1, number) for number in range(5)] == [None, None, None, (3, True), (4, True)]
    assert queue.put(2, 9) is None
    assert len(queue) == 4


def test_a_full_queue_takes_from_the_source_that_has_most() -> None:
    queue: LoginQueue[str] = LoginQueue(of_source=10, most=4)
    for login in ("a", "b", "c"):
        queue.put(1, login)
    queue.put(2, "x")
    assert queue.put(3, "m") == ("c", False), "the latest of the largest source"
    assert queue.put(3, "n") == ("n", False), "it would have as many as the largest"
    assert queue.put(1, "d") == ("d", False), "nothing is gained for oneself"
    assert queue.put(4, "p") == ("b", False)
    assert len(queue) == 4
    assert queue.put(5, "q") == ("q", False), "all have one"


def test_what_a_source_has_waiting_can_be_taken_out() -> None:
    queue: LoginQueue[str] = LoginQueue()
    for source, login in [(1, "a"), (2, "x"), (1, "b")]:
        queue.put(source, login)
    assert queue.drop(1) == ["a", "b"]
    assert queue.drop(1) == []
    assert (len(queue), queue.take(), len(queue)) == (1, "x", 0)


def test_failures_are_counted_by_source_and_time() -> None:
    limit = FailureLimit(3, 1.0)
    assert [limit.failed(1, 10.0 + tenth / 10) for tenth in range(3)] == [False] * 3
    assert not limit.is_barred(1, 10.3)
    assert limit.failed(1, 10.4)
    assert limit.is_barred(1, 10.5) and limit.is_barred(1, 11.3) and not limit.is_barred(1, 11.4)
    assert not limit.is_barred(2, 10.5)
    assert not limit.failed(1, 10.6), "it is barred already: those were on their way"


def test_failures_far_apart_bar_nobody() -> None:
    limit = FailureLimit(3, 1.0)
    assert not any(limit.failed(1, second * 0.4) for second in range(100))


def test_a_source_that_goes_on_is_barred_again() -> None:
    limit = FailureLimit(1, 60.0)
    assert [limit.failed(1, now) for now in (0.0, 0.1, 0.2, 1.2, 2.3)] == [False, True, False, True, True]


def test_the_number_of_sources_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.identity.login_queue.SOURCES", 10)
    limit = FailureLimit(1, 60.0)
    for source in range(100):
        limit.failed(source, 0.0)
        limit.failed(source, 0.0)
    assert [limit.is_barred(source, 0.5) for source in (0, 89, 90, 99)] == [False, False, True, True]
