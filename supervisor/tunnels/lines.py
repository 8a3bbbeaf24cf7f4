"""Access log lines on their way from the workers' segments to the access log.

A worker tells by an eventfd that some wait, and all segments are looked at: at once after a quiet time, and next after
a PAUSE in which no worker wakes anything, so that what is taken is worth the wake. Nothing looks at a line here.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Final

from gateway.contract import LOG_LEVELS
from supervisor.logs.access_log import AccessLog
from supervisor.segment.segment import Segment
from supervisor.workers.slot import Slot

__all__ = ["Lines"]

PAUSE: Final = 0.2  # seconds. A wake costs 0.1 ms and more, however little there is to do
SHORT: Final = 0.03  # where a pause longer than this would fill rings
MUCH: Final = 1 << 20  # bytes at once that call for it


class Lines:
    """`fd` is the eventfd, for workers to inherit."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        slots: Callable[[], Sequence[Slot]],
        access_log: AccessLog,
        spans: Callable[[], int] = lambda: 0,
    ) -> None:
        """`spans` hands on the spans that wait in the same segments, so many bytes."""
        self._loop = loop
        self._slots = slots
        self._access_log = access_log
        self._spans = spans
        self._pause: asyncio.TimerHandle | None = None
        self._last: dict[int, bytes] = {}  # by slot: lines about tunnels that were taken last
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        loop.add_reader(self.fd, self._on_wake)
        access_log.before_change = self.collect

    def collect(self) -> int:
        """Hands all that waits to the access log, so many bytes."""
        return sum([self._take(slot.segment) for slot in self._slots()])

    def last_of(self, segment: Segment) -> bytes:
        """Of a slot whose worker has died: hands on what it left. Returned are its last lines about tunnels, those
        taken before it died among them."""
        before = self._last.pop(segment.slot, b"")
        self._take(segment)
        return before + self._last.pop(segment.slot, b"")

    def close(self) -> None:
        """Takes what is left."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self.fd >= 0:
            self._loop.remove_reader(self.fd)
            self.collect()
            os.close(self.fd)
            self.fd = -1

    def _on_wake(self) -> None:
        os.eventfd_read(self.fd)
        self._loop.remove_reader(self.fd)
        taken = self.collect() + self._spans()
        self._pause = self._loop.call_later(PAUSE if taken < MUCH else SHORT, self._listen)

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self.fd, self._on_wake)

    def _take(self, segment: Segment) -> int:
        """Bytes that were taken."""
        taken = 0
        for level, name in enumerate(LOG_LEVELS):
            while (found := segment.take_lines(level))[1]:
                text, count = found
                taken += len(text)
                self._access_log.write_batch(text, count, name)
                if name == "tunnel":
                    self._last[segment.slot] = text
        return taken
