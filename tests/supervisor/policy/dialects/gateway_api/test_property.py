"""Random worlds: the rules that routes come to decide as the documentation of Gateway API does, and so does the image
that is compiled of them, tunnels and requests alike, whatever shows inside."""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

import tests.support.seeded_probe as seeded_probe
from gateway.policy.image import PolicyImage
from gateway.policy.target import HttpRequest
from supervisor.config.config import Config, Listener
from supervisor.policy.compiler import build_image
from supervisor.policy.loader import Policy
from supervisor.policy.resources.model import Rules
from supervisor.source.problems import Problems
from tests.supervisor.policy.compared import check_seeds
from tests.supervisor.policy.dialects.gateway_api.deciding import Question, decide, passes
from tests.supervisor.policy.dialects.gateway_api.documented import KEYS, Documented, Found
from tests.supervisor.policy.dialects.gateway_api.drawing import LISTENERS, OWN, question, world
from tests.supervisor.policy.dialects.gateway_api.loading import found_by, load

QUESTIONS: Final = 100  # a world
COVERED: Final = (
    *(f"tie-break {part}" for part in KEYS),
    *("none", "passes", "stays", "kinds of one host"),
    *("asked http", "asked tls", "asked other", "asked request", "asked nothing shows", "turned by what shows"),
)
SHOWS: Final = {"http": "http", "tls": "tls", "other": "none", "": None}
BUGS: Final = ("a rule is for every protocol",)  # of the judge (csrc/policy/seed.h)
Difference = tuple[str, Question, object, object]
RuleOf = Callable[[str, str, str, int], tuple[str, str, str, int]]
Answer = tuple[str, str, str, int, bool]
NO_ROUTE: Final[Answer] = ("", "", "", 0, False)


def route_of(rules: Rules) -> tuple[str, str, str]:
    return rules.kind, rules.namespace, rules.name


def over_protocols(answer: Callable[[Question], Found | None], asked: Question) -> Found | None:
    """While nothing shows a tunnel passes as it would with the first protocol that passes. Without one it is denied at
    once, by whatever rule."""
    if asked.request is not None:
        return answer(asked)
    options = [answer(asked._replace(protocol=protocol)) for protocol in ("http", "tls", "other")]
    found = [one for one in options if one is not None]
    passing = [one for one in found if one.passes]
    if passing and asked.protocol:
        return answer(asked)
    return passing[0] if passing else found[0] if found else None


def agree(asked: Question, expected: Found | None, decided: Found | None) -> bool:
    if asked.request is None and not any(one is not None and one.passes for one in (expected, decided)):
        return True
    return expected == decided


def image_of(policy: Policy, kind: type[PolicyImage] = PolicyImage) -> PolicyImage:
    listeners = tuple(Listener(name=name, port=port) for name, port in LISTENERS.items())
    problems = Problems()
    built = build_image(Config(path="sluice.yaml", control="ipc://control", listeners=listeners), (), policy, problems)
    assert built is not None, str(problems)
    try:
        return kind.from_fd(built.descriptor, validate=True)
    finally:
        os.close(built.descriptor)


def explained(image: PolicyImage, asked: Question) -> dict[str, Any]:
    namespace = asked.namespace or None
    account = "x" if namespace else None
    request: HttpRequest | None = None
    if (one := asked.request) is not None:
        query = "&".join(f"{name}={value}" for name, value in one.queries.items()) or None
        request = HttpRequest(one.method, one.path, query, tuple(one.fields.items()))
    who = {"namespace": namespace, "service_account": account}
    shows = SHOWS[asked.protocol] if request is None else None
    where = {"host": asked.host, "port": 443}
    found: dict[str, Any] = image.explain(listener=asked.listener, request=request, shows=shows, **where, **who)
    if request is not None and found["reason"] == "needs_address":  # routes for every host are for every address
        where |= {"address": "1.1.1.1"}
        found = image.explain(listener=asked.listener, request=request, shows=shows, **where, **who)
    return found


