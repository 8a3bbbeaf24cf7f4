"""A resolver on a loop of its own, as the resolver's tests use it."""

import gc
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from gateway.dns.resolver import Resolver
from gateway.io.loop import Loop
from gateway.io.watch import Clock
from tests.support.hand_probe import SlowClock

FAILED: Final = 0
OK: Final = 1
TIMEOUT: Final = 2
BROKEN: Final = 4
FULL: Final = 3

# Generous: it bounds a hang, it is never what a passing test waits for.
PATIENCE: Final = 60.0
SHORT_LIVED: Final = {"Query", "Lookup", "Caller", "Channel", "ChannelSocket", "Sent"}

Answer = tuple[int, list[str]]


class Asked:
    """One look-up under way: `answer` is its outcome."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.leave: Callable[[], None] | None = None

    def hear(self, status: int, addresses: list[str]) -> None:
        assert self.answer is None, "told twice"
        self.leave = None
        self.answer = (status, addresses)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def living() -> Counter[str]:
    """How many of the resolver's objects live, by kind: of a resolver that has ended only what is remembered may."""
    found = Counter(type(one) for one in gc.get_objects())
    ours = {kind.__name__: count for kind, count in found.items() if str(kind.__module__).startswith("gateway.")}
    return Counter({name: count for name, count in ours.items() if name in SHORT_LIVED})


class Bench:
    """Use it as a context manager: at its end the resolver retires, and nothing of it may be left."""

    def __init__(self, *servers: str, hosts: Path | str = "/dev/null", slow: bool = False, **settings: Any) -> None:
        """`slow`: a server of the tests' own, on a busy machine, answers within the delays of a resolver."""
        self.loop = Loop(clock=SlowClock()) if slow else Loop()
        self.before = descriptors()
        self.living = living()  # of a test that failed, say: its traceback holds them
        self.failures_expected = 0
        self.resolver = Resolver(
            self.loop,
            {
                "servers": list(servers), "timeout": 10.0, "min_ttl": 1.0, "max_ttl": 300.0, "negative_ttl": 5.0,
                "cache_entries": 10_000, **settings,
            },
            str(hosts),
        )  # fmt: skip

    def ask(self, name: str, source: int = 0) -> Asked:
        """Asks, and does not wait."""
        asked = Asked()
        caller = self.resolver.ask(name.encode("ascii"), asked.hear, source)
        asked.leave = caller.leave if asked.answer is None else None
        return asked

    def ask_many(self, names: list[str], source: int = 0) -> list[Asked]:
        return [self.ask(name, source) for name in names]

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Runs the loop until something holds."""
        deadline = time.monotonic() + PATIENCE
        holds = False

        def look() -> None:
            # Whatever happens in the condition, the loop ends: an error in a callback is only counted there.
            nonlocal holds
            stop = True
            try:
                holds = bool(condition())
                stop = holds or time.monotonic() > deadline
            finally:
                if stop:
                    self.loop.stop()

        clock = Clock(self.loop, look, 0.008)
        clock.start(0)
        self.loop.run()
        clock.stop()
        assert holds, f"never happened: {what}"

    def run_for(self, seconds: float) -> None:
        """Lets time pass on the loop."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end, "time passes")

    def answers(self, asked: list[Asked]) -> list[Answer]:
        """Waits for every one of them."""
        self.until(lambda: all(one.answer is not None for one in asked), "every look-up is answered")
        return [one.answer for one in asked if one.answer is not None]

    def resolve(self, name: str) -> Answer:
        return self.answers([self.ask(name)])[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.resolver.retire()
        if kind is not None:
            return
        self.until(lambda: descriptors() <= self.before, "the resolver's sockets are closed")
        self.until(lambda: living() <= self.living, "nothing of its work is left")
        assert (self.resolver.flying, self.resolver.waiting) == (0, 0)
        assert self.loop.failures == self.failures_expected
