"""Warnings of `check` about rules that can never decide: said where they are true, and of no rule that ever wins."""

import os
import re
import time
from collections import Counter
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, Final, get_args

import pytest
import yaml

from supervisor.config.config import Config, Policy
from supervisor.generation.compile import compile_config
from supervisor.policy import covering, void_rules
from supervisor.policy.loader import load_policy
from supervisor.policy.resources.model import Destination, Item, Rules, Selector, Text, Tier
from supervisor.policy.void_rules import MOST, warn_of_void_rules
from supervisor.source.problems import Place, Problems
from tests.supervisor.policy.draws import draw_question, draw_world
from tests.supervisor.policy.test_strangers import policy
from tests.supervisor.policy.worlds import ask, compile_world

Document = dict[str, Any]
HOST: Final = {"host": "a.test", "ports": [443]}


def deny(namespace: str | None = None, /, **spec: Any) -> Document:
    return policy("deny", namespace, action="Deny", **spec)


def warned(folder: Path, *policies: Document, passthrough: bool = False) -> list[str]:
    (folder / "sluice.yaml").write_text(yaml.safe_dump({"policy": {"paths": ["p.yaml"], "passthrough": passthrough}}))
    (folder / "p.yaml").write_text(yaml.safe_dump_all(policies))
    report, image = compile_config(str(folder / "sluice.yaml"))
    assert image is not None, report.problems
    os.close(image)
    lines = [str(problem).replace(f"{folder}/", "") for problem in report.warnings]
    return [line for line in lines if "never decide" in line or "matches nothing" in line]


