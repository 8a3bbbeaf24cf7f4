"""Writes log lines from one thread, so that a slow disk or a full pipe never stops the supervisor's loop.

The laws kept here (DESIGN.md section 3): lines are written whole or not at all; an inherited stdout or stderr is never
made non-blocking; the queue is bounded in lines and bytes, and what does not fit is dropped in log_queue.py's order
and counted.
"""

import errno
import os
import select
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from supervisor.host.errors import StartError, errno_text
from supervisor.logs.log_queue import LogQueue, count_events

__all__ = ["LogWriter", "open_target"]

MAX_LINES: Final = 32_768
MAX_BYTES: Final = 16 << 20
WHOLE_ON_PIPES: Final = 4096  # PIPE_BUF: a write of at most this many bytes is not torn by other writers of the pipe
BATCH: Final = 65_536
QUIET: Final = 60.0  # seconds in which a target that fails now and then is not complained about again


def open_target(target: str) -> int:
    """A descriptor of our own for `stdout`, `stderr` or a path (append, created with mode 0640). Raises StartError."""
    if target in ("stdout", "stderr"):
        try:
            return os.dup(1 if target == "stdout" else 2)
        except OSError as error:
            raise StartError(
                f"logs.access: {target} cannot be used: {errno_text(error)}", "name a file, or `off`"
            ) from None
    # O_NONBLOCK for the open alone: a FIFO without a reader must not hang the start.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        fd = os.open(target, flags, 0o640)
    except OSError as error:
        why = "no process reads that FIFO" if error.errno == errno.ENXIO else errno_text(error)
        raise StartError(
            f"logs.access: {target} cannot be opened: {why}", "its folder must exist and be writable by this user"
        ) from None
    os.set_blocking(fd, True)
    return fd


class LogWriter:
    """One queue, one thread, one target. offer() never blocks. The public API is called from the loop."""

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
        self._on_problem = on_problem  # called from the writer thread
        self._queue = LogQueue(max_lines, max_bytes)
        self._wake = threading.Condition()
        self._next: int | None = None  # the target, opened again
        self._closing = False
        self._complained = -QUIET
        self._torn = False
        self._pipe = False
        self._fd = open_target(target) if fd is None else fd
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that found no room or could not be written."""
        return self.dropped_by_event().total()

    def dropped_by_event(self) -> Counter[str]:
        """The same by event (decision, open, interval, close), `other` for what has none of these."""
        with self._wake:
            return self._queue.dropped.copy()

    def offer(self, line: bytes, level: str = "tunnel") -> bool:
        """Queues one line (without its newline). False: there was no room, and it is counted as dropped."""
        return self.offer_many((line,), level) == 1

    def offer_many(self, lines: Iterable[bytes], level: str = "tunnel") -> int:
        """Queues lines of one level (interval, decision, tunnel) and returns how many found room."""
        taken = 0
        with self._wake:
            for line in lines:
                text = line.replace(b"\n", b"\\x0a") + b"\n"
                if self._closing:
                    self._queue.dropped.update(count_events(text))
                else:
                    taken += self._queue.put(text, level)
            self._wake.notify()
        return taken

    def offer_batch(self, text: bytes, count: int, level: str) -> int:
        """The same for `count` lines that have their newlines already."""
        with self._wake:
            if self._closing:
                self._queue.dropped.update(count_events(text))
                return 0
            taken = self._queue.put_batch(text, count, level)
            self._wake.notify()
        return taken

    def backlog(self) -> tuple[int, int]:
        """(lines, bytes) that wait."""
        return self._queue.lines, self._queue.bytes

    def reopen(self) -> None:
        """After a log rotation: opens the path again; the thread closes the old file once it has written what it was
        writing. Raises StartError, after which the old file goes on."""
        if self.target in ("stdout", "stderr"):
            return
        fd = open_target(self.target)
        with self._wake:
            if self._next is not None:
                os.close(self._next)
            self._next = fd
            self._wake.notify()

    def close(self, timeout: float) -> bool:
        """Writes what waits, for at most `timeout` seconds. False when lines were left: the target does not take
        them."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout)
        if self._thread.is_alive():
            with self._wake:
                self._queue.clear()
            return False
        os.close(self._fd)
        return True

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue.lines and self._next is None and not self._closing:
                    self._wake.wait()
                again, self._next = self._next, None
                if again is None and not self._queue.lines:
                    return
            if again is not None:
                os.close(self._fd)
                self._fd = again
                self._torn = False
                self._complained = -QUIET
            self._write_batch(*self._take())

    def _take(self) -> tuple[bytes, int]:
        """Whole lines, about a batch of them, and how many."""
        try:
            self._pipe = stat.S_ISFIFO(os.fstat(self._fd).st_mode)
        except OSError:
            self._pipe = False
        with self._wake:
            batch, lines = self._queue.take_counted(BATCH)
        return b"".join(batch), lines

    def _write_batch(self, batch: bytes, lines: int) -> None:
        """A failed write drops the rest of the batch; a line cut short is ended before the next one begins."""
        if not batch:
            return
        lead = 1 if self._torn else 0
        data = b"\n" * lead + batch
        done = 0
        failure: OSError | None = None
        try:
            while done < len(data):
                done += self._write(memoryview(data)[done : self._piece(data, done)])
        except OSError as error:
            failure = error
        if done:
            self._torn = data[done - 1 : done] != b"\n"
        if done == len(data):
            self.written += lines
        else:
            self._count(batch, data[lead:done])
        now = time.monotonic()
        if failure is not None and now - self._complained >= QUIET:
            self._complained = now
            self._on_problem(
                f"{self.target} does not take log lines: {errno_text(failure)}; they are dropped and counted"
            )

    def _count(self, batch: bytes, done: bytes) -> None:
        """Lines are written when their last byte is."""
        complete = done.rfind(b"\n") + 1
        lost = count_events(batch[complete:])
        with self._wake:
            self.written += batch.count(b"\n", 0, complete)
            self._queue.dropped.update(lost)

    def _piece(self, data: bytes, begin: int) -> int:
        """Where the next write ends: into a pipe that others share, whole lines that no write of theirs can tear."""
        if not self._pipe or len(data) - begin <= WHOLE_ON_PIPES:
            return len(data)
        end = data.rfind(b"\n", begin, begin + WHOLE_ON_PIPES) + 1
        return end or data.find(b"\n", begin) + 1 or len(data)

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:  # another process that shares the descriptor made it non-blocking
            room = select.poll()  # select() knows no descriptor above 1023
            room.register(self._fd, select.POLLOUT)
            room.poll()
            return 0
