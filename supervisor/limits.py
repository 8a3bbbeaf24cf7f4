"""What the machine grants: open files, processors, and how many tunnels fit in them."""

import math
import os
import resource
from pathlib import Path

from supervisor.errors import StartError

__all__ = ["RESERVED_FILES", "processors", "raise_nofile", "tunnel_cap"]

RESERVED_FILES = 256  # of each worker: listeners, DNS, pipes, logs
FILES_PER_TUNNEL = 2


def raise_nofile() -> int:
    """Raises the soft limit of open files to the hard one, for us and the workers; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard


def tunnel_cap(wanted: int, explicit: bool, workers: int, nofile: int) -> tuple[int, str]:
    """(tunnels that may be open at once, a warning or ""). Raises StartError where the configuration cannot be kept.

    The cap is min(limits.tunnels, workers x (nofile - 256) / 2) (DESIGN.md section 3); a limit that the user set is a
    promise, the default is not.
    """
    fit = workers * (nofile - RESERVED_FILES) // FILES_PER_TUNNEL
    need = math.ceil(wanted * FILES_PER_TUNNEL / workers) + RESERVED_FILES
    if fit >= wanted:
        return wanted, ""
    suggestion = f"raise the hard limit of open files to {need} (`ulimit -Hn {need}`, LimitNOFILE={need})"
    if fit < 1:
        raise StartError(f"no tunnel fits: {nofile} open files are allowed, each worker keeps {RESERVED_FILES} for itself", suggestion)
    if explicit:
        raise StartError(
            f"limits.tunnels: {wanted} cannot be met: {workers} worker(s) with {nofile} open files each carry {fit} tunnels",
            f"{suggestion}, or set limits.tunnels to {fit} or less",
        )
    return fit, f"at most {fit} tunnels instead of {wanted}: only {nofile} open files are allowed; {suggestion}"


def processors() -> int:
    """Workers for `workers: auto`: min(cpu affinity, ceil(cgroup cpu.max)), at least 1."""
    return max(1, min(len(os.sched_getaffinity(0)), _cgroup_quota()))


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int:
    """Processors that the cgroup v2 tree allows (the smallest of our group's and its parents'), rounded up; a large number
    where none is set."""
    quota = 1 << 16
    try:
        relative = next(line[3:] for line in membership.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return quota
    group = root / relative.lstrip("/")
    for folder in (group, *group.parents):
        try:
            limit, period = (folder / "cpu.max").read_text().split()
            if limit != "max":
                quota = min(quota, math.ceil(int(limit) / int(period)))
        except (OSError, ValueError):
            pass
        if folder == root:
            break
    return max(1, quota)
