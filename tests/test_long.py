"""Each row of tests/conftest.py names a file that exists: a test that moves takes its row along."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import EARLY, FIRST, LONG

ROOT: Final = Path(__file__).resolve().parent
NAME: Final = re.compile(r"([\w\\]+\\\.py)::(test_\w+|\.\*)?")


@pytest.mark.parametrize("test", FIRST)
def test_a_test_that_is_thinned_exists(test: str) -> None:
    file, _, name = test.partition("::")
    found = re.compile(
        rf"def {name}\(|\.{name},$", re.MULTILINE
    )  # its own, or another module's that runs there as well
    assert any(found.search(path.read_text()) for path in ROOT.rglob(file)), f"{test} does not exist"


@pytest.mark.parametrize("pattern", LONG, ids=lambda pattern: pattern.pattern[:60])
def test_a_row_names_a_file_that_exists(pattern: re.Pattern[str]) -> None:
    found = NAME.match(pattern.pattern)
    assert found is not None, "a row begins with its file"
    assert list(ROOT.rglob(found[1].replace("\\", ""))), f"{found[1]} does not exist"


def test_files_that_start_early_exist() -> None:
    assert [path for path in EARLY if not (ROOT / path).exists()] == []
