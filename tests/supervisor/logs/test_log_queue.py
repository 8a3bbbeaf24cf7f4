"""The order in which log lines are dropped, and that dropping stays cheap and counted."""

import random
from collections import Counter

from supervisor.logs.log_queue import LogQueue, count_events

MOST = 100


def line(event: str, address: str = "10.0.0.1", number: int = 0) -> bytes:
    """As a worker writes it, shortened."""
    return b'{"event":"%b","id":"%d","source":{"ip":"%b","port":1}}\n' % (event.encode(), number, address.encode())


def level_of(event: str) -> str:
    return {"interval": "interval", "decision": "decision"}.get(event, "tunnel")


def filled(*events: str, most: int = MOST) -> LogQueue:
    queue = LogQueue(most, 1 << 30)
    for number, event in enumerate(events):
        assert queue.put(line(event, number=number), level_of(event))
    return queue


def all_of(queue: LogQueue) -> list[bytes]:
    return queue.take(1 << 30)


def test_lines_come_out_in_the_order_in_which_they_came_whatever_their_level() -> None:
    random.seed(5)
    events = [random.choice(["open", "close", "decision", "interval"]) for _ in range(MOST)]
    queue = filled(*events)
    assert all_of(queue) == [line(event, number=number) for number, event in enumerate(events)]
    assert (queue.lines, queue.bytes, queue.dropped) == (0, 0, Counter())


def test_a_batch_has_one_line_at_least_and_fits_its_room_otherwise() -> None:
    queue = filled("open", "open", "open")
    size = len(line("open"))
    assert len(queue.take(1)) == 1
    assert len(queue.take(2 * size)) == 2
    assert queue.take(1) == []


def test_interval_lines_go_first() -> None:
    queue = filled(*["interval", "decision"] * 50)
    assert queue.put(line("decision"), "decision")
    assert queue.put(line("open"), "tunnel")
    assert queue.dropped == {"interval": 2}
    assert not queue.put(line("interval"), "interval"), "none of its own kind makes room for it"
    assert queue.dropped == {"interval": 3}


def test_then_decisions_of_the_noisiest_source() -> None:
    queue = LogQueue(MOST, 1 << 30)
    quiet = [line("decision", f"10.0.1.{number}", number) for number in range(20)]
    for text in quiet:
        assert queue.put(text, "decision")
    for number in range(5000):
        queue.put(line("decision", "10.9.9.9", number), "decision")
    left = all_of(queue)
    assert left[:20] == quiet, "no source pays for the noise of another"
    assert {b"10.9.9.9" in text for text in left[20:]} == {True}
    assert queue.dropped == {"decision": 5020 - len(left)}


def test_two_noisy_sources_are_cut_to_the_same_length() -> None:
    queue = LogQueue(MOST, 1 << 30)
    for number in range(60):
        queue.put(line("decision", "10.0.0.1", number), "decision")
    for number in range(40):
        queue.put(line("decision", "10.0.0.2", number), "decision")
    for number in range(50):
        assert queue.put(line("open", "10.0.0.3", number), "tunnel")
    left = all_of(queue)
    first, second = (sum(address in text for text in left) for address in (b"10.0.0.1", b"10.0.0.2"))
    assert abs(first - second) <= 1 and first + second <= 50


def test_an_ipv6_source_is_its_64() -> None:
    queue = LogQueue(MOST, 1 << 30)
    for number in range(80):
        queue.put(line("decision", f"2001:db8:0:1::{number:x}", number), "decision")
    for number in range(20):
        queue.put(line("decision", f"10.0.0.{number % 10}", number), "decision")
    for number in range(30):
        assert queue.put(line("open", "::", number), "tunnel")
    assert sum(b'"ip":"10.' in text for text in all_of(queue)) == 20


def test_lines_about_tunnels_are_refused_last() -> None:
    queue = filled(*["open"] * 60, *["decision"] * 40)
    for _ in range(40):
        assert queue.put(line("close"), "tunnel")
    assert queue.dropped == {"decision": 40}
    assert not queue.put(line("close"), "tunnel")
    assert not queue.put(line("decision"), "decision")
    assert not queue.put(line("interval"), "interval")
    assert queue.dropped == {"decision": 41, "close": 1, "interval": 1}
    assert all_of(queue) == [*[line("open", number=number) for number in range(60)], *[line("close")] * 40]


def test_bytes_are_bounded_as_lines_are() -> None:
    queue = LogQueue(1000, 10_000)
    for _ in range(9):
        assert queue.put(b"d" * 1000, "decision")
    assert queue.put(b"t" * 5000, "tunnel")
    assert queue.bytes <= 10_000
    assert not queue.put(b"t" * 10_001, "tunnel"), "it would never fit"
    assert queue.put(b"t" * 5000, "tunnel")
    assert not queue.put(b"t", "tunnel")
    assert queue.bytes == 10_000


def test_batches_come_and_go_whole_and_decisions_one_by_one() -> None:
    queue = LogQueue(MOST, 1 << 30)
    opens = b"".join(line("open", number=number) for number in range(40))
    noise = b"".join(line("decision", "10.9.9.9", number) for number in range(59)) + line("decision", "10.0.0.7")
    assert queue.put_batch(opens, 40, "tunnel") == 40
    assert queue.put_batch(noise, 60, "decision") == 60
    assert queue.put_batch(opens, 40, "tunnel") == 40
    assert MOST - 3 <= queue.lines <= MOST
    assert set(queue.dropped) == {"decision"} and queue.dropped["decision"] >= 40
    before = queue.lines
    assert queue.put_batch(opens, 40, "tunnel") == 0, "not a part of the batch"
    assert (queue.lines, queue.dropped["open"]) == (before, 40), "and nothing is dropped in vain"
    out = queue.take(1 << 30)
    assert (out[0], out[-1]) == (opens, opens)
    assert line("decision", "10.0.0.7") in out, "the quiet source has lost nothing"
    assert queue.put_batch(opens * 3, 120, "tunnel") == 0, "it would never fit"


def test_clearing_counts_everything() -> None:
    queue = filled("open", "close", "decision", "interval")
    queue.clear()
    assert (queue.lines, queue.bytes) == (0, 0)
    assert queue.dropped == {"open": 1, "close": 1, "decision": 1, "interval": 1}


def test_whatever_happens_every_line_is_out_or_counted() -> None:
    random.seed(11)
    queue = LogQueue(MOST, 6000)
    offered: Counter[str] = Counter()
    out: list[bytes] = []
    for number in range(20_000):
        event = random.choice(["open", "close", "decision", "decision", "decision", "interval"])
        offered[event] += 1
        queue.put(line(event, f"10.0.0.{int(random.expovariate(0.2))}", number), level_of(event))
        assert queue.lines <= MOST and queue.bytes <= 6000
        if random.random() < 0.02:
            out += queue.take(random.randrange(3000))
    out += all_of(queue)
    assert count_events(b"".join(out)) + queue.dropped == offered
    assert queue.dropped["open"] + queue.dropped["close"] < queue.dropped["decision"]


def test_what_is_no_line_of_ours_is_counted_all_the_same() -> None:
    queue = LogQueue(1, 1 << 20)
    assert queue.put(b"x\n", "no such level")
    for text in (b"y\n", b'{"event":"', b'{"event":"reload"}\n', b'"event":"\xff"\n'):
        assert not queue.put(text, "no such level")
    assert queue.dropped == {"other": 4}
