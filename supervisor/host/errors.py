"""Errors of the running gateway that are meant for people: what happened, and what to do about it."""

import errno
import os

__all__ = ["StartError", "errno_text"]


class StartError(Exception):
    """The gateway cannot start (or a reload cannot be applied) for a reason that its operator can mend."""

    def __init__(self, text: str, suggestion: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.suggestion = suggestion

    def __str__(self) -> str:
        return f"{self.text}\n  {self.suggestion}" if self.suggestion else self.text


def errno_text(error: OSError) -> str:
    """`Address already in use (EADDRINUSE)`."""
    if error.errno is None:
        return str(error)
    return f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})"
