"""The compile process as the supervisor sees it: kept warm, and replaced when it has ended."""

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest

from supervisor.generation.compilation import CompileResult
from supervisor.generation.compiler import COMPILE_COMMAND, CompileFailed, Compiler
from supervisor.host.reaper import Reaper
from tests.support.front import manifest, write
from tests.support.harness import alive

CONFIG: Final = "policy: {paths: [policies]}\n"
SPEC: Final = "to: [{host: %s.test}]\naction: Allow"


def policies(folder: Path, *names: str) -> Path:
    """A sluice.yaml, and a policy file for each name."""
    (folder / "policies").mkdir(exist_ok=True)
    for name in names:
        (folder / "policies" / f"{name}.yaml").write_text(manifest(SPEC % name, name))
    return write(folder, sluice_yaml=CONFIG)


class Warm:
    """A compiler in a running loop, and what it said."""

    def __init__(self, command: list[str], timeout: float) -> None:
        loop = asyncio.get_running_loop()
        self.reaper = Reaper(loop)
        self.said: list[str] = []
        self.compiler = Compiler(loop, self.reaper, command, timeout, self.said.append)

    async def compile(self, path: Path, accepted: bool = True) -> CompileResult:
        """A result whose image is closed."""
        result = await self.compiler.compile(str(path))
        if result.image is not None:
            os.close(result.image)
            if accepted:
                self.compiler.accepted()
        while self.children():  # it has sent its result, and ends
            await asyncio.sleep(0.01)
        return result

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.compiler.pid}/task/{self.compiler.pid}/children")
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []

    async def child(self) -> int:
        """The pid of the child that compiles now."""
        while not (found := self.children()):
            await asyncio.sleep(0)
        return found[0]


@contextlib.asynccontextmanager
async def warm(command: list[str] | None = None, timeout: float = 60.0) -> AsyncIterator[Warm]:
    found = Warm(command or list(COMPILE_COMMAND), timeout)
    found.reaper.start()
    try:
        yield found
    finally:
        found.compiler.kill()
        while found.compiler.pid is not None:  # it is gone, and no zombie
            await asyncio.sleep(0.01)
        found.reaper.stop()


def run(test: Coroutine[Any, Any, None]) -> None:
    """To its end, with no descriptor left."""
    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(test)
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_that_have_not_changed_are_not_parsed_again(tmp_path: Path) -> None:
    path = policies(tmp_path, "a", "b", "c")

    async def test() -> None:
        async with warm() as one:
            assert (await one.compile(path)).files_parsed == 3
            policies(tmp_path, "b")
            (tmp_path / "policies/b.yaml").write_text(manifest(SPEC % "new", "b"))
            result = await one.compile(path)
            assert (result.files_parsed, result.counts["rules"]) == (1, 3)
            assert (await one.compile(path)).files_parsed == 0
            assert one.compiler.starts == 1

    run(test())


def test_nothing_of_a_result_that_is_not_accepted_is_remembered(tmp_path: Path) -> None:
    path = policies(tmp_path, "a", "b")

    async def test() -> None:
        async with warm() as one:
            assert (await one.compile(path, accepted=False)).files_parsed == 2
            assert (await one.compile(path)).files_parsed == 2
            (tmp_path / "policies/b.yaml").write_text("nonsense")
            refused = await one.compile(path)
            assert not refused.ok and refused.files_parsed == 1
            policies(tmp_path, "b")
            result = await one.compile(path)
            assert result.ok and result.files_parsed == 0, "as it was when it was accepted"

    run(test())


def slow(folder: Path) -> None:
    """A further policy file, which takes long to read and much memory."""
    many = "to:\n" + "".join(f"- {{host: h{number}.test}}\n" for number in range(20_000)) + "action: Allow"
    (folder / "policies/many.yaml").write_text(manifest(many, "many"))


def test_a_killed_compilation_is_refused_and_what_was_remembered_stays(tmp_path: Path) -> None:
    path = policies(tmp_path, "a", "b")

    async def test() -> None:
        async with warm() as one:
            await one.compile(path)
            pid = one.compiler.pid
            slow(tmp_path)
            running = asyncio.ensure_future(one.compile(path))
            os.kill(await one.child(), signal.SIGKILL)
            with pytest.raises(CompileFailed, match="SIGKILL"):
                await running
            (tmp_path / "policies/many.yaml").unlink()
            assert (await one.compile(path)).files_parsed == 0
            assert one.compiler.pid == pid and one.said == []

    run(test())


