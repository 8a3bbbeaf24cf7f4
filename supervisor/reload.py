"""Generations: compiling the configuration in a process of its own, and the reloads that put the result in force.

All or nothing (CONTRACT.md section 1): a configuration with one problem changes nothing. Reloads run one after another;
all that are asked for while one runs are joined into the one that follows it, which then sees every file as it is.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from supervisor.compilation import NICE, CompileCrashed, CompileResult, how_it_ended, receive_result
from supervisor.config import Config, Listener
from supervisor.errors import errno_text
from supervisor.log import Log
from supervisor.process import Exit, Reaper, kill_group, python_command, spawn

__all__ = ["COMPILE_COMMAND", "CompileFailed", "Compiler", "Outcome", "Reloader", "restart_needed"]

COMPILE_COMMAND = tuple(python_command("supervisor.compile"))
COMPILE_TIMEOUT: Final = 60.0


class CompileFailed(Exception):
    """The compile process gave no result: crashed, killed, or too slow. The text says which."""


class Compiler:
    """Runs the compile process, one at a time."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reaper: Reaper,
        command: Sequence[str] = COMPILE_COMMAND,
        timeout: float = COMPILE_TIMEOUT,
    ) -> None:
        self._loop = loop
        self._reaper = reaper
        self._command = list(command)
        self._timeout = timeout
        self.pid: int | None = None

    async def compile(
        self, path: str, serving: Sequence[str] = (), rule_slots: Mapping[str, int] | None = None
    ) -> CompileResult:
        """The result for the sluice.yaml at `path`. Raises CompileFailed. The caller owns the image's descriptor.
        `serving`: the addresses in force (`127.0.0.1:1080`), which the file may no longer name. `rule_slots`: the
        metrics slots that rules have."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        slots: int | None = None
        ended: asyncio.Future[Exit] = self._loop.create_future()
        try:
            try:
                known = [argument for address in serving for argument in ("--serving", address)]
                slots = _as_file(rule_slots or {})
                known += ["--result-fd", "3", "--rule-slots-fd", "4"]
                pid = spawn([*self._command, "--config", path, *known], [theirs.fileno(), slots])
            except OSError as error:
                ours.close()
                raise CompileFailed(f"the compile process cannot be started: {errno_text(error)}") from None
            finally:
                theirs.close()
                if slots is not None:
                    os.close(slots)
            self.pid = pid
            # From its first moment: it would take a good part of its time for its imports before it could do so itself.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, pid, NICE)
            self._reaper.watch(pid, lambda status: self._on_exit(status, ended))
            return await self._result(pid, ours, ended)
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends a running compile; its reload fails."""
        if self.pid is not None:
            kill_group(self.pid)

    def _on_exit(self, status: Exit, ended: "asyncio.Future[Exit]") -> None:
        self.pid = None
        if not ended.done():
            ended.set_result(status)

    async def _result(self, pid: int, ours: socket.socket, ended: "asyncio.Future[Exit]") -> CompileResult:
        # On a thread: the result comes in pieces. It ends when the process does, as nobody else holds the other end.
        reading = self._loop.run_in_executor(None, _receive, ours)
        done, _ = await asyncio.wait({reading}, timeout=self._timeout)
        if not done:
            kill_group(pid)
            await asyncio.wait({reading})
            if reading.exception() is None and (image := reading.result().image) is not None:
                os.close(image)
            raise CompileFailed(f"compiling took more than {self._timeout:g} s and was ended")
        failure = reading.exception()
        if failure is None:
            return reading.result()
        if not isinstance(failure, CompileCrashed):
            raise failure
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(ended), 5)
        how = ""
        if ended.done():
            status = ended.result()
            how = f", {how_it_ended(-status.signal if status.signal is not None else status.code or 0)}"
        raise CompileFailed(f"the compile process failed: {failure}{how}")


def _as_file(rule_slots: Mapping[str, int]) -> int:
    """A memfd with their msgpack, to be read from its beginning."""
    descriptor = os.memfd_create("sluice-rule-slots", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, msgspec.msgpack.encode(rule_slots))
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _receive(ours: socket.socket) -> CompileResult:
    with ours:
        return receive_result(ours)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reload came to. `problems` are lines for people; ok with `restart_needed` leaves those keys as they
    were."""

    ok: bool
    generation: int
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    restart_needed: list[str] = field(default_factory=list)


class Reloader:
    """Serialises reloads and joins those that wait. `run` does one reload."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run: Callable[[str], Awaitable[Outcome]], log: Log) -> None:
        self._loop = loop
        self._run = run
        self._log = log
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Future[Outcome] | None = None
        self.joined = 0  # requests that shared another's run

    def request(self, origin: str) -> "asyncio.Future[Outcome]":
        """Asks for a reload that begins after this call; its outcome may be shared with others. Do not cancel: shield
        it."""
        if self._next is not None:
            self.joined += 1
            return self._next
        self._next = self._loop.create_future()
        asked = self._next
        if self._running is None:
            self._running = self._loop.create_task(self._work(origin))
        return asked

    async def close(self) -> None:
        """Ends the running reload; whoever waits for one gets a refusal."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        if self._next is not None and not self._next.done():
            self._next.set_result(_ending())

    async def _work(self, origin: str) -> None:
        answer: asyncio.Future[Outcome] | None = None
        try:
            while self._next is not None:
                answer, self._next = self._next, None
                try:
                    outcome = await self._run(origin)
                except Exception as error:  # a failure of ours must not end all later reloads
                    self._log.error("reload_failed", "internal error", error=repr(error))
                    outcome = Outcome(False, 0, [f"internal error: {error!r}"])
                if not answer.done():
                    answer.set_result(outcome)
                origin = "joined"
        finally:
            self._running = None
            if answer is not None and not answer.done():
                answer.set_result(_ending())


def _ending() -> Outcome:
    return Outcome(False, 0, ["the gateway is ending"])


def restart_needed(old: Config, new: Config) -> list[str]:
    """The keys that differ and take effect only with a restart (CONTRACT.md section 1)."""
    changed = []
    if not _same_listeners(old, new):
        changed.append("listeners")
    for key in ("workers", "admin", "metrics", "control"):
        if getattr(old, key) != getattr(new, key):
            changed.append(key)
    return changed


def _same_listeners(old: Config, new: Config) -> bool:
    if len(old.listeners) != len(new.listeners):
        return False
    return all(_same_listener(a, b, old, new) for a, b in zip(old.listeners, new.listeners, strict=True))


def _same_listener(a: Listener, b: Listener, old: Config, new: Config) -> bool:
    """`auth` has a default that follows the users: as long as it does, it changes with them and not by itself."""
    if a == b:
        return True
    follows = a.auth == _default_auth(old) and b.auth == _default_auth(new)
    rest = [field for field in Listener.__struct_fields__ if field != "auth"]
    return follows and all(getattr(a, name) == getattr(b, name) for name in rest)


def _default_auth(config: Config) -> str:
    return "off" if config.identity.users is None else "optional"
