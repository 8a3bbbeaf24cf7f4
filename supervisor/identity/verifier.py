"""Verifies passwords for the workers, on threads of its own: a hash is slow by design and would stop a worker's loop.

The threads run at low priority: traffic comes first. Sources take turns, and those whose logins fail too often are
refused unverified for a while (login_queue.py). Answers belong to the users that are active when they are given: a
check that a reload overtook is made again when that user's hash has changed. Caching is the worker's business.
Passwords are never logged and no reference outlives the check.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from gateway.contract import BUSY, LIMITED, RIGHT, WRONG
from supervisor.identity.login_queue import MOST, FailureLimit, LoginQueue
from supervisor.identity.users import credential_of

__all__ = ["Verifier"]

THREADS: Final = 2
NICE: Final = 10  # as the compile process

Answer = Callable[[int, int], None]  # (result of gateway/contract.py, credential)
Barred = Callable[[int, float], None]  # (source, seconds)


@dataclass(slots=True)
class _Check:
    source: int
    user: bytes
    password: bytes = field(repr=False)
    answer: Answer


class Verifier:
    """Everything but the hashing runs in the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        verify: Callable[[bytes, str], bool],
        barred: Barred,
        *,
        queue: int = MOST,
        threads: int = THREADS,
    ) -> None:
        """`verify(password, hash)` takes its time, on a thread; `barred(source, seconds)` is called when logins of a
        source fail too often; `queue`: checks that may wait beside those that run."""
        self._loop = loop
        self._verify = verify
        self._tell_barred = barred
        self._hashes: Mapping[str, str] = {}
        self._dummy = ""
        self._queue: LoginQueue[_Check] = LoginQueue(most=queue)
        self._failures = FailureLimit(10, 1.0)
        self._idle = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="verifier", initializer=_yield_to_traffic)
        self._closed = False
        self.busy = 0  # checks refused for a full queue

    def set_users(self, hashes: Mapping[str, str], dummy: str, failures: tuple[int, float] = (10, 1.0)) -> None:
        """The users of the generation that takes effect now: hashes by name. `dummy` is a hash that no password fits:
        an unknown user takes as long as a known one. `failures`: logins of a source that may fail, in how many
        seconds."""
        self._hashes, self._dummy = hashes, dummy
        self._failures.set(*failures)

    def check(self, source: int, user: bytes, password: bytes, answer: Answer) -> None:
        """Calls answer(result, credential) from the loop, at once when nothing is verified."""
        if self._failures.is_barred(source, self._loop.time()):
            answer(LIMITED, 0)
            return
        check = _Check(source, user, password, answer)
        refused = (check, False) if self._closed else self._queue.put(source, check)
        if refused is not None:
            other, over = refused
            self.busy += not over
            other.answer(LIMITED if over else BUSY, 0)
        self._next()

    def failed(self, source: int) -> None:
        """A login of a source has failed, here or by what a worker remembers."""
        if self._failures.failed(source, self._loop.time()):
            for check in self._queue.drop(source):
                check.answer(LIMITED, 0)
            self._tell_barred(source, FailureLimit.BARRED)

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
            self._run(self._queue.take())

    def _run(self, check: _Check) -> None:
        known = self._known(check)
        future = self._loop.run_in_executor(self._pool, self._verify, check.password, known or self._dummy)
        future.add_done_callback(lambda done: self._done(check, known, done))

    def _done(self, check: _Check, known: str | None, done: "asyncio.Future[bool]") -> None:
        if self._closed or done.cancelled():
            return
        broken = done.exception() is not None
        if not broken and known != self._known(check):
            self._run(check)  # on the thread that has just become free
            return
        check.password = b""
        self._idle += 1
        if not broken and known is not None and done.result() is True:
            check.answer(RIGHT, credential_of(known))
        else:
            check.answer(WRONG, 0)
            self.failed(check.source)
        self._next()

    def _known(self, check: _Check) -> str | None:
        return self._hashes.get(check.user.decode("utf-8", "surrogateescape"))


def _yield_to_traffic() -> None:
    """On Linux a thread has a priority of its own (setpriority(2), notes)."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
