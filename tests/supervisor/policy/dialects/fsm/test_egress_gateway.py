"""EgressGateway, of FSM and of osm-edge: every field, and the reports about it by `check`."""

from pathlib import Path

import pytest

from supervisor.policy.loader import Surroundings, load_policy
from supervisor.source.problems import Place, Problems, render
from tests.support.front import without

SERVICES = ("fsm/fsm-egress-gateway",)
GLOBAL = "[{service: fsm-egress-gateway, namespace: fsm}]"


def gateway(spec: str, name: str = "global", group: str = "policy.flomesh.io", more: str = "") -> str:
    frame = f"kind: EgressGateway\napiVersion: {group}/v1alpha1\nmetadata: {{name: {name}, namespace: fsm{more}}}\n"
    return f"{frame}spec: {spec}\n"


def load(folder: Path, *documents: str) -> tuple[list[str], list[str]]:
    """Errors and warnings."""
    (folder / "a.yaml").write_text("---\n".join(documents))
    problems = Problems()
    found = load_policy((str(folder),), (Place("sluice.yaml"),), problems, surroundings=Surroundings(SERVICES))
    assert found.rules == ()
    assert found.resources == len(documents) or problems.errors
    return without(folder, render(problems.errors)), without(folder, render(problems.warnings))


@pytest.mark.parametrize("group", ["policy.flomesh.io", "policy.openservicemesh.io"])
@pytest.mark.parametrize(
    "spec",
    [
        "{}",
        f"{{global: {GLOBAL}}}",
        "{global: [{service: fsm-egress-gateway, namespace: fsm, weight: 0}, {service: b, namespace: c, weight: 3}]}",
        f"{{rules: [{{egressPolicies: [{{name: a, namespace: b}}], egressGateways: {GLOBAL}}}]}}",
        f"{{global: {GLOBAL}, matches: [{{apiGroup: policy.flomesh.io/v1alpha1, kind: Egress, name: a}}]}}",
    ],
)
def test_it_loads_as_the_documents_have_it(tmp_path: Path, group: str, spec: str) -> None:
    assert load(tmp_path, gateway(spec, group=group)) == ([], [])


def test_another_gateway_is_reported(tmp_path: Path) -> None:
    errors, warnings = load(tmp_path, gateway("{global: [{service: x, namespace: w}]}"))
    assert errors == []
    assert warnings == [
        "a.yaml:1:1: EgressGateway fsm/global leads to other gateways than this one (w/x): it changes nothing here"
        " (gateway.services in sluice.yaml names the Services of this gateway)"
    ]


def test_one_of_a_mesh_names_gateways_for_everything(tmp_path: Path) -> None:
    """FSM's webhook: the later one is refused, by age where both have one."""
    older = gateway(f"{{global: {GLOBAL}}}", "older", more=", creationTimestamp: 2024-01-01T00:00:00Z")
    younger = gateway(f"{{global: {GLOBAL}}}", "a-younger", more=", creationTimestamp: 2025-01-01T00:00:00Z")
    errors, _ = load(tmp_path, younger, older, gateway("{}", "without"))
    assert errors == [
        "a.yaml:1:1: EgressGateway fsm/a-younger names gateways for everything, as EgressGateway fsm/older does"
        " (one of a mesh may: EgressGateway fsm/older is at a.yaml:6:1)"
    ]


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ("{globl: []}", "unknown key `globl` (did you mean `global`?)"),
        ("{global: [{namespace: fsm}]}", "`service` is missing (the name of the gateway's Service)"),
        ("{global: [{service: a}]}", "`namespace` is missing (the namespace of the gateway's Service)"),
        ("{global: [{service: a, namespace: b, weight: -1}]}", "weight: -1 is out of range: 0 to 2147483647"),
        ("{global: [{service: a, namespace: b, weight: x}]}", "weight: expected a decimal number, found the text `x`"),
        ("{global: {}}", "global: expected a list"),
        ("{rules: [{egressGateways: []}]}", "`egressPolicies` is missing"),
        ("{matches: [{name: a}]}", "`kind` is missing"),
        ("[]", "expected a mapping"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, spec: str, wrong: str) -> None:
    errors, _ = load(tmp_path, gateway(spec))
    assert any(wrong in error for error in errors), errors
    assert all(error.startswith("a.yaml:4:") for error in errors)


def test_a_namespace_is_asked_for(tmp_path: Path) -> None:
    errors, _ = load(tmp_path, gateway("{}").replace(", namespace: fsm", ""))
    assert len(errors) == 1 and errors[0].startswith("a.yaml:3:11: metadata.namespace is missing")
