"""The exporter's process against a collector that takes spans, fails, is slow, or is not there."""

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Final

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from supervisor.host.process import child_environment, python_command
from supervisor.tracing import exporter
from supervisor.tracing.counts import Count, Counts
from supervisor.tracing.exporter import Answer, Queue, Sender
from supervisor.tracing.spans import Reader
from tests.supervisor.tracing.test_spans import LINE
from tests.support import collector as support
from tests.support.collector import Collector
from tests.support.eventually import eventually
from tests.support.ports import free_port

TEXT: Final = json.dumps(LINE).encode() + b"\n"  # two spans


class Process:
    """The exporter as the supervisor starts it."""

    def __init__(self, endpoint: str) -> None:
        self.counts = Counts()
        command = python_command("supervisor.tracing.exporter", endpoint, "sluice", "egress", "0.1")

        def place() -> None:
            os.dup2(self.counts.fd, 3)

        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, env=child_environment(), preexec_fn=place, pass_fds=(3,), bufsize=0
        )

    def write(self, data: bytes) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(data)

    def end(self) -> int:
        assert self.child.stdin is not None
        self.child.stdin.close()
        return self.child.wait(20)

    def figures(self) -> tuple[int, int, int]:
        return self.counts[Count.EXPORTED], self.counts[Count.REJECTED], self.counts[Count.FAILED]


@contextlib.contextmanager
def running(endpoint: str) -> Iterator[Process]:
    process = Process(endpoint)
    try:
        yield process
    finally:
        process.child.kill()
        process.child.wait()
        process.counts.close()


def test_spans_arrive_and_the_end_of_the_input_is_the_end() -> None:
    with Collector() as collector, running(f"{collector.url}/v1/traces") as process:
        process.write(TEXT[:100])
        process.write(TEXT[100:] + TEXT)
        eventually(lambda: process.figures() == (4, 0, 0), "all are exported")
        assert len(collector.spans) == 4
        assert collector.spans[0].resource["service.name"] == "sluice"
        assert collector.spans[0].resource["service.namespace"] == "egress"
        process.write(TEXT)
        assert process.end() == 0
        assert process.figures() == (6, 0, 0) and len(collector.spans) == 6


def test_what_is_no_span_is_counted_and_skipped() -> None:
    with Collector() as collector, running(f"{collector.url}/v1/traces") as process:
        process.write(b'{"span_id":1}\n' + TEXT)
        eventually(lambda: process.figures() == (2, 1, 0), "one is refused")


def test_an_endpoint_that_is_slow_down_and_back() -> None:
    with Collector() as collector, running(f"{collector.url}/v1/traces") as process:
        collector.answers += [
            support.Answer(503),
            support.Answer(429, (("Retry-After", "1"),)),
            support.Answer(200, seconds=1.5),
        ]
        process.write(TEXT)
        eventually(lambda: process.figures() == (2, 0, 0), "it is sent again")
        assert collector.sizes == [2, 2, 2] and process.counts[Count.FAILING] == 0


def test_an_endpoint_that_is_not_there() -> None:
    with running(f"http://127.0.0.1:{free_port()}/v1/traces") as process:
        process.write(TEXT)
        eventually(lambda: process.counts[Count.FAILING] > 0, "an export has failed")
        assert process.counts[Count.STATUS] == 0 and process.figures() == (0, 0, 0)
        began = time.monotonic()
        assert process.end() == 0
        assert time.monotonic() - began < 15
        assert process.figures() == (0, 0, 2)


def test_a_queue_that_is_full_is_no_longer_read(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(most=3 * len(TEXT))
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    reader = threading.Thread(target=exporter.receive, args=(ours, queue), daemon=True)
    reader.start()
    taken, whole, data = 0, 0, TEXT * 20
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            count = os.write(theirs, data)
            taken += count
            whole += data.count(b"\n", 0, count)
            deadline = time.monotonic() + 0.5
        except BlockingIOError:
            time.sleep(0.01)
    assert taken < 1 << 20, "the pipe, one read and three lines"
    lines = 0
    os.close(theirs)
    while queue.wait():
        lines += queue.take() is not None
    assert lines == whole and queue.ended
    reader.join()
    os.close(ours)


class Endpoint:
    """In place of the official exporter: answers with statuses, in their order, then 200."""

    def __init__(self, *statuses: int, most: int = 1000) -> None:
        self.statuses, self.most = list(statuses), most
        self.sizes: list[int] = []
        self.answer = Answer()

    def __call__(self, spans: Sequence[ReadableSpan]) -> bool:
        self.sizes.append(len(spans))
        self.answer.status = self.statuses.pop(0) if self.statuses else 200
        if len(spans) > self.most:
            self.answer.status = 413
        return self.answer.status == 200


def sent(endpoint: Endpoint, lines: int) -> tuple[int, int, int]:
    queue, counts = Queue(), Counts()
    queue.put([TEXT[:-1]] * lines)
    sender = Sender(queue, Reader(Resource({}), ""), counts, endpoint, endpoint.answer)
    batch = sender._batch()
    while batch:
        sender.send(batch)
        batch = sender._batch()
    figures = counts[Count.EXPORTED], counts[Count.REJECTED], counts[Count.FAILED]
    counts.close()
    return figures


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "BACKOFF", (0.001, 0.002))


def test_a_batch_that_is_too_large_is_sent_in_halves() -> None:
    endpoint = Endpoint(most=100)
    assert sent(endpoint, 200) == (400, 0, 0)
    assert endpoint.sizes[:4] == [400, 200, 100, 100]


def test_one_span_that_is_too_large_is_refused() -> None:
    assert sent(Endpoint(most=0), 2) == (0, 4, 0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 415])
def test_other_refusals_are_final(status: int) -> None:
    endpoint = Endpoint(status)
    assert sent(endpoint, 1) == (0, 2, 0) and endpoint.sizes == [2]


@pytest.mark.parametrize("status", [0, 408, 429, 500, 502, 503, 504])
def test_others_are_tried_again(status: int) -> None:
    endpoint = Endpoint(status, status)
    assert sent(endpoint, 1) == (2, 0, 0) and endpoint.sizes == [2, 2, 2]
    endpoint = Endpoint(*[status] * 9)
    assert sent(endpoint, 1) == (0, 0, 2) and len(endpoint.sizes) == exporter.ATTEMPTS


def test_batches_have_a_bound() -> None:
    endpoint = Endpoint()
    assert sent(endpoint, 1000) == (2000, 0, 0)
    assert endpoint.sizes == [512, 512, 512, 464]


def test_what_the_endpoint_takes_in_part() -> None:
    with Collector() as collector, running(f"{collector.url}/v1/traces") as process:
        collector.answers.append(support.Answer(200, rejected=1))
        process.write(TEXT)
        eventually(lambda: process.figures() == (1, 1, 0), "one of two is refused")
