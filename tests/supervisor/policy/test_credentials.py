"""Rules that set credentials: which ones sluice.yaml lets them set, and where a mistake is said to stand."""

import os
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from supervisor.generation.compilation import Report
from supervisor.generation.compile import compile_all

VALUE: Final = "sk_live_abc"
CREDENTIALS: Final = [
    {"name": "stripe", "file": "token", "hosts": ["api.stripe.com"], "namespaces": ["shop"]},
    {"name": "mesh", "file": "token", "hosts": ["*.example.com", "b.test"]},
]


def rule(reference: str = "${credential:stripe}", namespace: str | None = "shop", **spec: Any) -> dict[str, Any]:
    changes = {"set": {"Authorization": f"Bearer {reference}"}}
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "EgressPolicy" if namespace else "ClusterEgressPolicy",
        "metadata": {"name": "pays", **({"namespace": namespace} if namespace else {})},
        "spec": {"action": "Allow", "to": [{"host": "api.stripe.com"}], "headers": changes, **spec},
    }


def compiled(folder: Path, *rules: dict[str, Any], as_cluster: bool = False, **config: Any) -> Report:
    (folder / "token").write_text(VALUE)
    (folder / "policy.yaml").write_text(yaml.safe_dump_all(rules, sort_keys=False))
    config = {"policy": {"paths": ["policy.yaml"]}, "credentials": CREDENTIALS, **config}
    (folder / "sluice.yaml").write_text(yaml.safe_dump(config))
    report, *files = compile_all(str(folder / "sluice.yaml"), as_cluster=as_cluster, statuses=True)
    for descriptor in files:
        if descriptor is not None:
            assert VALUE.encode() not in os.pread(descriptor, 1 << 24, 0), "an image has names alone"
            os.close(descriptor)
    return report


MESH: Final = "${credential:mesh}"


@pytest.mark.parametrize(
    "good",
    [
        rule(),
        rule("${credential:stripe}", None, **{"from": [{"namespace": "shop"}]}),
        rule("${credential:stripe}", None, **{"from": [{"namespace": "shop", "serviceAccount": "cart"}]}),
        rule(MESH, None, to=[{"host": "*.example.com"}, {"host": "a.b.example.com", "access": "read-only"}]),
        rule(MESH, "any", to=[{"host": "b.test"}], **{"from": [{"user": "bot"}]}),
        rule(f"{MESH} and {MESH}", to=[{"host": "b.test"}]),
        rule("${credential:none}", action="Deny"),
    ],
)
def test_what_sluice_yaml_lets_a_rule_set(tmp_path: Path, good: dict[str, Any]) -> None:
    assert compiled(tmp_path, good).problems == ()


@pytest.mark.parametrize(
    ("bad", "line", "words", "hint"),
    [
        (rule("${credential:strpe}"), 11, "there is no credential `strpe`", "did you mean `stripe`"),
        (rule("${credential:x}"), 11, "there is no credential `x`", "`credentials` in sluice.yaml names them"),
        (rule("${credential:}"), 11, "`` is not the name of a credential", "write ${credential:NAME}"),
        (rule("${secret:stripe}"), 11, "`${` begins a credential, and none follows", "write ${credential:NAME}"),
        (rule("${credential:stripe"), 11, "`${` begins a credential, and none follows", ""),
        (rule(namespace="pay"), 11, "`stripe` is not for sources of the namespace pay", "sluice.yaml gives it to shop"),
        (rule(namespace=None), 10, "`stripe` is not for sources of every namespace", ""),
        (
            rule("${credential:stripe}", None, **{"from": [{"namespace": "shop"}, {"user": "bot"}]}),
            *(10, "`stripe` is not for sources of every namespace", ""),
        ),
        (
            rule("${credential:stripe}", None, **{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}),
            *(10, "`stripe` is not for sources of every namespace", ""),
        ),
        (
            rule(to=[{"host": "api.stripe.com"}, {"host": "evil.test"}]),
            *(9, "`evil.test` is not among the hosts of the credential `stripe`", "in sluice.yaml are api.stripe.com"),
        ),
        (rule(MESH, to=[{"host": "*"}]), 8, "`*` is not among the hosts of the credential `mesh`", ""),
        (rule(MESH, to=[{"host": "*.test"}]), 8, "`*.test` is not among the hosts", ""),
        (rule(MESH, to=[{"cidr": "8.8.8.8/32"}]), 8, "cidr 8.8.8.8/32 has no name that the credential", ""),
    ],
)
def test_what_it_does_not_let_a_rule_set(tmp_path: Path, bad: dict[str, Any], line: int, words: str, hint: str) -> None:
    (problem,) = compiled(tmp_path, bad).problems
    assert words in problem.message and hint in problem.suggestion, problem
    assert (problem.file, problem.line > 0, problem.column > 0) == (str(tmp_path / "policy.yaml"), True, True)


def test_a_list_of_hosts_is_looked_through(tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text(
        "A.example.com # one\n\n*.b.example.com\nb.test.\nsecret-name.test\nevil.test\n"
    )
    (problem,) = compiled(tmp_path, rule(MESH, to=[{"hostsFrom": "hosts.txt"}])).problems
    assert (problem.file, problem.line) == (str(tmp_path / "hosts.txt"), 5)
    assert "secret-name" not in problem.message
    (tmp_path / "hosts.txt").write_text("*.example.com\nB.test.\n")
    assert compiled(tmp_path, rule(MESH, to=[{"hostsFrom": "hosts.txt"}])).problems == ()


def test_objects_of_a_cluster_need_a_grant(tmp_path: Path) -> None:
    other = {
        **rule("${credential:mesh}", "pay", to=[{"host": "b.test"}]),
        "metadata": {"name": "b", "namespace": "pay"},
    }
    mesh = rule(MESH, None, to=[{"host": "b.test"}])
    grants = [{"namespaces": ["shop"], "credentials": ["stripe"]}]
    report = compiled(tmp_path, rule(), other, mesh, as_cluster=True, grants=grants)
    (refused,) = report.refused
    assert "credential `mesh` is not granted to objects of the namespace pay" in refused.message
    assert "grants[].credentials in sluice.yaml grants it" in refused.suggestion
    assert {one.name: one.reason for one in report.statuses if not one.status} == {"b": "NotGranted"}
    (problem,) = compiled(tmp_path, grants=[{"namespaces": ["shop"], "credentials": ["strpe"]}]).problems
    assert "one of `credentials`: stripe, mesh" in problem.message
    bad = rule("${credential:none}")
    report = compiled(
        tmp_path, bad, mesh, as_cluster=True, grants=[{"namespaces": ["shop"], "credentials": ["stripe"]}]
    )
    assert report.ok and len(report.refused) == 1