WIDE: Final = {"host": "*.test"}
# sentence: policies, and how many items are warned of
SENTENCES: Final[dict[str, tuple[list[Document], int]]] = {
    "an allow covered by a deny of all": ([policy("p", "shop", to=[HOST]), deny(to=[WIDE])], 1),
    "and by a hard one": ([policy("p", "shop", to=[HOST]), deny(to=[WIDE], hard=True)], 1),
    "and an audit": ([policy("p", "shop", to=[HOST], action="Audit"), deny(to=[WIDE])], 1),
    "and a wildcard": ([policy("p", "shop", to=[{"host": "*.a.test"}]), deny(to=[WIDE])], 1),
    "each item by itself": ([policy("p", "shop", to=[HOST, {"host": "b.example"}]), deny(to=[WIDE])], 1),
    "a deny of the same namespace": ([policy("p", "shop", to=[HOST]), deny("shop", to=[HOST])], 1),
    "a deny of the namespace, an allow of an account": (
        [policy("p", "shop", to=[HOST], **{"from": [{"serviceAccount": "cart"}]}), deny("shop", to=[HOST])], 1,
    ),
    "a deny of a wider source network": (
        [
            policy("p", None, to=[HOST], **{"from": [{"cidr": "10.1.0.0/16"}]}),
            deny(to=[HOST], **{"from": [{"cidr": "10.0.0.0/8"}]}),
        ], 1,
    ),
    "networks": ([policy("p", "shop", to=[{"cidr": "8.8.8.8/32"}]), deny(to=[{"cidr": "8.8.0.0/16"}])], 1),
    "ports within a range": ([policy("p", "shop", to=[HOST]), deny(to=[{"host": "a.test", "ports": ["400-500"]}])], 1),
    "what the deny excepts, the allow excepts as well": (
        [
            policy("p", "shop", to=[{"host": "*.test", "except": ["b.test"]}]),
            deny(to=[{"host": "*.test", "except": ["b.test"]}]),
        ], 1,
    ),
    "what the deny excepts is elsewhere": (
        [policy("p", "shop", to=[HOST]), deny(to=[{"host": "*.test", "except": ["b.test"]}])], 1,
    ),
    "but not a deny of another namespace": ([policy("p", "shop", to=[HOST]), deny("bank", to=[HOST])], 0),
    "nor one of an account": (
        [policy("p", "shop", to=[HOST]), deny("shop", to=[HOST], **{"from": [{"serviceAccount": "cart"}]})], 0,
    ),
    "nor one of fewer ports": ([policy("p", "shop", to=[{"host": "a.test"}]), deny(to=[HOST])], 0),
    "nor one of names below": ([policy("p", "shop", to=[{"host": "test"}]), deny(to=[WIDE])], 0),
    "nor one that excepts it": (
        [policy("p", "shop", to=[HOST]), deny(to=[{"host": "*.test", "except": ["a.test"]}])], 0,
    ),
    "nor one that excepts a part": (
        [policy("p", "shop", to=[{"host": "*.test"}]), deny(to=[{"host": "*.test", "except": ["a.test"]}])], 0,
    ),
    "nor a narrower source network": (
        [
            policy("p", None, to=[HOST], **{"from": [{"cidr": "10.0.0.0/8"}]}),
            deny(to=[HOST], **{"from": [{"cidr": "10.1.0.0/16"}]}),
        ], 0,
    ),
    "nor a deny of names for a network": (
        [policy("p", "shop", to=[{"cidr": "8.8.8.8/32"}]), deny(to=[{"host": "*"}])], 0,
    ),
    "a deny that is covered says so nowhere: it denies": ([deny("shop", to=[HOST]), policy("p", "bank", to=[HOST])], 0),
    "the same item in two policies": ([policy("p", "shop", to=[HOST]), policy("q", "shop", to=[HOST])], 1),
    "fewer sources later": (
        [
            policy("p", "shop", to=[HOST], **{"from": [{"serviceAccount": "a"}, {"serviceAccount": "b"}]}),
            policy("q", "shop", to=[HOST], **{"from": [{"serviceAccount": "b"}]}),
        ], 1,
    ),
    "more sources later matter": (
        [
            policy("p", "shop", to=[HOST], **{"from": [{"serviceAccount": "b"}]}),
            policy("q", "shop", to=[HOST], **{"from": [{"serviceAccount": "a"}, {"serviceAccount": "b"}]}),
        ], 0,
    ),
    "an attribute that the first does not have matters": (
        [policy("p", "shop", to=[HOST]), policy("q", "shop", to=[HOST], innerName="off")], 0,
    ),
    "an attribute that the first has does not": (
        [policy("p", "shop", to=[HOST], innerName="audit"), policy("q", "shop", to=[HOST], innerName="off")], 1,
    ),
    "another namespace is another source": ([policy("p", "shop", to=[HOST]), policy("p", "bank", to=[HOST])], 0),
    "another action is no duplicate": (
        [policy("p", "shop", to=[HOST]), policy("q", "shop", to=[HOST], action="Audit")], 0,
    ),
    "excepted whole": (
        [policy("p", "shop", to=[{"cidr": "10.0.0.0/8", "except": ["10.0.0.0/9", "10.128.0.0/9"]}])], 1,
    ),
    "excepted in part": (
        [policy("p", "shop", to=[{"cidr": "10.0.0.0/8", "except": ["10.0.0.0/9", "10.0.0.0/10"]}])], 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", SENTENCES)
def test_sentence(tmp_path: Path, sentence: str) -> None:
    policies, count = SENTENCES[sentence]
    assert len(warned(tmp_path, *policies)) == count


def test_the_warning_names_both_places(tmp_path: Path) -> None:
    found = warned(tmp_path, policy("p", "shop", to=[HOST]), deny(to=[WIDE]))
    assert re.fullmatch(
        r"p\.yaml:\d+:\d+: this item never decides: ClusterEgressPolicy/deny, item 0 \(p\.yaml:\d+:\d+\), denies the"
        r" same sources, destinations and ports \(remove one of the two: a deny outranks every allow and audit\)",
        found[0],
    )


def test_with_passthrough_a_denied_allow_still_ends_it(tmp_path: Path) -> None:
    policies = (policy("p", "shop", to=[HOST]), deny(to=[WIDE]))
    assert len(warned(tmp_path, *policies)) == 1
    assert warned(tmp_path, *policies, passthrough=True) == []


def test_warnings_are_bounded(tmp_path: Path) -> None:
    many = [{"host": f"h{number}.test"} for number in range(MOST + 7)]
    found = warned(tmp_path, policy("p", "shop", to=many), deny(to=[WIDE]))
    assert len(found) == MOST + 1
    assert sum("7 more items" in line for line in found) == 1


def compare(seed: int, worlds: int, folder: Path) -> Counter[str]:
    """Questions to random worlds: no rule that is warned of decides one, or gives it an attribute."""
    random, hits = Random(seed), Counter[str]()
    for _ in range(worlds):
        world = draw_world(random)
        image = compile_world(world, folder)
        path = str(folder / "policy.json")
        config = Config(path="", control="", policy=Policy(passthrough=world.passthrough))
        rules = load_policy((path,), (Place(path),), Problems()).rules
        void: dict[tuple[str, str, str, int], str] = {}
        places = {str(each.place(item)): (each, item) for each in rules for item in each.items}
        for place, text, _ in void_rules._facts(config, rules):
            each, item = places[str(place)]
            void[each.kind, each.namespace, each.name, item.index] = text
            hits["same" if "is the same" in text else "denied" if "denies" in text else "whole"] += 1
        for _ in range(60 if void else 0):
            question = draw_question(random)
            answer = ask(image, question, every=False)
            for rule in (answer.rule, *(rule for _, _, rule in answer.attributes)):
                assert rule not in void, f"{rule}: {void.get(rule)}\n{world}\n{question}\n{answer}"
            hits["questions"] += 1
    return hits


def test_a_rule_that_is_warned_of_never_wins(tmp_path: Path) -> None:
    hits = compare(1, 250, tmp_path)
    assert hits["same"] > 5 and hits["denied"] > 250 and hits["questions"] > 2500, hits


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_a_rule_that_is_warned_of_never_wins_at_length(tmp_path: Path) -> None:
    hits = compare(2, 20_000, tmp_path)
    assert hits["same"] > 500 and hits["denied"] > 20_000, hits


FAULTS: Final[dict[str, Any]] = {
    "ports are not compared": (void_rules, "ports_cover", lambda wide, narrow: True),
    "except is not compared": (void_rules, "leaves", lambda deny, item: True),
    "sources are not compared": (covering, "_is_covered", lambda selector, known, wide: True),
    "order is not compared": (void_rules, "_order", lambda rules, item: (False, 0, "", "", -item.index)),
    "attributes are not compared": (void_rules, "ATTRIBUTES", ()),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*FAULTS[fault])
    with pytest.raises(AssertionError, match="EgressPolicy"):
        compare(3, 1500, tmp_path)


@pytest.mark.parametrize("shape", ["one destination", "one namespace", "many selectors", "many hosts"])
def test_many_rules_take_a_look_up_each(shape: str) -> None:
    """Shapes that would take hours if rules were compared in pairs; a tenth of the limit is common."""

    def item(number: int, name: str) -> Item:
        return Item(number, number, 1, Destination(host=Text(name, number, 1)))

    few = (Selector(namespace="shop"),)
    many = tuple(Selector(namespace="shop", service_account=f"a{number}") for number in range(4000))
    sources = [Selector(namespace=f"n{number}") for number in range(20_000)]
    if shape == "one namespace":
        sources = list(many) * 5
    if shape.startswith("one"):
        tiers = cycle(get_args(Tier))
        rules = [
            Rules("ClusterEgressPolicy", "", f"p{number}", "p.yaml", tier, (source,), (item(number, "a.test"),))
            for number, (tier, source) in enumerate(zip(tiers, sources, strict=False))
        ]
    else:
        selectors = many if shape == "many selectors" else few
        hosts = tuple(item(number, f"h{number}.test") for number in range(50_000))
        rules = [
            Rules("EgressPolicy", "shop", f"p{number}", "p.yaml", "deny" if number == 3 else "allow", selectors, hosts)
            for number in range(4)
        ]
    start = time.process_time()
    warn_of_void_rules(Config(path="", control=""), rules, Problems())
    assert time.process_time() - start < 20
