"""Values that know where they were written, and a small typed reader over them. Not a parser: yaml_source is.

A scalar stays text until a reader asks for a type, so `off` can be a choice here and a refused boolean there.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec

from supervisor.source.problems import Invalid, Place, Problems, did_you_mean, quote

T = TypeVar("T")
Word = TypeVar("Word", bound=str)

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
# YAML 1.1 has these for booleans (yaml.org/type/bool.html); people mean text at least as often.
_YES_NO: Final = re.compile(r"y|Y|n|N|(yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_NUMBER: Final = re.compile(
    r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.[0-9][0-9_]*|\.(inf|Inf|INF))"
    r"|\.(nan|NaN|NAN)"
)
_DURATION: Final = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|s|m|h))+")
_DURATION_PART: Final = re.compile(r"([0-9.]+)(ms|s|m|h)")
_RATE: Final = re.compile(r"([0-9]{1,9})/([smh])")
_NO_BLANK: Final = re.compile(r"([A-Za-z][A-Za-z0-9.-]*):([^\s:/]\S*)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Node:
    """A scalar (`value` is text), a list, or a mapping (key text -> key node and value node), and its place."""

    __slots__ = ("column", "file", "line", "plain", "value")
    secret = False  # values are never quoted in messages

    def __init__(self, file: str, line: int, column: int, value: "Value", plain: bool = False) -> None:
        """`plain` = a scalar without quotes, which may stand for null, a boolean or a number."""
        self.file = file
        self.line = line
        self.column = column
        self.value = value
        self.plain = plain

    @property
    def place(self) -> Place:
        """Where the value begins."""
        return Place(self.file, self.line, self.column)

    @property
    def is_null(self) -> bool:
        """Nothing was written, or `null`."""
        return self.plain and self.value in _NULL

    def invalid(self, message: str, suggestion: str = "") -> Invalid:
        """An error at this value, to be raised."""
        return Invalid(self.place, message, suggestion)

    def unexpected(self, expected: str, suggestion: str = "") -> Invalid:
        """The error that this is not `expected`."""
        return self.invalid(f"expected {expected}, found {self.describe()}", suggestion)

    def describe(self) -> str:
        """The value found here, in words, for an error."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        if self.is_null:
            return "nothing"
        words = self._plain_type() if self.plain else "the text"
        return words if self.secret else f"{words} {quote(self.value)}"

    def _plain_type(self) -> str:
        text = str(self.value)
        if text in _TRUE or text in _FALSE or _YES_NO.fullmatch(text):
            return "the boolean"
        return "the number" if _NUMBER.fullmatch(text) else "the text"

    def text(self) -> str:
        """A scalar as written, whatever it may stand for."""
        if not isinstance(self.value, str) or self.is_null:
            raise self.unexpected("a text")
        return self.value

    def string(self) -> str:
        """A text; what YAML takes for a boolean or a number must be quoted."""
        text = self.text()
        if self.plain and self._plain_type() != "the text":
            raise self.unexpected("a text", quoting_hint(self))
        return text

    def choice(self, *names: Word) -> Word:
        """One of a few words. `off` needs no quotes here."""
        for name in names:
            if self.value == name:
                return name
        hint = did_you_mean(self.value, names) if isinstance(self.value, str) else ""
        if "off" in names and self.plain and self.value in ("false", "False", "no", "No"):
            hint = "write off"
        raise self.unexpected("one of " + ", ".join(names), hint)

    def boolean(self) -> bool:
        """`true` or `false`."""
        if self.plain and isinstance(self.value, str):
            if self.value in _TRUE:
                return True
            if self.value in _FALSE:
                return False
            if found := _YES_NO.fullmatch(self.value):
                word = "true" if found[0].lower() in ("y", "yes", "on") else "false"
                raise self.unexpected("true or false", f"write {word}")
        raise self.unexpected("true or false")

    def integer(self, low: int, high: int) -> int:
        """A decimal number within bounds, both included."""
        if not self.plain or not isinstance(self.value, str) or not _DECIMAL.fullmatch(self.value):
            hint = ""
            if isinstance(self.value, str) and _DECIMAL.fullmatch(self.value):
                hint = f"remove the quotes: {self.value}"
            raise self.unexpected("a decimal number", hint)
        number = int(self.value)
        if not low <= number <= high:
            raise self.invalid(f"{number} is out of range: {low} to {high}")
        return number

    def duration(self, low: float = 0.001, high: float = 30 * 86400.0) -> float:
        """Seconds, from `500ms`, `2s`, `5m`, `1h` or `1h30m`."""
        if not isinstance(self.value, str) or not _DURATION.fullmatch(self.value):
            hint = "durations look like 500ms, 2s, 5m or 1h"
            if isinstance(self.value, str) and _DECIMAL.fullmatch(self.value):
                hint = f"a unit is missing: {self.value}s"
            raise self.unexpected("a duration", hint)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(self.value))
        if not low <= seconds <= high:
            raise self.invalid(f"{quote(self.value)} is out of range: {low:g}s to {high:g}s")
        return seconds

    def rate(self, high: int) -> tuple[int, float]:
        """A number and its seconds, from `10/s`, `100/m` or `1000/h`."""
        found = _RATE.fullmatch(self.value) if isinstance(self.value, str) else None
        if found is None:
            hint = "rates look like 10/s, 100/m or 1000/h"
            if isinstance(self.value, str) and _DECIMAL.fullmatch(self.value):
                hint = f"a unit is missing: {self.value}/s"
            raise self.unexpected("a rate", hint)
        if not 1 <= int(found[1]) <= high:
            raise self.invalid(f"{quote(found[0])} is out of range: 1 to {high} in a second, minute or hour")
        return int(found[1]), _SECONDS[found[2]]

    def address(self) -> str:
        """An IP address, in its canonical text."""
        text = self.text()
        try:
            found = ipaddress.ip_address(text)
        except ValueError:
            raise self.unexpected("an IP address") from None
        if "%" in text:
            raise self.unexpected("an IP address without a zone")
        return str(found)

    def cidr(self) -> str:
        """A network `address/length` without host bits, in its canonical text."""
        text = self.text()
        address, slash, length = text.partition("/")
        try:
            host = ipaddress.ip_address(address)
            if "%" in address or (slash and not re.fullmatch("0|[1-9][0-9]{0,2}", length)):
                raise ValueError(text)
            network = ipaddress.ip_network(text if slash else address, strict=False)
        except ValueError:
            raise self.unexpected("a CIDR such as 10.0.0.0/8 or 2001:db8::/32") from None
        if not slash:
            raise self.unexpected("a CIDR", f"for this one address write {network}")
        if host != network.network_address:
            raise self.invalid(f"{quote(text)} has host bits set", f"the network is {network}")
        return str(network)

    def items(self) -> list["Node"]:
        """The items of a list."""
        if not isinstance(self.value, list):
            raise self.unexpected("a list", "put [ ] around it" if isinstance(self.value, str) and self.value else "")
        return self.value

    def filled(self) -> list["Node"]:
        """The items of a list that must not be empty."""
        if not (items := self.items()):
            raise self.invalid("the list is empty", "remove the key if nothing is meant")
        return items

    def mapping(self) -> dict[str, tuple["Node", "Node"]]:
        """Key text -> (key, value)."""
        if not isinstance(self.value, dict):
            raise self.unexpected("a mapping", self._blank_hint())
        return self.value

    def _blank_hint(self) -> str:
        """For `name:shop`, which YAML takes for one text."""
        found = _NO_BLANK.match(self.value) if self.plain and isinstance(self.value, str) else None
        if not found or self.secret:
            return ""
        return f"a blank is missing after the colon: write {found[1]}: {found[2]}"

    def fields(
        self, known: Iterable[str], problems: Problems, null_is_absent: bool = False, prefix: str = ""
    ) -> "Fields":
        """The mapping's fields; every unknown key is an error of its own. `prefix`: what messages say before a name."""
        return Fields(self, tuple(known), problems, null_is_absent, prefix)


