"""Tables of states, as ARCHITECTURE.md draws them."""

from pathlib import Path
from typing import Final

ARCHITECTURE: Final = Path(__file__).resolve().parents[2] / "ARCHITECTURE.md"


def drawn(title: str) -> dict[str, list[str]]:
    """The table behind a title of the docs: a state, and those that may follow it."""
    table = ARCHITECTURE.read_text(encoding="utf-8").split(f"\n{title}\n", 1)[1].lstrip().partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {state: [] if followers == "none" else followers.split(", ") for state, followers in rows}
