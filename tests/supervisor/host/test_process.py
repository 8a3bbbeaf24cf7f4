"""Starting children with exact descriptors, and reaping all of them."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from supervisor.host.process import BLOCKED, child_environment, kill_group, python_command, spawn
from supervisor.host.reaper import Exit, Reaper


def run(code: str, fds: Sequence[int] = (), *, block: bool = False, kill: int | None = None) -> Exit:
    """Runs Python code in a child and waits for its end through the reaper."""

    async def wait() -> Exit:
        loop = asyncio.get_running_loop()
        reaper = Reaper(loop)
        reaper.start()
        ended: asyncio.Future[Exit] = loop.create_future()
        try:
            pid = spawn([sys.executable, "-c", code], fds, block=block)
            reaper.watch(pid, ended.set_result)
            if kill is not None:
                kill_group(pid, kill)
            return await asyncio.wait_for(ended, 30)
        finally:
            reaper.stop()

    return asyncio.run(wait())


def test_exits_and_signals_are_told_apart() -> None:
    assert (run("raise SystemExit(7)").code, str(run("raise SystemExit(7)"))) == (7, "exit code 7")
    killed = run("import time; time.sleep(60)", kill=signal.SIGKILL)
    assert (killed.code, killed.signal, killed.clean) == (None, 9, False)
    assert str(killed) == "killed by signal 9 (SIGKILL)"
    assert run("").clean


def test_descriptors_arrive_in_order_wherever_they_were() -> None:
    """Also when sources lie inside the target range and in the wrong order: the pipes are swapped on purpose."""
    pipes = [os.pipe() for _ in range(6)]
    writers = [writer for _, writer in pipes]
    order = [5, 0, 4, 1, 3, 2]
    code = "import os\nfor number in range(6): os.write(3 + number, b'%d' % number)"
    assert run(code, [writers[index] for index in order]).clean
    for position, index in enumerate(order):
        assert os.read(pipes[index][0], 10) == b"%d" % position
    for reader, writer in pipes:
        os.close(reader)
        os.close(writer)


def test_nothing_else_is_inherited() -> None:
    """Beside what the test runner itself was started with."""
    ours = {int(fd) for fd in os.listdir("/proc/self/fd")}
    handed_down = {fd for fd in ours if os.path.exists(f"/proc/self/fd/{fd}") and os.get_inheritable(fd)}
    stray = socket.socket()
    reader, writer = os.pipe()
    code = "import os\nlisted = os.listdir('/proc/self/fd')\nos.write(3, ' '.join(listed).encode())"
    assert run(code, [writer]).clean
    listed = {int(fd) for fd in os.read(reader, 4096).split()}
    assert {0, 1, 2, 3} <= listed
    assert len(listed - handed_down - {0, 1, 2, 3}) == 1, "the listing's own descriptor"
    for fd in (reader, writer):
        os.close(fd)
    stray.close()


def test_signals_are_default_and_blocked_as_asked(tmp_path: Path) -> None:
    code = (
        "import signal, sys\n"
        "blocked = {int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])}\n"
        "sys.exit(0 if blocked == {expected} and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL else 1)"
    )
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup would have it
    try:
        assert run(code.replace("{expected}", repr({int(number) for number in BLOCKED})), block=True).clean
        assert run(code.replace("{expected}", "set()")).clean
    finally:
        signal.signal(signal.SIGHUP, before)


def test_many_children_that_end_at_once_are_all_reported() -> None:
    async def wait() -> list[Exit]:
        loop = asyncio.get_running_loop()
        reaper = Reaper(loop)
        reaper.start()
        ends: list[Exit] = []
        pids = []
        for number in range(40):
            pid = spawn(["/bin/sh", "-c", f"exit {number}"])
            pids.append(pid)
            reaper.watch(pid, ends.append)
        for _ in range(3000):
            if len(ends) == 40:
                break
            await asyncio.sleep(0.01)
        reaper.stop()
        assert {end.pid for end in ends} == set(pids)
        return ends

    assert sorted(end.code for end in asyncio.run(wait()) if end.code is not None) == list(range(40))


def test_a_program_that_does_not_exist() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        spawn(["/no/such/program"], [0])
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_group_that_is_gone_is_no_error() -> None:
    ended = run("")
    kill_group(ended.pid)


def test_modules_of_ours_are_found_from_any_folder_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder `gateway` in the working directory is not ours."""
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway/__init__.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    code = "import gateway.contract, sys; sys.exit(0)"
    command = python_command("gateway.contract")
    assert command[1:] == ["-P", "-m", "gateway.contract"]

    async def wait(argv: list[str]) -> Exit:
        loop = asyncio.get_running_loop()
        reaper = Reaper(loop)
        reaper.start()
        ended: asyncio.Future[Exit] = loop.create_future()
        reaper.watch(spawn(argv), ended.set_result)
        try:
            return await asyncio.wait_for(ended, 30)
        finally:
            reaper.stop()

    assert asyncio.run(wait(command)).clean
    assert asyncio.run(wait([sys.executable, "-P", "-c", code])).clean
    assert "PYTHONPATH" in child_environment({}) or "site-packages" in str(Path(__file__))