class SecretNode(Node):
    """A value of a file whose contents must not be repeated: password hashes."""

    __slots__ = ()
    secret = True


def quoting_hint(node: Node) -> str:
    """The suggestion to quote a scalar."""
    short = isinstance(node.value, str) and len(node.value) < 80 and not node.secret
    return f'put it in quotes: "{node.value}"' if short else "put it in quotes"


Value = str | list[Node] | dict[str, tuple[Node, Node]]


class Fields:
    """The known fields of one mapping. What is wrong goes to `problems`; reading goes on with the default."""

    def __init__(
        self, node: Node, known: tuple[str, ...], problems: Problems, null_is_absent: bool, prefix: str = ""
    ) -> None:
        """Raises Invalid when `node` is not a mapping; reports unknown keys."""
        self.prefix = prefix
        self.blankless: set[str] = set()  # names whose colon has no blank after it: reported already
        self.node = node
        self.problems = problems
        self.null_is_absent = null_is_absent
        self._values: dict[str, Node] = {}
        for name, (key, value) in node.mapping().items():
            if name in known:
                self._values[name] = value
            else:
                hint = did_you_mean(name, known) or "known: " + ", ".join(known)
                found = _NO_BLANK.fullmatch(name)
                if found and value.is_null and not value.secret:
                    self.blankless.add(found[1])
                    hint = f"a blank is missing after the colon: write {found[1]}: {found[2]}"
                if name == "<<":
                    hint = "merge keys are not part of YAML 1.2: write the fields out"
                problems.error(key.place, f"unknown key {quote(name)}", hint)

    def get(self, name: str) -> Node | None:
        """The value of a field, None when it is absent."""
        value = self._values.get(name)
        return None if value is not None and self.null_is_absent and value.is_null else value

    def blank(self, name: str) -> Node | None:
        """The value of a field that was written and left empty; None for any other."""
        value = self._values.get(name)
        return value if value is not None and value.is_null else None

    def read(self, name: str, reader: Callable[[Node], T], default: T) -> T:
        """The field as `reader` reads it; `default` when it is absent or wrong."""
        value = self.get(name)
        if value is None:
            return default
        try:
            return reader(value)
        except Invalid as wrong:
            problem = wrong.problem
            if (problem.line, problem.column) == (value.line, value.column):  # else it names something inside
                problem = msgspec.structs.replace(problem, message=f"{self.prefix}{name}: {problem.message}")
            self.problems.add(problem)
            return default

    def need(self, name: str, reader: Callable[[Node], T], default: T, hint: str = "") -> T:
        """The same for a field that must be there."""
        if self.get(name) is None and name not in self.blankless:
            self.problems.error(self.node.place, f"{quote(self.prefix + name)} is missing", hint)
        return self.read(name, reader, default)

    def items(self, name: str) -> list[Node]:
        """The items of a list field; none when it is absent or no list."""
        nothing: list[Node] = []
        return self.read(name, Node.items, nothing)

    def each(self, name: str, reader: Callable[[Node], T]) -> list[T]:
        """Each item of a list field as `reader` reads it; wrong items are reported and left out."""
        return each(self.items(name), reader, self.problems)


def attempt(node: Node, reader: Callable[[Node], T], problems: Problems, default: T) -> T:
    """`reader(node)`, or `default` after reporting what was wrong."""
    try:
        return reader(node)
    except Invalid as wrong:
        problems.add(wrong.problem)
        return default


def each(nodes: Iterable[Node], reader: Callable[[Node], T], problems: Problems) -> list[T]:
    """`reader` over nodes; wrong ones are reported and left out."""
    results = []
    for node in nodes:
        try:
            results.append(reader(node))
        except Invalid as wrong:
            problems.add(wrong.problem)
    return results
