"""Hostnames cover and meet each other; the quick set of them finds what a slow one finds."""

from itertools import product

import pytest

from supervisor.policy.dialects.gateway_api.hostnames import Hostnames, covers, labels_of, meet

NAMES = ("", "test", "*.test", "a.test", "*.a.test", "b.a.test", "*.b.a.test", "c.b.a.test", "b.test", "*.b.test")


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("", "a.test", "a.test"),
        ("*.a.test", "*.test", "*.a.test"),
        ("*.test", "b.a.test", "b.a.test"),
        ("*.a.test", "a.test", None),
        ("a.test", "b.test", None),
        ("", "", ""),
    ],
)
def test_what_two_hostnames_share(one: str, other: str, both: str | None) -> None:
    assert meet(one, other) == meet(other, one) == both


def test_a_set_finds_every_pair() -> None:
    for one, other in product(NAMES, NAMES):
        found = Hostnames()
        found.add(one)
        assert found.meets(other) == (meet(one, other) is not None), (one, other)


def test_labels_order_what_covers_one_host() -> None:
    for one, other in product(NAMES, NAMES):
        if one != other and covers(one, other):
            assert labels_of(one) < labels_of(other) or (one.startswith("*") and not other.startswith("*")), (
                one,
                other,
            )
