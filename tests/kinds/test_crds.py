"""The CRDs as an API server takes them: its own code loads them, and judges as the Python equals of their rules do."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from deploy import kind_files
from tests.kinds.corpus import KINDS, documents
from tests.kinds.test_kinds import kind_of, refused_by_api_server

JUDGE: Final = Path(__file__).with_name("judge")
ROOT: Final = Path(__file__).parents[2]
COUNT: Final = 20_000

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def judge() -> Path:
    """Kubernetes' own code for custom resources, as a program: built once, for each state of its sources."""
    program = ROOT / "build/crd-judge/judge"
    sources = [JUDGE / name for name in ("main.go", "go.mod", "go.sum")]
    if not program.exists() or program.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        assert shutil.which("go") or Path("/usr/local/go/bin/go").exists(), "Go is needed"
        subprocess.run([ROOT / "deploy/go_client.sh", JUDGE, program], check=True)
    return program


def judged(judge: Path, kind: str, objects: list[dict[str, Any]]) -> list[str]:
    path = ROOT / f"deploy/crds/sluice.dev_{kind_files.NAMES[kind][0]}.yaml"
    text = "\n".join(map(json.dumps, objects))
    done = subprocess.run([judge, path], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_an_api_server_judges_as_the_description_says(judge: Path, kind: str) -> None:
    specs = [
        drawn.document["spec"]
        for drawn in documents(3, COUNT)
        if kind_of(drawn.document) == kind and "spec" in drawn.document
    ]
    frame = {"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": "p"}}
    answers = judged(judge, kind, [{**frame, "spec": spec} for spec in specs])
    assert len(answers) == len(specs) > COUNT / 3
    for spec, answer in zip(specs, answers, strict=True):
        mine = refused_by_api_server(kind, spec)
        assert (answer == "ok") == (mine is None), f"{json.dumps(spec)}\nKubernetes: {answer}\nhere: {mine}"
    assert COUNT / 10 < answers.count("ok") < len(answers) - COUNT / 20


def test_messages_are_those_of_the_rules(judge: Path) -> None:
    """Of rules that such an object breaks."""
    to = [{"host": "a.test"}]
    objects = {
        "an EgressPolicy cannot be hard": {"action": "Deny", "hard": True, "to": to},
        "only Deny can be hard": {"action": "Allow", "hard": True, "to": to},
        "exactly one of host, cidr and hostsFrom": {"action": "Deny", "to": [{"host": "a.test", "cidr": "10.0.0.0/8"}]},
        "without host bits": {"action": "Deny", "to": [{"cidr": "10.0.0.1/8"}]},
        "the lower port comes first": {"action": "Deny", "to": [{"host": "a.test", "ports": ["9-8"]}]},
        "certificate and key are given together": {"action": "Deny", "to": to, "tls": {"originate": True, "key": "k"}},
        "networks inside cidr": {"action": "Deny", "to": [{"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}]},
    }
    answers = judged(judge, "EgressPolicy", [{"spec": spec} for spec in objects.values()])
    for words, answer in zip(objects, answers, strict=True):
        assert words in answer
