"""`sluice check --format`: what is wrong, as build services read it."""

import json
from pathlib import Path
from typing import Final

import jsonschema
import pytest

from tests.support.front import CONFIG, POLICY, entered, sluice, write

WRONG = POLICY.replace("api.example.com", "api.example.com:443").replace("Allow", "Alow")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return entered(tmp_path, monkeypatch, sluice_yaml=CONFIG, policy_yaml=WRONG)


def test_annotations_of_github(folder: Path) -> None:
    done = sluice("check", "--format", "github")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert [line.split("::")[1] for line in lines] == [
        "error file=policy.yaml,line=6,col=14",
        "error file=policy.yaml,line=7,col=11",
    ]
    assert lines[0].endswith("(write host: api.example.com and ports: [443])")


def test_names_and_texts_forge_no_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = folder / "a,line=1%0A::warning::x"
    odd.mkdir()
    (odd / "b.yaml").write_text('kind: "x\\n::error::forged"\napiVersion: sluice.dev/v1alpha1\nmetadata: {name: x}\n')
    lines = sluice("check", "--format", "github", str(odd)).stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("::error file=a%2Cline=1%250A%3A%3Awarning%3A%3Ax/b.yaml,line=1,col=")


def test_sarif(folder: Path) -> None:
    done = sluice("check", "--format", "sarif")
    assert done.exit_code == 1
    log = json.loads(done.stdout)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    known = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    first, second = run["results"]
    assert {first["ruleId"], second["ruleId"]} <= known and first["level"] == second["level"] == "error"
    place = first["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "policy.yaml"}, "region": {"startLine": 6, "startColumn": 14}}


# Of the schema of OASIS SARIF 2.1.0 (sarif-schema-2.1.0.json) what a log of this command may have.
MESSAGE: Final = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
LOCATION: Final = {
    "artifactLocation": {
        "type": "object",
        "required": ["uri"],
        "properties": {"uri": {"type": "string", "pattern": "^(file:///)?([A-Za-z0-9/._~-]|%[0-9A-F]{2})+$"}},
        "additionalProperties": False,
    },
    "region": {
        "type": "object",
        "properties": {name: {"type": "integer", "minimum": 1} for name in ("startLine", "startColumn")},
        "required": ["startLine"],
        "additionalProperties": False,
    },
}
RESULT: Final = {
    "ruleId": {"type": "string"},
    "level": {"enum": ["none", "note", "warning", "error"]},
    "message": MESSAGE,
    "locations": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "physicalLocation": {
                    "type": "object",
                    "properties": LOCATION,
                    "required": ["artifactLocation"],
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
    },
}
RUN: Final = {
    "tool": {
        "type": "object",
        "required": ["driver"],
        "properties": {
            "driver": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "rules": {
                        "type": "array",
                        "uniqueItems": True,
                        "items": {"type": "object", "required": ["id"], "additionalProperties": False,
                                  "properties": {"id": {"type": "string"}}},
                    },
                },
                "additionalProperties": False,
            }
        },
        "additionalProperties": False,
    },
    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    "results": {
        "type": "array",
        "items": {"type": "object", "required": ["message"], "properties": RESULT, "additionalProperties": False},
    },
}  # fmt: skip
SARIF: Final = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {
            "type": "array",
            "items": {"type": "object", "required": ["tool"], "properties": RUN, "additionalProperties": False},
        },
    },
    "additionalProperties": False,
}


def test_sarif_is_valid(folder: Path) -> None:
    """Whatever files are called, wherever they lie, and where a problem has no place."""
    odd = folder / "a b:c#d\xe9%20"
    odd.mkdir()
    (odd / "b.yaml").write_text(WRONG)
    (odd / "empty.yaml").write_text("")
    outside = folder.parent / "outside.yaml"
    outside.write_text(WRONG)
    done = sluice("check", "--format", "sarif", str(odd), str(outside))
    log = json.loads(done.stdout)
    jsonschema.validate(log, SARIF)
    places = [result["locations"][0]["physicalLocation"] for result in log["runs"][0]["results"]]
    found = {place["artifactLocation"]["uri"] for place in places}
    assert "a%20b%3Ac%23d%C3%A9%2520/b.yaml" in found and f"file://{outside}" in found
    assert any("region" not in place for place in places), "the empty file has no line"


def test_what_is_sound_has_no_results(folder: Path) -> None:
    write(folder, policy_yaml=POLICY)
    done = sluice("check", "--format", "sarif")
    assert done.exit_code == 0 and json.loads(done.stdout)["runs"][0]["results"] == []
    done = sluice("check", "--format", "github")
    assert (done.exit_code, done.stdout.strip()) == (0, "")


@pytest.mark.parametrize("other", ["--json", "--print"])
def test_one_form_at_a_time(folder: Path, other: str) -> None:
    done = sluice("check", "--format", "sarif", other)
    assert done.exit_code == 2 and "leave out --json and --print" in done.output
    assert sluice("check", "--format", "xml").exit_code == 2


TENANT = """\
apiVersion: sluice.dev/v1alpha1
kind: EgressPolicy
metadata: {name: private, namespace: shop}
spec: {action: Allow, to: [{cidr: 10.0.0.0/8}]}
"""


def test_objects_as_a_cluster_s(folder: Path) -> None:
    """Sound as a file; of a cluster it is not used, which every form says."""
    (folder / "tenant.yaml").write_text(TENANT)
    assert sluice("check", "tenant.yaml").exit_code == 0
    done = sluice("check", "--as-cluster", "tenant.yaml")
    assert done.exit_code == 1
    assert done.stdout.startswith("EgressPolicy shop/private: Accepted=False, NotGranted: cidr 10.0.0.0/8, which lifts")
    assert "error: " in done.stderr and "tenant.yaml:4:28: cidr 10.0.0.0/8" in done.stderr and "1 error" in done.stderr
    done = sluice("check", "--as-cluster", "tenant.yaml", "--json")
    found = json.loads(done.stdout)
    assert not found["ok"] and [error["line"] for error in found["errors"]] == [4]
    (condition,) = found["conditions"]
    assert condition["reason"] == "NotGranted" and "private" in json.dumps(condition)
    done = sluice("check", "--as-cluster", "tenant.yaml", "--format", "github")
    assert done.exit_code == 1 and "::error file=tenant.yaml,line=4,col=28::cidr 10.0.0.0/8" in done.stdout
    (folder / "sluice.yaml").write_text(CONFIG + "grants: [{namespaces: [shop], cidrs: [10.0.0.0/8]}]\n")
    assert sluice("check", "--as-cluster", "tenant.yaml").exit_code == 0
