"""The machine's resources: CPUs for this process, its own addresses, where a control socket may live. It only reads."""

import math
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

CGROUP_ROOT: Final = "/sys/fs/cgroup"
PROC: Final = "/proc"


def cpus(cgroup_root: str = CGROUP_ROOT, proc: str = PROC) -> int:
    """min(CPU affinity, ceil(cgroup v2 cpu.max)), at least 1: the worker count of `workers: auto`."""
    count = len(os.sched_getaffinity(0))
    for quota in _quotas(cgroup_root, proc):
        count = min(count, max(1, math.ceil(quota)))
    return max(1, count)


def _quotas(cgroup_root: str, proc: str) -> Iterator[float]:
    """CPU quotas of this process's cgroup and of all above it: the tightest counts."""
    for group in _groups(cgroup_root, proc):
        quota = _quota(os.path.join(group, "cpu.max"))
        if quota is not None:
            yield quota


def _groups(cgroup_root: str, proc: str) -> Iterator[str]:
    """The folders of this process's cgroup v2 and of all above it."""
    try:
        with open(os.path.join(proc, "self/cgroup"), encoding="utf-8", errors="surrogateescape") as file:
            groups = [line.rstrip("\n")[3:] for line in file if line.startswith("0::")]
    except OSError:
        return
    for group in groups:
        path = group
        while True:
            yield os.path.join(cgroup_root, path.lstrip("/"))
            if path in ("", "/"):
                break
            path = os.path.dirname(path)


def _quota(path: str) -> float | None:
    """`max 100000` or `150000 100000` (cgroup-v2.rst, "CPU Interface Files")."""
    try:
        with open(path, encoding="ascii") as file:
            quota, period = file.read(64).split()
        return None if quota == "max" or int(period) <= 0 else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def free_memory(cgroup_root: str = CGROUP_ROOT, proc: str = PROC) -> int | None:
    """Bytes that this process may still take before the machine, or a cgroup v2 above it, runs out of memory; None
    where nothing says. Files that are cached and not in use count as free."""
    free = _available(proc)
    for group in _groups(cgroup_root, proc):
        most, used = _number(os.path.join(group, "memory.max")), _number(os.path.join(group, "memory.current"))
        if most is not None and used is not None:
            left = max(0, most - used + _inactive_files(group))
            free = left if free is None else min(free, left)
    return free


def _available(proc: str) -> int | None:
    try:
        with open(os.path.join(proc, "meminfo"), encoding="ascii") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:")), None)
    except (OSError, ValueError, IndexError):
        return None


def _inactive_files(group: str) -> int:
    try:
        with open(os.path.join(group, "memory.stat"), encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("inactive_file ")), 0)
    except (OSError, ValueError, IndexError):
        return 0


def _number(path: str) -> int | None:
    """The number in a file; None for `max` and for a file that is not there."""
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read(32))
    except (OSError, ValueError):
        return None


def control_endpoint() -> str:
    """The default of control.endpoint (CONTRACT.md section 1) for this user; "" where it must be set.

    $RUNTIME_DIRECTORY is a service's own folder, of several the first (systemd.exec(5), RuntimeDirectory=).
    """
    if os.geteuid() == 0:
        return "ipc:///run/sluice/control"
    service = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if os.path.isabs(service):
        return f"ipc://{os.path.normpath(service)}/control"
    user = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(user):
        return f"ipc://{os.path.normpath(user)}/sluice/control"
    return ""


def local_networks(proc: str = PROC) -> set[str]:
    """CIDRs of every address this machine answers on: interfaces, the loopback /8, other local routes."""
    return {"127.0.0.0/8", "::1/128", *_ipv4(proc), *_ipv6(proc)}


def _ipv4(proc: str) -> Iterator[str]:
    """Local routes of the kernel's table, /proc/net/fib_trie: an address line, then `/32 host LOCAL` below it."""
    address = ""
    try:
        with open(os.path.join(proc, "net/fib_trie"), encoding="ascii", errors="replace") as file:
            for line in file:
                words = line.split()
                if words[:1] == ["|--"] and len(words) > 1:
                    address = words[1]
                elif words[1:3] == ["host", "LOCAL"] and words[0].startswith("/"):
                    yield address + words[0]
    except OSError:
        yield from _ipv4_by_interface()


def _ipv4_by_interface() -> Iterator[str]:
    """Where /proc tells nothing: the first address of each interface, by SIOCGIFADDR (netdevice(7))."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, 0x8915, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue
            yield socket.inet_ntoa(answer[20:24]) + "/32"


def _ipv6(proc: str) -> Iterator[str]:
    """/proc/net/if_inet6: 32 hex digits first."""
    try:
        with open(os.path.join(proc, "net/if_inet6"), encoding="ascii") as file:
            for line in file:
                yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0])) + "/128"
    except (OSError, ValueError):
        return
