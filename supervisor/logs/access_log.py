"""The access log of the gateway: on, off, or moved elsewhere by a reload. The writing itself is log_writer.py's.

A change is made in two steps, as a reload is all or nothing: open() may fail and changes nothing, take() cannot fail.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from supervisor.host.errors import StartError
from supervisor.logs.log_writer import LogWriter, open_target

__all__ = ["AccessLog", "Opened"]

FLUSH = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Opened:
    """A target that can be written to; fd None = nothing changes, or the log is off."""

    target: str
    fd: int | None

    def discard(self) -> None:
        """It is not taken after all."""
        if self.fd is not None:
            os.close(self.fd)


class AccessLog:
    """Starts off. `on_problem` is called from another thread when the target takes no lines.

    Each target has a writer of its own: one that no longer takes lines cannot hold up the next.
    """

    def __init__(self, on_problem: Callable[[str], None]) -> None:
        self._on_problem = on_problem
        self._writer: LogWriter | None = None
        self._leaving: dict[LogWriter, asyncio.Future[bool]] = {}  # they still write what was meant for their targets
        self._dropped: Counter[str] = Counter()  # by writers that are gone
        self.target = "off"
        self.before_change: Callable[[], object] = lambda: None  # the old target gets what was meant for it

    @property
    def dropped(self) -> int:
        """Lines that found no room or could not be written."""
        return self.dropped_by_event().total()

    def dropped_by_event(self) -> Counter[str]:
        """The same by event: decision, open, interval, close; `other` for what no worker sends."""
        total = self._dropped.copy()
        for writer in (self._writer, *self._leaving):
            if writer is not None:
                total.update(writer.dropped_by_event())
        return total

    @property
    def written(self) -> int:
        """Lines written to the target in use."""
        return self._writer.written if self._writer is not None else 0

    def open(self, target: str) -> Opened:
        """Prepares a change to `off`, `stdout`, `stderr` or a path. Raises StartError."""
        return Opened(target, None if target in ("off", self.target) else open_target(target))

    def take(self, opened: Opened) -> None:
        """Makes the change; the old target still gets what was meant for it."""
        if opened.target == self.target:
            return
        self.before_change()
        self.target = opened.target
        self._leave()
        if opened.fd is not None:
            self._writer = LogWriter(opened.target, self._on_problem, fd=opened.fd)

    def write(self, lines: Iterable[bytes], level: str) -> None:
        """Queues lines of one level (interval, decision, tunnel); drops them while the log is off."""
        if self._writer is not None:
            self._writer.offer_many(lines, level)

    def write_batch(self, text: bytes, count: int, level: str) -> None:
        """The same for `count` lines that have their newlines."""
        if self._writer is not None:
            self._writer.offer_batch(text, count, level)

    def reopen(self) -> None:
        """After a rotation. Raises StartError, after which it goes on as before."""
        if self._writer is not None:
            self._writer.reopen()

    async def close(self) -> None:
        """Writes what waits, for a moment."""
        self._leave()
        if self._leaving:
            await asyncio.wait(self._leaving.values())

    def _leave(self) -> None:
        """The writer in use gets no more lines, and a moment for those it has. On a thread: its target may be stuck."""
        writer, self._writer = self._writer, None
        if writer is not None:
            left = asyncio.get_running_loop().run_in_executor(None, writer.close, FLUSH)
            self._leaving[writer] = left
            left.add_done_callback(lambda _: self._left(writer))

    def _left(self, writer: LogWriter) -> None:
        del self._leaving[writer]
        self._dropped.update(writer.dropped_by_event())


def reopen_or_say(log: AccessLog, say: Callable[[str], None]) -> None:
    """SIGUSR1: a path that cannot be opened again is a message, not an end."""
    try:
        log.reopen()
    except StartError as error:
        say(str(error))
