"""Problems in what people wrote: where, what was expected, and what to write instead. Not for failures of our own.

Many problems are collected in one run, so that a file is mended in one go; the number kept is bounded.
"""

import difflib
from collections.abc import Iterable

import msgspec

from supervisor.source.escape import escape

MOST_PROBLEMS = 100
LONGEST_QUOTE = 80
LONGEST_PATH = 400


class Place(msgspec.Struct, frozen=True, order=True):
    """A position in a file; line and column count from 1, 0 = the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """`file:line:column`, as compilers print it and editors open it."""
        if not self.line:
            return escape(self.file)
        return f"{escape(self.file)}:{self.line}:{self.column}" if self.column else f"{escape(self.file)}:{self.line}"


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing that is wrong (or odd, among warnings). `suggestion` may be empty. Texts are escaped when rendered."""

    file: str
    line: int
    column: int
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        """`file:line:column: message (suggestion)`."""
        hint = f" ({escape(self.suggestion)})" if self.suggestion else ""
        return f"{Place(self.file, self.line, self.column)}: {escape(self.message)}{hint}"


class Invalid(Exception):
    """One value is not what it must be; carries the problem. Caught where the next value can still be read."""

    def __init__(self, place: Place, message: str, suggestion: str = "") -> None:
        """`message` says what was expected and found, `suggestion` what to write."""
        super().__init__(message)
        self.problem = Problem(place.file, place.line, place.column, message, suggestion)


class Problems(Exception):
    """Collects errors and warnings, at most `most` of each; raised by `check` when there are errors."""

    def __init__(self, most: int = MOST_PROBLEMS) -> None:
        """An empty collection."""
        super().__init__()
        self.most = most
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []
        self.errors_left_out = 0
        self.warnings_left_out = 0

    def error(self, place: Place, message: str, suggestion: str = "") -> None:
        """Something that must be mended before the configuration can be used."""
        self.add(Problem(place.file, place.line, place.column, message, suggestion))

    def warning(self, place: Place, message: str, suggestion: str = "") -> None:
        """Something that works, and probably not as meant."""
        self.warn(Problem(place.file, place.line, place.column, message, suggestion))

    def warn(self, problem: Problem) -> None:
        """A warning that is at hand as a value."""
        if len(self.warnings) < self.most:
            self.warnings.append(problem)
        else:
            self.warnings_left_out += 1

    def add(self, problem: Problem) -> None:
        """An error that is at hand as a value (from `Invalid`)."""
        if len(self.errors) < self.most:
            self.errors.append(problem)
        else:
            self.errors_left_out += 1

    def check(self) -> None:
        """Raises itself when there are errors."""
        if self.errors:
            raise self

    def __str__(self) -> str:
        """All errors, one a line."""
        return "\n".join(render(self.errors, self.errors_left_out))


def render(problems: Iterable[Problem], left_out: int = 0) -> list[str]:
    """Lines to print, in the order of files and lines, with a word on what was left out."""
    lines = [str(problem) for problem in sorted(problems)]
    if left_out:
        lines.append(f"... and {left_out} more")
    return lines


def quote(text: str) -> str:
    """`text` in backquotes for a message, shortened when it is long."""
    if text.startswith("/"):  # of a path the end says which file it is
        return f"`{text}`" if len(text) <= LONGEST_PATH else f"`...{text[-LONGEST_PATH:]}`"
    return f"`{text}`" if len(text) <= LONGEST_QUOTE else f"`{text[:LONGEST_QUOTE]}...`"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion for a misspelt word; "" when nothing is near."""
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word[:LONGEST_QUOTE].lower(), lower, n=1, cutoff=0.6)
    return f"did you mean {quote(lower[near[0]])}?" if near else ""
