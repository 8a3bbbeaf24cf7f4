"""Verifies passwords and bearer tokens for the workers, on threads of its own: a hash is slow by design and would stop
a worker's loop.

The threads run at low priority: traffic comes first. Sources take turns, and those whose logins fail too often are
refused unverified for a while (login_queue.py). Answers belong to the users and keys that are active when they are
given: a check that a reload overtook is made again when that user's hash, or the keys, have changed. Caching is the
worker's business. Passwords and tokens are never logged and no reference outlives the check.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from gateway.contract import BUSY, LIMITED, RIGHT, WRONG, TokenFacts
from gateway.tables import REASONS
from supervisor.host.process import yield_to_traffic
from supervisor.identity.login_queue import MOST, FailureLimit, LoginQueue
from supervisor.identity.passwords import credential_of
from supervisor.identity.tokens import TokenReader, TokenRefused

__all__ = ["Verifier"]

THREADS: Final = 2

Answer = Callable[[int, int], None]  # (result of gateway/contract.py, credential)
TokenAnswer = Callable[[int, TokenFacts | None, int], None]  # (result, facts of RIGHT, reason of WRONG)
Barred = Callable[[int, float], None]  # (source, seconds)


@dataclass(slots=True)
class _Password:
    """A check of a password. `known`: the hash that it is checked against, None = the user is not known."""

    source: int
    user: bytes
    password: bytes = field(repr=False)
    answer: Answer
    known: str | None = field(default=None, repr=False)

    def refuse(self, result: int) -> None:
        self.answer(result, 0)

    def finish(self, fits: object) -> bool:
        """Answers; whether the password is right."""
        self.password = b""
        right = self.known is not None and fits is True
        self.answer(RIGHT if right else WRONG, credential_of(self.known) if right and self.known else 0)
        return right


@dataclass(slots=True)
class _Token:
    """A check of a token. `known`: the keys that it is checked by."""

    source: int
    token: bytes = field(repr=False)
    answer: TokenAnswer
    known: TokenReader | None = None

    def refuse(self, result: int) -> None:
        self.answer(result, None, 0)

    def finish(self, found: object) -> bool:
        """Answers; whether the token holds."""
        self.token = b""
        if isinstance(found, dict):
            self.answer(RIGHT, TokenFacts(**found), 0)  # type: ignore[typeddict-item]
            return True
        self.answer(WRONG, None, REASONS.index(found if isinstance(found, str) else "token_malformed"))
        return False


_Check = _Password | _Token


class Verifier:
    """Everything but the verifying runs in the loop's thread."""

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
        self._tokens = TokenReader(())
        self._queue: LoginQueue[_Check] = LoginQueue(most=queue)
        self._failures = FailureLimit(10, 1.0)
        self._idle = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="verifier", initializer=yield_to_traffic)
        self._closed = False
        self.busy = 0  # checks refused for a full queue

    def set_users(self, hashes: Mapping[str, str], dummy: str, failures: tuple[int, float] = (10, 1.0)) -> None:
        """The users of the generation that takes effect now: hashes by name. `dummy` is a hash that no password fits:
        an unknown user takes as long as a known one. `failures`: logins of a source that may fail, in how many
        seconds."""
        self._hashes, self._dummy = hashes, dummy
        self._failures.set(*failures)

    def set_tokens(self, tokens: TokenReader) -> None:
        """The keys of the generation that takes effect now."""
        self._tokens = tokens

    def check(self, source: int, user: bytes, password: bytes, answer: Answer) -> None:
        """Calls answer(result, credential) from the loop, at once when nothing is verified."""
        self._put(_Password(source, user, password, answer))

    def check_token(self, source: int, token: bytes, answer: TokenAnswer) -> None:
        """Calls answer(result, facts, reason) likewise."""
        self._put(_Token(source, token, answer))

    def failed(self, source: int) -> None:
        """A login of a source has failed, here or by what a worker remembers."""
        if self._failures.failed(source, self._loop.time()):
            for check in self._queue.drop(source):
                check.refuse(LIMITED)
            self._tell_barred(source, FailureLimit.BARRED)

    def waiting(self) -> int:
        """Checks that wait for a thread."""
        return len(self._queue)

    def close(self) -> None:
        """Forgets what waits; a check that runs ends unanswered."""
        self._closed = True
        self._queue.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _put(self, check: _Check) -> None:
        if self._failures.is_barred(check.source, self._loop.time()):
            check.refuse(LIMITED)
            return
        refused = (check, False) if self._closed else self._queue.put(check.source, check)
        if refused is not None:
            other, over = refused
            self.busy += not over
            other.refuse(LIMITED if over else BUSY)
        self._next()

    def _next(self) -> None:
        while self._idle and self._queue:
            self._idle -= 1
            self._run(self._queue.take())

    def _run(self, check: _Check) -> None:
        future: asyncio.Future[object]
        if isinstance(check, _Password):
            check.known = self._hash_of(check)
            future = self._loop.run_in_executor(self._pool, self._verify, check.password, check.known or self._dummy)
        else:
            check.known = self._tokens
            future = self._loop.run_in_executor(self._pool, _read, check.known, check.token)
        future.add_done_callback(lambda done: self._done(check, done))

    def _done(self, check: _Check, done: "asyncio.Future[object]") -> None:
        if self._closed or done.cancelled():
            return
        broken = done.exception() is not None
        now = self._hash_of(check) if isinstance(check, _Password) else self._tokens
        if not broken and check.known != now:
            self._run(check)  # on the thread that has just become free
            return
        self._idle += 1
        if not check.finish(None if broken else done.result()):
            self.failed(check.source)
        self._next()

    def _hash_of(self, check: _Password) -> str | None:
        return self._hashes.get(check.user.decode("utf-8", "surrogateescape"))


def _read(reader: TokenReader, token: bytes) -> TokenFacts | str:
    """The facts, or the reason that there are none."""
    try:
        return reader.read(token, time.time())
    except TokenRefused as wrong:
        return wrong.reason
