"""docs/reference.md says what csrc says: its tables are made from the source, and every reason has its row."""

import runpy
from pathlib import Path

from gateway.policy import phase_names, reason_names, reason_rows

DOCS = Path(__file__).parents[1] / "docs"


def test_the_tables_are_as_made() -> None:
    made = runpy.run_path(str(DOCS / "reference.py"))
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert text == made["rendered"](text), "run `make reference`"
    assert all(f"| `{reason}` |" in text for reason in reason_names())


def test_every_reason_has_phases_a_tier_an_answer_and_a_meaning() -> None:
    assert [row[0] for row in reason_rows()] == reason_names()
    for reason, phases, tier, answer, meaning in reason_rows():
        assert set(phases.split(", ")) <= {*phase_names(), "any"}, reason
        assert tier in ("none", "default", "audit", "allow", "deny", "hard_deny"), reason
        assert answer and meaning and "|" not in answer + meaning, reason
