"""Conditions on requests, from the model to the answer: the examples of the policy model, and what a path may be."""

import os
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from gateway.policy.image import PolicyImage
from gateway.policy.target import HttpRequest
from supervisor.config.config import Config
from supervisor.policy.compiler import build_image
from supervisor.policy.loader import Policy
from supervisor.policy.resources.conditions import AllOf, AnyOf, Condition, Field, Method, Query
from supervisor.policy.resources.conditions import Path as RequestPath
from supervisor.policy.resources.model import Destination, Item, Rules, Selector, Text
from supervisor.source.problems import Problems

VECTORS: Final = yaml.safe_load((Path(__file__).parents[2] / "vectors/requests.yaml").read_text())


def text(value: str) -> Text:
    return Text(value, 7, 9)


def condition(said: dict[str, Any]) -> Condition:
    word, value = next(iter(said.items()))
    if word == "any":
        return AnyOf(tuple(map(condition, value)))
    if word == "method":
        return Method(value)
    if word == "query":
        return Query(value[0], "regex" if said.get("regex") else "exact", text(value[1]))
    assert word == "search", word
    return RequestPath("search", text(value))


def rules_of(number: int, said: dict[str, Any]) -> Rules:
    path = RequestPath(said["path"][0], text(said["path"][1])) if "path" in said else None
    fields = [Field(name, "exact", text(value)) for name, value in said.get("headers", {}).items()]
    wanted = (*fields, *([condition(said["when"])] if "when" in said else []))
    when = AllOf(wanted) if wanted else None
    items = tuple(
        Item(index, 1, 1, Destination(host=text(to)), path, when, said.get("ahead", 0))
        for index, to in enumerate(said["to"])
    )
    return Rules(
        kind="P",
        namespace="",
        name=said["name"],
        file="p.yaml",
        tier=said.get("tier", "allow"),
        selectors=(Selector(),),
        items=items,
        created=number,
        group=said.get("group", 0),
        by_order=said.get("by_order", False),
    )


def image_of(rules: list[dict[str, Any]], problems: Problems) -> PolicyImage | None:
    found = tuple(rules_of(number, each) for number, each in enumerate(rules))
    policy = Policy(rules=found, files=1, resources=len(found), roots=())
    built = build_image(Config(path="sluice.yaml", control="ipc://control"), (), policy, problems)
    if built is None:
        return None
    try:
        return PolicyImage.from_fd(built.descriptor, validate=True)
    finally:
        os.close(built.descriptor)


def said(image: PolicyImage, asked: dict[str, Any]) -> str:
    request = None
    if "get" in asked:
        path, mark, query = asked["get"].partition("?")
        fields = tuple(asked.get("headers", {}).items())
        request = HttpRequest(asked.get("method", "GET"), path, query if mark else None, fields)
    answers = [image.explain(host=asked["to"], port=80, request=request, every=every) for every in (True, False)]
    assert answers[0] | {"trail": []} == answers[1]
    answer = answers[0]
    rule = answer["rule"]["name"] if answer["rule"] else ""
    return rule if answer["verdict"] == "allow" else f"deny {answer['reason']} {rule}".strip()


@pytest.mark.parametrize("vector", VECTORS, ids=[each["title"] for each in VECTORS])
def test_vectors(vector: dict[str, Any]) -> None:
    problems = Problems()
    image = image_of(vector["rules"], problems)
    assert image is not None, problems
    assert [said(image, each) for each in vector["ask"]] == [each["says"] for each in vector["ask"]]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"path": ["exact", "/a/../b"]}, "`/a/../b` is not a path: a path has no segment . or .."),
        ({"path": ["prefix", "a"]}, "`a` is not a path: a path begins with a slash"),
        ({"path": ["exact", "/a//b"]}, "`/a//b` is never matched: no request with such a path passes"),
        ({"path": ["regex", "(a|b)*a(a|b){20}"]}, "the regular expression"),
        ({"path": ["regex", "(?=a)"]}, "the regular expression"),
    ],
)
def test_mistakes_are_reported_where_they_are_written(rule: dict[str, Any], words: str) -> None:
    problems = Problems()
    assert image_of([{"name": "p", "to": ["a.test"], **rule}], problems) is None
    (found,) = problems.errors
    assert (found.line, found.column) == (7, 9)
    assert words in found.message


def test_the_trail_says_what_is_not_met() -> None:
    rules = [
        {"name": "one", "to": ["a.test"], "path": ["prefix", "/v1"], "when": {"method": "PUT"}},
        {"name": "two", "to": ["a.test"], "path": ["regex", "/v[0-9]"], "headers": {"x-team": "shop"}},
    ]
    image = image_of(rules, Problems())
    assert image is not None
    answer = image.explain(host="a.test", port=80, request=HttpRequest("GET", "/v2"))
    assert sorted(((step["rule"]["name"], step["wants"]) for step in answer["trail"] if step["rule"]), key=str) == [
        ("one", [{"of": "path /v1 and below it", "met": False}, {"of": "method PUT", "met": False}]),
        ("two", [{"of": "path like /v[0-9]", "met": True}, {"of": "header x-team: shop", "met": False}]),
    ]
    tunnel = image.explain(host="a.test", port=80)
    assert {want["met"] for step in tunnel["trail"] if step["rule"] for want in step["wants"]} == {None}
