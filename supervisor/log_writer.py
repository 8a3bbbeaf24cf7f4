"""Writes log lines from one thread, so that a slow disk or a full pipe never stops the supervisor's loop.

The laws kept here (DESIGN.md section 3): lines are written whole or not at all; an inherited stdout or stderr is never
made non-blocking; the queue is bounded in lines and bytes, and what does not fit is counted. When it fills up, interval
lines go first, then decisions; open and close lines last.
"""

import contextlib
import errno
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from supervisor.errors import StartError, errno_text

__all__ = ["LogWriter", "open_target"]

MAX_LINES: Final = 65_536
MAX_BYTES: Final = 16 << 20
# Share of the queue that a level may fill; levels not named here may fill it whole.
SHARES: Final = {"interval": 0.5, "decision": 0.75}
WHOLE_ON_PIPES: Final = 4096  # PIPE_BUF: a write of at most this many bytes is not torn by other writers of the pipe
BATCH: Final = 65_536


def open_target(target: str) -> int:
    """A descriptor of our own for `stdout`, `stderr` or a path (append, created with mode 0640). Raises StartError."""
    if target in ("stdout", "stderr"):
        try:
            return os.dup(1 if target == "stdout" else 2)
        except OSError as error:
            raise StartError(
                f"logs.access: {target} cannot be used: {errno_text(error)}", "name a file, or `off`"
            ) from None
    # O_NONBLOCK for the open alone: a FIFO that nobody reads must not hang the start.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        fd = os.open(target, flags, 0o640)
    except OSError as error:
        why = "nobody reads that FIFO" if error.errno == errno.ENXIO else errno_text(error)
        raise StartError(
            f"logs.access: {target} cannot be opened: {why}", "its folder must exist and be writable by this user"
        ) from None
    os.set_blocking(fd, True)
    return fd


class LogWriter:
    """One queue, one thread, one target. offer() never blocks; everything else of the public API is called from the
    loop."""

    def __init__(
        self,
        target: str,
        on_problem: Callable[[str], None] = lambda text: None,
        *,
        fd: int | None = None,
        max_lines: int = MAX_LINES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """`fd`: what open_target(target) gave before; opened here otherwise (StartError)."""
        self.target = target
        self.written = 0
        self.dropped = 0
        self._on_problem = on_problem  # called from the writer thread
        self._limits = (max_lines, max_bytes)
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._wake = threading.Condition()
        self._next: tuple[str, int] | None = None  # a target to change to: (name, descriptor)
        self._closing = False
        self._failing = False
        self._torn = False
        self._fd = open_target(target) if fd is None else fd
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def offer(self, line: bytes, level: str = "") -> bool:
        """Queues one line (without its newline). False: there was no room, and it is counted as dropped."""
        return self.offer_many((line,), level) == 1

    def offer_many(self, lines: Iterable[bytes], level: str = "") -> int:
        """Queues lines of one level and returns how many found room."""
        share = SHARES.get(level, 1.0)
        most_lines, most_bytes = self._limits[0] * share, self._limits[1] * share
        taken = 0
        with self._wake:
            for line in lines:
                if self._closing or len(self._lines) >= most_lines or self._bytes + len(line) + 1 > most_bytes:
                    self.dropped += 1
                    continue
                self._lines.append(line.replace(b"\n", b"\\x0a") + b"\n")
                self._bytes += len(line) + 1
                taken += 1
            self._wake.notify()
        return taken

    def backlog(self) -> tuple[int, int]:
        """(lines, bytes) that wait."""
        return len(self._lines), self._bytes

    def switch(self, target: str, fd: int) -> None:
        """Writes what comes next to `fd` (from open_target); the old descriptor is closed by the thread."""
        with self._wake:
            if self._next is not None:
                os.close(self._next[1])
            self._next = (target, fd)
            self._wake.notify()

    def reopen(self) -> None:
        """After a log rotation: opens the path again. Raises StartError, and goes on with the old file then."""
        if self.target not in ("stdout", "stderr"):
            self.switch(self.target, open_target(self.target))

    def close(self, timeout: float) -> bool:
        """Writes what waits, for at most `timeout` seconds. False when lines were left: the target does not take
        them."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout)
        if self._thread.is_alive():
            with self._wake:
                self.dropped += len(self._lines)
                self._lines.clear()
            return False
        os.close(self._fd)
        return True

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._lines or self._next or self._closing):
                    self._wake.wait()
                change, self._next = self._next, None
                if change is None and not self._lines:
                    return
            if change is not None:
                os.close(self._fd)
                self.target, self._fd = change
                self._failing = self._torn = False
            self._write_batch(self._take())

    def _take(self) -> list[bytes]:
        try:
            room = WHOLE_ON_PIPES if stat.S_ISFIFO(os.fstat(self._fd).st_mode) else BATCH
        except OSError:
            room = BATCH
        batch: list[bytes] = []
        with self._wake:
            while self._lines and (not batch or room >= len(self._lines[0])):
                line = self._lines.popleft()
                self._bytes -= len(line)
                room -= len(line)
                batch.append(line)
        return batch

    def _write_batch(self, batch: list[bytes]) -> None:
        """A failed write drops the rest of the batch; a line cut short is ended before the next one begins."""
        if not batch:
            return
        lead = 1 if self._torn else 0
        data = b"\n" * lead + b"".join(batch)
        done = 0
        failure: OSError | None = None
        try:
            while done < len(data):
                done += self._write(memoryview(data)[done:])
        except OSError as error:
            failure = error
        complete = data[:done].count(b"\n") - (lead if done else 0)
        if done:
            self._torn = data[done - 1 : done] != b"\n"
        with self._wake:
            self.written += complete
            self.dropped += len(batch) - complete
        if failure is not None and not self._failing:
            self._on_problem(
                f"{self.target} does not take log lines: {errno_text(failure)}; they are dropped and counted"
            )
        self._failing = failure is not None

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:  # somebody we share the descriptor with made it non-blocking
            with contextlib.suppress(InterruptedError):
                select.select([], [self._fd], [])
            return 0
