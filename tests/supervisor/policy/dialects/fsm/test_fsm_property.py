"""Egresses as images against their slow evaluator; bugs of the reader and the judge that the comparison must find."""

import importlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from msgspec import structs

import tests.support.seeded_probe as seeded_probe
from gateway.policy.image import PolicyImage
from supervisor.config.config import Config, Identity, Network, Policy
from supervisor.generation.building import surroundings_of
from supervisor.policy.compiler import build_image
from supervisor.policy.dialects.fsm import passthrough
from supervisor.policy.loader import load_policy
from supervisor.policy.resources.model import Rules
from supervisor.source.problems import Place, Problems
from tests.supervisor.policy.compared import check_seeds
from tests.supervisor.policy.dialects.fsm.egresses import (
    NAMESPACES,
    NETWORK,
    Asked,
    Evaluator,
    Said,
    World,
    draw_asked,
    draw_world,
)

rules: Final[Any] = importlib.import_module("supervisor.policy.dialects.fsm.rules")
QUESTIONS: Final = 50  # a world
COVERED: Final = (
    *("within", "not within", "within unknown", "claimed", "not claimed", "passthrough of others", "held", "routed"),
    *("tie-break longer block", "tie-break 0", "tie-break 1", "tie-break 2"),
    *("allow rule_allow", "allow default_allow", "allow passthrough", "deny rule_deny", "deny no_rule"),
    *("deny needs_address", "deny no_cidr_rule", "deny inner_name_missing", "deny inner_name_mismatch"),
    *("deny inner_protocol_mismatch", "deny needs_http"),
)


def manifests(world: World) -> dict[str, Any]:
    items = [*world.egresses]
    for namespace in NAMESPACES:
        frame = {"apiVersion": "specs.smi-spec.io/v1alpha4", "kind": "HTTPRouteGroup"}
        metadata = {"name": "routes", "namespace": namespace}
        items.append({**frame, "metadata": metadata, "spec": {"matches": [{"name": "get", "pathRegex": "/get"}]}})
    if world.denied:
        spec = {"action": "Deny", "to": [{"host": name} for name in world.denied]}
        frame = {"apiVersion": "sluice.dev/v1alpha1", "kind": "ClusterEgressPolicy"}
        items.append({**frame, "metadata": {"name": "denied"}, "spec": spec})
    return {"apiVersion": "v1", "kind": "List", "items": items}


def image_of(world: World, folder: Path, kind: type[PolicyImage]) -> PolicyImage:
    path = str(folder / "policy.json")
    Path(path).write_text(json.dumps(manifests(world)))
    policy = Policy(paths=(path,), places=(Place(path),), passthrough=world.passthrough)
    block, _, workload = NETWORK
    identity = Identity(networks=(Network(block, *workload),))
    config = Config(path=str(folder / "sluice.yaml"), control="ipc:///nowhere", policy=policy, identity=identity)
    problems = Problems()
    loaded = load_policy(policy.paths, policy.places, problems, surroundings=surroundings_of(config))
    built = build_image(config, (), loaded, problems)
    assert built is not None, str(problems.errors)
    try:
        return kind.from_fd(built.descriptor, validate=True)
    finally:
        os.close(built.descriptor)


def ask(image: PolicyImage, asked: Asked, every: bool) -> Said:
    namespace, account = asked.who or (None, None)
    said: dict[str, Any] = image.explain(
        host=asked.host,
        port=asked.port,
        namespace=namespace,
        service_account=account,
        source_ip=NETWORK[1] if asked.by_network else None,
        address=asked.address or None,
        sni=asked.sni or None,
        every=every,
    )
    rule = said["rule"] and (
        said["rule"]["kind"],
        said["rule"]["namespace"] or "",
        said["rule"]["name"],
        said["rule"]["index"],
    )
    return Said(said["verdict"], said["reason"], rule)


def compare(seed: int, worlds: int, folder: Path, kind: type[PolicyImage] = PolicyImage) -> tuple[object, Counter[str]]:
    """The first difference, or None, and what was hit."""
    random = Random(seed)
    hits: Counter[str] = Counter()
    for _ in range(worlds):
        world = draw_world(random)
        slow = Evaluator(world)
        image = image_of(world, folder, kind)
        for turn in range(QUESTIONS):
            asked = draw_asked(random)
            wanted, said = slow.decide(asked), ask(image, asked, every=turn % 3 == 0)
            if said != wanted:
                return (world, asked, wanted, said), hits + slow.hits
        hits += slow.hits
    return None, hits


