"""The access log of the gateway: on, off, or moved elsewhere by a reload. The writing itself is log_writer.py's.

A change is made in two steps, as a reload is all or nothing: open() may fail and changes nothing, take() cannot fail.
"""

import asyncio
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from supervisor.errors import StartError
from supervisor.log_writer import LogWriter, open_target

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
    """Starts off. `on_problem` is called from another thread when the target takes no lines."""

    def __init__(self, on_problem: Callable[[str], None]) -> None:
        self._on_problem = on_problem
        self._writer: LogWriter | None = None
        self._dropped = 0  # by writers that are gone
        self.target = "off"

    @property
    def dropped(self) -> int:
        """Lines that found no room or could not be written."""
        return self._dropped + (self._writer.dropped if self._writer is not None else 0)

    @property
    def written(self) -> int:
        """Lines written to the target in use."""
        return self._writer.written if self._writer is not None else 0

    def open(self, target: str) -> Opened:
        """Prepares a change to `off`, `stdout`, `stderr` or a path. Raises StartError."""
        return Opened(target, None if target in ("off", self.target) else open_target(target))

    async def take(self, opened: Opened) -> None:
        """Makes the change; the old target still gets what was meant for it."""
        if opened.target == self.target:
            return
        self.target = opened.target
        if opened.fd is None:
            await self.close()
        elif self._writer is None:
            self._writer = LogWriter(opened.target, self._on_problem, fd=opened.fd)
        else:
            self._writer.switch(opened.target, opened.fd)

    def write(self, lines: Iterable[bytes], level: str) -> None:
        """Queues lines; drops them while the log is off."""
        if self._writer is not None:
            self._writer.offer_many(lines, level)

    def reopen(self) -> None:
        """After a rotation. Raises StartError, and goes on as before then."""
        if self._writer is not None:
            self._writer.reopen()

    async def close(self) -> None:
        """Writes what waits, for a moment."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.get_running_loop().run_in_executor(None, writer.close, FLUSH)
            self._dropped += writer.dropped


def reopen_or_say(log: AccessLog, say: Callable[[str], None]) -> None:
    """SIGUSR1: a path that cannot be opened again is a message, not an end."""
    try:
        log.reopen()
    except StartError as error:
        say(str(error))
