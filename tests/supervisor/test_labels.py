"""The words of supervisor/labels.py are those of the C side, number by number."""

from collections.abc import Sequence

import pytest

from supervisor import labels
from supervisor.labels import FAMILY, read_key, write_key
from supervisor.segment import FAMILIES
from tests.supervisor.writer import library


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("sl_protocol_text", labels.PROTOCOLS),
        ("sl_direction_text", labels.DIRECTIONS),
        ("sl_scope_text", labels.SCOPES),
        ("sl_log_event_text", labels.LOG_EVENTS),
        ("sl_rejudged_text", labels.REJUDGED),
        ("sl_h2_abuse_text", labels.H2_ABUSES),
        ("sl_h2_side_text", labels.H2_SIDES),
        ("sl_h2_code_text", labels.H2_CODES),
        ("sl_tunnel_state_text", labels.STATES),
    ],
)
def test_words_are_those_of_the_worker(function: str, words: Sequence[str]) -> None:
    theirs = [getattr(library(), function)(number).decode() for number in range(len(words) + 1)]
    assert theirs == [*words, "other"]


def test_families_have_the_worker_s_names_and_help() -> None:
    described = [
        (library().sl_family_text(number).decode(), library().sl_family_help(number).decode())
        for number in range(len(FAMILIES))
    ]
    assert [(family.name, family.help) for family in FAMILY] == described


@pytest.mark.parametrize("family", FAMILY, ids=lambda family: family.name)
def test_a_key_is_read_as_it_was_written(family: labels.Family) -> None:
    a, b, c = [*(len(words) - 1 for words in family.words), 0, 0][:3]
    key = write_key(family.name, a, b, c, slot=9 if family.rule_at >= 0 else 0)
    number, values = read_key(key, lambda slot: f"rule {slot}")
    assert FAMILY[number] is family
    assert len(values) == len(family.labels)
    expected = [words[-1] for words in family.words]
    if family.rule_at >= 0:
        expected.insert(family.labels.index("rule"), "rule 9")
    assert list(values) == expected


@pytest.mark.parametrize("family", FAMILY, ids=lambda family: family.name)
def test_the_overflow_entry_reads_as_other(family: labels.Family) -> None:
    _, values = read_key(write_key(family.name, 255, 255, 255), lambda slot: "other" if slot == 0 else "?")
    assert set(values) == {"other"}


def test_the_verdicts_are_those_of_the_contract() -> None:
    assert labels.VERDICTS == ("deny", "allow", "audit")
    assert labels.PHASES[:3] == ("none", "name", "address")
    assert labels.REASONS[0] == labels.OUTCOMES[0] == "internal"
    assert labels.OUTCOMES[-1] == "dns_failed"
    assert [labels.word(("a",), number) for number in (0, 1, -1)] == ["a", "other", "other"]