def check(seeds: range, worlds: int, least: int, folder: Path) -> None:
    check_seeds(seeds, lambda seed: compare(seed, worlds, folder), COVERED, least)


def test_images_answer_as_the_slow_evaluator_does(tmp_path: Path) -> None:
    check(range(1, 2), worlds=400, least=30, folder=tmp_path)


@pytest.mark.full
@pytest.mark.timeout(2400)
def test_images_answer_as_the_slow_evaluator_does_at_length(tmp_path: Path) -> None:
    check(range(2, 12), worlds=2000, least=2000, folder=tmp_path)


def _all_ports_are_others(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(passthrough, "_others", lambda ports: iter([(1, passthrough.MOST_PORT)]))


def _ports_of_all_sources_are_named(patch: pytest.MonkeyPatch) -> None:
    right = passthrough._others
    seen: set[int] = set()

    def all_of_them(ports: set[int]) -> Iterator[tuple[int, int]]:
        seen.update(ports)
        return right(seen)

    patch.setattr(passthrough, "_others", all_of_them)


def _changed_item(**changes: Any) -> Callable[[pytest.MonkeyPatch], None]:
    def patch_it(patch: pytest.MonkeyPatch) -> None:
        right = rules._Egress.items
        patch.setattr(
            rules._Egress,
            "items",
            lambda egress, port, condition: [structs.replace(one, **changes) for one in right(egress, port, condition)],
        )

    return patch_it


def _blocks_open_every_name(patch: pytest.MonkeyPatch) -> None:
    right = rules._Egress.destinations

    def blocks(egress: Any, port: Any) -> Iterator[Any]:
        part = structs.replace(egress.egress, hosts=()) if egress.egress.addresses else egress.egress
        yield from right(rules._Egress(part, egress.problems), port)

    patch.setattr(rules._Egress, "destinations", blocks)


def _sources_are_of_the_own_namespace(patch: pytest.MonkeyPatch) -> None:
    right = rules._Egress.group

    def group(egress: Any, items: Any, inner: Any, routes: Any) -> Rules:
        found: Rules = right(egress, items, inner, routes)
        own = tuple(structs.replace(one, namespace=found.namespace) for one in found.selectors)
        return structs.replace(found, selectors=tuple(dict.fromkeys(own)))

    patch.setattr(rules._Egress, "group", group)


BUGS: Final[dict[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "addresses beside hosts do not count": _changed_item(when=None),
    "hosts beside addresses do not count": _blocks_open_every_name,
    "a named port keeps its passthrough": _all_ports_are_others,
    "a port that others name has no passthrough": _ports_of_all_sources_are_named,
    "http may carry TLS": lambda patch: patch.setitem(rules.SHOWN, "http", None),
    "tcp is about names": lambda patch: patch.setattr(rules, "TCP", ()),
    "sources are those of the own namespace": _sources_are_of_the_own_namespace,
    "a resource is of no age": lambda patch: patch.setattr(Rules, "order", property(lambda one: one.name)),
}
# Bugs of the judge (csrc/policy/seed.h) that these policies show.
JUDGE: Final = (
    *("every address lies in the blocks of a condition", "a name is not judged again with its address"),
    *("every rule is for every port", "of equal rules the younger wins", "any protocol may show inside"),
    *("a name that only its address can allow is denied", "an allow of the source does not end passthrough"),
)


@pytest.mark.parametrize("bug", BUGS.values(), ids=list(BUGS))
def test_a_bug_seeded_in_the_reader_is_found(bug: Callable[[pytest.MonkeyPatch], None], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        difference, _ = compare(1, 200, tmp_path)
    assert difference is not None


@pytest.fixture
def unseeded() -> Iterator[None]:
    yield
    seeded_probe.seed(0)


@pytest.mark.usefixtures("unseeded")
@pytest.mark.parametrize("bug", JUDGE)
def test_a_bug_seeded_in_the_judge_is_found(bug: str, tmp_path: Path) -> None:
    seeded_probe.seed(seeded_probe.bugs().index(bug) + 1)
    assert compare(1, 200, tmp_path, seeded_probe.PolicyImage)[0] is not None
