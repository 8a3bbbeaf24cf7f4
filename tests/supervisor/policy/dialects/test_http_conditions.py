"""`http`, `access` and `headers` of EgressPolicies: what is read, what is refused, and what they come to."""

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.policy.image import PolicyImage
from supervisor.generation.compile import compile_config
from supervisor.policy.explanation import explain, read_question

HOST: dict[str, Any] = {"host": "api.example.com", "ports": [80]}


def write(folder: Path, to: list[dict[str, Any]], **spec: Any) -> None:
    body = {"action": "Allow", "to": to, **spec}
    manifest = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ClusterEgressPolicy",
        "metadata": {"name": "p"},
        "spec": body,
    }
    (folder / "policy.yaml").write_text(yaml.safe_dump(manifest, default_flow_style=False, sort_keys=False))
    (folder / "sluice.yaml").write_text("policy: {paths: [policy.yaml]}\n")


def problems(folder: Path, to: list[dict[str, Any]], **spec: Any) -> tuple[list[str], list[str]]:
    """The texts of errors and of warnings."""
    write(folder, to, **spec)
    report, image = compile_config(str(folder / "sluice.yaml"))
    if image is not None:
        os.close(image)
    return [each.message for each in report.problems], [each.message for each in report.warnings]


def decision(folder: Path, to: str = "api.example.com:80", **request: Any) -> dict[str, Any]:
    report, image = compile_config(str(folder / "sluice.yaml"))
    assert image is not None and report.config is not None, report.problems
    try:
        with contextlib.closing(PolicyImage.from_fd(image)) as opened:
            return explain(opened, report.config, read_question({"to": to, **request}))
    finally:
        os.close(image)


def test_items_are_alternatives_and_hold_with_access(tmp_path: Path) -> None:
    http = [
        {"methods": ["GET", "POST"], "paths": ["/v1/*"], "headers": {"x-team": "shop"}},
        {"paths": ["/health"]},
    ]
    write(tmp_path, [{**HOST, "access": "read-only", "http": http}])
    asked = {"path": "/v1/items", "header": "X-Team: shop"}
    assert decision(tmp_path, **asked)["verdict"] == "allow"
    assert decision(tmp_path, **asked | {"path": "/v1"})["verdict"] == "allow"
    assert decision(tmp_path, **asked | {"path": "/v1x"})["verdict"] == "deny"
    assert decision(tmp_path, **asked, method="POST")["verdict"] == "deny"  # not read-only
    assert decision(tmp_path, **asked | {"header": "x-team: pay"})["verdict"] == "deny"
    assert decision(tmp_path, path="/health", method="HEAD")["verdict"] == "allow"
    assert decision(tmp_path, path="/health/x")["verdict"] == "deny"
    tunnel = decision(tmp_path)
    assert (tunnel["verdict"], tunnel["reason"], tunnel["unknown"]) == (
        "deny",
        "needs_http",
        ["request"],
    )
    assert decision(tmp_path, protocol="https")["unknown"] == []


def test_a_deny_holds_where_nothing_of_a_request_is_known(tmp_path: Path) -> None:
    write(tmp_path, [{**HOST, "http": [{"paths": ["/admin/*"]}]}], action="Deny")
    assert (decision(tmp_path)["reason"], decision(tmp_path, path="/x")["reason"]) == ("needs_http", "no_rule")
    assert decision(tmp_path, path="/%61dmin/x")["reason"] == "rule_deny"


def test_changed_headers_need_a_request(tmp_path: Path) -> None:
    write(tmp_path, [HOST], headers={"set": {"X-Team": "shop"}, "remove": ["Cookie"], "keep": ["Forwarded"]})
    assert decision(tmp_path)["reason"] == "needs_http"
    assert decision(tmp_path, method="GET")["verdict"] == "allow"


@pytest.mark.parametrize("spec", [{"headers": {"remove": ["cookie"]}}, {"to": [{**HOST, "access": "read-only"}]}])
def test_nothing_is_said_of_what_is_done_to_requests(spec: dict[str, Any], tmp_path: Path) -> None:
    to = spec.pop("to", [HOST])
    assert problems(tmp_path, to, **spec) == ([], [])


