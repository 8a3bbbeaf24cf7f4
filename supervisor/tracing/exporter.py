"""The exporter: a process that reads lines of spans from its standard input and posts them to an OTLP/HTTP endpoint.

    python -m supervisor.tracing.exporter ENDPOINT NAME NAMESPACE VERSION

Descriptor 3 is the page of counts.py. Sending is the official exporter's, which has a few tries within TIMEOUT. A batch
that failed is sent again, later and later, ATTEMPTS times; as long as that lasts what comes waits in a queue, and
nothing is read once that is full: the supervisor leaves lines where they are, and workers count what finds no room
there. When its input ends, what waits is sent once more, for FLUSH seconds at most.
"""

import contextlib
import logging
import math
import os
import random
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from supervisor.tracing.counts import Count, Counts
from supervisor.tracing.spans import Reader

COUNTS_FD: Final = 3
QUEUE: Final = 4 << 20  # bytes of lines that wait
BATCH: Final = 512  # spans of one request to the endpoint
PAUSE: Final = 1.0  # seconds in which a batch fills
TIMEOUT: Final = 5.0  # seconds of one export, the official exporter's own tries among them
ATTEMPTS: Final = 5
BACKOFF: Final = (1.0, 30.0)  # seconds after the first failure, and at most
FLUSH: Final = 3.0  # seconds
TRY_LATER: Final = frozenset((0, 408, 429, 500, 502, 503, 504))
TOO_LARGE: Final = 413
IGNORED: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Answer:
    """The last answer of the endpoint, as the exporter's HTTP session has seen it. Status 0: none."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.status = 0
        self.retry_after = 0.0
        self.rejected = 0

    def see(self, response: requests.Response, *_args: Any, **_more: Any) -> None:
        """A hook of `requests`."""
        self.status = response.status_code
        with contextlib.suppress(ValueError):
            seconds = float(response.headers.get("Retry-After", 0))
            self.retry_after = min(max(seconds, 0.0), BACKOFF[1]) if math.isfinite(seconds) else 0.0
        if self.status == 200:
            told = ExportTraceServiceResponse()
            with contextlib.suppress(Exception):  # a body that is not one says nothing
                told.ParseFromString(response.content)
                self.rejected = max(told.partial_success.rejected_spans, 0)


class Queue:
    """Lines between the thread that reads and the one that sends; `most` bytes."""

    def __init__(self, most: int = QUEUE) -> None:
        self._most = most
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self.ended = False

    def put(self, lines: Sequence[bytes]) -> None:
        """Waits for room."""
        with self._changed:
            for line in lines:
                while self._bytes and self._bytes + len(line) > self._most:
                    self._changed.wait()
                self._lines.append(line)
                self._bytes += len(line)
                self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def wait(self) -> bool:
        """For a line; False once there is none and the input has ended."""
        with self._changed:
            while not self._lines and not self.ended:
                self._changed.wait()
            return bool(self._lines)

    def wait_for_end(self, seconds: float) -> None:
        """So long, or until the input ends."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self.ended and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

    def take(self) -> bytes | None:
        with self._changed:
            if not self._lines:
                return None
            line = self._lines.popleft()
            self._bytes -= len(line)
            self._changed.notify_all()
            return line


class Sender:
    """Makes batches of what waits, and sends them one after the other."""

    def __init__(
        self,
        queue: Queue,
        reader: Reader,
        counts: Counts,
        export: Callable[[Sequence[ReadableSpan]], bool],
        answer: Answer,
    ) -> None:
        self._queue = queue
        self._reader = reader
        self._counts = counts
        self._export = export
        self._answer = answer
        self._ahead: list[ReadableSpan] = []  # of a line that a batch had no room for
        self._deadline = math.inf

    def run(self) -> None:
        """Until the input has ended and nothing waits, or the time for that is over."""
        while self._ahead or self._queue.wait():
            self._queue.wait_for_end(PAUSE)
            while batch := self._batch():
                self.send(batch)
                if self._late():
                    return

    def _late(self) -> bool:
        if self._queue.ended and self._deadline == math.inf:
            self._deadline = time.monotonic() + FLUSH
        return time.monotonic() >= self._deadline

    def _batch(self) -> list[ReadableSpan]:
        batch, self._ahead = self._ahead, []
        while len(batch) < BATCH and (line := self._queue.take()) is not None:
            try:
                found = self._reader.read(line)
            except ValueError:
                self._counts.add(Count.REJECTED, line.count(b'"span_id":'))
                continue
            if batch and len(batch) + len(found) > BATCH:
                self._ahead = found
                break
            batch += found
        return batch

    def send(self, batch: list[ReadableSpan]) -> None:
        """Until the endpoint has it, refuses it, or was asked often enough."""
        for attempt in range(ATTEMPTS):
            self._answer.forget()
            if self._export(batch):
                rejected = min(self._answer.rejected, len(batch))
                self._counts.add(Count.EXPORTED, len(batch) - rejected)
                self._counts.add(Count.REJECTED, rejected)
                self._counts[Count.FAILING] = 0
                return
            self._counts[Count.STATUS] = self._answer.status
            self._counts.add(Count.FAILING, 1)
            if self._answer.status == TOO_LARGE and len(batch) > 1:
                half = len(batch) // 2
                self.send(batch[:half])
                self.send(batch[half:])
                return
            if self._answer.status not in TRY_LATER:
                self._counts.add(Count.REJECTED, len(batch))
                return
            if self._queue.ended:
                break
            if attempt + 1 < ATTEMPTS:
                self._queue.wait_for_end(max(backoff(attempt), self._answer.retry_after))
        self._counts.add(Count.FAILED, len(batch))


def backoff(attempt: int) -> float:
    """Seconds behind a failed attempt, the first one being 0."""
    return min(BACKOFF[0] * 2.0**attempt, BACKOFF[1]) * random.uniform(0.8, 1.2)


def receive(fd: int, queue: Queue) -> None:
    """Reads lines to the end of the input."""
    rest = b""
    while data := os.read(fd, 65536):
        *lines, rest = (rest + data).split(b"\n")
        queue.put(lines)
    queue.end()


def main(arguments: Sequence[str]) -> int:
    endpoint, name, namespace, version = arguments
    for number in IGNORED:  # the end of its input is its end
        signal.signal(number, signal.SIG_IGN)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # the supervisor says how it goes
    answer, queue, counts = Answer(), Queue(), Counts(COUNTS_FD)
    session = requests.Session()
    session.hooks["response"].append(answer.see)
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT, session=session)
    resource = Resource.create({"service.name": name, "service.namespace": namespace, "service.version": version})
    sender = Sender(
        queue,
        Reader(resource, version),
        counts,
        lambda spans: exporter.export(spans) is SpanExportResult.SUCCESS,
        answer,
    )
    threading.Thread(target=receive, args=(0, queue), name="receive", daemon=True).start()
    sender.run()
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)
