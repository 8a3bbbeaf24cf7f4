"""Starts child processes by exec. It knows no workers and no policy; reaper.py collects what has ended.

The laws kept here (DESIGN.md section 3):

* a child inherits exactly the descriptors it is given, numbered from 3 up, and stdin is /dev/null: everything else of
  ours is close-on-exec;
* a child leads its own process group, so that a terminal's Ctrl-C reaches the supervisor alone, and one kill ends the
  child with all it started.

Every process that compiles loads this module, and none of them needs a loop: there is no asyncio here.
"""

import contextlib
import fcntl
import os
import signal
import site
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = [
    "BLOCKED",
    "NICE",
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
NICE: Final = 10  # of what computes beside the workers


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


def spawn(
    argv: Sequence[str],
    fds: Sequence[int] = (),
    *,
    stdin: int | None = None,
    block: bool = False,
    own_group: bool = True,
) -> int:
    """Starts `argv` with `fds` as its descriptors 3, 4, ... and returns its pid. Raises OSError.

    stdin is /dev/null unless given. stdout is our stderr: ours may carry the access log, whose lines no child may tear.
    `block` holds the signals of BLOCKED back until the child unblocks them. Without `own_group` it is one of our
    process group.
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
            setpgroup=0 if own_group else os.getpgrp(),
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
