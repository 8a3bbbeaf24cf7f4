"""Writes the tables of docs/reference.md that are made from csrc: `python docs/reference.py`, or `make reference`."""

from pathlib import Path
from typing import Final

from gateway.policy import reason_rows

DOCUMENT: Final = Path(__file__).with_name("reference.md")
BEGIN: Final = "<!-- reasons: made by docs/reference.py -->\n"
END: Final = "<!-- end of reasons -->\n"


def reasons() -> str:
    """The closed table of reasons."""
    rows = sorted(reason_rows())
    lines = ["| reason | phase | tier | answer | meaning |", "|---|---|---|---|---|"]
    lines += [
        f"| `{reason}` | {phases} | {tier} | {answer} | {meaning} |" for reason, phases, tier, answer, meaning in rows
    ]
    return "".join(f"{line}\n" for line in lines)


def rendered(text: str) -> str:
    """The document with its tables as they are now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + reasons() + "\n" + END + after


if __name__ == "__main__":
    DOCUMENT.write_text(rendered(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
