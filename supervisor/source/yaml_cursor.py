"""A place in a text and what stands there, with the words in which a slip at it is told."""

import re
from typing import Final, NamedTuple

__all__ = ["LONGEST_WORD", "Cursor", "Fault", "Found", "position", "quoted"]

LONGEST_WORD: Final = 60


class Fault(NamedTuple):
    """`at`: an index into the text."""

    at: int
    message: str
    suggestion: str = ""


class Found(Exception):
    """Ends the walk."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault


def position(text: str, at: int) -> tuple[int, int]:
    """Line and column of an index, from 1."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def quoted(word: str) -> str:
    """A suggestion to quote it; a text with quotes and backslashes is left to the reader."""
    return f'put it in quotes: "{word}"' if not re.search(r'["\\]', word) and len(word) < LONGEST_WORD else (
        "put it in quotes"
    )  # fmt: skip


class Cursor:
    """`here` is the next character's index. `secret`: nothing of the text may be repeated."""

    def __init__(self, text: str, secret: bool) -> None:
        self.text = text
        self.secret = secret
        self.here = 0

    def column(self, at: int) -> int:
        return at - (self.text.rfind("\n", 0, at) + 1)

    def opened(self, at: int) -> str:
        line, column = position(self.text, at)
        return f"opened at {line}:{column}"

    def blanks(self) -> None:
        while self.text[self.here : self.here + 1] in (" ", "\t") and self.here < len(self.text):
            self.here += 1

    def at_end_of_line(self) -> bool:
        """At the end, or at a comment."""
        rest = self.text[self.here : self.here + 1]
        return rest in ("", "\n", "\r") or (
            rest == "#" and self.text[self.here - 1 : self.here] in ("", " ", "\t", "\n")
        )

    def next_line(self) -> None:
        end = self.text.find("\n", self.here)
        self.here = len(self.text) if end < 0 else end + 1

    def rest_of_line(self, at: int) -> str:
        end = self.text.find("\n", at)
        rest = self.text[at : len(self.text) if end < 0 else end]
        return re.split(r"(?:^|[ \t])#", rest, maxsplit=1)[0].rstrip()

    def show(self, word: str) -> str:
        """The text found, for a message."""
        if not word:
            return "the end of the file"
        if self.secret:
            return "another text"
        word = " ".join(word.split())
        return f"`{word}`" if len(word) <= LONGEST_WORD else f"`{word[:LONGEST_WORD]}...`"

    def fail(self, at: int, message: str, suggestion: str = "") -> Found:
        return Found(Fault(at, message, suggestion))

    def needs_quotes(self, at: int, word: str, expected: str) -> Found:
        hint = "put it in quotes" if self.secret else quoted(word)
        return self.fail(at, f"expected {expected}, found {self.show(word)}", hint)
