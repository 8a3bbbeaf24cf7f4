"""Reaps every child process, and notifies the watchers of those that the supervisor started (DESIGN.md section 3).

One waitid() loop reaps everything. Where the supervisor is PID 1, orphans of others become its children. A pid can be
signalled safely as long as this loop has not reported it: until then the kernel cannot give it to another process.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["Exit", "Reaper"]

REAP_BUDGET: Final = 256  # children in one turn


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended: an exit code, or the signal that killed it."""

    pid: int
    code: int | None
    signal: int | None

    @property
    def clean(self) -> bool:
        return self.code == 0

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit code {self.code}"
        try:
            name = signal.Signals(self.signal).name
        except ValueError:
            name = "unnamed"
        return f"killed by signal {self.signal} ({name})"


class Reaper:
    """Collects dead children on SIGCHLD and notifies their watchers, from the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: dict[int, Callable[[Exit], None]] = {}
        self.orphans = 0  # children reaped that this process had not started

    def start(self) -> None:
        self._loop.add_signal_handler(signal.SIGCHLD, self.reap)

    def stop(self) -> None:
        self._loop.remove_signal_handler(signal.SIGCHLD)

    def watch(self, pid: int, on_exit: Callable[[Exit], None]) -> None:
        """Call in the same turn as spawn(): reaping happens between turns, so no exit is missed."""
        self._watched[pid] = on_exit

    def reap(self) -> None:
        for _ in range(REAP_BUDGET):
            try:
                status = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                return
            except InterruptedError:
                continue
            if status is None:
                return
            exited = status.si_code == os.CLD_EXITED
            self._report(
                Exit(status.si_pid, status.si_status if exited else None, None if exited else status.si_status)
            )
        self._loop.call_soon(self.reap)

    def _report(self, ended: Exit) -> None:
        on_exit = self._watched.pop(ended.pid, None)
        if on_exit is None:
            self.orphans += 1
        else:
            on_exit(ended)
