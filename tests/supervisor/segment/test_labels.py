"""Keys of labelled counters are read as they are written."""

import pytest

from supervisor.segment import labels
from supervisor.segment.labels import FAMILY, read_key, write_key


@pytest.mark.parametrize("family", FAMILY, ids=lambda family: family.name)
def test_a_key_is_read_as_it_was_written(family: labels.Family) -> None:
    a, b, c = [*(len(words) - 1 for words in family.words), 0, 0][:3]
    slots = {"slot": 9 * ("rule" in family.labels), "route": 8 * ("route" in family.labels)}
    key = write_key(family.name, a, b, c, **slots)
    number, values = read_key(key, lambda slot: f"rule {slot}")
    assert FAMILY[number] is family
    assert len(values) == len(family.labels)
    expected = [words[-1] for words in family.words]
    for label, slot in (("route", 8), ("rule", 9)):
        if label in family.labels:
            expected.insert(family.labels.index(label), f"rule {slot}")
    assert list(values) == expected


@pytest.mark.parametrize("family", FAMILY, ids=lambda family: family.name)
def test_the_overflow_entry_reads_as_other(family: labels.Family) -> None:
    _, values = read_key(write_key(family.name, 255, 255, 255), lambda slot: "other" if slot == 0 else "?")
    assert set(values) == {"other"}


def test_a_number_without_a_word_is_another() -> None:
    assert [labels.word(("a",), number) for number in (0, 1, -1)] == ["a", "other", "other"]