def test_a_compilation_without_memory_is_refused_and_what_was_remembered_stays(tmp_path: Path) -> None:
    path = policies(tmp_path, "a", "b")

    async def test() -> None:
        async with warm() as one:
            await one.compile(path)
            assert one.compiler.pid is not None
            before = resource.prlimit(one.compiler.pid, resource.RLIMIT_AS)
            size = int(Path(f"/proc/{one.compiler.pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.prlimit(one.compiler.pid, resource.RLIMIT_AS, (size + (8 << 20), before[1]))
            slow(tmp_path)
            with pytest.raises(CompileFailed, match="out of memory"):
                await one.compile(path)
            (tmp_path / "policies/many.yaml").unlink()
            resource.prlimit(one.compiler.pid, resource.RLIMIT_AS, before)
            assert (await one.compile(path)).files_parsed == 0
            assert one.compiler.starts == 1 and one.said == []

    run(test())


def test_a_warm_process_that_is_killed_is_said_and_replaced(tmp_path: Path) -> None:
    path = policies(tmp_path, "a", "b")

    async def test() -> None:
        async with warm() as one:
            await one.compile(path)
            os.kill(one.compiler.pid or 0, signal.SIGKILL)
            while one.compiler.pid is not None:
                await asyncio.sleep(0.01)
            assert "SIGKILL" in one.said[0] and "starts a fresh one" in one.said[0]
            result = await one.compile(path)
            assert result.ok and result.files_parsed == 2 and one.compiler.starts == 2

    run(test())


def test_a_child_ends_with_the_warm_process(tmp_path: Path) -> None:
    path = policies(tmp_path, "a")
    slow(tmp_path)

    async def test() -> None:
        async with warm() as one:
            running = asyncio.ensure_future(one.compile(path))
            child = await one.child()
            while Path(f"/proc/{child}/oom_score_adj").read_text().strip() != "1000":  # it has begun
                await asyncio.sleep(0.01)
            os.kill(child, signal.SIGSTOP)
            os.kill(one.compiler.pid or 0, signal.SIGKILL)
            with pytest.raises(CompileFailed, match="SIGKILL"):
                await running
            while alive(child):
                await asyncio.sleep(0.01)

    run(test())


def test_a_child_that_hangs_is_ended_and_what_was_remembered_stays(tmp_path: Path) -> None:
    path = policies(tmp_path, "a", "b")

    async def test() -> None:
        async with warm() as one:
            await one.compile(path)
            pid = one.compiler.pid
            slow(tmp_path)
            one.compiler.timeout = 0.5
            running = asyncio.ensure_future(one.compile(path))
            os.kill(await one.child(), signal.SIGSTOP)
            with pytest.raises(CompileFailed, match=r"more than 0\.5 s"):
                await running
            one.compiler.timeout = 60.0
            (tmp_path / "policies/many.yaml").unlink()
            assert (await one.compile(path)).files_parsed == 0
            assert one.compiler.pid == pid and one.said == []

    run(test())


# A process that is no compile process.


def compiling(
    tmp_path: Path, script: str, timeout: float = 20.0, meanwhile: Callable[[int], None] | None = None
) -> str:
    """The failure of a compilation by a process that is this script."""
    path = tmp_path / "compile.py"
    path.write_text(script)
    texts = []

    async def test() -> None:
        async with warm([sys.executable, str(path)], timeout) as one:
            task = asyncio.ensure_future(one.compiler.compile("unused"))
            await asyncio.sleep(0)
            if meanwhile is not None and one.compiler.pid is not None:
                meanwhile(one.compiler.pid)
            with pytest.raises(CompileFailed) as caught:
                await task
            texts.append(str(caught.value))

    run(test())
    return texts[0]


def test_a_crash_is_a_failed_reload(tmp_path: Path) -> None:
    assert "exit code 7" in compiling(tmp_path, "import sys; sys.exit(7)")


def test_a_process_killed_for_memory_is_a_failed_reload(tmp_path: Path) -> None:
    text = compiling(tmp_path, "import time; time.sleep(60)", meanwhile=lambda pid: os.kill(pid, signal.SIGKILL))
    assert "SIGKILL" in text and "out of memory" in text


def test_a_process_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    script = "import os, time\nif os.fork() == 0: time.sleep(60)\ntime.sleep(60)"
    assert "more than 0.5 s" in compiling(tmp_path, script, timeout=0.5)


def test_nonsense_is_a_failed_reload(tmp_path: Path) -> None:
    assert "malformed" in compiling(tmp_path, "import os, time; os.write(3, b'\\0' * 100000); time.sleep(60)")


def test_a_process_that_cannot_be_started_is_a_failed_reload() -> None:
    async def test() -> None:
        with pytest.raises(CompileFailed, match="ENOENT"):
            async with warm(["/no/such/program"]) as one:
                await one.compiler.compile("unused")

    run(test())
