"""The values of credentials in the supervisor: read, compared, shared with workers and wiped."""

import itertools
import os
from pathlib import Path

import pytest

from supervisor.config.credentials import Credential
from supervisor.config.trust import NamedFile
from supervisor.generation.credentials import CredentialValues
from supervisor.source.problems import Place


@pytest.fixture
def values(tmp_path: Path) -> CredentialValues:
    (tmp_path / "a").write_text("first-a\n")
    (tmp_path / "b").write_text("first-b")
    known = [
        Credential(name, NamedFile(str(tmp_path / name), Place("sluice.yaml", 3, 9)), ("a.test",)) for name in "ab"
    ]
    return CredentialValues(known, itertools.count(7))


def told(values: CredentialValues) -> tuple[list[tuple[int, int]], bytes]:
    """The lengths, and the bytes behind them."""
    lengths, descriptor = values.share()
    content = os.pread(descriptor, 1 << 20, 0)
    os.close(descriptor)
    return lengths, content


def test_values_are_shared_one_behind_the_other(values: CredentialValues) -> None:
    assert [each.partition(": ")[0] for each in values.faults()] == ["sluice.yaml:3:9"] * 2, "nothing was read yet"
    assert told(values) == ([(7, 0), (8, 0)], b"")
    assert values.take(values.read()) == [("a", ""), ("b", "")]
    assert values.faults() == []
    assert told(values) == ([(7, 7), (8, 7)], b"first-afirst-b")
    assert [(one["name"], one["number"], one["hosts"], one["insecure"]) for one in values.settings()] == [
        ("a", 7, ["a.test"], False),
        ("b", 8, ["a.test"], False),
    ]
    assert "first" not in repr(values.settings())


def test_a_change_is_told_once(values: CredentialValues, tmp_path: Path) -> None:
    values.take(values.read())
    before = values.marks
    assert values.take(values.read()) == []
    (tmp_path / "next").write_text("first-a")
    (tmp_path / "next").rename(tmp_path / "a")
    assert values.take(values.read()) == [], "another file with the same value"
    assert values.marks != before
    (tmp_path / "a").write_text("second")
    (tmp_path / "b").unlink()
    assert values.take(values.read()) == [
        ("a", ""),
        ("b", f"the file `{tmp_path}/b` of the credential `b` cannot be read: No such file or directory"),
    ]
    assert told(values) == ([(7, 6), (8, 0)], b"second")
    assert values.take(values.read()) == []
    values.close()
    assert told(values) == ([(7, 0), (8, 0)], b"")


def test_what_was_read_in_vain_is_wiped(values: CredentialValues) -> None:
    reading = values.read()
    reading.close()
    assert [secret.length for secret, _ in reading.found if secret is not None] == [0, 0]
