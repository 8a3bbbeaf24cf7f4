"""Lists of sluice.yaml whose entries have a name each."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from supervisor.source.node import Fields, Node
from supervisor.source.problems import Place, Problems, quote


class Named(Protocol):
    """An entry; `place` is where it stands."""

    @property
    def name(self) -> str: ...

    @property
    def place(self) -> Place: ...


Entry = TypeVar("Entry", bound=Named)


def named_once(
    top: Fields, key: str, read: Callable[[Node], Entry], most: int, problems: Problems
) -> tuple[Entry, ...]:
    """The entries of `key`, which ends with s. A name that came before and more than `most` are reported; of equal
    names the first one stays."""
    found: dict[str, Entry] = {}
    for entry in top.each(key, read):
        if entry.name in found:
            where = f"it is first used in line {found[entry.name].place.line}"
            problems.error(entry.place, f"duplicate {key[:-1]} {quote(entry.name)}", where)
        found.setdefault(entry.name, entry)
    if len(found) > most and (node := top.get(key)):
        problems.error(node.place, f"more than {most} {key}")
    return tuple(found.values())
