"""Label selectors: as manifests write them, in words, and what is wrong with them."""

from pathlib import Path

import pytest

from supervisor.policy.resources.labels import Workloads, read_selector
from supervisor.source.problems import Invalid, Problems, render
from supervisor.source.yaml_source import load_documents


def read(folder: Path, text: str) -> tuple[Workloads, list[str]]:
    (folder / "a.yaml").write_text(text)
    problems = Problems()
    (node,) = load_documents(str(folder / "a.yaml"), problems)
    found: tuple[object, ...] = ()
    try:
        found = read_selector(node, problems)
    except Invalid as wrong:
        problems.add(wrong.problem)
    return Workloads("shop", found), [line.rpartition("a.yaml:")[2] for line in render(problems.errors)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "pods of shop"),
        ("matchLabels: {app: web}", "pods with app=web of shop"),
        ("matchLabels: {b: '1', a.io/x: ''}", "pods with a.io/x=, b=1 of shop"),
        ("matchExpressions: [{key: tier, operator: In, values: [b, a]}]", "pods with tier in (a,b) of shop"),
        ("matchExpressions: [{key: tier, operator: NotIn, values: [a]}]", "pods with tier!=a of shop"),
        ("matchExpressions: [{key: a, operator: Exists}, {key: b, operator: DoesNotExist}]", "pods with a, !b of shop"),
    ],
)
def test_selectors_in_words(tmp_path: Path, text: str, said: str) -> None:
    found, errors = read(tmp_path, text)
    assert (found.text, errors) == (said, [])


def test_workloads_in_words() -> None:
    assert Workloads("shop", name="cart").text == "workload cart of shop"
    assert Workloads(namespaces=()).text == "every namespace"
    assert Workloads(pods=(), namespaces=()).text == "pods of every namespace"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("matchLabel: {a: b}", "1:1: unknown key `matchLabel` (did you mean `matchLabels`?)"),
        ("matchLabels: {a: true}", "1:18: expected a text, found the boolean `true`"),
        ("matchLabels: {'a b': c}", "1:15: expected a label such as app"),
        ("matchExpressions: [{key: a, operator: Is}]", "1:39: operator: expected one of In, NotIn"),
        ("matchExpressions: [{key: a, operator: In}]", "1:20: In needs `values` (write values: [VALUE])"),
        ("matchExpressions: [{key: a, operator: Exists, values: [b]}]", "1:20: Exists takes no `values` (remove them)"),
        ("matchExpressions: [{operator: Exists}]", "1:20: `key` is missing"),
        (f"matchLabels: {{{', '.join(f'a{number}: b' for number in range(33))}}}", "1:1: more than 32 conditions"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    errors = read(tmp_path, text)[1]
    assert len(errors) == 1 and errors[0].startswith(said), errors
