"""YAML files as nodes with positions, from libyaml's events. Strict where YAML 1.1 surprises; bounded in every way.

What is ordinary is composed by yaml_composer.pyx, quickly; everything else here, with care. PyYAML's own C composer
recurses without bound and forgets what was an alias.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from io import FileIO
from itertools import islice
from sys import intern
from typing import Any, Final

import yaml

from supervisor.source.json_source import MOST_DEPTH, TOO_DEEP, duplicate, parse_json
from supervisor.source.node import Node, quoting_hint
from supervisor.source.problems import Invalid, Place, Problems, quote
from supervisor.source.yaml_composer import Composer, Unusual
from supervisor.source.yaml_cursor import LONGEST_WORD, position
from supervisor.source.yaml_faults import find_fault

MOST_BYTES: Final = 16 << 20
MOST_MANIFEST: Final = 64 << 20  # of a file of manifests
MOST_EXPANSIONS: Final = 1000
SHORT: Final = 16  # characters of texts that are often repeated, keys and ports: one object for all
# Base 60 integers and floats of YAML 1.1 (yaml.org/type/int.html): `22:30` would be 1350.
_SEXAGESIMAL: Final = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_STRING_TAG: Final = "tag:yaml.org,2002:str"
LISTS: Final = "long host lists belong in a hostsFrom file"
TRIES: Final = 3  # readings of a file that changes
MANIFEST: Final = ("apiVersion", "kind", "metadata", "spec")
_PLAIN_TAGS: Final = frozenset({None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


def read_file(path: str, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file. Raises Invalid when it is missing, unreadable, not regular or larger than `most`."""
    return read_descriptor(open_file(path), Place(path), most, LISTS if most == MOST_BYTES else "")


def open_file(path: str) -> int:
    """A descriptor for read_descriptor. Raises Invalid."""
    try:
        # O_NONBLOCK: opening a FIFO without a writer must not hang.
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as wrong:
        reason = getattr(wrong, "strerror", None) or "not a file name"
        raise Invalid(Place(path), f"cannot be read: {reason}") from None


