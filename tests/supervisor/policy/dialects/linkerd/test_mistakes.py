"""Mistakes of every field: each is an error at its place, with what was expected and the nearest that is valid."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from supervisor.policy.dialects.linkerd.read_profiles import MOST_DEEP
from supervisor.policy.dialects.linkerd.words import MOST_BLOCKS
from tests.supervisor.policy.dialects.linkerd.loading import document, load

MISTAKES: Final[list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[4] / "vectors/linkerd_mistakes.yaml").read_text()
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake['kind']} {mistake['spec']}")
def test_a_mistake_is_an_error_at_its_place(mistake: dict[str, Any], tmp_path: Path) -> None:
    _, errors, _ = load(tmp_path, document(mistake["kind"], mistake["spec"]))
    assert errors == mistake["errors"]


@pytest.mark.parametrize("kind", sorted({mistake["kind"] for mistake in MISTAKES}))
def test_a_spec_and_a_namespace_are_needed(kind: str, tmp_path: Path) -> None:
    version = document(kind, "{}").partition("\n")[0]
    _, errors, _ = load(tmp_path, f"{version}\nkind: {kind}\nmetadata: {{name: x, namespace: shop}}\n")
    assert errors == ["1:1: `spec` is missing"]
    _, errors, _ = load(tmp_path, f"{version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{}}\n")
    assert "3:11: metadata.namespace is missing (a file says nothing of a current namespace)" in errors


def test_a_version_that_is_not_served_names_the_newest(tmp_path: Path) -> None:
    for kind, found, newest in (
        ("EgressNetwork", "policy.linkerd.io/v1", "policy.linkerd.io/v1alpha1"),
        ("Server", "policy.linkerd.io/v1", "policy.linkerd.io/v1beta3"),
        ("ServiceProfile", "linkerd.io/v1", "linkerd.io/v1alpha2"),
    ):
        _, (error,), _ = load(tmp_path, document(kind, "{}", version=found))
        assert error.startswith("1:13: expected apiVersion ") and error.endswith(f"(write {newest})")


def test_an_unknown_kind_of_the_group_is_an_error(tmp_path: Path) -> None:
    _, (error,), _ = load(tmp_path, document("EgressNetworks", "{}", version="policy.linkerd.io/v1alpha1"))
    assert error.startswith("2:7: expected one of ") and error.endswith("(did you mean `EgressNetwork`?)")


@pytest.mark.parametrize(
    ("version", "field"),
    [
        ("v1alpha1", "externalWorkloadSelector"),
        ("v1beta1", "externalWorkloadSelector"),
        ("v1beta1", "accessPolicy"),
        ("v1beta2", "accessPolicy"),
    ],
)
def test_a_server_has_the_fields_of_its_version(version: str, field: str, tmp_path: Path) -> None:
    value = "deny" if field == "accessPolicy" else "{}"
    spec = f"{{port: 80, {field}: {value}}}"
    _, errors, _ = load(tmp_path, document("Server", spec, version=f"policy.linkerd.io/{version}"))
    newest = "v1beta3" if field == "accessPolicy" else "v1beta2"
    words = f"{field} is not a field of {version}: it came with {newest}"
    place = f"4:{7 + len('{port: 80, ') + len(field) + 2}"
    assert f"{place}: {words} (write apiVersion: policy.linkerd.io/{newest})" in errors


def test_conditions_nest_to_a_limit(tmp_path: Path) -> None:
    for depth, fails in ((MOST_DEEP - 1, False), (MOST_DEEP, True)):
        condition = "{not: " * depth + "{method: GET}" + "}" * depth
        spec = f"{{routes: [{{name: a, condition: {condition}}}]}}"
        _, errors, _ = load(tmp_path, document("ServiceProfile", spec))
        assert [f"conditions are nested deeper than {MOST_DEEP}" in error for error in errors] == [True] * fails


def test_networks_are_bounded(tmp_path: Path) -> None:
    blocks = ", ".join("{cidr: 10.0.0.0/8}" for _ in range(MOST_BLOCKS + 1))
    _, errors, _ = load(tmp_path, document("NetworkAuthentication", f"{{networks: [{blocks}]}}"))
    assert [f"more than {MOST_BLOCKS} networks" in error for error in errors] == [True]


def test_one_bad_resource_hides_no_other(tmp_path: Path) -> None:
    text = document("EgressNetwork", "{trafficPolicy: Maybe}", "a") + document("NetworkAuthentication", "{}", "b")
    text += document("AuthorizationPolicy", "{}", "c")
    _, errors, _ = load(tmp_path, text)
    assert [error.partition(":")[0] for error in errors] == ["4", "9", "14", "14"]
