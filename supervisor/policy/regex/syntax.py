"""Regular expressions in RE2's syntax, read into a tree. What RE2 refuses was refused before (expression.py); what is
refused here, RE2 has and the gateway has not."""

from typing import Final, Literal

import msgspec

from supervisor.policy.regex.characters import ANY, CLASSES, Ranges, fold, invert, merge

__all__ = ["Any", "Assertion", "Choice", "Node", "Refused", "Repeat", "Sequence", "parse"]

LONGEST: Final = 8192  # characters
DEEPEST: Final = 200  # groups in groups


class Refused(ValueError):
    """A regular expression that is not compiled; the text says why."""


class Any(msgspec.Struct, frozen=True):
    """One character of a set; none: nothing matches."""

    of: Ranges


class Assertion(msgspec.Struct, frozen=True):
    """A place between two characters."""

    kind: Literal["begin", "end", "begin_line", "end_line", "word", "not_word"]


class Sequence(msgspec.Struct, frozen=True):
    """One after the other; none: the empty text."""

    of: tuple["Node", ...]


class Choice(msgspec.Struct, frozen=True):
    """One of them."""

    of: tuple["Node", ...]


class Repeat(msgspec.Struct, frozen=True):
    """`most` None = without end."""

    of: "Node"
    least: int
    most: int | None


Node = Any | Assertion | Sequence | Choice | Repeat

ESCAPES: Final = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
NOT_NEWLINE: Final = invert(((10, 10),))
OCTAL: Final = "01234567"


class _Flags(msgspec.Struct, frozen=True):
    i: bool = False  # letters of either case
    m: bool = False  # ^ and $ at lines
    s: bool = False  # . matches newlines
    U: bool = False  # what a match takes first: nothing for whether there is one


def parse(text: str) -> Node:
    """The tree of an expression that RE2 accepts. Raises Refused."""
    if len(text) > LONGEST:
        raise Refused(f"it is longer than {LONGEST:,} characters")
    parser = _Parser(text)
    node = parser.choice(_Flags(), 0)
    if parser.at != len(text):
        raise Refused(f"unexpected {text[parser.at]!r}")
    return node


