"""Short slices, as the kernel tells them."""

import ctypes
import os
import platform
import struct
import subprocess
import sys

from gateway.worker.scheduling import wake_first
from tests.support.run_gateway import Gateway, policy

SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}[platform.machine()]
LINUX = tuple(int(part) for part in platform.release().split(".")[:2])


def attributes(pid: int) -> tuple[int, int, int]:
    """Policy, nice and slice of a process."""
    buffer = ctypes.create_string_buffer(48)
    assert ctypes.CDLL(None).syscall(SCHED_GETATTR, pid, buffer, 48, 0) == 0
    _, policy, _, nice, _, runtime = struct.unpack_from("IIQiIQ", buffer)
    return policy, nice, runtime


def test_slices_become_short_and_the_rest_stays() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, 7)
        assert wake_first(process.pid)
        policy, nice, slice_ns = attributes(process.pid)
        assert (policy, nice) == (os.SCHED_OTHER, 7)
        if LINUX >= (6, 12):
            assert slice_ns == 100_000
        process.communicate(b"\n")


def test_a_process_that_is_gone_is_no_error() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        assert not wake_first(process.pid)


def test_workers_have_them() -> None:
    with Gateway([policy("allow", [{"host": "localhost"}])], {"workers": 2}) as gateway:
        slices = [attributes(pid)[2] for pid in gateway.workers()]
    if LINUX >= (6, 12):
        assert slices == [100_000, 100_000]