def read_descriptor(descriptor: int, place: Place, most: int = MOST_BYTES, hint: str = "") -> bytes:
    """The same for an open descriptor, which is closed in any case. A file that is written meanwhile is read again: a
    half of one and a half of the next would be a third."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Invalid(place, "is not a regular file")
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        try:
            for _ in range(TRIES):
                before = _state(descriptor)
                data = _read_up_to(file, most + 1)
                if len(data) > most:
                    raise Invalid(place, f"is larger than {most >> 20} MiB", hint)
                if _state(descriptor) == before:
                    return data
                file.seek(0)
        except OSError as wrong:
            raise Invalid(place, f"cannot be read: {wrong.strerror}") from None
    raise Invalid(place, "changes while it is read", "write it beside itself and rename it")


def _state(descriptor: int) -> tuple[int, int, int]:
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read_up_to(file: FileIO, most: int) -> bytes:
    parts, size = [], 0
    while size < most and (part := file.read(min(most - size, 1 << 20))):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def load_documents(path: str, problems: Problems, kind: type[Node] = Node) -> list[Node]:
    """All documents of a YAML or JSON (by its name) file, null ones included. Raises Invalid when it cannot be read."""
    return parse_documents(read_file(path), path, problems, kind)


def parse_documents(data: bytes, path: str, problems: Problems, kind: type[Node] = Node) -> list[Node]:
    """The same for the bytes of a file. Raises Invalid when they are not UTF-8, or not YAML or JSON."""
    return list(each_document(data, path, problems, kind))


def each_document(data: bytes, path: str, problems: Problems, kind: type[Node] = Node) -> Iterator[Node]:
    """The same one by one: a document that was read need not stay while the next one is."""
    text = _decode(data, path)
    if not path.endswith(".json"):
        yield from each_yaml(text, path, problems, kind)
    elif text.strip(" \t\r\n"):
        yield from parse_json(text, path, problems, kind)


def load_document(path: str, problems: Problems, kind: type[Node] = Node) -> Node:
    """The one document of a file. Raises Invalid when it is empty or holds several."""
    documents = load_documents(path, problems, kind)
    if all(document.is_null for document in documents):
        raise Invalid(Place(path), "the file is empty")
    return only(documents)


def only(documents: list[Node]) -> Node:
    """The one document. Raises Invalid when there are several."""
    if len(documents) > 1:
        raise documents[1].invalid("a second document begins here, where one is expected", "remove the `---`")
    return documents[0]


def parse_yaml(text: str, file: str, problems: Problems, kind: type[Node] = Node) -> list[Node]:
    """The documents of a YAML text. Raises Invalid where it is not YAML; duplicate keys go to `problems`."""
    return list(each_yaml(text, file, problems, kind))


def each_yaml(text: str, file: str, problems: Problems, kind: type[Node] = Node) -> Iterator[Node]:
    """The same one by one."""
    given = 0
    try:
        for document in Composer(text.encode(), file, kind, MOST_DEPTH):
            yield document
            given += 1
    except Unusual:
        yield from islice(_with_care(text, file, problems, kind), given, None)


def _with_care(text: str, file: str, problems: Problems, kind: type[Node]) -> Iterator[Node]:
    composer = _Composer(file, problems, kind)
    takers, done = composer.takers(), composer.documents
    try:
        next_event = yaml.CSafeLoader(text).get_event
        while type(event := next_event()) is not yaml.StreamEndEvent:
            if (take := takers.get(type(event))) is not None:
                take(event)
            if done:
                yield done.pop()
    except yaml.MarkedYAMLError as wrong:
        _check_depth(text, wrong, file)
        raise _malformed(text, wrong, file, kind.secret) from None
    except yaml.reader.ReaderError as wrong:
        raise Invalid(_reader_place(text, wrong, file), "a control character is not allowed here") from None
    except _Unquoted as wrong:
        problem = wrong.problem
        fault = find_fault(text, _index(text, problem.line, problem.column), kind.secret)
        if fault is None:
            raise
        raise Invalid(Place(file, *position(text, fault.at)), f"not YAML: {fault.message}", fault.suggestion) from None


class _Unquoted(Invalid):
    """YAML that means something else than its writer: `[::1]:53` as a key of a mapping."""


def _index(text: str, line: int, column: int) -> int:
    at = 0
    for _ in range(line - 1):
        at = text.find("\n", at) + 1
    return min(at + column - 1, len(text))


def _decode(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        start = data.rfind(b"\n", 0, wrong.start) + 1
        column = len(data[start : wrong.start].decode("utf-8", "replace")) + 1
        line = data.count(b"\n", 0, wrong.start) + 1
        raise Invalid(Place(path, line, column), "not UTF-8", "save the file in UTF-8") from None


def _marked(wrong: yaml.MarkedYAMLError, file: str) -> Place:
    mark = wrong.problem_mark or wrong.context_mark
    return Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)


def _check_depth(text: str, wrong: yaml.MarkedYAMLError, file: str) -> None:
    """Raises Invalid where the text nests too deep before the place of `wrong`.

    libyaml reads ahead and has a depth of its own, which varies with its version: its error may come before the events
    that lead there. The text up to that place has them all.
    """
    mark = wrong.problem_mark
    if mark is None:
        return
    depth = 0
    try:
        for event in yaml.parse(text[: mark.index], Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                began = event.start_mark
                if depth > MOST_DEPTH and began is not None:
                    raise Invalid(Place(file, began.line + 1, began.column + 1), TOO_DEEP)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError:
        return


def _malformed(text: str, wrong: yaml.MarkedYAMLError, file: str, secret: bool) -> Invalid:
    """The slip that is to be mended; where none is recognised libyaml's words, which vary with its version."""
    mark = wrong.problem_mark or wrong.context_mark
    if mark is not None and (fault := find_fault(text, mark.index, secret)) is not None:
        return Invalid(Place(file, *position(text, fault.at)), f"not YAML: {fault.message}", fault.suggestion)
    found = re.match(r"[^\s,\]}]*|[,\]}]", text[mark.index :]) if mark is not None else None
    word = found[0][:LONGEST_WORD] if found else ""
    shown = "" if secret or not word else f", found {quote(word)}"
    return Invalid(_marked(wrong, file), f"not YAML: {wrong.problem or wrong.context or 'malformed'}{shown}")


def _reader_place(text: str, wrong: yaml.reader.ReaderError, file: str) -> Place:
    """Where the first character is that YAML does not allow (YAML 1.1 section 4.1.1)."""
    found = re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if not found:
        return Place(file)
    before = text[: found.start()]
    return Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


