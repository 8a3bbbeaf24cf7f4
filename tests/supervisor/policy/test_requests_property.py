"""Conditions on HTTP requests against the slow evaluator, on random worlds; and seeded bugs, which must be found.

Worlds are those of draws.py with `http` and `access` added, questions have a request or are about a tunnel.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

import tests.support.seeded_probe as seeded_probe
from gateway.policy.image import PolicyImage
from tests.supervisor.policy.compared import check_seeds
from tests.supervisor.policy.draws import draw_question, draw_world
from tests.supervisor.policy.evaluator import Answer, Evaluator, Question
from tests.supervisor.policy.matching import Request, World
from tests.supervisor.policy.worlds import ask, compile_world, laid_out

QUESTIONS: Final = 50  # a world
LAYOUTS: Final = ((8, 16), (0, 0), (0, 2))
METHODS: Final = ("GET", "GET", "HEAD", "POST", "OPTIONS")
PATTERNS: Final = ("/*", "/v1/*", "/v1/*", "/v1", "/v1/", "/v1/items/*", "/v1/items/7", "/admin/*", "/admin", "/")
PATHS: Final = ("/", "/v1", "/v1/", "/v1/items", "/v1/items/7", "/v1x", "/v1/itemsx", "/admin", "/admin/x", "/other")
TEAMS: Final = ("shop", "pay")
# Bugs of csrc/policy/seed.h that these worlds alone show.
BUGS: Final = (
    "a prefix of a path ends within an element",
    "the last field of a name counts",
    "what is not known of a request holds",
    "the better path does not win",
)
COVERED: Final = (
    *(
        "reason needs_http",
        "tie-break path",
        "tie-break conditions",
        "reason rule_allow",
        "reason rule_deny",
        "reason rule_hard_deny",
    ),
    *("deny that is unknown", "request allowed", "request denied", "tunnel denied by needs_http alone"),
)
Difference = tuple[World, Question, Answer, Answer]


def draw_http(random: Random) -> dict[str, Any]:
    item: dict[str, Any] = {}
    if random.random() < 0.4:
        item["methods"] = sorted(set(random.choices(METHODS, k=random.randint(1, 2))))
    if random.random() < 0.8:
        item["paths"] = sorted(set(random.choices(PATTERNS, k=random.randint(1, 3))))
    if not item or random.random() < 0.2:
        item["headers"] = {random.choice(("x-team", "X-Team")): random.choice(TEAMS)}
    return item


def with_conditions(random: Random, world: World) -> World:
    """The same world; some of its destinations mean some requests alone."""
    for manifest in world.manifests:
        for to in manifest["spec"]["to"]:
            if random.random() < 0.5:
                continue
            if random.random() < 0.2 and manifest["spec"]["action"] != "Deny":
                to["access"] = "read-only"
            if "access" not in to or random.random() < 0.5:
                items = {str(item): item for item in (draw_http(random) for _ in range(random.randint(1, 2)))}
                to["http"] = list(items.values())
                if overlap(to["http"]):
                    to["http"] = to["http"][:1]
    return world


def overlap(items: list[dict[str, Any]]) -> bool:
    """Whether two items mean one path with the same methods and headers, which is a mistake."""
    seen = set()
    for item in items:
        for path in item.get("paths", [None]):
            headers = tuple(sorted((name.lower(), value) for name, value in item.get("headers", {}).items()))
            key = (path, tuple(item.get("methods", ())), headers)
            if key in seen:
                return True
            seen.add(key)
    return False


def draw_request(random: Random) -> Request:
    names = ("x-team", "X-TEAM", "x-other")
    headers = tuple((random.choice(names), random.choice(TEAMS)) for _ in range(random.randint(0, 3)))
    return Request(random.choice(METHODS), random.choice(PATHS), headers)


def compare(
    seed: int, worlds: int, folder: Path, kind: type[PolicyImage] = PolicyImage
) -> tuple[Difference | None, Counter[str]]:
    """The first difference, or none, and what was hit."""
    random = Random(seed)
    hits: Counter[str] = Counter()
    for number in range(worlds):
        world = with_conditions(random, draw_world(random))
        slow = Evaluator(world)
        with laid_out(*LAYOUTS[number % len(LAYOUTS)]):
            image = compile_world(world, folder, kind)
        for turn in range(QUESTIONS):
            question = draw_question(random)
            if random.random() < 0.65:
                question = replace(question, request=draw_request(random), sni="", shows="", ech=False)
            expected, said = slow.decide(question), ask(image, question, every=turn % 3 == 0)
            if said != expected:
                return (world, question, expected, said), hits + slow.hits
            slow.hits["deny that is unknown"] += expected.reason == "needs_http" and expected.rule is not None
            slow.hits["tunnel denied by needs_http alone"] += expected.reason == "needs_http" and expected.rule is None
            slow.hits["request allowed"] += question.request is not None and expected.verdict == "allow"
            slow.hits["request denied"] += question.request is not None and expected.verdict == "deny"
        hits += slow.hits
    return None, hits


def check(seeds: range, worlds: int, least: int, folder: Path) -> None:
    check_seeds(seeds, lambda seed: compare(seed, worlds, folder), COVERED, least)


def test_images_answer_as_the_slow_evaluator_does(tmp_path: Path) -> None:
    check(range(1, 2), worlds=400, least=25, folder=tmp_path)


@pytest.mark.full
@pytest.mark.timeout(2400)
def test_images_answer_as_the_slow_evaluator_does_at_length(tmp_path: Path) -> None:
    check(range(2, 12), worlds=2000, least=1000, folder=tmp_path)


@pytest.fixture
def unseeded() -> Iterator[None]:
    yield
    seeded_probe.seed(0)


@pytest.mark.usefixtures("unseeded")
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_seeded_in_the_judge_is_found(bug: str, tmp_path: Path) -> None:
    seeded_probe.seed(seeded_probe.bugs().index(bug) + 1)
    assert compare(1, 120, tmp_path, seeded_probe.PolicyImage)[0] is not None
