"""Manifests of Linkerd as the loader takes them, from one text."""

from pathlib import Path
from typing import Any, Final

from supervisor.policy.loader import Policy, Surroundings, load_policy
from supervisor.policy.resources.model import Rules
from supervisor.source.problems import Place, Problems, render

AROUND: Final[dict[str, Any]] = {
    "services": ("egress/sluice",),
    "namespace": "egress",
    "labels": (("app", "sluice"),),
    "listeners": (("mesh", 1080), ("other", 1081)),
}


def load(folder: Path, text: str, **around: Any) -> tuple[Policy, list[str], list[str]]:
    """The policy, errors and warnings, each `line:column: words`."""
    (folder / "a.yaml").write_text(text)
    problems = Problems()
    path = str(folder / "a.yaml")
    policy = load_policy((path,), (Place("sluice.yaml"),), problems, surroundings=Surroundings(**AROUND | around))
    found = (render(problems.errors), render(problems.warnings))
    errors, warnings = ([line.replace(f"{path}:", "") for line in lines] for lines in found)
    return policy, errors, warnings


def rules_of(folder: Path, text: str, **around: Any) -> list[Rules]:
    """The rules of manifests without a mistake."""
    policy, errors, _ = load(folder, text, **around)
    assert errors == []
    return list(policy.rules)


def rule(rules: list[Rules], kind: str, name: str, tier: str = "") -> Rules:
    """The one rule of a resource, of a tier where it has several."""
    (found,) = [one for one in rules if (one.kind, one.name) == (kind, name) and tier in ("", one.tier)]
    return found


def document(kind: str, spec: str, name: str = "x", namespace: str = "shop", version: str = "") -> str:
    """One manifest; the spec begins in line 4, at column 7."""
    api = version or VERSIONS.get(kind, "policy.linkerd.io/v1alpha1")
    return f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"


VERSIONS: Final = {
    "Server": "policy.linkerd.io/v1beta3",
    "ServerAuthorization": "policy.linkerd.io/v1beta1",
    "ServiceProfile": "linkerd.io/v1alpha2",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "GRPCRoute": "gateway.networking.k8s.io/v1",
    "TLSRoute": "gateway.networking.k8s.io/v1alpha2",
    "TCPRoute": "gateway.networking.k8s.io/v1alpha2",
}
