"""Growth: tables say what was measured, and every axis runs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from bench.scale import AXES, tables

ROOT: Final = Path(__file__).resolve().parents[2]


def test_a_table_has_medians_by_value() -> None:
    columns = AXES["workers"].columns
    runs = [{column.key: float(number) for column in columns} for number in (1, 50, 7)]
    lines = tables({"workers": {1: runs, 2: runs[:1]}})
    assert lines[0].startswith("| workers | tunnel, CPU µs |")
    assert lines[2].startswith("| 1 | 7 |")
    assert lines[3].startswith("| 2 | 1 |")


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("axis", AXES)
def test_every_axis(axis: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: begin -->\n<!-- figures: end -->\n")
    command = [sys.executable, "-m", "bench.scale", "--rounds", "1", "--seconds", "0.2", "--only", axis]
    done = subprocess.run(
        [*command, "--write", str(page), "--keep", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=580, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("scale-*.json")
    rows = json.loads(file.read_text())["rows"][axis]
    assert [int(value) for value in rows] == list(AXES[axis].values)
    assert all(value > 0 for runs in rows.values() for run in runs for key, value in run.items() if "us" in key)
    assert page.read_text().count("\n| ") == len(rows) + 1
