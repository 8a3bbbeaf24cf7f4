"""The quick composer: the same nodes as the careful one, or a word that it leaves the text to that."""

import string
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from supervisor.source.json_source import MOST_DEPTH
from supervisor.source.node import Node
from supervisor.source.problems import Invalid, Problems
from supervisor.source.yaml_composer import Composer, Unusual
from supervisor.source.yaml_source import _with_care, parse_yaml

POLICY = """\
apiVersion: sluice.dev/v1alpha1   # a comment
kind: ClusterEgressPolicy
metadata: {name: web, labels: {"a b": 'c'}}
spec:
  to:
  - host: api.example.com
    ports: [443, "8000-8100"]
  - {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
  action: Allow
  text: |
    two
    lines
  empty:
---
- é: ü
- null
---
"""


def plain(node: Node) -> Any:
    """A node with all of its places."""
    value: Any = node.value
    if isinstance(value, dict):
        value = {name: (plain(key), plain(one)) for name, (key, one) in value.items()}
    elif isinstance(value, list):
        value = [plain(one) for one in value]
    return node.file, node.line, node.column, node.plain, value


def quick(text: str) -> list[Any] | None:
    """None where it is left to the careful one."""
    try:
        return [plain(node) for node in Composer(text.encode(), "a.yaml", Node, MOST_DEPTH)]
    except Unusual:
        return None


def careful(text: str) -> list[Any] | None:
    """None where something is wrong."""
    problems = Problems()
    try:
        found = [plain(node) for node in _with_care(text, "a.yaml", problems, Node)]
    except Invalid:
        return None
    return None if problems.errors else found


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(string.printable + "äß☃🙂", max_size=20),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdefg -:#é", max_size=20), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.lists(values, min_size=1, max_size=3), st.sampled_from([None, True, False]))
@settings(max_examples=300, deadline=None)
def test_both_give_the_same_nodes(documents: list[Any], flow: bool | None) -> None:
    text = yaml.safe_dump_all(documents, allow_unicode=True, default_flow_style=flow)
    found = quick(text)
    if found is not None:
        assert found == careful(text)


@given(st.text("ab:-?#&*!|>'\"[]{},% \n\t0123~<é", max_size=40))
@settings(max_examples=1500, deadline=None)
@example("a: 1\na: 2\n")
@example("? [a]\n: b\n")
@example("&a a: *a\n")
@example("a: 22:30\n")
@example("!!str a")
@example("--- a\n--- b\n... \n--- [c\n")
@example("\n")
def test_whatever_it_reads_the_careful_one_reads_likewise(text: str) -> None:
    found = quick(text)
    if found is not None:
        assert found == careful(text), "and without a problem"


def test_ordinary_policy_takes_the_quick_way() -> None:
    assert quick(POLICY) == careful(POLICY) is not None
    assert quick(POLICY.replace("\n", "\r\n")) is not None


@pytest.mark.parametrize(
    "text",
    ["a: &b c", "a: *b", "!!map {a: b}", "a: !x b", "a: 1:30", "a: b\na: c", "[a", "? {a: b}\n: c", "\x01", "[" * 200],
)
def test_what_wants_a_second_look_is_left_to_the_careful_one(text: str) -> None:
    assert quick(text) is None


def test_documents_before_it_are_given_once() -> None:
    problems = Problems()
    found = parse_yaml("a: 1\n---\nb: &x 2\n---\nc: 3\n", "a.yaml", problems)
    assert [list(node.mapping()) for node in found] == [["a"], ["b"], ["c"]]
    assert [node.line for node in found] == [1, 3, 5]
