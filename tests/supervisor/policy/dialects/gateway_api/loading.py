"""Manifests of Gateway API loaded with listeners of a sluice.yaml."""

from collections.abc import Callable
from pathlib import Path

from supervisor.policy.dialects.dialect import Surroundings
from supervisor.policy.loader import Policy, load_policy
from supervisor.policy.resources.manifest import manifests_of
from supervisor.source.problems import Place, Problems, render
from supervisor.source.yaml_source import each_document
from tests.support.front import without

LISTENERS = (("default", 1080), ("second", 1081))


def load(folder: Path, *documents: str, listeners: tuple[tuple[str, int], ...] = LISTENERS) -> tuple[Policy, Problems]:
    """The policy and its problems."""
    (folder / "a.yaml").write_text("---\n".join(documents))
    problems = Problems()
    surroundings = Surroundings(services=("egress/sluice",), listeners=listeners)
    found = load_policy((str(folder / "a.yaml"),), (Place("sluice.yaml"),), problems, surroundings=surroundings)
    return found, problems


def lines(folder: Path, problems: Problems) -> tuple[list[str], list[str]]:
    """Errors and warnings, without the folder."""
    return without(folder, render(problems.errors)), without(folder, render(problems.warnings))


def found_by(text: str) -> Callable[[str, str, str, int], tuple[str, str, str, int]]:
    """Of kind, namespace and name of a route, and the line of an item: these, and the number of the rule in the
    manifest."""
    lines: dict[tuple[str, str, str], list[int]] = {}
    for document in each_document(text.encode(), "a.yaml", Problems()):
        for manifest in manifests_of(document, Problems()):
            top = manifest.node.mapping()
            metadata, spec = top["metadata"][1].mapping(), top["spec"][1].mapping() if "spec" in top else {}
            if "namespace" in metadata:
                key = (manifest.kind, metadata["namespace"][1].text(), metadata["name"][1].text())
                lines[key] = [rule.line for rule in spec["rules"][1].items()] if "rules" in spec else [0]

    def rule_of(kind: str, namespace: str, name: str, line: int) -> tuple[str, str, str, int]:
        starts = lines[kind, namespace, name]
        return kind, namespace, name, max((number for number, start in enumerate(starts) if start <= line), default=0)

    return rule_of
