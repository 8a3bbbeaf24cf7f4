"""Tests in a network namespace of their own, where addresses, routes and sysctls are theirs to change.

The test's function runs in a child process, so that the namespace ends with it; root is not needed where users may have
namespaces.
"""

import ctypes
import functools
import os
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, ParamSpec

Parameters = ParamSpec("Parameters")

CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000
PORT_RANGE: Final = "/proc/sys/net/ipv4/ip_local_port_range"


def ip(*commands: str) -> None:
    """Runs `ip COMMAND` for each, in this process's namespace."""
    for command in commands:
        done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"ip {command}: {done.stderr}"


def sysctl(path: str, value: str) -> None:
    Path(path).write_text(value)


def _enter() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    flags, user, group = CLONE_NEWNET, os.geteuid(), os.getegid()
    if user != 0:
        flags |= CLONE_NEWUSER
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare: a network namespace is needed")
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    ip("link set lo up")


def own_network(test: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """The test runs alone on a fresh loopback interface. Its fixtures are made outside."""

    @functools.wraps(test)
    def alone(*arguments: Parameters.args, **named: Parameters.kwargs) -> None:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(reading)
                _enter()
                test(*arguments, **named)
                code = 0
            except BaseException:
                os.write(writing, traceback.format_exc().encode()[-60000:])
            finally:
                os._exit(code)
        os.close(writing)
        with open(reading, "rb") as report:
            text = report.read().decode(errors="replace")
        _, status = os.waitpid(child, 0)
        assert status == 0, text or f"the child ended with {status}"

    return alone
