"""Warnings of `check` about sources that nothing stands for, and a passthrough that reaches no source."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from supervisor.generation.compile import compile_config
from supervisor.identity.passwords import hash_password
from supervisor.policy.strangers import MOST

NETWORKS = [{"cidr": "10.1.0.0/16", "namespace": "shop", "serviceAccount": "cart"}]
TO = [{"host": "a.test", "ports": [443]}]
PASSED = "selects every source: policy.passthrough: true has no effect"


def warned(folder: Path, *policies: dict[str, Any], passthrough: bool = False) -> list[str]:
    """The warnings of a configuration with shop/cart in a network, and a user `bot` of the namespace bank."""
    bot = {"namespace": "bank", "serviceAccount": "bot"}
    users = {"users": [{"name": "bot", "hash": hash_password(b"x"), "identity": bot}]}
    config = {
        "policy": {"paths": ["policy.yaml"], "passthrough": passthrough},
        "identity": {"networks": NETWORKS, "users": "users.yaml"},
    }
    for name, document in (("sluice.yaml", [config]), ("users.yaml", [users]), ("policy.yaml", policies)):
        (folder / name).write_text(yaml.safe_dump_all(document))
    report, image = compile_config(str(folder / "sluice.yaml"))
    assert image is not None, report.problems
    os.close(image)
    return [str(problem) for problem in report.warnings]


def policy(name: str, namespace: str | None, **spec: Any) -> dict[str, Any]:
    kind = "EgressPolicy" if namespace else "ClusterEgressPolicy"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": metadata,
        "spec": {"action": "Allow", "to": TO, **spec},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("namespace", "source", "words"),
    [
        ("shop", None, None),
        ("shop", {"serviceAccount": "cart"}, None),
        ("shop", {"serviceAccount": "till"}, "stands for `shop/till`"),
        ("shop", {"identity": "spiffe://cluster.local/ns/shop/sa/till"}, "no trust domain has the identity"),
        ("shop", {"identity": "spiffe://cluster.local/ns/bank/sa/till"}, "is not of the namespace `shop`"),
        ("shop", {"identity": "spiffe://cluster.local/other"}, "is not of the namespace `shop`"),
        ("shop", {"user": "bot"}, "the user `bot` is not of the namespace `shop`"),
        ("bank", {"user": "bot"}, None),
        ("bank", {"serviceAccount": "bot"}, None),
        ("ghost", None, "stands for the namespace `ghost`"),
        (None, None, None),
        (None, {"user": "bot"}, None),
        (None, {"cidr": "10.0.0.0/8"}, None),
        (None, {"namespace": "ghost", "serviceAccount": "cart"}, "stands for `ghost/cart`"),
        (None, {"identity": "spiffe://cluster.local/ns/bank/sa/till"}, "no trust domain has the identity"),
    ],
)
def test_a_source_that_nothing_stands_for(
    tmp_path: Path, namespace: str | None, source: dict[str, str] | None, words: str | None
) -> None:
    found = warned(tmp_path, policy("p", namespace, **({"from": [source]} if source else {})))
    assert len(found) == (words is not None), found
    assert all(words is not None and words in line and "policy.yaml:" in line for line in found)


def test_a_source_is_named_once_for_a_resource(tmp_path: Path) -> None:
    many = [{"host": f"{number}.test"} for number in range(50)]
    assert len(warned(tmp_path, policy("p", "ghost", to=many), policy("q", "ghost"))) == 2


def test_warnings_are_bounded(tmp_path: Path) -> None:
    found = warned(tmp_path, *(policy(f"p{number}", f"ghost-{number}") for number in range(MOST + 7)))
    assert len(found) == MOST + 1
    assert any("7 more sources" in line for line in found)


@pytest.mark.parametrize(
    ("spec", "passthrough", "void"),
    [
        ({}, True, True), ({}, False, False), ({"action": "Deny"}, True, False), ({"action": "Audit"}, True, False),
        ({"from": [{"cidr": "10.0.0.0/8"}]}, True, False),
    ],
)  # fmt: skip
def test_an_allow_for_all_makes_passthrough_void(
    tmp_path: Path, spec: dict[str, Any], passthrough: bool, void: bool
) -> None:
    found = warned(tmp_path, policy("p", None, **spec), policy("q", None, **spec), passthrough=passthrough)
    assert len([line for line in found if PASSED in line]) == void, found


ACL = {"version": "v1", "services": [{"name": "web", "action": "open"}], "default": {"action": "report"}}


@pytest.mark.parametrize(
    ("identity", "roles"),
    [
        ({}, ["the role `web`", "a role"]),
        ({"users": ["bot"]}, ["the role `web`"]),
        ({"users": ["web"]}, []),
        ({"subject": {"role": "CN"}}, []),
    ],
)
def test_a_role_that_no_source_can_have(tmp_path: Path, identity: dict[str, Any], roles: list[str]) -> None:
    if names := identity.get("users"):
        users = [{"name": name, "hash": hash_password(b"x")} for name in names]
        (tmp_path / "users.yaml").write_text(yaml.safe_dump({"users": users}))
        identity = {**identity, "users": "users.yaml"}
    (tmp_path / "acl.yaml").write_text(yaml.safe_dump(ACL))
    config = {"policy": {"paths": ["acl.yaml"]}, "identity": identity}
    (tmp_path / "sluice.yaml").write_text(yaml.safe_dump(config))
    report, image = compile_config(str(tmp_path / "sluice.yaml"))
    assert image is not None, report.problems
    os.close(image)
    told = [str(problem) for problem in report.warnings if "no certificate and no user has" in str(problem)]
    assert [words for words in roles if any(f"has {words}:" in each for each in told)] == roles == roles[: len(told)]
