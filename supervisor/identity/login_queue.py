"""Whose login is verified next, and whose logins fail too often. Pure: times come in as arguments, nothing is verified.

Verifying a password is slow, and all sources share the threads that do it. So sources take turns, a source has only a
few logins waiting, and where the queue is full the source with the most gives a place to one with fewer.
"""

from collections import deque
from typing import Final, Generic, TypeVar

__all__ = ["FailureLimit", "LoginQueue"]

T = TypeVar("T")

OF_SOURCE: Final = 16  # logins of one source that wait
MOST: Final = 1024  # of all sources
SOURCES: Final = 16384  # sources with failures that are counted at once


class LoginQueue(Generic[T]):
    """Logins that wait, by source. A source is a number (gateway/state/limits.pyx)."""

    def __init__(self, of_source: int = OF_SOURCE, most: int = MOST) -> None:
        """At most `of_source` of one source, `most` of all."""
        self._of_source = of_source
        self._most = most
        self._waiting: dict[int, deque[T]] = {}  # the first source is the next one
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, source: int, login: T) -> tuple[T, bool] | None:
        """Adds a login. The one that is refused for it, and whether its own source is over its share; None: all have
        room."""
        own = self._waiting.get(source)
        held = len(own) if own else 0
        if held >= self._of_source:
            return login, True
        refused = None
        if self._count >= self._most:
            largest = max(self._waiting, key=lambda each: len(self._waiting[each]))
            if len(self._waiting[largest]) <= held + 1:
                return login, False
            refused = self._waiting[largest].pop()
            self._count -= 1
        self._waiting.setdefault(source, deque()).append(login)
        self._count += 1
        return None if refused is None else (refused, False)

    def take(self) -> T:
        """The next login: sources in turns, of one source the oldest. IndexError when none waits."""
        if not self._waiting:
            raise IndexError("no login waits")
        source = next(iter(self._waiting))
        own = self._waiting.pop(source)
        login = own.popleft()
        if own:
            self._waiting[source] = own  # behind the others
        self._count -= 1
        return login

    def drop(self, source: int) -> list[T]:
        """Takes out all of a source."""
        own = list(self._waiting.pop(source, ()))
        self._count -= len(own)
        return own

    def clear(self) -> None:
        """Forgets all."""
        self._waiting.clear()
        self._count = 0


class FailureLimit:
    """`limits.perSource.loginFailures`: a source with more than `count` failures within `period` seconds is barred for
    `BARRED` seconds."""

    BARRED: Final = 1.0

    def __init__(self, count: int, period: float) -> None:
        self._count = count
        self._period = period
        self._failures: dict[int, tuple[float, int]] = {}  # source -> when its count began, failures since
        self._barred: dict[int, float] = {}  # source -> until when

    def set(self, count: int, period: float) -> None:
        """Other bounds, from now on."""
        self._count, self._period = count, period

    def failed(self, source: int, now: float) -> bool:
        """Counts a failure; whether the source is barred by it from now on."""
        began, count = self._failures.pop(source, (now, 0))
        if now - began >= self._period:
            began, count = now, 0
        _remember(self._failures, source, (began, count + 1))
        if count < self._count or self.is_barred(source, now):
            return False
        self._barred.pop(source, None)
        _remember(self._barred, source, now + self.BARRED)
        return True

    def is_barred(self, source: int, now: float) -> bool:
        """Whether no login of the source is verified now."""
        return self._barred.get(source, now) > now


V = TypeVar("V")


def _remember(entries: dict[int, V], source: int, value: V) -> None:
    if len(entries) >= SOURCES:
        del entries[next(iter(entries))]  # the one that was written longest ago
    entries[source] = value
