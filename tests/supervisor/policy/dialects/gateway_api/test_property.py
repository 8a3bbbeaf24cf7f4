"""Random worlds: the rules that routes come to decide as the documentation of Gateway API does, and so does the image
that is compiled of them, tunnels and requests alike."""

import json
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from gateway.policy.image import PolicyImage
from gateway.policy.target import HttpRequest
from supervisor.config.config import Config, Listener
from supervisor.policy.compiler import build_image
from supervisor.policy.loader import Policy
from supervisor.policy.resources.model import Rules
from supervisor.source.problems import Problems
from tests.supervisor.policy.dialects.gateway_api.deciding import Question, decide
from tests.supervisor.policy.dialects.gateway_api.documented import Documented, Found
from tests.supervisor.policy.dialects.gateway_api.drawing import LISTENERS, OWN, question, world
from tests.supervisor.policy.dialects.gateway_api.loading import found_by, load

QUESTIONS = int(os.environ.get("SLUICE_QUESTIONS", "20000"))
EACH = 100  # of one world


def route_of(rules: Rules) -> tuple[str, str, str]:
    return rules.kind, rules.namespace, rules.name


@pytest.mark.parametrize("seed", range(4))
def test_the_rules_decide_as_documented(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    counted: Counter[str] = Counter()
    for _ in range(QUESTIONS // EACH // 4):
        manifests = world(draw)
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}, indent=0)
        policy, problems = load(tmp_path, text, listeners=tuple(LISTENERS.items()))
        assert problems.errors == [], str(problems)
        documented = Documented(manifests, LISTENERS, OWN)
        rule_of = found_by(text)
        for _ in range(EACH):
            asked = question(draw)
            expected, answer = documented.decide(asked), decide(policy.rules, asked)
            decided: Found | None = None
            if answer is not None:
                decided = Found(*rule_of(*route_of(answer.rules), answer.item.line), answer.rules.tier == "allow")
            assert decided == expected, (asked, text)
            counted["none" if expected is None else "passes" if expected.passes else "stays"] += 1
    assert min(counted[name] for name in ("none", "passes", "stays")) * 20 > sum(counted.values()), counted


def image_of(policy: Policy) -> PolicyImage:
    listeners = tuple(Listener(name=name, port=port) for name, port in LISTENERS.items())
    problems = Problems()
    built = build_image(Config(path="sluice.yaml", control="ipc://control", listeners=listeners), (), policy, problems)
    assert built is not None, str(problems)
    try:
        return PolicyImage.from_fd(built.descriptor, validate=True)
    finally:
        os.close(built.descriptor)


def answer_of(image: PolicyImage, asked: Question) -> tuple[str, str, str, int, bool] | None:
    """Kind, namespace, name and line of the rule, and whether it passes; nothing has shown inside yet."""
    namespace = asked.namespace or None
    account = "x" if namespace else None
    request: HttpRequest | None = None
    if (one := asked.request) is not None:
        query = "&".join(f"{name}={value}" for name, value in one.queries.items()) or None
        request = HttpRequest(one.method, one.path, query, tuple(one.fields.items()))
    who = {"namespace": namespace, "service_account": account}
    found = image.explain(host=asked.host, port=443, listener=asked.listener, request=request, **who)
    rule = found["rule"]
    if rule is None:
        assert found["verdict"] == "deny"
        return None
    return rule["kind"], rule["namespace"], rule["name"], rule["line"], found["verdict"] == "allow"


@pytest.mark.parametrize("seed", range(4))
def test_the_image_decides_as_documented(tmp_path: Path, seed: int) -> None:
    draw = random.Random(1000 + seed)
    counted: Counter[str] = Counter()
    for _ in range(QUESTIONS // EACH // 4):
        manifests = world(draw)
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}, indent=0)
        policy, problems = load(tmp_path, text, listeners=tuple(LISTENERS.items()))
        assert problems.errors == [], str(problems)
        documented, image = Documented(manifests, LISTENERS, OWN), image_of(policy)
        rule_of = found_by(text)
        for _ in range(EACH):
            asked = question(draw)._replace(protocol="")
            expected, answer = documented.decide(asked), answer_of(image, asked)
            decided = Found(*rule_of(*answer[:4]), answer[4]) if answer is not None else None
            assert decided == expected, (asked, text)
            counted["none" if expected is None else "passes" if expected.passes else "stays"] += 1
    assert min(counted[name] for name in ("none", "passes", "stays")) * 20 > sum(counted.values()), counted
