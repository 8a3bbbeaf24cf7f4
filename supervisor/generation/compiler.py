"""The supervisor's end of the compile process: one compilation at a time, and a process kept warm between them.

Whatever becomes of a compilation, the supervisor goes on: a child that crashes, hangs or is killed is a refused reload,
and where the warm process itself has ended, the next reload starts a fresh one, which reads every file again.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from supervisor.generation.compilation import CompileCrashed, CompileResult, how_it_ended, receive_result
from supervisor.generation.requests import MOST_MESSAGE, Accepted, Compile, Ended, Holds, answer_of
from supervisor.host.errors import errno_text
from supervisor.host.process import NICE, kill_group, python_command, spawn
from supervisor.host.reaper import Exit, Reaper

__all__ = ["COMPILE_COMMAND", "CompileFailed", "Compiler"]

COMPILE_COMMAND = (*python_command("supervisor.generation.warm"), "--requests-fd", "3")
COMPILE_TIMEOUT: Final = 60.0
PATIENCE: Final = 2.0  # seconds that a process which was told to end has


class CompileFailed(Exception):
    """There is no result: the compile process crashed, was killed, or too slow. The text says which."""


class Compiler:
    """`timeout` bounds a compilation, in seconds. `pid` is the warm process's, None before the first compilation and
    after a death. `starts` counts them; `files` and `bytes` are what it remembers. `say` gets a line for people when
    one ends."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reaper: Reaper,
        command: Sequence[str] = COMPILE_COMMAND,
        timeout: float = COMPILE_TIMEOUT,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._loop = loop
        self._reaper = reaper
        self._command = list(command)
        self._say = say
        self._requests: socket.socket | None = None
        self._ended: asyncio.Future[str] | None = None  # of the running compilation: how its process ended
        self._closing = False
        self._number = 0  # of the last compilation
        self.timeout = timeout
        self.pid: int | None = None
        self.starts = 0
        self.files = 0
        self.bytes = 0

    async def compile(
        self, path: str, serving: Sequence[tuple[str, int]] = (), rule_slots: Mapping[str, int] | None = None
    ) -> CompileResult:
        """The result for the sluice.yaml at `path`. Raises CompileFailed. The caller owns the image's descriptor.
        `serving`: the active addresses, which the file may no longer name. `rule_slots`: the metrics slots that rules
        have."""
        self._start()
        self._number += 1
        self._ended = ended = self._loop.create_future()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            try:
                self._ask(Compile(self._number, path, list(serving)), theirs, rule_slots or {})
            finally:
                theirs.close()
            return await self._result(ours, ended)
        finally:
            self._ended = None
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_RDWR)  # a child that still works ends now
            ours.close()

    def accepted(self) -> None:
        """The last result is active: what was read for it need not be read again."""
        if self._requests is not None:
            with contextlib.suppress(OSError):  # it has just ended
                self._requests.send(msgspec.msgpack.encode(Accepted()))

    def kill(self) -> None:
        """Ends the process, and with it a running compilation, without a word."""
        self._closing = True
        if self.pid is not None:
            kill_group(self.pid)

    def _start(self) -> None:
        if self.pid is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            ours.setblocking(False)
            self.pid = spawn(self._command, [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise CompileFailed(f"the compile process cannot be started: {errno_text(error)}") from None
        finally:
            theirs.close()
        # From its first moment: it would take a good part of its time for its imports before it could do so itself.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.pid, NICE)
        self._requests = ours
        self.starts += 1
        self._loop.add_reader(ours, self._on_answer)
        self._reaper.watch(self.pid, self._on_exit)

    def _ask(self, request: Compile, result: socket.socket, rule_slots: Mapping[str, int]) -> None:
        assert self._requests is not None
        slots = os.memfd_create("sluice-rule-slots", os.MFD_CLOEXEC)
        try:
            os.write(slots, msgspec.msgpack.encode(rule_slots))
            os.lseek(slots, 0, os.SEEK_SET)
            socket.send_fds(self._requests, [msgspec.msgpack.encode(request)], [result.fileno(), slots])
        except OSError as error:
            self._end()
            raise CompileFailed(f"the compile process takes no request: {errno_text(error)}") from None
        finally:
            os.close(slots)

    def _on_answer(self) -> None:
        assert self._requests is not None
        while True:
            try:
                packet = self._requests.recv(MOST_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            try:
                answer = answer_of(packet)
            except msgspec.MsgspecError:
                self._loop.remove_reader(self._requests)  # it has ended, or says nothing that can be understood
                if packet:
                    self._over("its answers are malformed")
                self._end()
                return
            if isinstance(answer, Holds):
                self.files, self.bytes = answer.files, answer.bytes
            elif isinstance(answer, Ended) and answer.number == self._number:
                self._over(how_it_ended(answer.status))

    def _end(self) -> None:
        if self.pid is not None:
            kill_group(self.pid)

    def _on_exit(self, status: Exit) -> None:
        self.pid = None
        self.files = self.bytes = 0
        if self._requests is not None:
            self._loop.remove_reader(self._requests)
            self._requests.close()
            self._requests = None
        how = how_it_ended(-status.signal if status.signal is not None else status.code or 0)
        self._over("the gateway ends" if self._closing else how)
        if not self._closing:
            self._say(f"the compile process ended ({how}): the next reload starts a fresh one and reads every file")

    def _over(self, how: str) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(how)

    async def _result(self, ours: socket.socket, ended: "asyncio.Future[str]") -> CompileResult:
        # On a thread: the result comes in pieces. It ends when the child does, as only that holds the other end.
        reading = self._loop.run_in_executor(None, receive_result, ours)
        try:
            done, _ = await asyncio.wait({reading}, timeout=self.timeout)
        except BaseException:
            await self._give_up(ours, reading, ended)
            raise
        if not done:
            await self._give_up(ours, reading, ended)
            raise CompileFailed(f"compiling took more than {self.timeout:g} s and was ended")
        failure = reading.exception()
        if failure is None:
            return reading.result()
        if not isinstance(failure, CompileCrashed):
            raise failure
        await asyncio.wait({ended}, timeout=PATIENCE)
        if not ended.done():
            self._end()
        how = f", {ended.result()}" if ended.done() else ""
        raise CompileFailed(f"the compile process failed: {failure}{how}")

    async def _give_up(
        self, ours: socket.socket, reading: "asyncio.Future[CompileResult]", ended: "asyncio.Future[str]"
    ) -> None:
        """Ends a child whose result is not wanted any more, and the warm process where that does not end it."""
        ours.shutdown(socket.SHUT_RDWR)
        await asyncio.wait({reading})
        if reading.exception() is None:
            reading.result().close()
        await asyncio.wait({ended}, timeout=PATIENCE)
        if not ended.done():
            self._end()