class _Open:
    """A collection that is being filled. `key` is the pending key of a mapping; `weight` counts expansions inside."""

    __slots__ = ("anchor", "key", "node", "weight")

    def __init__(self, node: Node, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: Node | None = None
        self.weight = 0


class _Composer:
    """Builds nodes from events, on a stack of its own."""

    def __init__(self, file: str, problems: Problems, kind: type[Node]) -> None:
        self.file = file
        self.kind = kind
        self.problems = problems
        self.documents: list[Node] = []
        self.open: list[_Open] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.expansions = 0
        self.again: list[tuple[Node, Node]] = []  # keys of a manifest that the document has already: first, second
        self.line = 0  # the last one, as one object for all nodes that stand in it

    def takers(self) -> dict[type, Callable[[Any], None]]:
        """The work on each type of event; none on others."""
        return {
            yaml.ScalarEvent: self.scalar,
            yaml.MappingStartEvent: self.begin,
            yaml.SequenceStartEvent: self.begin,
            yaml.MappingEndEvent: self.end,
            yaml.SequenceEndEvent: self.end,
            yaml.AliasEvent: self.alias,
            yaml.DocumentStartEvent: lambda _: self.anchors.clear(),
        }

    def node(
        self, event: yaml.NodeEvent, value: str | list[Node] | dict[str, tuple[Node, Node]], plain: bool = False
    ) -> Node:
        mark = event.start_mark
        assert mark is not None  # libyaml marks every event
        line = mark.line + 1
        if line != self.line:
            self.line = line
        return self.kind(self.file, self.line, mark.column + 1, value, plain)

    def scalar(self, event: yaml.ScalarEvent) -> None:
        text = event.value
        node = self.node(event, intern(text) if len(text) <= SHORT else text, event.tag is None and not event.style)
        if event.tag is not None and event.tag not in (_STRING_TAG, "!"):
            raise node.invalid("tags are not supported", "write the value without it")
        if node.plain and ":" in event.value and _SEXAGESIMAL.fullmatch(event.value):
            words = f"{quote(event.value)} is a base 60 number in YAML 1.1"
            self.problems.error(node.place, words, quoting_hint(node))
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, 0)
        self.place(node, 0)

    def begin(self, event: "yaml.MappingStartEvent | yaml.SequenceStartEvent") -> None:
        node = self.node(event, {} if isinstance(event, yaml.MappingStartEvent) else [])
        if event.tag not in _PLAIN_TAGS:
            raise node.invalid("tags are not supported", "write the value without it")
        if len(self.open) >= MOST_DEPTH:
            raise node.invalid(TOO_DEEP)
        if self.wants_key():
            raise _Unquoted(node.place, "a key must be a text")
        self.open.append(_Open(node, event.anchor))

    def end(self, _: yaml.Event) -> None:
        done = self.open.pop()
        if done.anchor is not None:
            self.anchors[done.anchor] = (done.node, done.weight)
        self.place(done.node, done.weight)

    def wants_key(self) -> bool:
        """Whether a mapping is open whose next node is a key."""
        return bool(self.open) and isinstance(self.open[-1].node.value, dict) and self.open[-1].key is None

    def alias(self, event: yaml.AliasEvent) -> None:
        here = self.node(event, "")
        name = str(event.anchor)
        if name not in self.anchors:
            hint = "" if here.secret else f'for a text put it in quotes: "*{name}"'
            raise here.invalid(f"no anchor {quote(name)} is complete before this alias", hint)
        node, weight = self.anchors[name]
        if self.wants_key() and not isinstance(node.value, str):
            raise here.invalid("a key must be a text")
        self.expansions += 1 + weight
        if self.expansions > MOST_EXPANSIONS:
            raise here.invalid(f"more than {MOST_EXPANSIONS} anchor expansions", "write the values out")
        self.place(node, 1 + weight)

    def place(self, node: Node, weight: int) -> None:
        """Puts a finished node where it belongs."""
        if not self.open:
            self.documents.append(node)
            self.twice(node)
            return
        parent = self.open[-1]
        parent.weight += weight
        value, key = parent.node.value, parent.key
        if type(value) is list:
            value.append(node)
        elif key is None:
            parent.key = node
        elif type(value) is dict:
            parent.key = None
            first = value.get(str(key.value))
            if first is None:
                value[str(key.value)] = (key, node)
            elif len(self.open) == 1 and key.value in MANIFEST:
                self.again.append((first[0], key))
            else:
                self.problems.error(key.place, *duplicate(first[0], key))

    def twice(self, document: Node) -> None:
        """Reports keys of a manifest that a document has twice: several of them are a second manifest."""
        again, self.again = self.again, []
        names = dict.fromkeys(str(key.value) for _, key in again)
        if len(names) > 1 and isinstance(document.value, dict) and "kind" in document.value:
            seen: set[str] = set()
            for _, key in again:
                if key.value in seen or not seen:
                    words = f"expected a line `---` before another resource, found {quote(str(key.value))} again"
                    self.problems.error(key.place, words, "put --- on a line of its own before it")
                    seen = set()
                seen.add(str(key.value))
            return
        for first, key in again:
            self.problems.error(key.place, *duplicate(first, key))
