"""Starts child processes by exec and reaps every child, ours or not. It knows no workers and no policy.

The laws kept here (DESIGN.md section 3):

* a child inherits exactly the descriptors it is given, numbered from 3 up, and stdin is /dev/null: everything else of
  ours is close-on-exec;
* a child leads its own process group, so that a terminal's Ctrl-C reaches the supervisor alone, and one kill ends the
  child with all it started;
* one waitid() loop reaps everything. Where the supervisor is PID 1, orphans of others become its children. A pid can
  be signalled safely as long as this loop has not reported it: until then the kernel cannot give it to another process.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import site
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = [
    "BLOCKED",
    "NICE",
    "Exit",
    "Reaper",
    "child_environment",
    "keep_descriptors_to_ourselves",
    "kill_group",
    "python_command",
    "spawn",
    "yield_to_traffic",
]

# Blocked in a worker from its first instruction: it ignores them once it runs, and obeys the channel alone. Without
# this a signal sent to the whole group by a process manager could kill a worker that is still importing.
BLOCKED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
REAP_BUDGET = 256
NICE: Final = 10  # of what computes beside the workers


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


def yield_to_traffic() -> None:
    """Gives this thread a low priority: on Linux each has its own (setpriority(2), notes)."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def keep_descriptors_to_ourselves() -> None:
    """Descriptors inherited beside stdin, stdout and stderr are not for children: a worker has what it is given.

    Where one of these three is closed, /dev/null takes its number: a socket there would be taken for it.
    """
    while (opened := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that listed them is gone
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of Sluice with this interpreter; -P: a folder called `gateway` in the working
    directory must not be taken for ours."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child. Run from a source tree, its folder is named, as -P takes the working directory
    away."""
    environment = dict(os.environ if base is None else base)
    root = str(Path(__file__).resolve().parents[2])
    if root not in map(os.path.realpath, site.getsitepackages()):
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = root if not known else root + os.pathsep + known
    return environment


def spawn(argv: Sequence[str], fds: Sequence[int] = (), *, stdin: int | None = None, block: bool = False) -> int:
    """Starts `argv` with `fds` as its descriptors 3, 4, ... and returns its pid. Raises OSError.

    stdin is /dev/null unless given. stdout is our stderr: ours may carry the access log, whose lines no child may tear.
    `block` holds the signals of BLOCKED back until the child unblocks them.
    """
    top = 3 + len(fds)
    borrowed: list[int] = []
    try:
        # posix_spawn runs its dup2 list in order: a source inside the target range could be overwritten before its
        # turn.
        sources = []
        for fd in (*fds, *(() if stdin is None else (stdin,))):
            source = fd if fd >= top else fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, top)
            if source != fd:
                borrowed.append(source)
            sources.append(source)
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_DUP2, fd, 3 + index) for index, fd in enumerate(sources[: len(fds)])
        ]
        if stdin is None:
            actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
        else:
            actions.append((os.POSIX_SPAWN_DUP2, sources[-1], 0))
        actions.append((os.POSIX_SPAWN_DUP2, 2, 1))
        return os.posix_spawn(
            argv[0],
            list(argv),
            child_environment(),
            file_actions=actions,
            setpgroup=0,
            setsigmask=BLOCKED if block else (),
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
    finally:
        for fd in borrowed:
            os.close(fd)


def kill_group(pid: int, number: int = signal.SIGKILL) -> None:
    """Signals a child's process group; a group that is already gone is not an error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
