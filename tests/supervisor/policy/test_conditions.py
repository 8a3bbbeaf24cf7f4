"""Conditions, admission and networks of destinations, from the model to the answer; bugs of the judge that it finds."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import tests.support.seeded_probe as seeded_probe
from gateway.policy.image import PolicyImage
from supervisor.config.config import Config
from supervisor.policy.compiler import build_image
from supervisor.policy.loader import Policy
from supervisor.policy.resources.conditions import AllOf, AnyOf, Asks, Condition, Not, Through, Within
from supervisor.policy.resources.conditions import Path as RequestPath
from supervisor.policy.resources.model import Destination, Item, Rules, Selector, Text
from supervisor.source.problems import Problems

VECTORS: Final = yaml.safe_load((Path(__file__).parents[2] / "vectors/conditions.yaml").read_text())
# Bugs of csrc/policy/seed.h that these vectors find.
BUGS: Final = (
    "every address lies in the blocks of a condition",
    "rules of every network of destinations count",
    "a rule that wins admits all sources",
    "a name is not judged again with its address",
    "ports count where only the order does",
    "a rule of the address goes before that of the name",
)


def condition(said: Any) -> Condition | None:
    """A condition as vectors write it."""
    if said is None:
        return None
    if isinstance(said, list):
        return AllOf(tuple(filter(None, map(condition, said))))
    ((word, value),) = said.items()
    match word:
        case "from":
            return Asks(tuple(Selector(namespace=name) for name in value))
        case "through":
            return Through(value)
        case "within":
            return Within(tuple(value))
        case "not":
            return Not(condition(value) or AnyOf(()))
        case "request":
            return RequestPath("prefix", Text(value, 1, 1))
    raise AssertionError(word)


def rules_of(number: int, said: dict[str, Any]) -> Rules:
    """One rule of a vector, a resource of its own; the earlier is the older."""
    excepts = tuple(Text(block, 1, 1) for block in said.get("except", ()))
    items = []
    for index, to in enumerate(said["to"]):
        ports = (tuple(said["ports"]),) if "ports" in said else ()
        block = "/" in to
        outside = excepts if block and ":" not in to else ()
        destination = Destination(None if block else Text(to, 1, 1), to if block else "", None, ports, outside)
        items.append(Item(index, 1, 1, destination, when=condition(said.get("when")), ahead=said.get("ahead", 0)))
    namespace = said.get("from", "")
    elsewhere = namespace == "elsewhere"
    return Rules(
        kind="P",
        namespace="global" if elsewhere else namespace,
        name=said["name"],
        file="p.yaml",
        tier=said["tier"],
        selectors=(Selector(elsewhere=True) if elsewhere else Selector(namespace=namespace),),
        items=tuple(items),
        created=number,
        group=said.get("group", 3),
        precedence=said.get("class", 0),
        by_order=said.get("by_order", False),
        admit=condition(said.get("admit")),
        network=said.get("network", ""),
        in_network=said.get("in", ""),
    )


def image_of(vector: dict[str, Any], kind: type[PolicyImage] = PolicyImage) -> PolicyImage:
    rules = tuple(rules_of(number, each) for number, each in enumerate(vector["rules"]))
    problems = Problems()
    policy = Policy(rules=rules, files=1, resources=len(rules), roots=())
    built = build_image(Config(path="sluice.yaml", control="ipc://control"), (), policy, problems)
    assert built is not None, problems
    try:
        return kind.from_fd(built.descriptor, validate=True)
    finally:
        os.close(built.descriptor)


def said(image: PolicyImage, asked: dict[str, Any]) -> str:
    answer = image.explain(
        host=asked["to"],
        port=asked.get("port", 443),
        namespace=asked.get("from"),
        service_account="x" if "from" in asked else None,
        address=asked.get("address"),
        listener=asked.get("listener"),
        sni=asked.get("sni"),
    )
    rule = answer["rule"]["name"] if answer["rule"] else ""
    return f"{answer['verdict']} {answer['phase']} {answer['reason']} {rule}".strip()


@pytest.fixture
def unseeded() -> Iterator[None]:
    yield
    seeded_probe.seed(0)


@pytest.mark.parametrize("vector", VECTORS, ids=[each["title"] for each in VECTORS])
def test_vectors(vector: dict[str, Any]) -> None:
    image = image_of(vector)
    assert [said(image, each) for each in vector["ask"]] == [each["says"] for each in vector["ask"]]


@pytest.mark.usefixtures("unseeded")
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_fails_a_vector(bug: str) -> None:
    failed = False
    for vector in VECTORS:
        seeded_probe.seed(0)
        image = image_of(vector, seeded_probe.PolicyImage)
        seeded_probe.seed(seeded_probe.bugs().index(bug) + 1)
        failed |= any(said(image, each) != each["says"] for each in vector["ask"])
    assert failed
