"""Metrics slots of rules: by name, for good, at most 1,000, and through the compile process and back."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.policy.image import PolicyImage
from supervisor.generation.compile import compile_config
from supervisor.segment.rule_slots import MOST, NO_RULE, RuleSlots, label_of
from supervisor.segment.segment import SLOT_NONE

CLUSTER, CART = "ClusterEgressPolicy/mesh", "EgressPolicy/shop/cart"


def test_a_name_keeps_its_slot() -> None:
    slots = RuleSlots()
    assert [slots.assign(name) for name in ("a/b", "c", "a/b")] == [1, 2, 1]
    assert [slots.label(slot) for slot in (1, 2, 0, 3, SLOT_NONE)] == ["a/b", "c", "other", "other", NO_RULE]
    assert label_of("EgressPolicy", "shop", "cart") == "EgressPolicy/shop/cart"
    assert (
        label_of("ClusterEgressPolicy", "", "mesh")
        == "ClusterEgressPolicy/mesh"
        == label_of("ClusterEgressPolicy", None, "mesh")
    )


def test_past_a_thousand_all_share_one() -> None:
    slots = RuleSlots()
    assert [slots.assign(f"rule-{number}") for number in range(MOST)] == list(range(1, MOST + 1))
    assert slots.assign("one-more") == 0
    assert slots.assign("rule-7") == 8
    assert len(slots) == MOST


def test_a_rule_that_is_called_other_is_one_of_the_others() -> None:
    assert RuleSlots().assign("other") == 0


def test_what_is_handed_over_comes_back_with_more() -> None:
    slots = RuleSlots()
    slots.assign("a")
    proposed = RuleSlots(slots.known())
    proposed.assign("b")
    after = slots.followed_by(proposed.known())
    assert after.known() == {"a": 1, "b": 2}
    assert slots.known() == {"a": 1}


@pytest.mark.parametrize(
    "proposed",
    [{}, {"a": 2}, {"b": 1}, {"a": 1, "b": 1}, {"a": 1, "b": 0}, {"a": 1, "b": MOST + 1}, {"a": 1, "b": -1}],
    ids=str,
)
def test_what_would_change_a_slot_is_refused(proposed: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="rule slots"):
        RuleSlots({"a": 1}).followed_by(proposed)


def rule(name: str, namespace: str | None = None, to: tuple[str, ...] = ("a.example",)) -> dict[str, Any]:
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "EgressPolicy" if namespace else "ClusterEgressPolicy",
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "spec": {"to": [{"host": host} for host in to], "action": "Allow"},
    }


def write(folder: Path, *rules: dict[str, Any]) -> Path:
    (folder / "policy.yaml").write_text(yaml.safe_dump_all(rules))
    path = folder / "sluice.yaml"
    path.write_text("policy: {paths: [policy.yaml]}\n")
    return path


def compiled_slots(path: Path, known: dict[str, int]) -> tuple[dict[str, int], set[tuple[str, int]]]:
    """The slots proposed, and (name, slot) of every rule in the image."""
    report, image = compile_config(str(path), known=known)
    assert image is not None
    try:
        opened = PolicyImage.from_fd(image)
        numbers = range(1, report.counts["rules"] + 1)
        found = {(opened.rule_label(number), opened.rule(number)["slot"]) for number in numbers}
    finally:
        os.close(image)
    return report.rule_slots, found


def test_the_image_carries_the_slots(tmp_path: Path) -> None:
    path = write(tmp_path, rule("mesh"), rule("cart", "shop", ("b.example", "c.example")))
    proposed, found = compiled_slots(path, {"gone": 1})
    assert proposed == {"gone": 1, CLUSTER: proposed[CLUSTER], CART: proposed[CART]}
    assert sorted(proposed.values()) == [1, 2, 3]
    assert found == {(CLUSTER, proposed[CLUSTER]), (CART, proposed[CART])}


def test_a_refused_configuration_takes_none(tmp_path: Path) -> None:
    path = write(tmp_path, {**rule("mesh"), "spec": {"to": [{"host": "a b"}], "action": "Allow"}})
    report, image = compile_config(str(path))
    assert image is None and report.rule_slots == {}
