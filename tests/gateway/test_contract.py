"""The tables that both halves share: zero is always the safe answer, and each number has a word of its own."""

import ipaddress

import pytest

from gateway import contract, tables

WORDS = {name: found for name, found in vars(tables).items() if isinstance(found, tuple) and isinstance(found[0], str)}


def test_zero_is_never_a_success() -> None:
    assert tables.VERDICTS[0] == "deny"
    assert tables.REASONS[0] == tables.OUTCOMES[0] == "internal"
    assert tables.PHASES[0] == "none"
    assert tables.TIERS[0] == "default"
    assert tables.REVOKES[0] == "kill"
    assert tables.SCOPES[0] == "other"


@pytest.mark.parametrize("name", WORDS)
def test_each_number_has_a_word_of_its_own(name: str) -> None:
    assert len(set(WORDS[name])) == len(WORDS[name]) > 1
    cased = str.upper if name == "METHODS" else str.lower  # of HTTP, but for `other`
    assert all(word == word.strip() != "" and word in (cased(word), "other") for word in WORDS[name])


def test_a_metric_has_a_name_and_a_help_of_its_own() -> None:
    metrics = [(metric, told) for _, metric, told in tables.COUNTERS if metric]
    metrics += list(tables.HISTOGRAMS.items()) + [(name, told) for name, told, _, _ in tables.FAMILIES]
    assert len({name for name, _ in metrics}) == len(metrics)
    for name, told in metrics:
        assert name.split()[0].endswith(("_total", "_open", "_seconds", "_connections")), (
            name
        )  # a histogram may have a label
        assert told[:1].isupper() and not told.endswith("."), told


def test_labels_have_their_words() -> None:
    for name, _, labels, words in tables.FAMILIES:
        assert len(words) == len(labels) - ("rule" in labels) - ("route" in labels), name
        assert len(words) <= 3, "the key of a labelled counter has three places and the rule slot"


def test_blocks_of_the_guard_are_networks() -> None:
    blocks = {ipaddress.ip_network(block): row for block, *row in tables.GUARD_BLOCKS}
    assert len(blocks) == len(tables.GUARD_BLOCKS)
    assert {row[0] for row in blocks.values()} == {None, *(word for word in tables.REASONS if guarded(word))}
    assert blocks[ipaddress.ip_network("169.254.0.0/16")] == ["address_link_local", False, False]
    assert blocks[ipaddress.ip_network("10.0.0.0/8")] == ["address_special_purpose", True, False]
    assert blocks[ipaddress.ip_network("64:ff9b::/96")] == ["address_embedded_ipv4", True, True]


def guarded(word: str) -> bool:
    return word.startswith("address_") and word != "address_denied"


def test_inherited_descriptors_stand_one_after_another() -> None:
    shared = (contract.FD_SEGMENT, contract.FD_LIMITS, contract.FD_ACTIVE, contract.FD_LOG)
    assert (contract.FD_CHANNEL, *shared, contract.FD_LISTENERS) == (3, 4, 5, 6, 7, 8)
    assert contract.listener_fd(2, 1, 3) == contract.FD_LISTENERS + 7
