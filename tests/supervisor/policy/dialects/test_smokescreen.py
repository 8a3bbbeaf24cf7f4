"""Smokescreen ACL files: what they are read as, and what is wrong with one."""

from pathlib import Path
from typing import Final

import pytest

from supervisor.policy.dialects.groups import SMOKESCREEN
from supervisor.policy.loader import load_policy
from supervisor.policy.resources.model import Rules
from supervisor.source.problems import Place, Problems
from tests.support.front import without

SERVICE: Final = "version: v1\nservices:\n  - name: web\n    action: enforce\n"


def load(folder: Path, text: str) -> tuple[tuple[Rules, ...], Problems]:
    (folder / "acl.yaml").write_text(text)
    problems = Problems()
    path = str(folder / "acl.yaml")
    return load_policy((path,), (Place(path),), problems).rules, problems


def test_a_file_as_its_documentation_has_it(tmp_path: Path) -> None:
    text = """\
---
version: v1
services:
  - name: enforce-dummy-srv
    project: usersec
    action: enforce
    allowed_domains:
      - example1.com
      - "*.example2.com"
    allowed_external_proxies: []
    mitm_domains: []
  - name: report-dummy-srv
    project: security
    action: report
    allowed_domains: [example3.com]
  - {name: open-dummy-srv, project: automation, action: open}
default:
  project: security
  action: enforce
  allowed_domains: [default.example.com]
global_allow_list: ["*.good.example"]
global_deny_list: [bad.example]
"""
    rules, problems = load(tmp_path, text)
    assert not problems.errors
    assert not problems.warnings
    found = [(one.kind, one.name, one.tier, one.precedence, len(one.items), len(one.selectors)) for one in rules]
    assert found == [
        ("SmokescreenRole", "enforce-dummy-srv", "allow", 3, 2, 1),
        ("SmokescreenAction", "enforce-dummy-srv", "default_deny", 0, 1, 1),
        ("SmokescreenRole", "report-dummy-srv", "allow", 3, 1, 1),
        ("SmokescreenAction", "report-dummy-srv", "default_audit", 0, 1, 1),
        ("SmokescreenAction", "open-dummy-srv", "default_allow", 0, 1, 1),
        ("SmokescreenDefault", "allowed_domains", "allow", 3, 1, 1),
        ("SmokescreenDefault", "action", "default_deny", 0, 1, 1),
        ("SmokescreenGlobal", "global_deny_list", "deny", 2, 1, 4),
        ("SmokescreenGlobal", "global_allow_list", "allow", 1, 1, 4),
    ]
    assert {one.group for one in rules} == {SMOKESCREEN}
    assert [item.line for item in rules[0].items] == [8, 9]


def domains(*globs: str) -> str:
    return SERVICE + "    allowed_domains:\n" + "".join(f"      - {glob}\n" for glob in globs)


MISTAKES: Final[dict[str, tuple[str, list[str]]]] = {
    "another version": (
        "version: v2\nservices: []\n", ["acl.yaml:1:10: version: expected one of v1, found the text `v2`"],
    ),
    "no version": ("services: []\n", ["acl.yaml:1:1: `version` is missing (write version: v1)"]),
    "a key that is nearly right": (
        SERVICE.replace("action", "acton"),
        [
            "acl.yaml:4:5: unknown key `acton` (did you mean `action`?)",
            "acl.yaml:3:5: `action` is missing (write action: open, report, enforce)",
        ],
    ),
    "an action that is nearly right": (
        SERVICE.replace("enforce", "enforced"),
        [
            "acl.yaml:4:13: action: expected one of open, report, enforce, found the text `enforced`"
            " (did you mean `enforce`?)"
        ],
    ),
    "no name": (
        SERVICE.replace("name: web", "project: web"),
        ["acl.yaml:3:5: `name` is missing (write name: and the role it is for)"],
    ),
    "a name twice": (
        SERVICE + "  - {name: web, action: open}\n",
        ["acl.yaml:5:5: duplicate service `web` (it is first listed in line 3)"],
    ),
    "everything": (
        domains('"*"'),
        ["acl.yaml:6:9: `*` would match everything (write action: open where that is meant)"],
    ),
    "a wildcard inside a label": (
        domains('"*example.com"'),
        [
            "acl.yaml:6:9: `*example.com`: a wildcard stands for whole labels"
            " (write \"*.example.com\" for every name below it)"
        ],
    ),
    "a wildcard in the middle": (
        domains('"a.*.com"', '"*.*.com"'),
        [
            "acl.yaml:6:9: `a.*.com`: a wildcard stands at the beginning alone",
            "acl.yaml:7:9: `*.*.com`: a wildcard stands at the beginning alone",
        ],
    ),
    "not canonical": (
        domains("Example.com", "bücher.example"),
        [
            "acl.yaml:6:9: `Example.com` is not in its canonical form (write example.com)",
            "acl.yaml:7:9: `b\\xc3\\xbccher.example` is not in its canonical form (write xn--bcher-kva.example)",
        ],
    ),
    "an address": (
        domains("192.0.2.1", '"2001:db8::1"'),
        [
            "acl.yaml:6:9: `192.0.2.1`: an address is not supported in a list of domains"
            " (write a ClusterEgressPolicy with cidr: for it)",
            "acl.yaml:7:9: `2001:db8::1`: an address is not supported in a list of domains"
            " (write a ClusterEgressPolicy with cidr: for it)",
        ],
    ),
    "interception": (
        SERVICE + "    mitm_domains: [{domain: a.example}]\n",
        [
            "acl.yaml:5:19: mitm_domains: TLS is never intercepted: mitm_domains is not supported"
            " (TLS is passed through; remove mitm_domains)"
        ],
    ),
    "proxies that clients choose": (
        SERVICE + "    allowed_external_proxies: [proxy.example]\n",
        [
            "acl.yaml:5:31: allowed_external_proxies: a client cannot choose its proxy: allowed_external_proxies is"
            " not supported (route by `upstream` of an EgressPolicy)"
        ],
    ),
    "a list that is a text": (
        SERVICE + "global_deny_list: bad.example\n",
        [
            "acl.yaml:5:19: global_deny_list: expected a list, found the text `bad.example` (put [ ] around it)",
        ],
    ),
    "services that are a text": ("version: v1\nservices: web\n", [
        "acl.yaml:2:11: services: expected a list, found the text `web` (put [ ] around it)",
    ]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "wrong"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, wrong: list[str]) -> None:
    _, problems = load(tmp_path, text)
    assert without(tmp_path, map(str, problems.errors)) == wrong


def test_what_has_no_effect_is_warned_of(tmp_path: Path) -> None:
    text = "version: v1\nservices: []\nglobal_deny_list: [bad.example]\n"
    _, problems = load(tmp_path, text)
    words = "acl.yaml:1:1: global_deny_list holds for no role: there are no services and no default"
    assert without(tmp_path, map(str, problems.warnings)) == [words]
    _, problems = load(tmp_path, domains("a.example", "a.example"))
    words = "acl.yaml:7:9: duplicate domain `a.example` (it is first listed in line 6)"
    assert without(tmp_path, map(str, problems.warnings)) == [words]
