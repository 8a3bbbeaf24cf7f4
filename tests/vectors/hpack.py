"""Reads hpack.txt."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

Fields = list[tuple[bytes, bytes]]


@dataclass
class Series:
    """Blocks that follow each other on one connection."""

    title: str
    blocks: list[tuple[bytes, Fields]] = field(default_factory=list)


def load() -> list[Series]:
    """Every series of hpack.txt."""
    found: list[Series] = []
    for line in (Path(__file__).parent / "hpack.txt").read_text().splitlines():
        if line.startswith("["):
            found.append(Series(line.strip("[]")))
        elif line.startswith(">> "):
            found[-1].blocks.append((bytes.fromhex(line[3:]), []))
        elif line.startswith("== "):
            name, value = line[3:].rsplit(": ", 1) if line.startswith("== :") else line[3:].split(": ", 1)
            found[-1].blocks[-1][1].append((name.encode(), value.encode()))
    return found


SERIES: Final = load()
