"""Policy files that were read before: what each gave, by its identity, so that an unchanged one is not read again.

A file is known by its path, device, inode, size, mtime and ctime. One that was written within the last moments before
it was read may be written again without a change of these: it is settled only GRAIN later, and is compared by its
digest until it is. What a file gave is kept as bytes, so that their sum is bounded.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from supervisor.policy.budgets import Named
from supervisor.policy.registry import AnyPart
from supervisor.policy.resources.model import Rules
from supervisor.source.problems import Place, Problem, Problems
from supervisor.source.yaml_source import LISTS, MOST_MANIFEST, open_file, read_descriptor

__all__ = ["Delta", "FileContent", "Kept", "Reading", "Remembered", "Skipped", "lists_of"]

GRAIN: Final = 2_000_000_000  # nanoseconds: FAT counts mtime in two seconds, all others more finely
MOST_BYTES: Final = 64 << 20  # of all files together; what does not fit is read each time

Identity = tuple[int, int, int, int, int]  # device, inode, size, mtime and ctime in nanoseconds


class Skipped(msgspec.Struct, frozen=True, array_like=True):
    """A manifest that has nothing to do with egress."""

    kind: str
    place: Place


class FileContent(msgspec.Struct, frozen=True, array_like=True):
    """All that one file gives. `rules` are of resources that say everything themselves, `parts` of those that do not
    (dialects/dialect.py). `lists` are the paths of its host lists: where they lead may change without the file."""

    rules: tuple[Rules, ...]
    named: tuple[Named, ...]
    resources: int
    lists: tuple[str, ...]
    parts: tuple[AnyPart, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    errors: tuple[Problem, ...] = ()
    errors_left_out: int = 0
    warnings: tuple[Problem, ...] = ()
    warnings_left_out: int = 0

    def tell(self, problems: Problems) -> None:
        """Its problems, as if they were found now."""
        for error in self.errors:
            problems.add(error)
        for warning in self.warnings:
            problems.warn(warning)
        problems.errors_left_out += self.errors_left_out
        problems.warnings_left_out += self.warnings_left_out


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One file. `content` is the msgpack of FileContent."""

    identity: Identity
    settled: bool
    digest: bytes
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content) + 200  # about what the rest takes


class Delta(msgspec.Struct, array_like=True):
    """The difference between what a compilation began with and the files it met, by path."""

    changed: dict[str, Kept]
    gone: list[str]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(FileContent).decode


class Remembered:
    """Files by path, at most MOST_BYTES."""

    def __init__(self) -> None:
        self.files: dict[str, Kept] = {}
        self.bytes = 0

    def apply(self, delta: Delta) -> None:
        """Remembers what a compilation has read, as far as there is room."""
        for path in (*delta.gone, *delta.changed):
            if (old := self.files.pop(path, None)) is not None:
                self.bytes -= old.size
        for path, kept in delta.changed.items():
            if self.bytes + kept.size <= MOST_BYTES:
                self.files[path] = kept
                self.bytes += kept.size


class Reading:
    """One compilation's way to files. `opened` were read, if only to compare them; `parsed` were new or another."""

    def __init__(self, remembered: Remembered) -> None:
        self._files = remembered.files
        self._met: dict[str, Kept] = {}
        self.opened = 0
        self.parsed = 0

    def content(
        self,
        path: str,
        found: os.stat_result | None,
        parse: Callable[[bytes], FileContent],
        usable: Callable[[FileContent], bool],
    ) -> FileContent:
        """All that the file at `path` gives; `found` is its stat, if it has one. It is parsed when it is another one
        than before, or `usable` says that what it gave does not hold any more. Raises Invalid when it cannot be
        read."""
        known = self._files.get(path)
        if known is not None and found is not None and known.settled and known.identity == identity(found):
            content = _decode(known.content)
            if usable(content):
                self._met[path] = known
                return content
        now = time.time_ns()
        descriptor = open_file(path)
        found = os.fstat(descriptor)
        data = read_descriptor(descriptor, Place(path), MOST_MANIFEST, LISTS)
        self.opened += 1
        settled = now - max(found.st_mtime_ns, found.st_ctime_ns) > GRAIN
        digest = hashlib.blake2b(data, digest_size=32).digest()
        if known is not None and known.digest == digest:
            content = _decode(known.content)
            if usable(content):
                self._met[path] = Kept(identity(found), settled, digest, known.content)
                return content
        content = parse(data)
        self.parsed += 1
        if not content.errors:
            self._met[path] = Kept(identity(found), settled, digest, _encode(content))
        return content

    def delta(self) -> Delta:
        """The changes since the files were remembered."""
        changed = {path: kept for path, kept in self._met.items() if self._files.get(path) is not kept}
        return Delta(changed, [path for path in self._files if path not in self._met])


def identity(found: os.stat_result) -> Identity:
    """A file, as far as stat(2) tells one from another."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def lists_of(resources: Iterable[Rules]) -> tuple[str, ...]:
    """The host lists that rules name, each once."""
    lists = (item.destination.hosts_from for rules in resources for item in rules.items)
    return tuple(dict.fromkeys(path.value for path in lists if path))
