"""Compiled images against the slow evaluator, on random worlds; and seeded bugs, which the comparison must find.

The full run (`make test-full`) draws enough worlds to hit every tier, phase and tie-break a thousand times.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

import tests.support.seeded_probe as seeded_probe
from gateway.policy.image import PolicyImage
from supervisor.policy import builder
from supervisor.policy.resources import model
from tests.supervisor.policy import evaluator, matching
from tests.supervisor.policy.compared import check_seeds
from tests.supervisor.policy.dialects.gateway_api.test_property import BUGS as PROTOCOL_BUGS
from tests.supervisor.policy.dialects.test_smokescreen_property import ROLE_BUGS
from tests.supervisor.policy.draws import draw_question, draw_world
from tests.supervisor.policy.evaluator import Answer, Evaluator, Question
from tests.supervisor.policy.matching import World
from tests.supervisor.policy.test_conditions import BUGS as CONDITION_BUGS
from tests.supervisor.policy.test_groups import BUGS as GROUP_BUGS
from tests.supervisor.policy.test_requests_property import BUGS as REQUEST_BUGS
from tests.supervisor.policy.worlds import ask, compile_world, laid_out

QUESTIONS: Final = 50  # a world
# Bugs that EgressPolicies alone do not show.
GROUPED: Final = (*GROUP_BUGS, *ROLE_BUGS, *CONDITION_BUGS, *REQUEST_BUGS, *PROTOCOL_BUGS)
LAYOUTS: Final = ((8, 16), (0, 0), (0, 2))  # of images: as they are, and with clauses and indexes everywhere
COVERED: Final = (
    *(f"tier {tier}" for tier in ("hard_deny", "deny", "allow", "audit", "default")),
    *(f"phase {phase}" for phase in ("name", "address", "delegated", "inner")),
    *("lower identities 1", "lower identities 2", "embedded", "inner provisional", "reason no_cidr_rule"),
    *(f"inner {tier} behind {way}" for tier in ("hard_deny", "deny") for way in ("passthrough", "rule_allow")),
    *(f"demand inner_{what}" for what in ("protocol_mismatch", "protocol_missing", "ech")),
    *("inner audit behind passthrough", "inner of a name mismatch", "inner nameless provisional"),
    *(f"inner {how} {what}" for how in ("of a name", "nameless") for what in ("malformed", "too long")),
    *(f"attribute {name} of another rule" for name in ("upstream", "sourceAddress", "tls", "innerName", "onRevoke")),
    *(
        f"tie-break {name}"
        for name in (
            *("exact host", "longer suffix", "longer CIDR", "narrower port", "narrower source"),
            *("creationTimestamp", "namespace/name", "index"),
        )
    ),
)
Difference = tuple[World, Question, Answer, Answer]


def compare(
    seed: int, worlds: int, folder: Path, kind: type[PolicyImage] = PolicyImage
) -> tuple[Difference | None, Counter[str]]:
    """The first difference, or none, and what was hit."""
    random = Random(seed)
    hits: Counter[str] = Counter()
    for number in range(worlds):
        world = draw_world(random)
        slow = Evaluator(world)
        with laid_out(*LAYOUTS[number % len(LAYOUTS)]):
            image = compile_world(world, folder, kind)
        for turn in range(QUESTIONS):
            question = draw_question(random)
            expected, said = slow.decide(question), ask(image, question, every=turn % 3 == 0)
            if said != expected:
                return (world, question, expected, said), hits + slow.hits
        hits += slow.hits
    return None, hits


def check(seeds: range, worlds: int, least: int, folder: Path) -> None:
    hits = check_seeds(seeds, lambda seed: compare(seed, worlds, folder), COVERED, least)
    answers = worlds * QUESTIONS * len(seeds)
    for verdict in ("allow", "deny", "audit"):
        assert hits[f"verdict {verdict}"] >= answers / 6, f"{verdict} is less than a sixth of the answers: {hits}"


def test_images_answer_as_the_slow_evaluator_does(tmp_path: Path) -> None:
    check(range(1, 2), worlds=160, least=12, folder=tmp_path)


@pytest.mark.full
@pytest.mark.timeout(2400)
def test_images_answer_as_the_slow_evaluator_does_at_length(tmp_path: Path) -> None:
    check(range(2, 8), worlds=2000, least=1000, folder=tmp_path)


# Seeded bugs: in the compiler, in the evaluator (a difference is a difference), and in the judge itself, which is C.


class _ApexMatches(builder.ImageBuilder):  # type: ignore[misc] # compiled, untyped
    """`*.example.com` also means example.com."""

    def host(self, attachment: int, pattern: bytes) -> None:
        super().host(attachment, pattern)
        if pattern.startswith(b"*."):
            super().host(attachment, pattern[2:])


class _PortsIgnored(builder.ImageBuilder):  # type: ignore[misc] # compiled, untyped
    """Every rule is for every port."""

    def portset(self, ranges: list[tuple[int, int]]) -> int:
        return int(super().portset([]))


class _ExceptIgnored(builder.ImageBuilder):  # type: ignore[misc] # compiled, untyped
    """Excepted names match all the same."""

    def host_except(self, attachment: int, pattern: bytes) -> None:
        pass


class _CidrExceptIgnored(builder.ImageBuilder):  # type: ignore[misc] # compiled, untyped
    """Excepted addresses match all the same."""

    def cidr_except(self, attachment: int, text: str) -> None:
        pass


class _NamespaceIgnored(builder.ImageBuilder):  # type: ignore[misc] # compiled, untyped
    """A rule for a namespace is for the whole mesh."""

    def selector(self, kind: int, a: str, b: str, cidr: str | None, has_allow: bool, audit: bool = False) -> int:
        if kind == builder.PRINCIPAL_NAMESPACE:
            kind, a = builder.PRINCIPAL_MESH, ""
        return int(super().selector(kind, a, b, cidr, has_allow, audit))


def _built_by(kind: type) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(builder, "ImageBuilder", kind)


def _longest_suffix_ignored(patch: pytest.MonkeyPatch) -> None:
    right = matching.pattern_depth

    def flat(pattern: str, name: str) -> int | None:
        depth = right(pattern, name)
        return depth if depth is None or depth == matching.EXACT else 0

    patch.setattr(matching, "pattern_depth", flat)


def _deny_below_allow(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evaluator, "STRENGTH", ("hard_deny", "allow", "deny", "audit"))


def _age_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model.Rules, "order", property(lambda rules: f"{rules.namespace}/{rules.name}"))


BUGS: Final[dict[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "the apex matches a wildcard": _built_by(_ApexMatches),
    "the longest suffix does not win": _longest_suffix_ignored,
    "ports are ignored": _built_by(_PortsIgnored),
    "except is ignored for names": _built_by(_ExceptIgnored),
    "except is ignored for addresses": _built_by(_CidrExceptIgnored),
    "allow outranks deny": _deny_below_allow,
    "a namespace's rule holds for the mesh": _built_by(_NamespaceIgnored),
    "the older resource does not win": _age_ignored,
}


@contextmanager
def seeded(bug: Callable[[pytest.MonkeyPatch], None]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        yield


@pytest.mark.parametrize("bug", BUGS.values(), ids=list(BUGS))
def test_a_seeded_bug_is_found(bug: Callable[[pytest.MonkeyPatch], None], tmp_path: Path) -> None:
    with seeded(bug):
        difference, _ = compare(1, 240, tmp_path)
    assert difference is not None


def test_without_a_bug_the_same_worlds_agree(tmp_path: Path) -> None:
    difference: Any = compare(1, 20, tmp_path)[0]
    assert difference is None


@pytest.fixture
def unseeded() -> Iterator[None]:
    yield
    seeded_probe.seed(0)


@pytest.mark.usefixtures("unseeded")
@pytest.mark.parametrize("bug", [bug for bug in seeded_probe.bugs() if bug not in GROUPED])
def test_a_bug_seeded_in_the_judge_is_found(bug: str, tmp_path: Path) -> None:
    seeded_probe.seed(seeded_probe.bugs().index(bug) + 1)
    assert compare(1, 240, tmp_path, seeded_probe.PolicyImage)[0] is not None


def test_the_judge_without_a_bug_agrees(tmp_path: Path) -> None:
    assert compare(1, 20, tmp_path, seeded_probe.PolicyImage)[0] is None
