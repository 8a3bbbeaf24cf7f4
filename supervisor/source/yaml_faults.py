"""The fault of a text that libyaml refused: the first slip in it that people make, in words. It parses nothing.

libyaml says what its grammar expected, at the place where it gave up, which may be many lines below the slip. This
walks the text once, by a small part of the grammar, up to that place. Where it recognises nothing, libyaml's
words stay.
"""

import re
from dataclasses import dataclass
from typing import Final

from supervisor.source.yaml_cursor import Cursor, Fault, Found, position

__all__ = ["find_fault"]

CLOSERS: Final = {"[": "]", "{": "}"}
# A key of a block and its colon; libyaml looks for the colon in 1,024 characters.
_IN_KEY: Final = r"(?:[^\n:#]|:(?=\S)|(?<=\S)#){0,1024}?"
_KEY: Final = re.compile(
    rf"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s\-?:,\[\]{{}}#&*!|>'"%@`]{_IN_KEY}|[-?:](?=\S){_IN_KEY})"""
    r"[ \t]{0,100}:(?=\s|$)"
)
_ALIAS: Final = re.compile(r"\*[A-Za-z0-9_-]+(?=[\s,\]}:]|$)")
_PROPERTY: Final = re.compile(r"(?:&[A-Za-z0-9_-]+|![^\s,\[\]{}]*)(?=[\s,\]}]|$)")
_BRACKETED: Final = re.compile(r"\[(?=[^\]\s]*:[^\]\s]*:)[0-9A-Fa-f:.%]+\](?::[0-9]*)?")
_NO_BLANK: Final = re.compile(r"([A-Za-z][\w.-]*):(?=[^\s:/])")
_BLOCK_HEADER: Final = re.compile(r"[|>][-+1-9]{0,2}[ \t]*(?:#[^\n]*)?(?=[\r\n]|$)")
_SEPARATOR: Final = re.compile(r"(?:-{2}|-{4,}|[ \t]+---)[ \t]*(?=[\r\n]|$)|---(?=\S)")


@dataclass(slots=True)
class _Level:
    """A block collection that is open: its column, whether it is a list, and where its first entry stands."""

    column: int
    is_list: bool
    at: int


def find_fault(text: str, at: int, secret: bool) -> Fault | None:
    """The slip that made libyaml give up at the index `at`; None = none is recognised. `secret`: nothing of the text
    may be repeated."""
    try:
        _Walk(text, secret).run(at)
    except Found as found:
        line = text.count("\n", 0, at)
        return found.fault if text.count("\n", 0, found.fault.at) <= line else None
    return None


class _Walk(Cursor):
    """One pass over one text."""

    def __init__(self, text: str, secret: bool) -> None:
        super().__init__(text, secret)
        self.reset()

    def reset(self) -> None:
        """A document begins."""
        self.levels: list[_Level] = []
        self.waits = True  # a key, a dash or the document has no value yet
        self.after_key = False
        self.value_at = -1  # where the last value began
        self.alone = False  # it stood on a line of its own

    def run(self, at: int) -> None:
        """Line by line, up to the one that holds the index."""
        while self.here < len(self.text) and self.here <= at:
            self.line()

    # blocks

    def line(self) -> None:
        """One line of block structure, and what of flow and quotes begins in it."""
        if (found := _SEPARATOR.match(self.text, self.here)) and self.levels:
            at = self.here + len(found[0]) - len(found[0].lstrip())
            words = f"expected a line `---` between two documents, found {self.show(self.rest_of_line(at))}"
            raise self.fail(at, words, "write `---` alone, at the beginning of the line")
        if re.compile(r"(?:---|\.\.\.)(?=\s|$)").match(self.text, self.here):
            self.reset()
            self.here += 3
        elif self.text.startswith("%", self.here):
            self.next_line()
            return
        start = self.here
        self.blanks()
        if self.at_end_of_line():
            self.next_line()
            return
        if "\t" in self.text[start : self.here] and self.column(self.here) == self.here - start:
            at = self.text.index("\t", start)
            raise self.fail(at, "expected blanks as indentation, found a tab", "write two blanks for each tab")
        self.entries()

    def entries(self) -> None:
        """Dashes and a key of one line, then the value."""
        first = True
        keyed = False
        while True:
            at = self.here
            if self.properties():
                self.next_line()
                return
            if self.text[self.here] == "-" and self.text[self.here + 1 : self.here + 2] in ("", " ", "\t", "\n", "\r"):
                if keyed:
                    word = self.rest_of_line(self.here)
                    hint = "items of a list begin on lines of their own, or stand in [ ]"
                    raise self.fail(self.here, f"expected a value, found {self.show(word)}", hint)
                if not self.entry(True, at):
                    self.next_line()
                    return
                self.here += 1
                self.after_key = False
            elif found := _KEY.match(self.text, self.here):
                if keyed:
                    word = self.rest_of_line(self.here)
                    raise self.needs_quotes(self.here, word, "a text without a colon and a blank in it")
                self.entry(False, at)
                self.here = found.end()
                self.after_key = keyed = True
            else:
                self.value(first, keyed)
                return
            self.waits = True
            first = False
            self.blanks()
            if self.at_end_of_line():
                self.next_line()
                return

    def entry(self, is_list: bool, at: int) -> bool:
        """An entry of a list or mapping begins at the index: does its column fit? False: it is text of a value."""
        column = self.column(at)
        top = self.levels[-1] if self.levels else None
        if not self.waits and (top is None or column > top.column):
            return not self.is_text(at, is_list, top)
        if self.waits:
            below = is_list and self.after_key and top is not None and not top.is_list and column == top.column
            if top is None or column > top.column or below:
                self.levels.append(_Level(column, is_list, at))
                return True
        columns = sorted({level.column for level in self.levels})
        while len(self.levels) > 1 and (
            self.levels[-1].column > column
            or (self.levels[-1].column == column and self.levels[-1].is_list and not is_list
                and self.levels[-2].column == column)
        ):  # fmt: skip
            self.levels.pop()
        top = self.levels[-1]
        if top.column != column:
            raise self.indentation(at, top, columns)
        if top.is_list != is_list:
            expected = "`- `" if top.is_list else "a key"
            line = position(self.text, top.at)[0]
            raise self.fail(at, f"expected {expected} as in line {line}, found {self.show(self.rest_of_line(at))}",
                            "indent it to where it belongs")  # fmt: skip

        return True

    def is_text(self, at: int, is_list: bool, top: _Level | None) -> bool:
        """An entry deeper than what has its value already: a dash is still text of that value, a key is a slip."""
        before = self.rest_of_line(self.value_at)
        if self.alone and (found := _NO_BLANK.match(before)):
            raise self.no_blank(self.value_at, found)
        if is_list and self.text[self.value_at] not in "\"'[{":
            return True
        if self.alone or top is None:
            raise self.fail(self.value_at, f"expected a key, a colon and a blank, found {self.show(before)}")
        raise self.indentation(at, top, sorted({level.column for level in self.levels}))

    def indentation(self, at: int, top: _Level, columns: list[int]) -> Found:
        """The columns that fit are those of what is open."""
        words = " or ".join(map(str, columns))
        found = self.column(at)
        line = position(self.text, top.at)[0]
        return self.fail(
            at,
            f"wrong indentation: expected {words} blank{'' if words == '1' else 's'} before"
            f" {self.show(self.rest_of_line(at))}, found {found}",
            f"line {line} has {top.column}",
        )

    def no_blank(self, at: int, found: re.Match[str]) -> Found:
        word = self.rest_of_line(at)
        hint = "" if self.secret else f"write {found[1]}: {word[found.end() :]}"
        return self.fail(at, f"expected a blank after the colon, found {self.show(word)}", hint)

    # values

    def value(self, alone: bool, keyed: bool) -> None:
        """A scalar or flow collection in a block. `alone`: nothing stands before it in its line; `keyed`: a key."""
        at, column = self.here, self.column(self.here)
        top = self.levels[-1] if self.levels else None
        if alone and top is not None and column <= top.column:
            self.misplaced(at, top)
        continues = not self.waits
        if not continues:
            self.value_at, self.alone = at, not keyed
        self.waits = False
        if continues and self.text[self.value_at] not in "\"'[{|>":
            self.next_line()
            return
        if continues:
            before = self.text[self.value_at]
            word = self.rest_of_line(at)
            raise self.fail(at, f"expected the end of the value that begins with `{before}`, found {self.show(word)}")
        self.special()
        first = self.text[self.here]
        if first in ",]}":
            raise self.fail(self.here, f"expected a value, found {self.show(self.rest_of_line(self.here))}")
        if first in "\"'":
            self.quotes()
            self.end_of_value(at, first)
        elif first in "[{":
            self.flow()
            self.end_of_value(at, CLOSERS[first])
        elif first in "|>":
            self.block_text(top)
        else:
            self.plain(at)

    def misplaced(self, at: int, top: _Level) -> None:
        """A text where an entry is expected."""
        word = self.rest_of_line(at)
        if found := _NO_BLANK.match(word):
            raise self.no_blank(at, found)
        if top.is_list and self.column(at) == top.column and re.match(r"-\S", word):
            hint = "" if self.secret else f"write - {word[1:]}"
            raise self.fail(at, f"expected a blank after the dash, found {self.show(word)}", hint)
        expected = "`- ` and an item" if top.is_list else "a key, a colon and a blank"
        raise self.fail(at, f"expected {expected}, found {self.show(word)}")

    def properties(self) -> bool:
        """Skips anchors and tags; True at the end of the line: what they belong to comes below."""
        began = self.here
        while found := _PROPERTY.match(self.text, self.here):
            self.here = found.end()
            self.blanks()
        return self.here > began and self.at_end_of_line()

    def special(self) -> None:
        """Characters that no text without quotes begins with."""
        first = self.text[self.here]
        word = self.word()
        if first == "*" and not _ALIAS.match(self.text, self.here):
            raise self.needs_quotes(self.here, word, "an alias, or a text in quotes as it begins with `*`")
        if first in "&%@`" or (first == "*" and "." in word):
            name = "a backquote" if first == "`" else f"`{first}`"
            raise self.needs_quotes(self.here, word, f"a text in quotes as it begins with {name}")
        if found := _BRACKETED.match(self.text, self.here):
            raise self.needs_quotes(self.here, found[0], "a text in quotes as it begins with `[`")

    def word(self) -> str:
        """The type of a text without quotes here."""
        found = re.compile(r"[^\n,\]}]*").match(self.text, self.here)
        return re.split(r"[ \t]#", found[0] if found else "")[0].strip()

    def end_of_value(self, at: int, closer: str) -> None:
        """After quotes or brackets the line ends."""
        self.blanks()
        if self.at_end_of_line():
            self.next_line()
            return
        word = self.rest_of_line(self.here)
        many = "\n" in self.text[at : self.here]
        if many and closer in "\"'":
            self.unclosed_quotes(at, self.here)
        hint = f"the value is {self.opened(at)}; put the whole text in quotes" if closer in "\"'" else self.opened(at)
        raise self.fail(self.here, f"expected the end of the line after `{closer}`, found {self.show(word)}", hint)

    def block_text(self, top: _Level | None) -> None:
        """`|` and `>`: every line that is indented deeper, and empty ones."""
        if not _BLOCK_HEADER.match(self.text, self.here):
            raise self.needs_quotes(
                self.here, self.word(), f"a text in quotes as it begins with `{self.text[self.here]}`"
            )
        parent = top.column if top is not None else -1
        self.next_line()
        while self.here < len(self.text):
            found = re.compile(r" *").match(self.text, self.here)
            depth = len(found[0]) if found else 0
            if self.text[self.here + depth : self.here + depth + 1] not in ("\n", "") and depth <= parent:
                return
            self.next_line()

    def plain(self, at: int) -> None:
        """A text without quotes up to the end of its line."""
        word = self.rest_of_line(at)
        if not self.alone and re.search(r":(?=\s|$)", word):
            raise self.needs_quotes(at, word, "a text without a colon and a blank in it")
        self.next_line()

    # quotes and flow

    def quotes(self) -> None:
        """Skips a text in quotes."""
        at, mark = self.here, self.text[self.here]
        pattern = r'"(?:[^"\\]|\\.)*"' if mark == '"' else r"'(?:[^']|'')*'"
        found = re.compile(pattern, re.DOTALL).match(self.text, at)
        if not found:
            self.unclosed_quotes(at, len(self.text))
            return
        self.here = found.end()
        for escape in re.finditer(r"\\(.)", found[0]) if mark == '"' else ():
            if escape[1] not in '0abt\tnvfre "/\\N_LPxuU\n\r':
                raise self.fail(
                    at + escape.start(), f"expected an escape sequence, found {self.show(escape[0])}",
                    "in double quotes a backslash is written \\\\; single quotes take it as it is",
                )  # fmt: skip

    def unclosed_quotes(self, at: int, end: int) -> None:
        mark = self.text[at]
        found = "the end of the file" if end >= len(self.text) else self.show(self.rest_of_line(end))
        raise self.fail(end, f"expected `{mark}` at the end of the text that is {self.opened(at)}, found {found}")

    def flow(self) -> None:
        """Skips a flow collection with all inside it."""
        self.stack: list[tuple[str, int, bool]] = [(self.text[self.here], self.here, False)]
        base = self.levels[-1].column if self.levels else 0
        self.here += 1
        after = False  # a value has just ended: a comma, a colon or the end comes
        while self.stack:
            self.flow_blanks(base)
            opener, opened_at, colon = self.stack[-1]
            if self.here >= len(self.text):
                raise self.unclosed(len(self.text))
            first = self.text[self.here]
            if first in "]}":
                if first != CLOSERS[opener]:
                    raise self.unclosed(self.here)
                self.stack.pop()
                self.here += 1
                after = True
            elif first == ",":
                self.stack[-1] = (opener, opened_at, False)
                self.here += 1
                after = False
            elif first == ":" and (after or self.text[self.here + 1 : self.here + 2] in " \t\n,[]{}"):
                if colon:
                    raise self.unclosed(self.here, "a comma is missing before it, or quotes around a text with a colon")
                self.stack[-1] = (opener, opened_at, True)
                self.here += 1
                after = False
            elif after:
                raise self.unclosed(self.here)
            else:
                after = self.flow_value()

    def flow_value(self) -> bool:
        """Skips the beginning of a collection, or a scalar: True."""
        if self.properties() or self.text[self.here] in ",]}":
            return True
        self.special()
        first = self.text[self.here]
        if first in "[{":
            self.stack.append((first, self.here, False))
            self.here += 1
            return False
        if first in "\"'":
            at = self.here
            self.quotes()
            rest = re.compile(r"[ \t]*").match(self.text, self.here)
            end = rest.end() if rest else self.here
            if "\n" in self.text[at : self.here] and self.text[end : end + 1] not in (
                ",",
                "]",
                "}",
                ":",
                "\n",
                "\r",
                "",
            ):
                self.unclosed_quotes(at, end)
            return True
        found = re.compile(r"(?:[^\s,\[\]{}:#]|:(?=[^\s,\[\]{}])|(?<=\S)#|[ \t]+(?=[^\s#]))+").match(
            self.text, self.here
        )
        self.here = found.end() if found else self.here + 1
        return True

    def flow_blanks(self, base: int) -> None:
        """Skips blanks, comments and ends of lines. A line that can only be the block's shows a bracket left open."""
        while True:
            self.blanks()
            if not self.at_end_of_line() or self.here >= len(self.text):
                return
            self.next_line()
            start = self.here
            self.blanks()
            if re.compile(r"- |---(?:\s|$)").match(self.text, self.here):
                raise self.unclosed(self.here)
            found = _KEY.match(self.text, self.here)
            if found and self.here - start <= base:
                raise self.unclosed(self.here)

    def unclosed(self, at: int, hint: str = "") -> Found:
        """The innermost bracket is the one that was left open, or a comma is missing in it."""
        opener, opened_at, _ = self.stack[-1]
        word = self.rest_of_line(at)
        if word[:1] in ("]", "}"):
            word = word[0]
        expected = f"expected `,` or `{CLOSERS[opener]}` for the `{opener}` {self.opened(opened_at)}"
        return self.fail(at, f"{expected}, found {self.show(word)}", hint)
