"""The supervisor's end of tracing: takes spans from the workers' segments and hands them to the exporter's process.

It never waits: what the pipe to the exporter does not take stays in the segments, whose rings are bounded, and workers
count what finds no room there as dropped. So an endpoint that is down costs a request nothing once its queue is full.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.tables import PENDING_SPANS
from supervisor.host.errors import errno_text
from supervisor.host.process import python_command, spawn
from supervisor.host.reaper import Exit, Reaper
from supervisor.logs.log import Log
from supervisor.segment.segment import Segment
from supervisor.tracing.counts import Count, Counts

__all__ = ["Outlet", "Target"]

PIPE: Final = 262_144  # bytes on their way to the exporter
LOOK: Final = 1.0  # seconds between two looks at how it goes
BACKOFF: Final = (1.0, 60.0)  # seconds until a dead exporter is started again
STEADY: Final = 60.0  # seconds after which it counts as one that lives
FLUSH: Final = 2.0  # seconds for what is on its way when the gateway ends
SPAN: Final = b'"span_id":'  # once for each span of a line


class Target(NamedTuple):
    """Where spans go, and the gateway that they are of."""

    endpoint: str
    name: str
    namespace: str
    version: str


class Outlet:
    """One exporter at a time: `aim` says where it exports to."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, reaper: Reaper, log: Log, segments: Callable[[], Sequence[Segment]]
    ) -> None:
        self._loop = loop
        self._reaper = reaper
        self._log = log
        self._segments = segments
        self._target: Target | None = None
        self._pid: int | None = None
        self._pipe = -1
        self._rest = b""  # of what was taken: the pipe was full
        self._waits = False  # for room in the pipe
        self._sent = 0  # spans that were handed to this exporter
        self._counts: Counts | None = None
        self._before = {Count.EXPORTED: 0, Count.REJECTED: 0, Count.FAILED: 0}  # of exporters that are gone
        self._leaving: dict[int, tuple[Counts, int]] = {}  # pid -> its counts, and what it got
        self._begun = 0.0
        self._deaths = 0
        self._again: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._failing = False

    @property
    def pids(self) -> list[int]:
        """Processes that export, or are about to end."""
        return [*([self._pid] if self._pid is not None else []), *self._leaving]

    def counts(self) -> dict[str, int]:
        """Spans by result: exported, rejected, failed."""
        pages = [*([self._counts] if self._counts is not None else []), *(page for page, _ in self._leaving.values())]
        return {each.name.lower(): self._before[each] + sum(page[each] for page in pages) for each in self._before}

    def aim(self, target: Target | None) -> None:
        """Exports to a target from now on; None: to none. What waits for another one still goes there."""
        if target == self._target:
            return
        self._target = target
        self._deaths = 0
        self._leave()
        if target is not None:
            self._start()

    def collect(self) -> int:
        """Hands on what waits in the segments, so many bytes: as much as there is room for."""
        taken = 0
        if self._pipe < 0 or self._waits:
            return 0
        for segment in self._segments():
            while self._pipe >= 0 and not self._waits and (found := segment.take_lines(PENDING_SPANS))[1]:
                taken += len(found[0])
                self._sent += found[0].count(SPAN)
                self._rest = found[0]
                self._push()
        return taken

    async def close(self) -> None:
        """Ends the exporter, which has a moment for what it has."""
        self.collect()
        self._target = None
        self._leave()
        deadline = self._loop.time() + FLUSH
        while self._leaving and self._loop.time() < deadline:
            self._reaper.reap()
            await asyncio.sleep(0.01)
        self.kill()
        while self._leaving and self._loop.time() < deadline + 1:
            self._reaper.reap()
            await asyncio.sleep(0.01)

    def kill(self) -> None:
        """Ends all at once; the reaper learns how."""
        for pid in self.pids:
            os.kill(pid, 9)

    # ---- the process ---------------------------------------------------------------------------------------------

    def _start(self) -> None:
        assert self._target is not None and self._pid is None
        self._again = None
        theirs, ours = os.pipe()
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE)
        os.set_blocking(ours, False)
        self._counts = Counts()
        command = python_command("supervisor.tracing.exporter", *self._target)
        try:
            self._pid = spawn(command, [self._counts.fd], stdin=theirs, block=True, own_group=False)
        except OSError as error:
            self._log.error("spans", f"the exporter of spans cannot be started: {errno_text(error)}")
            os.close(ours)
            self._counts.close()
            self._counts = None
            self._later()
            return
        finally:
            os.close(theirs)
        self._pipe, self._sent, self._begun, self._failing = ours, 0, self._loop.time(), False
        pid = self._pid
        self._reaper.watch(pid, lambda ended: self._on_end(pid, ended))
        self._look = self._loop.call_later(LOOK, self._on_look)
        self.collect()

    def _later(self) -> None:
        wait = min(BACKOFF[0] * 2.0**self._deaths, BACKOFF[1])
        self._deaths += 1
        self._again = self._loop.call_later(wait, self._start)

    def _leave(self) -> None:
        """The exporter gets no more, and ends when it has sent what it has."""
        for timer in (self._again, self._look):
            if timer is not None:
                timer.cancel()
        self._again = self._look = None
        if self._pid is not None and self._counts is not None:
            self._leaving[self._pid] = (self._counts, self._sent)
        self._pid = self._counts = None
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self._pipe < 0:
            return
        if self._waits:
            self._loop.remove_writer(self._pipe)
        os.close(self._pipe)
        self._pipe, self._waits, self._rest = -1, False, b""

    def _on_end(self, pid: int, ended: Exit) -> None:
        unexpected = pid == self._pid
        if unexpected:
            self._leave()
            if self._loop.time() - self._begun >= STEADY:
                self._deaths = 0
            self._log.warning("spans", "the exporter of spans ended; it is started again", how=str(ended))
        page, sent = self._leaving.pop(pid)
        lost = max(sent - page.done, 0)
        for each in self._before:
            self._before[each] += page[each]
        self._before[Count.FAILED] += lost
        page.close()
        if unexpected and self._target is not None:
            self._later()

    # ---- the pipe ------------------------------------------------------------------------------------------------

    def _push(self) -> None:
        """Writes what was taken. The pipe takes the rest when it has room."""
        try:
            while self._rest:
                self._rest = self._rest[os.write(self._pipe, self._rest) :]
        except BlockingIOError:
            if not self._waits:
                self._waits = True
                self._loop.add_writer(self._pipe, self._on_room)
        except BrokenPipeError:  # the reaper says more
            self._close_pipe()

    def _on_room(self) -> None:
        self._push()
        if self._waits and not self._rest:
            self._waits = False
            self._loop.remove_writer(self._pipe)
            self.collect()

    def _on_look(self) -> None:
        """Tells once that the endpoint fails, and once that it does so no longer."""
        assert self._counts is not None and self._target is not None
        failing = self._counts[Count.FAILING] > 0
        if failing and not self._failing:
            status = self._counts[Count.STATUS]
            why = f"answers {status}" if status else "does not answer"
            self._log.warning("spans", f"the endpoint of traces {why}", endpoint=self._target.endpoint)
        elif self._failing and not failing:
            self._log.info("spans", "the endpoint of traces takes spans again", endpoint=self._target.endpoint)
        self._failing = failing
        self._look = self._loop.call_later(LOOK, self._on_look)
