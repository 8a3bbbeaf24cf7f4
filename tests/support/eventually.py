"""Waiting for a condition: the one place where tests look again and again."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["PATIENCE", "eventually"]

# Generous: it bounds a hang, it is never what a passing test waits for.
PATIENCE: Final = 30.0
T = TypeVar("T")


def eventually(question: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """The first true answer of `question`; fails, naming `what`, when none comes."""
    deadline = time.monotonic() + patience
    while not (answer := question()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)
    return answer
