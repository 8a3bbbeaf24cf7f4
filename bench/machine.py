"""The machine under the benchmark: what it is, a network of its own, and which core does what."""

import ctypes
import fcntl
import json
import os
import platform
import resource
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = [
    "FLOOR", "H2_FLOOR", "LOAD", "RESULTS", "ROOT", "TLS_FLOOR", "Cores", "build", "confined", "cores", "keep",
    "private_network", "versions",
]  # fmt: skip

ROOT: Final = Path(__file__).resolve().parents[1]
LOAD: Final = ROOT / "build/bench/load"
FLOOR: Final = ROOT / "build/bench/floor"
TLS_FLOOR: Final = ROOT / "build/bench/tls-floor"
H2_FLOOR: Final = ROOT / "build/bench/h2-floor"
RESULTS: Final = ROOT / "bench/results"

# More ports for clients, and the kernel's default congestion control whatever the machine's is: BBR paces by timers,
# which on loopback cost more than all that is measured, and come as they like.
NETWORK: Final = {"ip_local_port_range": "30000 65535", "tcp_congestion_control": "cubic"}
# linux/sched.h, linux/sockios.h, linux/if.h
CLONE_NEWNET: Final = 0x40000000
SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1


def versions() -> dict[str, str]:
    """Versions and settings that the figures depend on."""
    describe = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False)
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "sluice": commit.stdout.strip() or "unknown",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "congestion control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "cpu": f"{os.cpu_count()} x {model[0].partition(':')[2].strip() if model else platform.machine()}",
    }


def build() -> None:
    """The load generator and the floor."""
    subprocess.run(["make", "-s", "-C", str(ROOT / "bench")], check=True)


def keep(name: str, record: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """A JSON file among the results."""
    folder.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    file = folder / f"{name}-{stamp}.json"
    file.write_text(json.dumps(record, indent=1) + "\n")
    return file


def private_network() -> bool:
    """Moves this process, and what it starts, to a network namespace with loopback alone. Returns whether it could.

    No other program's traffic is seen there, every port is free, and more of them may be used for clients.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        why = os.strerror(ctypes.get_errno())
        print(f"no private network namespace ({why}; it takes root): using the machine's loopback", file=sys.stderr)
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        (_, flags) = struct.unpack("16sh14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
    for setting, value in NETWORK.items():
        try:
            Path("/proc/sys/net/ipv4", setting).write_text(value)
        except OSError as error:
            print(f"{setting} is not {value}: {error}", file=sys.stderr)
    return True


class Cores(NamedTuple):
    """Which cores the proxy and the rest (load and origin) run on."""

    proxy: frozenset[int]
    load: frozenset[int]


def cores() -> Cores:
    """The last core for the proxy, the one before it for load and origin; a machine with one core shares it."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) == 1:
        print("one core only: proxy and load share it", file=sys.stderr)
        return Cores(frozenset(allowed), frozenset(allowed))
    return Cores(frozenset(allowed[-1:]), frozenset(allowed[-2:-1]))


def confined(where: frozenset[int], *others: Callable[[], None]) -> Callable[[], None]:
    """A child's steps before exec: goes to its cores, may open as many files as the machine lets it, and the rest."""

    def before_exec() -> None:
        os.sched_setaffinity(0, where)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for other in others:
            other()

    return before_exec
