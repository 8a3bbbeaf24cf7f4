"""Groups, classes and defaults of images against their slow evaluator; bugs of the comparison that must be found."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import yaml

import tests.support.seeded_probe as seeded_probe
from gateway.policy.image import PolicyImage
from supervisor.policy import builder
from tests.supervisor.policy.compared import check_seeds
from tests.supervisor.policy.grouped import Asked, Grouped, GroupedEvaluator, Said, draw, draw_question

QUESTIONS: Final = 50  # a world
LAYOUTS: Final = ((8, 16), (0, 0), (0, 2))  # as in test_property.py
TIERS: Final = {
    name: getattr(builder, f"TIER_{name.upper()}")
    for name in ("default_allow", "default_audit", "default_deny", "audit", "allow", "deny", "hard_deny")
}
VECTORS: Final = yaml.safe_load((Path(__file__).parents[2] / "vectors/groups.yaml").read_text())
# Bugs of csrc/policy/seed.h that only policies with groups show.
BUGS: Final = (
    "every rule of a group counts",
    "a dialect's own precedence is ignored",
    "of two groups that say the same the weaker match is named",
    "a default allow outranks a default deny",
    "a default of the name outranks one of the address",
)
COVERED: Final = (
    *("class", "between tiers", "between equals", "held", "address inner_name_missing", "name needs_address"),
    *("default_deny over default_allow", "allow over default_deny", "address passthrough", "inner no_cidr_rule"),
    *(f"{phase} default_{what}" for phase in ("name", "address") for what in ("allow", "audit", "deny")),
    *(f"{tier} behind default_allow" for tier in ("default_deny", "default_audit", "deny", "hard_deny", "audit")),
)


def image_of(items: list[Grouped], passthrough: bool, layout: tuple[int, int], kind: type[PolicyImage]) -> PolicyImage:
    """The image of attachments, in the order of their age."""
    image = builder.ImageBuilder()
    image.layout(*layout)
    selectors = {
        "mesh": image.selector(builder.PRINCIPAL_MESH, "", "", None, False),
        "shop": image.selector(builder.PRINCIPAL_NAMESPACE, "shop", "", None, False),
        "bot": image.selector(builder.PRINCIPAL_USER, "", "bot", None, False),
    }
    for item in items:
        rule = image.rule("P", "", f"p{item.number}", item.number, "p.yaml", 1, TIERS[item.tier])
        ports, who = image.portset([item.ports] if item.ports else []), image.who([selectors[item.who]])
        at = image.attach(rule, TIERS[item.tier], ports, item.order, who, item.group, item.rank)
        if item.host:
            image.host(at, item.host.encode())
        if item.block:
            image.cidr(at, item.block)
    image.flags(builder.IMAGE_PASSTHROUGH if passthrough else 0)
    descriptor = image.finish_memfd()
    try:
        return kind.from_fd(descriptor, validate=True)
    finally:
        os.close(descriptor)


def ask(image: PolicyImage, asked: Asked, every: bool) -> Said:
    """The image's answer, in the evaluator's words; with the trail, whose winner has to be the rule named."""
    said: dict[str, Any] = image.explain(
        host=asked.host or asked.address,
        address=asked.address if asked.host and asked.address else None,
        port=asked.port,
        namespace="shop" if "shop" in asked.highest else None,
        identity="spiffe://x.test/y" if asked.lower else None,
        user="bot" if "bot" in asked.highest + asked.lower else None,
        audit=asked.audit,
        sni=asked.sni or None,
        every=every,
    )
    rule = said["rule"] and said["rule"]["index"]
    if every and said["reason"].startswith(("rule_", "default_")):
        won = [step["rule"]["index"] for step in said["trail"] if step["won"] and step["rule"]]
        assert rule in won, said["trail"]
    assert said["would_deny"] == (said["verdict"] == "audit")
    return Said(said["verdict"], said["phase"], said["reason"], rule)


def compare(seed: int, worlds: int, kind: type[PolicyImage] = PolicyImage) -> tuple[object, Counter[str]]:
    """The first difference, or None, and what was hit."""
    random = Random(seed)
    hits: Counter[str] = Counter()
    for number in range(worlds):
        items, passthrough = draw(random), random.random() < 0.3
        slow = GroupedEvaluator(items, passthrough)
        image = image_of(items, passthrough, LAYOUTS[number % len(LAYOUTS)], kind)
        for turn in range(QUESTIONS):
            asked = draw_question(random)
            expected, said = slow.decide(asked), ask(image, asked, every=turn % 3 == 0)
            if said != expected:
                return (items, passthrough, asked, expected, said), hits
        hits += slow.hits
    return None, hits


def image_of_vector(items: list[dict[str, Any]]) -> PolicyImage:
    """The image of the items of a vector, each its own rule, for every source."""
    image = builder.ImageBuilder()
    who = image.who([image.selector(builder.PRINCIPAL_MESH, "", "", None, False)])
    for number, item in enumerate(items):
        tier = TIERS[item["tier"]]
        rule = image.rule("P", "", item["name"], 0, "p.yaml", 1, tier)
        at = image.attach(rule, tier, 0, number, who, item["group"], item["class"])
        for to in item["to"]:
            image.cidr(at, to) if "/" in to else image.host(at, to.encode())
    descriptor = image.finish_memfd()
    try:
        return PolicyImage.from_fd(descriptor, validate=True)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["title"])
def test_vector(vector: dict[str, Any]) -> None:
    image = image_of_vector(vector["items"])
    for question in vector["ask"]:
        said = image.explain(host=question["to"], port=443, address=question.get("address"))
        words = [said["verdict"], said["phase"], said["reason"], *([said["rule"]["name"]] if said["rule"] else [])]
        assert " ".join(words) == question["says"], question


def check(seeds: range, worlds: int, least: int) -> None:
    check_seeds(seeds, lambda seed: compare(seed, worlds), COVERED, least)


def test_images_answer_as_the_slow_evaluator_does() -> None:
    check(range(1, 2), worlds=400, least=10)


@pytest.mark.full
@pytest.mark.timeout(2400)
def test_images_answer_as_the_slow_evaluator_does_at_length() -> None:
    check(range(2, 12), worlds=2400, least=1000)


@pytest.fixture
def unseeded() -> Iterator[None]:
    yield
    seeded_probe.seed(0)


@pytest.mark.usefixtures("unseeded")
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_seeded_in_the_comparison_is_found(bug: str) -> None:
    seeded_probe.seed(seeded_probe.bugs().index(bug) + 1)
    assert compare(1, 200, seeded_probe.PolicyImage)[0] is not None


def test_the_comparison_without_a_bug_agrees() -> None:
    assert compare(1, 20, seeded_probe.PolicyImage)[0] is None