def answer_of(image: PolicyImage, asked: Question) -> Answer | None:
    """Kind, namespace, name and line of the rule, and whether it passes. Where it has a route, that is the rule's.
    NO_ROUTE: no route of the host matches."""
    found = explained(image, asked)
    rule = found["rule"]
    if rule is None or found["reason"] == "inner_protocol_mismatch":
        assert found["verdict"] == "deny"
        return None
    if asked.request is not None and rule["kind"] == "TLSRoute":  # alone on its listener it is not asked what shows
        assert found["verdict"] == "deny"
        return None
    if found["reason"] == "no_route":
        return NO_ROUTE
    usable = True
    if (said := found["attributes"].get("route")) is not None:
        route = said["value"]
        assert route["route"] == f"{rule['kind']}/{rule['namespace']}/{rule['name']}" and said["rule"] == rule
        backends = route["backends"]
        usable = not backends or any(one["weight"] and one["backend"]["kind"] != "invalid" for one in backends)
    assert said is not None or found["verdict"] == "deny" or rule["kind"] in ("TLSRoute", "TCPRoute")
    return rule["kind"], rule["namespace"], rule["name"], rule["line"], found["verdict"] == "allow" and usable


def by_rules(policy: Policy, asked: Question) -> Answer | None:
    """The same, of a slow reading of the rules."""
    answer = decide(policy.rules, asked)
    if answer is None:
        return None
    if answer.rules.no_route:
        return NO_ROUTE
    return *route_of(answer.rules), answer.item.line, passes(answer)


def compare(
    seed: int, worlds: int, folder: Path, kind: type[PolicyImage] | None = PolicyImage
) -> tuple[Difference | None, Counter[str]]:
    """The first difference, or None, and what was hit. `kind`: of the images that are asked; None: rules are."""
    draw = Random(seed)
    hits: Counter[str] = Counter()
    for _ in range(worlds):
        manifests = world(draw)
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}, indent=0)
        policy, problems = load(folder, text, listeners=tuple(LISTENERS.items()))
        assert problems.errors == [], str(problems)
        documented, rule_of = Documented(manifests, LISTENERS, OWN), found_by(text)
        image = image_of(policy, kind) if kind else None

        def named(answer: Answer | None, rule_of: RuleOf = rule_of) -> Found | None:
            return Found(*rule_of(*answer[:4]), answer[4]) if answer not in (None, NO_ROUTE) else None

        def ruled(asked: Question, policy: Policy = policy) -> Found | None:
            return named(by_rules(policy, asked))

        for _ in range(QUESTIONS):
            asked = question(draw)
            if asked.request is None and draw.random() < 0.3:
                asked = asked._replace(protocol="")
            expected = over_protocols(documented.decide, asked)
            decided = over_protocols(ruled, asked) if image is None else named(answer_of(image, asked))
            if asked.request is not None and expected is None:
                said = by_rules(policy, asked) if image is None else answer_of(image, asked)
                if said != (NO_ROUTE if documented.has_routes(asked) else None):
                    return (text, asked, "no route", said), hits + documented.hits
            if not agree(asked, expected, decided):
                return (text, asked, expected, decided), hits + documented.hits
            hits["none" if expected is None else "passes" if expected.passes else "stays"] += 1
            hits["asked " + ("request" if asked.request else asked.protocol or "nothing shows")] += 1
            if image is not None and asked.request is None and asked.protocol:
                before = named(answer_of(image, asked._replace(protocol="")))
                hits["turned by what shows"] += before is not None and decided is not None and before != decided
        hits += documented.hits
    return None, hits


def check(seeds: range, worlds: int, least: int, folder: Path, kind: type[PolicyImage] | None = PolicyImage) -> None:
    covered = COVERED if kind else COVERED[:-1]
    check_seeds(seeds, lambda seed: compare(seed, worlds, folder, kind), covered, least)


def test_the_rules_decide_as_documented(tmp_path: Path) -> None:
    check(range(1), worlds=200, least=10, folder=tmp_path, kind=None)


def test_the_image_decides_as_documented(tmp_path: Path) -> None:
    check(range(1, 2), worlds=200, least=10, folder=tmp_path)


@pytest.mark.full
@pytest.mark.timeout(4800)
def test_the_image_decides_as_documented_at_length(tmp_path: Path) -> None:
    check(range(2, 12), worlds=1000, least=1000, folder=tmp_path)


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_seeded_in_the_judge_is_found(bug: str, tmp_path: Path) -> None:
    seeded_probe.seed(seeded_probe.bugs().index(bug) + 1)
    try:
        assert compare(1, 60, tmp_path, seeded_probe.PolicyImage)[0] is not None
    finally:
        seeded_probe.seed(0)
