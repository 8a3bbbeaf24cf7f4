"""Hardening of the extensions, read from their ELF files, and of a running worker."""

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Final

import pytest

from gateway.worker import privileges
from tests.support import wire
from tests.support.origins import Origin, echo
from tests.support.run_gateway import INSTRUMENTED, Gateway, environment, open_files, policy

OPEN: Final = [policy("all", [{"host": "*"}, {"cidr": "0.0.0.0/0"}])]
FOLDERS: Final = [Path(privileges.__file__).parents[1], Path(__file__).resolve().parents[3] / "supervisor/policy"]
EXTENSIONS: Final = sorted(file for folder in FOLDERS for file in folder.rglob("*.so"))


def elf(what: str) -> dict[str, str]:
    """The output of readelf(1) for each extension."""
    command = ["readelf", "-W", what, *map(str, EXTENSIONS)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    _, *parts = re.split(r"^File: (.+)$", text, flags=re.MULTILINE)
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    assert found.keys() == {str(file) for file in EXTENSIONS}
    return found


def test_extensions_bind_at_once_and_have_no_table_that_can_be_written_to() -> None:
    segments = elf("-l")
    for file, dynamic in elf("-d").items():
        at_once = any("FLAGS_1" in line and "NOW" in line for line in dynamic.splitlines())
        assert "BIND_NOW" in dynamic or at_once, file
        assert "GNU_RELRO" in segments[file], file
        (stack,) = [line.split() for line in segments[file].splitlines() if "GNU_STACK" in line]
        assert "E" not in stack[6], f"the stack of {file} holds no code"


def test_functions_with_buffers_check_their_stack_and_libc_their_sizes() -> None:
    guarded = [file for file, symbols in elf("--dyn-syms").items() if "__stack_chk_fail" in symbols]
    assert len(EXTENSIONS) > 40 and len(guarded) > len(EXTENSIONS) // 2
    level = 0 if INSTRUMENTED else 2
    assert level == privileges.FORTIFY


def status(pid: int) -> dict[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_a_worker_has_no_capability_and_no_way_to_one() -> None:
    """Nor has any of its threads; and it serves all the same."""
    with Gateway(OPEN, {"workers": 2}) as gateway, Origin(echo) as origin:
        workers = gateway.workers()
        assert len(workers) == 2
        for worker in workers:
            for task in Path(f"/proc/{worker}/task").iterdir():
                found = status(int(task.name))
                assert found["NoNewPrivs"] == "1"
                for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                    assert int(found[name], 16) == 0, (task, name)
                if os.geteuid() == 0:
                    assert int(found["CapBnd"], 16) == 0
        for _ in range(8):
            with wire.connect(gateway.port) as connection:
                wire.open_socks5(connection, "127.0.0.1", origin.port)
                assert wire.echoes(connection)


def test_a_worker_cannot_be_looked_into_and_its_files_are_counted_all_the_same() -> None:
    """Files of a process that is not dumpable belong to root (proc(5)): for others it is a closed box."""
    gateway = Gateway(OPEN)
    gateway.variables = {"SLUICE_DUMPABLE": ""}
    with gateway:
        (worker,) = gateway.workers()
        assert os.stat(f"/proc/{worker}/environ").st_uid == 0
        if os.geteuid() != 0:
            with pytest.raises(PermissionError):
                os.listdir(f"/proc/{worker}/fd")
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics", timeout=30) as answer:
            found = re.search(r"^sluice_open_fds (\d+)", answer.read().decode(), re.MULTILINE)
        assert found is not None
        counted = int(found[1])
        assert counted > open_files(gateway.pid) + 5, "the worker's are among them"


UNPRIVILEGED: Final = """\
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
from gateway.worker.privileges import drop
held = os.open(f"/proc/{os.getpid()}/fd", os.O_RDONLY)
drop()
listed = len(os.listdir("/proc/self/fd"))
child = os.fork()
if child == 0:
    try:
        os.listdir(f"/proc/{os.getppid()}/fd")
    except PermissionError:
        os._exit(0 if len(os.listdir(held)) >= 4 else 2)
    os._exit(1)
print(listed >= 4, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_an_unprivileged_worker_sees_its_own_files_and_its_supervisor_counts_them() -> None:
    if os.geteuid() != 0:
        script = UNPRIVILEGED.replace("os.setgroups([]); os.setgid(65534); os.setuid(65534)\n", "")
    else:
        script = UNPRIVILEGED.replace("from gateway.worker.privileges import drop\n", "", 1)
        script = "from gateway.worker.privileges import drop\n" + script  # while the tree can be read
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.stdout == "True 0\n", done.stderr
