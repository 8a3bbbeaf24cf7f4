"""Smokescreen ACLs as images against their slow evaluator, alone and beside EgressPolicies; bugs of the reader and of
the judge that the comparison must find."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

import tests.support.seeded_probe as seeded_probe
from gateway.policy.image import PolicyImage
from supervisor.config.config import Config, Policy
from supervisor.policy.compiler import build_image
from supervisor.policy.dialects import smokescreen
from supervisor.policy.loader import load_policy
from supervisor.policy.resources.model import Rules
from supervisor.source.problems import Place, Problems
from tests.supervisor.policy.compared import check_seeds
from tests.supervisor.policy.dialects.acl import NAMES, ROLES, STRANGERS, Acl, allows_any_name, decide, draw_acl
from tests.supervisor.policy.test_groups import BUGS as GROUP_BUGS

QUESTIONS: Final = 50  # a world
ADDRESS: Final = "8.8.8.8"
ROLE_BUGS: Final = (
    "a user is a role beside that of the certificate",
    "a listed role is another one as well",
)
COVERED: Final = (
    *(f"{kind}" for kind in ("SmokescreenRole", "SmokescreenAction", "SmokescreenDefault", "SmokescreenGlobal")),
    *("none", "beside Allow", "beside Deny", "beside Audit", "inner deny", "held", "held allow", "by certificate"),
)
STRENGTH: Final = ("default_allow", "default_audit", "default_deny", "audit", "allow", "deny")
VERDICTS: Final = {"default_allow": "allow", "default_audit": "audit", "default_deny": "deny"}


@dataclass(frozen=True)
class Asked:
    """A question: a name, or ADDRESS with the name that shows inside. One of `user` and `role` decides."""

    host: str
    sni: str
    user: str
    certificate: str  # "CN=role", or ""

    @property
    def role(self) -> str:
        return self.certificate.partition("=")[2] or self.user


def draw_asked(random: Random) -> Asked:
    literal = random.random() < 0.3
    certificate = random.choice(("CN=", "OU=")) + random.choice(ROLES + STRANGERS) if random.random() < 0.5 else ""
    user = random.choice((*ROLES, *STRANGERS, "")) if not certificate or random.random() < 0.5 else ""
    sni = random.choice((*NAMES, "")) if literal else ""
    return Asked(ADDRESS if literal else random.choice(NAMES), sni, user, certificate)


def draw_policies(random: Random) -> dict[str, str]:
    """Mesh-wide policies about single names, by name: their action."""
    return {random.choice(NAMES): random.choice(("Allow", "Deny", "Audit")) for _ in range(random.randint(0, 3))}


def image_of(acl: Acl, policies: dict[str, str], folder: Path, kind: type[PolicyImage]) -> PolicyImage:
    (folder / "acl.json").write_text(json.dumps(acl))
    items = [
        {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "ClusterEgressPolicy",
            "metadata": {"name": f"p{number}"},
            "spec": {"action": action, "to": [{"host": name}]},
        }
        for number, (name, action) in enumerate(policies.items())
    ]
    (folder / "policies.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    paths = tuple(str(folder / name) for name in (("acl.json", "policies.json") if items else ("acl.json",)))
    policy = Policy(paths=paths, places=tuple(map(Place, paths)))
    config, problems = Config(path=str(folder / "sluice.yaml"), control="ipc:///nowhere", policy=policy), Problems()
    built = build_image(config, (), load_policy(policy.paths, policy.places, problems), problems)
    assert built is not None, str(problems)
    try:
        return kind.from_fd(built.descriptor, validate=True)
    finally:
        os.close(built.descriptor)


def ask(image: PolicyImage, asked: Asked, every: bool) -> dict[str, Any]:
    said: dict[str, Any] = image.explain(
        host=asked.host, port=443, user=asked.user or None, identity=asked.certificate or None,
        sni=asked.sni or None, every=every,
    )  # fmt: skip
    return said


def by_acl(acl: Acl, asked: Asked) -> tuple[str, str | None, object]:
    """(verdict, tier or None where it has no rule, the rule) of the ACL alone."""
    found = decide(acl, asked.role, asked.host)
    if found.result == "none":
        return "deny", None, None
    tier = f"default_{found.result}".replace("report", "audit") if not found.explicit else found.result
    return ("audit" if found.result == "report" else found.result), tier, found.place


def expected_alone(acl: Acl, asked: Asked, hits: Counter[str]) -> tuple[str, object]:
    """The verdict and its rule. An address is the action's; then a name that shows inside counts as it does everywhere
    (DECISIONS.md section 3)."""
    verdict, tier, place = by_acl(acl, asked)
    hits[place[0] if isinstance(place, tuple) else "none"] += 1
    if asked.host != ADDRESS:
        return verdict, place
    if verdict == "deny" and tier is not None and allows_any_name(acl, asked.role):
        hits["held"] += 1
        if not asked.sni:
            return "deny", place
        inside = decide(acl, asked.role, asked.sni)
        hits[f"held {inside.result}"] += 1
        return inside.result, inside.place
    behind = decide(acl, asked.role, asked.sni) if asked.sni else None
    if verdict != "deny" and behind and behind.explicit and behind.result == "deny":
        hits["inner deny"] += 1
        return "deny", behind.place
    return verdict, place


def expected_beside(acl: Acl, policies: dict[str, str], asked: Asked, hits: Counter[str]) -> str:
    """The maximum of both dialects, for a name (DECISIONS.md section 4)."""
    verdict, tier, _ = by_acl(acl, asked)
    action = policies.get(asked.host)
    if action is None:
        return verdict
    hits[f"beside {action}"] += 1
    strongest = max([action.lower(), *([tier] if tier else [])], key=STRENGTH.index)
    return VERDICTS.get(strongest, strongest)


def compare(seed: int, worlds: int, folder: Path, kind: type[PolicyImage] = PolicyImage) -> tuple[object, Counter[str]]:
    """The first difference, or None, and what was hit."""
    random = Random(seed)
    hits: Counter[str] = Counter()
    for number in range(worlds):
        acl, policies = draw_acl(random), draw_policies(random) if number % 2 else {}
        image = image_of(acl, policies, folder, kind)
        for turn in range(QUESTIONS):
            asked = draw_asked(random)
            if policies and asked.host == ADDRESS:
                continue
            said = ask(image, asked, every=turn % 3 == 0)
            rule = said["rule"] and (said["rule"]["kind"], said["rule"]["name"], said["rule"]["index"])
            found: object = (said["verdict"], rule)
            wanted: object = expected_alone(acl, asked, hits)
            if policies:
                found, wanted = said["verdict"], expected_beside(acl, policies, asked, hits)
            hits["by certificate"] += bool(asked.certificate and asked.user)
            if found != wanted:
                return (acl, policies, asked, wanted, said), hits
    return None, hits


def check(seeds: range, worlds: int, least: int, folder: Path) -> None:
    check_seeds(seeds, lambda seed: compare(seed, worlds, folder), COVERED, least)


def test_images_answer_as_the_slow_evaluator_does(tmp_path: Path) -> None:
    check(range(1, 2), worlds=480, least=20, folder=tmp_path)


@pytest.mark.full
@pytest.mark.timeout(2400)
def test_images_answer_as_the_slow_evaluator_does_at_length(tmp_path: Path) -> None:
    check(range(2, 12), worlds=2400, least=1000, folder=tmp_path)


def _precedence(name: str, value: int) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(smokescreen, name, value)


def _lists_for_listed_roles_alone(patch: pytest.MonkeyPatch) -> None:
    right = smokescreen._rules

    def narrow(kind: str, name: str, file: str, tier: Any, who: Any, items: Any, precedence: int) -> Rules:
        who = tuple(each for each in who if kind != smokescreen.OF_LIST or not each.other_roles) or who
        return right(kind, name, file, tier, who, items, precedence)

    patch.setattr(smokescreen, "_rules", narrow)


def _one_group_with_ours(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(smokescreen.ACTIONS, "enforce", "deny")


BUGS: Final[dict[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "global deny outranks the role": _precedence("GLOBAL_DENIES", 4),
    "global allow outranks global deny": _precedence("GLOBAL_ALLOWS", 3),
    "the action outranks the lists": _precedence("ACTION", 5),
    "enforce is an explicit deny": _one_group_with_ours,
    "the lists do not hold for the default": _lists_for_listed_roles_alone,
    "report is open": lambda patch: patch.setitem(smokescreen.ACTIONS, "report", "default_allow"),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=list(BUGS))
def test_a_bug_seeded_in_the_reader_is_found(bug: Callable[[pytest.MonkeyPatch], None], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        difference, _ = compare(1, 120, tmp_path)
    assert difference is not None


@pytest.fixture
def unseeded() -> Iterator[None]:
    yield
    seeded_probe.seed(0)


@pytest.mark.usefixtures("unseeded")
@pytest.mark.parametrize("bug", (*ROLE_BUGS, *GROUP_BUGS[:2]))
def test_a_bug_seeded_in_the_judge_is_found(bug: str, tmp_path: Path) -> None:
    seeded_probe.seed(seeded_probe.bugs().index(bug) + 1)
    assert compare(1, 120, tmp_path, seeded_probe.PolicyImage)[0] is not None