def test_changes_of_headers_are_an_attribute_of_requests(tmp_path: Path) -> None:
    changes = {"set": {"X-Team": "shop"}, "remove": ["Cookie"], "keep": ["Forwarded"]}
    write(tmp_path, [{**HOST, "access": "read-only"}, {"host": "b.test"}], headers=changes)
    found = decision(tmp_path, method="GET")["attributes"]["headers"]
    assert found["value"] == {
        "set": [["x-team", "shop"]],
        "remove": ["cookie"],
        "keep": ["forwarded"],
        "read_only": True,
    }
    assert found["rule"]["name"] == "p" and "headers" not in decision(tmp_path)["attributes"]
    assert decision(tmp_path, method="PUT")["verdict"] == "deny"


def test_it_is_said_which_flows_a_denial_closes(tmp_path: Path) -> None:
    to = [{**HOST, "http": [{"methods": ["PUT"]}]}, {"host": "open.test"}]
    to += [{"host": f"{name}.test", "http": [{"methods": ["PUT"]}]} for name in "bcde"]
    errors, warnings = problems(tmp_path, to, action="Deny")
    assert errors == []
    assert warnings == [
        "ClusterEgressPolicy p closes every flow to api.example.com, b.test, c.test and 2 more whose requests are"
        " not seen: needs_http"
    ]
    assert problems(tmp_path, [HOST], action="Deny") == ([], [])


@pytest.mark.parametrize(
    ("http", "words"),
    [
        ([], "the list is empty: it matches no request"),
        ([{}], "an empty item in `http`"),
        ([{"path": ["/"]}], "unknown key `path`"),
        ([{"paths": []}], "the list is empty: it matches no request"),
        ([{"paths": ["v1"]}], "expected a path such as /v1/*"),
        ([{"paths": ["/v1*"]}], "a star stands at the end alone"),
        ([{"paths": ["/*/a"]}], "a star stands at the end alone"),
        ([{"paths": ["/a?b"]}], "`/a?b` has a query"),
        ([{"paths": ["/a/../b"]}], "`/a/../b` is not a path: a path has no segment . or .."),
        ([{"paths": ["/a//b"]}], "`/a//b` is never matched"),
        ([{"paths": ["/" + "a" * 1024]}], "a path of more than 1024 characters"),
        ([{"paths": ["/a", "/a"]}], "duplicate item `/a`"),
        ([{"methods": ["get"]}], "`get` is not a method"),
        ([{"methods": ["GET", "GET"]}], "duplicate item `GET`"),
        ([{"headers": {}}], "no header is named"),
        ([{"headers": {"x team": "a"}}], "`x team` is not the name of a header"),
        ([{"headers": {"x-team": " a"}}], "` a` is not the value of a header"),
        ([{"headers": {"x-team": "a", "X-Team": "b"}}], "duplicate header `X-Team`"),
        ([{"methods": ["GET"]}, {"methods": ["GET"]}], "duplicate item: the same requests twice"),
    ],
)
def test_mistakes_in_http(http: Any, words: str, tmp_path: Path) -> None:
    errors, _ = problems(tmp_path, [{**HOST, "http": http}])
    assert any(words in error for error in errors), errors


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "`headers` changes nothing"),
        ({"add": {}}, "unknown key `add`"),
        ({"set": {"Host": "a"}}, "Host frames the message"),
        ({"set": {"Proxy-Connection": "a"}}, "Proxy-Connection frames the message"),
        ({"remove": ["Content-Length"]}, "Content-Length frames the message"),
        ({"set": {"x-a": "1"}, "remove": ["X-A"]}, "is in `set` already"),
        ({"set": {"Authorization": "Bearer ${credential:stripe}"}}, "there is no credential `stripe`"),
        ({"set": {"Authorization": "Bearer ${CREDENTIAL:stripe}"}}, "`${` begins a credential, and none follows"),
        ({"set": {"x-a": "a\nb"}}, "is not the value of a header"),
    ],
)
def test_mistakes_in_headers(headers: Any, words: str, tmp_path: Path) -> None:
    errors, _ = problems(tmp_path, [HOST], headers=headers)
    assert any(words in error for error in errors), errors
