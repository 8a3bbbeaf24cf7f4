"""Problems: how they are rendered, bounded and escaped."""

import pytest

from supervisor.source.problems import Invalid, Place, Problem, Problems, did_you_mean, quote, render


def test_a_problem_reads_as_compilers_print_it() -> None:
    assert str(Problem("a.yaml", 3, 7, "wrong", "write right")) == "a.yaml:3:7: wrong (write right)"
    assert str(Problem("a.yaml", 3, 7, "wrong")) == "a.yaml:3:7: wrong"
    assert str(Problem("a.yaml", 3, 0, "wrong")) == "a.yaml:3: wrong"
    assert str(Problem("a.yaml", 0, 0, "wrong")) == "a.yaml: wrong"


def test_errors_are_raised_together_and_warnings_are_not() -> None:
    problems = Problems()
    problems.warning(Place("a"), "odd")
    problems.check()
    problems.error(Place("b", 2, 1), "second")
    problems.add(Invalid(Place("b", 1, 1), "first").problem)
    with pytest.raises(Problems) as caught:
        problems.check()
    assert str(caught.value) == "b:1:1: first\nb:2:1: second"


def test_many_problems_are_counted_and_not_kept() -> None:
    problems = Problems(most=3)
    for line in range(1, 11):
        problems.error(Place("a", line, 1), "wrong")
        problems.warning(Place("a", line, 1), "odd")
    assert len(problems.errors) == len(problems.warnings) == 3
    assert (problems.errors_left_out, problems.warnings_left_out) == (7, 7)
    assert render(problems.errors, problems.errors_left_out)[-1] == "... and 7 more"


def test_lines_come_in_the_order_of_places() -> None:
    places = [("b", 1, 1), ("a", 10, 1), ("a", 9, 2), ("a", 9, 1)]
    lines = render(Problem(*place, "x") for place in places)
    assert lines == ["a:9:1: x", "a:9:2: x", "a:10:1: x", "b:1:1: x"]


def test_rendering_escapes_every_part() -> None:
    assert str(Problem("\n", 1, 1, "\x1b", "\x07")) == "\\x0a:1:1: \\x1b (\\x07)"


def test_quotes_are_short() -> None:
    assert quote("abc") == "`abc`"
    assert len(quote("a" * 10_000)) < 100


@pytest.mark.parametrize(
    ("word", "expected"),
    [("lisseners", "did you mean `listeners`?"), ("innername", "did you mean `innerName`?"), ("x", "")],
)
def test_did_you_mean(word: str, expected: str) -> None:
    assert did_you_mean(word, ["listeners", "innerName", "policy"]) == expected
