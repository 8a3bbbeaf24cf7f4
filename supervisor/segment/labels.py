"""The meaning of numbers in labelled counters and tunnel records: families, their labels, and the words of each.

The words are those of gateway/tables. A number that has no word reads as `other`: its writer may have been a newer
worker, or no worker at all.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway import tables
from gateway.tables import (
    DIRECTIONS,
    H2_ABUSES,
    H2_CODES,
    H2_SIDES,
    LOG_EVENTS,
    OUTCOMES,
    PHASES,
    PROTOCOLS,
    REASONS,
    REJUDGED,
    SCOPES,
    STATES,
    STATUS_CLASSES,
    VERDICTS,
)
from supervisor.segment.segment import FAMILIES

__all__ = [
    "DIRECTIONS",
    "FAMILY",
    "H2_ABUSES",
    "H2_CODES",
    "H2_SIDES",
    "LOG_EVENTS",
    "OTHER",
    "OUTCOMES",
    "PHASES",
    "PROTOCOLS",
    "REASONS",
    "REJUDGED",
    "SCOPES",
    "SLOTS",
    "STATES",
    "STATUS_CLASSES",
    "VERDICTS",
    "Family",
    "read_key",
    "word",
    "write_key",
]

OTHER: Final = "other"
SLOTS: Final = {"rule": 16, "route": 0}  # labels by slot, and where a key has it, in bits


class Family(NamedTuple):
    """One metric with labels. `words` are those of the key's a, b and c, in the order of `labels` without `rule` and
    `route`."""

    name: str
    help: str
    labels: tuple[str, ...]
    words: tuple[Sequence[str], ...]


FAMILY: Final[Sequence[Family]] = tuple(Family(*row) for row in tables.FAMILIES)


def word(words: Sequence[str], number: int) -> str:
    """The word of a number."""
    return words[number] if 0 <= number < len(words) else OTHER


def read_key(key: int, rule_label: Callable[[int], str]) -> tuple[int, tuple[str, ...]]:
    """The family of a labelled counter (an index into FAMILY), and its label values. `rule_label` names a slot, which
    rules and routes share."""
    number = (key >> 56) - 1
    family = FAMILY[number]
    parts = (key >> 48 & 0xFF, key >> 40 & 0xFF, key >> 32 & 0xFF)
    values = [word(words, part) for words, part in zip(family.words, parts, strict=False)]
    for at, label in enumerate(family.labels):
        if label in SLOTS:
            values.insert(at, rule_label(key >> SLOTS[label] & 0xFFFF))
    return number, tuple(values)


def write_key(name: str, a: int = 0, b: int = 0, c: int = 0, slot: int = 0, route: int = 0) -> int:
    """As sl_label_key and sl_route_key."""
    return (FAMILIES.index(name) + 1) << 56 | a << 48 | b << 40 | c << 32 | slot << 16 | route
