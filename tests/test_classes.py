"""Composition instead of ladders: an interface, at most one base, and final leaves (DESIGN.md section 2)."""

import re
from typing import Final

from tests.test_imports import ROOT

CLASS: Final = re.compile(r"^((?:@[^\n]+\n)*)cdef class (\w+)(?:\((\w+)\))?:", re.MULTILINE)
# Rooms whose objects are many and short-lived: their leaves are final, so that calls within them are direct.
FINAL_ROOMS: Final = ("http2", "tunnel", "dial", "upstream", "downstream")

FOUND: Final = {
    name: (path.relative_to(ROOT / "gateway").parts[0], base or None, "@cython.final" in marks)
    for path in (ROOT / "gateway").rglob("*.pyx")
    for marks, name, base in CLASS.findall(path.read_text(encoding="utf-8"))
}


def depth(name: str) -> int:
    """Steps of inheritance up to a class that has no base here."""
    base = FOUND[name][1] if name in FOUND else None
    return 0 if base is None else 1 + depth(base)


def test_at_most_two_levels_of_inheritance() -> None:
    assert {name for name in FOUND if depth(name) > 2} == set()


def test_leaves_are_final() -> None:
    bases = {base for _, base, _ in FOUND.values()}
    open_leaves = {
        name for name, (room, base, final) in FOUND.items()
        if room in FINAL_ROOMS and base is not None and name not in bases and not final
    }  # fmt: skip
    assert open_leaves == set()
