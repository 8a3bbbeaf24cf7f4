"""docs/reference.md has a row for each key of sluice.yaml, each metric, each log field and each reason of the code."""

import runpy
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.tables import PHASES, REASON_ROWS, REASONS, TIERS
from supervisor.admin import exposition
from supervisor.config.later import LATER
from supervisor.config.reader import load_config
from supervisor.segment.segment import Segment
from supervisor.source.node import Fields
from tests.supervisor.admin.test_metrics import taken
from tests.supervisor.config.test_config_keys import KEYS

DOCS: Final = Path(__file__).parents[1] / "docs"


def test_the_tables_are_as_made() -> None:
    made = runpy.run_path(str(DOCS / "reference.py"))
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert text == made["rendered"](text), "run `make reference`"
    assert all(f"| `{reason}` |" in text for reason in REASONS)


def test_what_has_no_meaning_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A new field of the log, and a field that is gone."""
    for left_out, added in (("bytes_up", {}), ("", {"gone": "..."})):
        words = yaml.safe_load((DOCS / "reference.yaml").read_text(encoding="utf-8"))
        words["fields"] = {key: text for key, text in words["fields"].items() if key != left_out} | added
        made = runpy.run_path(str(DOCS / "reference.py"))
        with pytest.raises(SystemExit, match=left_out or "gone"):
            made["fields"](words["fields"])


def documented() -> dict[str, str]:
    words: dict[str, str] = yaml.safe_load((DOCS / "reference.yaml").read_text(encoding="utf-8"))["keys"]
    return words


def test_every_key_has_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the contract has, and every name that a reader of sluice.yaml knows."""
    known = {*documented(), *LATER}
    for key in KEYS:
        assert any(path == key or path.startswith(f"{key}.") for path in known), key
    read: set[str] = set()
    init = Fields.__init__

    def spy(self: Fields, node: Any, names: tuple[str, ...], *more: Any, **named: Any) -> None:
        read.update(names)
        init(self, node, names, *more, **named)

    monkeypatch.setattr(Fields, "__init__", spy)
    load_config(str(DOCS.parent / "deploy/sluice.yaml"))
    assert len(read) > 40
    parts = {part.removesuffix("[]") for path in known for part in path.split(".")}
    assert read <= parts, f"without a row in docs/reference.yaml: {read - parts}"


def test_defaults_are_those_of_an_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "sluice.yaml").write_text("")
    read, made = load_config(str(tmp_path / "sluice.yaml")), runpy.run_path(str(DOCS / "reference.py"))
    before = {path: made["default"](path) for path in documented()}
    made["default"].__globals__["MODEL"] = read
    assert {path: made["default"](path) for path in documented()} == before


def test_every_metric_of_a_scrape_has_its_row() -> None:
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    segment = Segment(0, 8)
    families = list(text_string_to_metric_families(exposition.render(taken([segment])).decode()))
    segment.close()
    names = [family.name + ("_total" if family.type == "counter" else "") for family in families]
    assert len(names) > 40
    assert [name for name in names if f"| `{name}` | " not in text] == []


def test_every_reason_has_phases_a_tier_an_answer_and_a_meaning() -> None:
    assert [row[0] for row in REASON_ROWS] == list(REASONS)
    for reason, phases, tier, answer, meaning in REASON_ROWS:
        assert set(phases.split(", ")) <= {*PHASES, "any"}, reason
        assert tier in ("none", *TIERS), reason
        assert answer and meaning and "|" not in answer + meaning, reason
