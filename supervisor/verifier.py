"""Checks passwords for the workers, on threads of its own: a hash is slow by design and would stop a worker's loop.

The queue is bounded; what does not fit is answered `busy` at once. Answers belong to the users in force when they are
given: a check that a reload overtook is made again when that user's hash has changed. Caching is the worker's business.
Passwords are never logged and no reference outlives the check.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Verifier"]

QUEUE: Final = 64
THREADS: Final = 2

Answer = Callable[[bool, bool], None]  # (ok, busy)


@dataclass(slots=True)
class _Check:
    user: bytes
    password: bytes = field(repr=False)
    answer: Answer


class Verifier:
    """Everything but the hashing runs in the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        verify: Callable[[bytes, str], bool],
        *,
        queue: int = QUEUE,
        threads: int = THREADS,
    ) -> None:
        """`verify(password, hash)` takes its time, on a thread; `queue`: checks that may wait beside those that run."""
        self._loop = loop
        self._room = queue
        self._verify = verify
        self._hashes: Mapping[str, str] = {}
        self._dummy = ""
        self._queue: deque[_Check] = deque()
        self._idle = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="verifier")
        self._closed = False
        self.busy = 0  # checks refused for a full queue

    def set_users(self, hashes: Mapping[str, str], dummy: str) -> None:
        """The users of the generation that comes in force now: hashes by name. `dummy` is a hash that no password fits:
        an unknown user takes as long as a known one."""
        self._hashes, self._dummy = hashes, dummy

    def check(self, user: bytes, password: bytes, answer: Answer) -> None:
        """Calls answer(ok, busy) from the loop, at once when there is no room."""
        if self._closed or len(self._queue) >= self._room:
            self.busy += 1
            answer(False, True)
            return
        self._queue.append(_Check(user, password, answer))
        self._next()

    def waiting(self) -> int:
        """Checks that wait for a thread."""
        return len(self._queue)

    def close(self) -> None:
        """Forgets what waits; a check that runs ends unanswered."""
        self._closed = True
        self._queue.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _next(self) -> None:
        while self._idle and self._queue:
            self._idle -= 1
            self._run(self._queue.popleft())

    def _run(self, check: _Check) -> None:
        known = self._known(check)
        future = self._loop.run_in_executor(self._pool, self._verify, check.password, known or self._dummy)
        future.add_done_callback(lambda done: self._done(check, known, done))

    def _done(self, check: _Check, known: str | None, done: "asyncio.Future[bool]") -> None:
        if self._closed or done.cancelled():
            return
        failed = done.exception() is not None
        if not failed and known != self._known(check):
            self._run(check)  # on the thread that has just become free
            return
        ok = not failed and known is not None and done.result() is True
        check.password = b""
        self._idle += 1
        check.answer(ok, False)
        self._next()

    def _known(self, check: _Check) -> str | None:
        return self._hashes.get(check.user.decode("utf-8", "surrogateescape"))
