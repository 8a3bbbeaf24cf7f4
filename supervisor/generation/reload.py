"""Reloads as requests: who waits for which, and what a changed configuration cannot change without a restart.

All or nothing (CONTRACT.md section 1): a configuration with one problem changes nothing. Reloads run one after another;
all that are asked for while one runs are joined into the one that follows it, which then sees every file as it is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from supervisor.config.config import Config
from supervisor.logs.log import Log

__all__ = ["RENEWAL", "Outcome", "Reloader", "restart_needed"]

RENEWAL: Final = "files"  # the origin of a run that changed files of TLS ask for


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a reload. `problems` are lines for people; ok with `restart_needed` leaves those keys as they
    were. `listeners`: what changed about them, a line each."""

    ok: bool
    generation: int
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    restart_needed: list[str] = field(default_factory=list)
    listeners: list[str] = field(default_factory=list)


class Reloader:
    """Serialises reloads and joins those that wait. `run` does one reload, for an origin; for RENEWAL, where no request
    asks for more, files of TLS alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run: Callable[[str], Awaitable[Outcome]], log: Log) -> None:
        self._loop = loop
        self._run = run
        self._log = log
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Future[Outcome] | None = None
        self._origins: list[str] = []  # of those that wait for the next run
        self.joined = 0  # requests that shared another's run

    def request(self, origin: str) -> "asyncio.Future[Outcome]":
        """Asks for a reload that begins after this call; its outcome may be shared with others. Do not cancel: shield
        it."""
        self._origins.append(origin)
        if self._next is not None:
            self.joined += 1
            return self._next
        self._next = self._loop.create_future()
        asked = self._next
        if self._running is None:
            self._running = self._loop.create_task(self._work())
        return asked

    async def close(self) -> None:
        """Ends the running reload; callers that wait for one get a refusal."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        if self._next is not None and not self._next.done():
            self._next.set_result(_ending())

    async def _work(self) -> None:
        answer: asyncio.Future[Outcome] | None = None
        later = False
        try:
            while self._next is not None:
                answer, self._next = self._next, None
                origins, self._origins = self._origins, []
                whole = [origin for origin in origins if origin != RENEWAL]
                try:
                    outcome = await self._run("joined" if later and whole else (whole or [RENEWAL])[0])
                except Exception as error:  # an internal failure must not end all later reloads
                    self._log.error("reload_failed", "internal error", error=repr(error))
                    outcome = Outcome(False, 0, [f"internal error: {error!r}"])
                if not answer.done():
                    answer.set_result(outcome)
                later = True
        finally:
            self._running = None
            if answer is not None and not answer.done():
                answer.set_result(_ending())


def _ending() -> Outcome:
    return Outcome(False, 0, ["the gateway is ending"])


def restart_needed(old: Config, new: Config) -> list[str]:
    """The keys that differ and take effect only with a restart (CONTRACT.md section 1)."""
    return [key for key in ("workers", "admin", "metrics", "control") if getattr(old, key) != getattr(new, key)]