class _Parser:
    """A cursor over the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def sees(self, token: str) -> bool:
        return self.text.startswith(token, self.at)

    def takes(self, token: str) -> bool:
        """Steps over it, where it is next."""
        found = self.sees(token)
        self.at += len(token) if found else 0
        return found

    def next(self) -> str:
        if self.at == len(self.text):
            raise Refused("it ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def until(self, token: str) -> str:
        end = self.text.find(token, self.at)
        if end < 0:
            raise Refused(f"{token!r} is missing")
        found = self.text[self.at : end]
        self.at = end + len(token)
        return found

    def choice(self, flags: _Flags, depth: int) -> Node:
        """All up to the end or a closing bracket. Flags that are set in it hold up to there."""
        if depth > DEEPEST:
            raise Refused(f"groups are nested more than {DEEPEST} deep")
        branches, parts = [], list[Node]()
        while self.at < len(self.text) and not self.sees(")"):
            if self.takes("|"):
                branches.append(Sequence(tuple(parts)))
                parts = []
            elif self.takes("("):
                opened = self.group(flags, depth)
                if isinstance(opened, _Flags):
                    flags = opened
                else:
                    parts.append(self.repeated(opened))
            elif self.takes("\\Q"):
                end = self.text.find("\\E", self.at)
                quoted = self.text[self.at :] if end < 0 else self.text[self.at : end]
                self.at += len(quoted) + (0 if end < 0 else 2)
                parts += [self.letter(ord(letter), flags) for letter in quoted]
                if parts:  # of an empty quotation the operator is for what stands before it
                    parts.append(self.repeated(parts.pop()))
            else:
                parts.append(self.repeated(self.atom(flags)))
        branches.append(Sequence(tuple(parts)))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def group(self, flags: _Flags, depth: int) -> Node | _Flags:
        """A group, behind its opening bracket; flags where it is `(?flags)`."""
        inner = flags
        if self.takes("?P<") or self.takes("?<"):
            self.until(">")
        elif self.takes("?"):
            given: dict[str, bool] = {}
            on = True
            while (letter := self.next()) not in ":)":
                if letter == "-":
                    on = False
                elif letter in "imsU":
                    given[letter] = on
                else:
                    raise Refused(f"unknown group (?{letter}")
            inner = msgspec.structs.replace(flags, **given)
            if letter == ")":
                return inner
        node = self.choice(inner, depth + 1)
        if not self.takes(")"):
            raise Refused("a group is not closed")
        return node

    def repeated(self, node: Node) -> Node:
        """With the operator behind it, if there is one. What a lazy one takes first is not asked."""
        if self.takes("*"):
            least, most = 0, None
        elif self.takes("+"):
            least, most = 1, None
        elif self.takes("?"):
            least, most = 0, 1
        elif bounds := self.bounds():
            least, most = bounds
        else:
            return node
        self.takes("?")
        return Repeat(node, least, most)

    def bounds(self) -> tuple[int, int | None] | None:
        """`{n}`, `{n,}` or `{n,m}`; any other brace is a letter."""
        end = self.text.find("}", self.at)
        if not self.sees("{") or end < 0:
            return None
        low, comma, high = self.text[self.at + 1 : end].partition(",")
        if not (low.isascii() and low.isdigit() and (not high or (high.isascii() and high.isdigit()))):
            return None
        self.at = end + 1
        return int(low), int(high) if high else None if comma else int(low)

    def letter(self, point: int, flags: _Flags) -> Any:
        return Any(fold(((point, point),)) if flags.i else ((point, point),))

    def atom(self, flags: _Flags) -> Node:
        letter = self.next()
        match letter:
            case ".":
                return Any(ANY if flags.s else NOT_NEWLINE)
            case "^":
                return Assertion("begin_line" if flags.m else "begin")
            case "$":
                return Assertion("end_line" if flags.m else "end")
            case "[":
                return Any(self.char_class(flags))
            case "\\":
                return self.escaped(flags)
        return self.letter(ord(letter), flags)

    def escaped(self, flags: _Flags) -> Node:
        places: dict[str, Literal["word", "not_word", "begin", "end"]]
        places = {"b": "word", "B": "not_word", "A": "begin", "z": "end"}
        letter = self.text[self.at : self.at + 1]
        if letter in places and letter:
            self.at += 1
            return Assertion(places[letter])
        if (named := self.perl_class(flags)) is not None:
            return Any(named)
        return self.letter(self.escape(), flags)

    def perl_class(self, flags: _Flags) -> Ranges | None:
        """`\\d` and the like, behind the backslash."""
        letter = self.text[self.at : self.at + 1]
        if letter in ("p", "P"):
            raise Refused("Unicode classes (\\p) are not supported: classes are ASCII")
        if letter == "C":
            raise Refused("\\C is not supported: a character is not cut into bytes")
        if not letter or letter not in "dDsSwW":
            return None
        self.at += 1
        ranges = CLASSES[letter.lower()]
        ranges = fold(ranges) if flags.i else ranges
        return invert(ranges) if letter.isupper() else ranges

    def escape(self) -> int:
        """The character that an escape stands for."""
        letter = self.next()
        if letter in OCTAL:
            digits = letter
            while len(digits) < 3 and self.text[self.at : self.at + 1] and self.text[self.at] in OCTAL:
                digits += self.next()
            return int(digits, 8)
        if letter == "x":
            digits = self.until("}") if self.takes("{") else self.next() + self.next()
            return int(digits, 16)
        if letter in ESCAPES:
            return ESCAPES[letter]
        if letter.isascii() and letter.isalnum():
            raise Refused(f"unknown escape \\{letter}")
        return ord(letter)

    def char_class(self, flags: _Flags) -> Ranges:
        """The set that stands behind `[`."""
        negated, first = self.takes("^"), True
        ranges: list[tuple[int, int]] = []
        while first or not self.sees("]"):
            ranges += self.class_item(flags)
            first = False
        self.at += 1
        merged = merge(ranges)
        return invert(merged) if negated else merged

    def class_item(self, flags: _Flags) -> Ranges:
        if self.takes("[:"):
            negated, name = self.takes("^"), self.until(":]")
            named = CLASSES[name]
            named = fold(named) if flags.i else named
            return invert(named) if negated else named
        if self.sees("\\"):
            self.at += 1
            if (perl := self.perl_class(flags)) is not None:
                return perl
            low = self.escape()
        else:
            low = ord(self.next())
        high = low
        if self.sees("-") and self.text[self.at + 1 : self.at + 2] not in ("", "]"):
            self.at += 1
            letter = self.next()
            high = self.escape() if letter == "\\" else ord(letter)
        return fold(((low, high),)) if flags.i else ((low, high),)
