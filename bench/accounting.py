"""The cost of a process tree: CPU time to the microsecond, and memory of all its processes.

CPU is counted by a control group of the tree's own (cgroup v2, `cpu.stat`), which also holds what processes and threads
spent that are gone. Where none can be made, the ticks of proc(5) are summed: coarse, 10 ms as a rule, but whole.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

TICK: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Memory(NamedTuple):
    """Bytes, summed over the processes: resident, and with shared pages divided by those who share them."""

    rss: int
    pss: int


def _group_root() -> Path | None:
    """Where groups can be made: our own group in the mounted cgroup v2 hierarchy."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    mount = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    groups = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    if mount is None or not groups:
        return None
    return Path(mount) / groups[0].lstrip("/")


def _ticks(pid: int) -> int:
    """CPU time of a process and of its children that were reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime: proc(5)


def _session(session: int) -> list[int]:
    """Ids of the processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                found.append(int(entry.name))
    return found


def threads_cpu(pid: int) -> float:
    """CPU time so far of the live threads of a process, in seconds, finer than ticks."""
    total = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(file.read_text().split()[0])
    return total / 1e9


def cpu_seconds(session: int) -> float:
    """CPU time so far of every process in a session, in ticks."""
    return sum(map(_ticks, _session(session))) / TICK


class Account:
    """One process tree: its first process calls `enter()` before exec, in a session of its own; `close()` is last."""

    _count = 0
    _told = False

    def __init__(self, name: str) -> None:
        Account._count += 1
        self.session = 0  # of the first process: set it once it runs
        self._group: Path | None = None
        root = _group_root()
        if root is not None:
            group = root / f"bench-{os.getpid()}-{Account._count}-{name}"
            with contextlib.suppress(OSError):
                group.mkdir()
                self._group = group
        if self._group is None and not Account._told:
            Account._told = True
            print("no control group can be made: CPU time is counted in ticks of 10 ms", file=sys.stderr)

    def enter(self) -> Callable[[], None]:
        """To be called in the child."""
        file = None if self._group is None else str(self._group / "cgroup.procs")

        def before_exec() -> None:
            if file is not None:
                with open(file, "w") as group:
                    group.write(str(os.getpid()))

        return before_exec

    def cpu(self) -> float:
        """Seconds of CPU time so far, all processes and threads, ended ones included."""
        if self._group is None:
            return sum(map(_ticks, self.processes())) / TICK
        return int((self._group / "cpu.stat").read_text().split()[1]) / 1e6

    def processes(self) -> list[int]:
        """Ids of those that live."""
        if self._group is not None:
            return [int(pid) for pid in (self._group / "cgroup.procs").read_text().split()]
        return _session(self.session)

    def memory(self) -> Memory:
        """Memory and descriptors of the live processes."""
        rss = pss = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                rss += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                pss += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
        return Memory(rss, pss)

    def files(self) -> int:
        """Open descriptors of all processes."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                total += len(os.listdir(f"/proc/{pid}/fd"))
        return total

    def close(self) -> None:
        """After the last process ended."""
        if self._group is not None:
            with contextlib.suppress(OSError):
                self._group.rmdir()
