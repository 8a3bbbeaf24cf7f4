"""JSON (RFC 8259) with positions: the same nodes that yaml_source gives. YAML is not a superset of JSON in practice."""

import re
from bisect import bisect_right
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined] # the stubs leave it out
from typing import Final

from supervisor.source.node import Node
from supervisor.source.problems import Invalid, Place, Problems, quote

MOST_DEPTH: Final = 50
TOO_DEEP: Final = f"nested deeper than {MOST_DEPTH} levels"
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_LITERAL: Final = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


def parse_json(text: str, file: str, problems: Problems, kind: type[Node] = Node) -> list[Node]:
    """The one document of a JSON file. Raises Invalid where it is not JSON; duplicate keys go to `problems`."""
    reader = _Reader(text, file, problems, kind)
    return [reader.document()]


class _Reader:
    """A recursive descent over one text, its depth bounded by MOST_DEPTH."""

    def __init__(self, text: str, file: str, problems: Problems, kind: type[Node]) -> None:
        self.text = text
        self.kind = kind
        self.file = file
        self.problems = problems
        self.at = 0
        self.starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def document(self) -> Node:
        node = self.value(0)
        self.blank()
        if self.at < len(self.text):
            raise self.wrong("expected the end of the file after the JSON value")
        return node

    def place(self, at: int) -> Place:
        line = bisect_right(self.starts, at)
        return Place(self.file, line, at - self.starts[line - 1] + 1)

    def wrong(self, message: str) -> Invalid:
        return Invalid(self.place(self.at), "not JSON: " + message)

    def blank(self) -> str:
        """Skips white space; answers the character after it, "" at the end."""
        self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr] # it matches the empty text
        return self.text[self.at : self.at + 1]

    def value(self, depth: int) -> Node:
        if depth > MOST_DEPTH:
            raise Invalid(self.place(self.at), TOO_DEEP)
        first = self.blank()
        place = self.place(self.at)
        node = self.kind(self.file, place.line, place.column, "")
        if first == "{":
            node.value = self.mapping(depth)
        elif first == "[":
            node.value = self.sequence(depth)
        elif first == '"':
            node.value = self.string()
        elif found := _LITERAL.match(self.text, self.at):
            node.value, node.plain = found[0], True
            self.at = found.end()
        else:
            raise self.wrong(f"expected a value, found {quote(first) if first else 'the end of the file'}")
        return node

    def string(self) -> str:
        try:
            text: str
            text, self.at = scanstring(self.text, self.at + 1, True)
        except JSONDecodeError as wrong:  # its words vary with Python's version
            began, self.at = self.at, wrong.pos
            if wrong.pos == began:
                raise self.wrong('expected `"` at the end of the text that begins here') from None
            if self.text[wrong.pos : wrong.pos + 1] < " ":
                raise self.wrong("a control character in a text must be escaped") from None
            self.at = self.text.rfind("\\", began, wrong.pos + 2)
            raise self.wrong("expected an escape sequence, as \\n or \\u00e9") from None
        if re.search("[\ud800-\udfff]", text):
            raise self.wrong("half of a surrogate pair")
        return text

    def more(self, end: str) -> bool:
        """After an item: True for a comma, False for the closing bracket."""
        found = self.blank()
        if found not in (",", end) or not found:
            raise self.wrong(f"expected `,` or {quote(end)}")
        self.at += 1
        return found == ","

    def sequence(self, depth: int) -> list[Node]:
        self.at += 1
        items: list[Node] = []
        if self.blank() == "]":
            self.at += 1
            return items
        while True:
            items.append(self.value(depth + 1))
            if not self.more("]"):
                return items

    def mapping(self, depth: int) -> dict[str, tuple[Node, Node]]:
        self.at += 1
        items: dict[str, tuple[Node, Node]] = {}
        if self.blank() == "}":
            self.at += 1
            return items
        while True:
            if self.blank() != '"':
                raise self.wrong("expected a key in double quotes")
            key = self.value(depth + 1)
            if self.blank() != ":":
                raise self.wrong("expected `:` after the key")
            self.at += 1
            value = self.value(depth + 1)
            add_key(items, key, value, self.problems)
            if not self.more("}"):
                return items


def add_key(items: dict[str, tuple[Node, Node]], key: Node, value: Node, problems: Problems) -> None:
    """Puts a pair into a mapping; a key that is there already is an error that names both places."""
    name = str(key.value)
    if name in items:
        problems.error(key.place, *duplicate(items[name][0], key))
        return
    items[name] = (key, value)


def duplicate(first: Node, key: Node) -> tuple[str, str]:
    """Message and suggestion for a key that is there already."""
    where = f"it is first set in line {first.line}, column {first.column}"
    return f"duplicate key {quote(str(key.value))}", where
