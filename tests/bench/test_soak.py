"""The long run: it sees growth and losses; and a short one of the real gateway has neither."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from bench.soak import LEAST, Rest, grown

ROOT: Final = Path(__file__).resolve().parents[2]
STILL: Final = Rest(50 << 20, 30 << 20, 34, 18, 2, 3)


def test_what_stays_is_flat() -> None:
    assert grown([STILL] * LEAST) == {}


def test_what_is_allocated_once_is_not_growth() -> None:
    cold = Rest(30 << 20, 20 << 20, 30, 16, 0, 2)
    assert grown([cold, cold, *[STILL] * LEAST]) == {}


@pytest.mark.parametrize(
    ("field", "step"), [("supervisor_rss", 1 << 20), ("worker_rss", 1 << 20), ("worker_files", 1), ("processes", 1)]
)
def test_what_goes_on_is_growth(field: str, step: int) -> None:
    rests = [STILL._replace(**{field: getattr(STILL, field) + step * turn}) for turn in range(30)]
    assert set(grown(rests)) == {field}


def test_pipes_may_fill_their_pool_and_no_more() -> None:
    rests = [STILL._replace(worker_pipes=turn) for turn in range(32)]
    assert grown(rests) == {}
    assert set(grown([*rests, *[STILL._replace(worker_pipes=40)] * 32])) == {"worker_pipes"}


@pytest.mark.full
@pytest.mark.timeout(400)
def test_a_short_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.soak", "--minutes", "0.7", "--segment", "5", "--share", "0.2"]
    command += ["--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=390, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.iterdir()
    result = json.loads(file.read_text())
    assert result["kills"] >= 1 and result["reloads"] > 0 and result["tunnels"] > 0
    assert result["wrong"] == [] and result["counters_that_fell"] == {}
