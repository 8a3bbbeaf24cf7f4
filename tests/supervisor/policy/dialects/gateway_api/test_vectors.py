"""tests/vectors/gateway-api: manifests, questions and the rule that decides; by the rules and by the documentation."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.supervisor.policy.dialects.gateway_api.deciding import Question, Request, decide, passes
from tests.supervisor.policy.dialects.gateway_api.documented import Documented, Found
from tests.supervisor.policy.dialects.gateway_api.loading import LISTENERS, found_by, lines, load

FOLDER: Final = Path(__file__).resolve().parents[4] / "vectors" / "gateway-api"
FILES: Final = sorted(FOLDER.glob("*.yaml"))
SHOWN: Final = {"tunnel": "http", "TLS": "tls", "bytes": "other"}


def question_of(one: dict[str, Any]) -> Question:
    """`METHOD HOST/PATH`, or `tunnel HOST` (HTTP that is not seen), `TLS HOST`, `bytes HOST`."""
    word, _, target = one["ask"].partition(" ")
    host, slash, path = target.partition("/")
    request: Request | None = None
    if word not in SHOWN:
        path, _, query = path.partition("?")
        queries = dict(part.split("=") for part in query.split("&") if part)
        request = Request(word, slash + path, one.get("headers", {}), queries)
    return Question(one.get("listener", "default"), one.get("from", "infra"), host, SHOWN.get(word, "http"), request)


def test_there_are_vectors() -> None:
    assert len(FILES) >= 8


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_vectors(tmp_path: Path, file: Path) -> None:
    vector = yaml.safe_load(file.read_text())
    text = vector["manifests"]
    policy, problems = load(tmp_path, text)
    assert problems.errors == [], lines(tmp_path, problems)
    documented = Documented(list(yaml.safe_load_all(text)), dict(LISTENERS), "egress/sluice")
    rule_of = found_by(text)
    routes = {rules.name for rules in policy.rules}
    for one in vector["questions"]:
        asked = question_of(one)
        answer = decide(policy.rules, asked)
        found: Found | None = None
        if answer is not None and not answer.rules.no_route:
            rules = answer.rules
            found = Found(*rule_of(rules.kind, rules.namespace, rules.name, answer.item.line), passes(answer))
        if asked.request is not None and found is None:
            assert (answer is not None) == documented.has_routes(asked), (one, answer)
        said: Any = "none" if found is None else found.rule + 1
        assert said == one["rule"], (one, found)
        if found is not None:
            assert found.name == one.get("route", *routes if len(routes) == 1 else [found.name]), (one, found)
            assert found.passes == one.get("passes", found.passes), (one, found)
        assert documented.decide(asked) == found, one
    statuses = {f"{one.title} {one.type}={one.status} {one.reason}" for one in policy.statuses}
    missing = [one for one in vector.get("statuses", []) if one not in statuses]
    assert not missing, (missing, sorted(statuses))
