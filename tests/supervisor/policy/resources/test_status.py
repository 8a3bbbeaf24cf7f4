"""Conditions of resources: which are fine, in words, as warnings, and as `sluice check` prints them."""

from supervisor.cli.reports import MOST_LINES, condition_lines, condition_object
from supervisor.policy.resources.status import Status, as_problem

ACCEPTED = Status(
    "HTTPRoute", "shop", "api", "Gateway egress/outside", "Accepted", True, "Accepted", "", "a.yaml", 1, 1
)
BROKEN = Status(
    *("HTTPRoute", "shop", "api", "Gateway egress/outside", "ResolvedRefs", False, "BackendNotFound"),
    *("there is no Service shop/one", "a.yaml", 9, 7),
)
PARTLY = Status("HTTPRoute", "shop", "b", "", "PartiallyInvalid", True, "UnsupportedValue", "rule 1")
CLUSTER = Status("Gateway", "", "outside", "", "Accepted", True, "Accepted")


def test_fine_is_what_an_author_hopes_for() -> None:
    assert [status.fine for status in (ACCEPTED, BROKEN, PARTLY, CLUSTER)] == [True, False, False, True]


def test_a_condition_that_is_not_fine_is_a_warning() -> None:
    assert str(as_problem(BROKEN)) == (
        "a.yaml:9:7: HTTPRoute shop/api under Gateway egress/outside: ResolvedRefs=False, BackendNotFound: there is no"
        " Service shop/one"
    )


def test_a_line_for_each_resource_and_parent_the_broken_ones_first() -> None:
    assert list(condition_lines((CLUSTER, ACCEPTED, BROKEN, PARTLY))) == [
        "HTTPRoute shop/api under Gateway egress/outside: Accepted=True; ResolvedRefs=False, BackendNotFound: there is"
        " no Service shop/one",
        "HTTPRoute shop/b: PartiallyInvalid=True, UnsupportedValue: rule 1",
        "Gateway outside: Accepted=True",
    ]


def test_lines_are_bounded() -> None:
    many = [
        Status("HTTPRoute", "shop", f"r{number}", "", "Accepted", True, "Accepted") for number in range(MOST_LINES + 2)
    ]
    lines = list(condition_lines(many))
    assert len(lines) == MOST_LINES + 1 and lines[-1] == "... and 2 resources more: --json has all of them"


def test_a_condition_in_json() -> None:
    assert condition_object(BROKEN) == {
        "resource": {"kind": "HTTPRoute", "namespace": "shop", "name": "api"},
        "parent": "Gateway egress/outside",
        "type": "ResolvedRefs",
        "status": "False",
        "reason": "BackendNotFound",
        "message": "there is no Service shop/one",
        "file": "a.yaml",
        "line": 9,
        "column": 7,
    }
    assert condition_object(CLUSTER)["parent"] is None and condition_object(CLUSTER)["resource"] == {
        "kind": "Gateway",
        "namespace": None,
        "name": "outside",
    }
