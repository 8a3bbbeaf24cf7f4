"""The vectors of tests/vectors/decisions against compiled images: each question is answered as its sentence says.

A rule is `{name, in: NAMESPACE, from, created, ...}` with its items under `allow`, `deny`, `audit` or `hard`; without
`in` it is a ClusterEgressPolicy. `users` and `networks` map to `namespace/account`; `config` is laid over sluice.yaml.
"""

import os
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from gateway.policy import PolicyImage
from tests.supervisor.front import HASH, compiled, errors

ROOT: Final = Path(__file__).resolve().parents[3]
FOLDER: Final = ROOT / "tests/vectors/decisions"
IDS: Final[dict[str, dict[str, Any]]] = yaml.safe_load((FOLDER / "ids.yaml").read_text())
VECTORS: Final[list[dict[str, Any]]] = [
    {"file": path.stem, **vector}
    for path in sorted(FOLDER.glob("section-*.yaml"))
    for vector in yaml.safe_load(path.read_text())
]
ACTIONS: Final = {"allow": "Allow", "deny": "Deny", "audit": "Audit", "hard": "Deny"}


def manifest(rule: dict[str, Any]) -> dict[str, Any]:
    """One rule as users write it."""
    (tier,) = (word for word in ACTIONS if word in rule)
    metadata = {"name": rule["name"]}
    if "in" in rule:
        metadata["namespace"] = rule["in"]
    if "created" in rule:
        metadata["creationTimestamp"] = rule["created"]
    rest = {key: value for key, value in rule.items() if key not in ("name", "in", "created", tier)}
    spec = {"action": ACTIONS[tier], "to": rule[tier], **rest, **({"hard": True} if tier == "hard" else {})}
    kind = "EgressPolicy" if "in" in rule else "ClusterEgressPolicy"
    return {"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def identity(text: str) -> dict[str, str]:
    namespace, _, account = text.partition("/")
    return {"namespace": namespace, **({"serviceAccount": account} if account else {})}


def compile_vector(vector: dict[str, Any], folder: Path) -> PolicyImage:
    """Writes sluice.yaml and what it names, and compiles them as a reload would."""
    config = {key: dict(value) if isinstance(value, dict) else value for key, value in vector.get("config", {}).items()}
    (folder / "policy").mkdir()
    config["policy"] = {"paths": ["policy"], **config.get("policy", {})}
    networks = [{"cidr": cidr, **identity(text)} for cidr, text in vector.get("networks", {}).items()]
    config["identity"] = {"networks": networks, "users": "users.yaml"}
    users = [
        {"name": name, "hash": HASH, **({"identity": identity(text)} if text else {})}
        for name, text in vector.get("users", {}).items()
    ]
    if rules := vector.get("rules"):
        (folder / "policy/rules.yaml").write_text(yaml.safe_dump_all([manifest(rule) for rule in rules]))
    (folder / "users.yaml").write_text(yaml.safe_dump({"users": users}))
    (folder / "sluice.yaml").write_text(yaml.safe_dump(config))
    report, descriptor = compiled(folder)
    assert descriptor is not None, errors(folder, report)
    try:
        return PolicyImage.from_fd(descriptor, validate=True)
    finally:
        os.close(descriptor)


def title(vector: dict[str, Any]) -> str:
    return vector.get("title") or " ".join(vector["shows"])


@pytest.mark.parametrize("vector", VECTORS, ids=title)
def test_vector(vector: dict[str, Any], tmp_path: Path) -> None:
    image = compile_vector(vector, tmp_path)
    for question in vector["ask"]:
        asked = {key: value for key, value in question.items() if key not in ("to", "says", "would_deny", "index")}
        host, _, port = question["to"].rpartition(":")
        said = image.explain(host=host.strip("[]"), port=int(port), **asked)
        name = [said["rule"]["name"]] if said["rule"] else []
        assert " ".join([said["verdict"], said["phase"], said["reason"], *name]) == question["says"], question
        for key, found in (("would_deny", said["would_deny"]), ("index", said["rule"] and said["rule"]["index"])):
            assert question.get(key, found) == found, question


def is_built(entry: dict[str, Any]) -> bool:
    return bool(entry.get("built", True))


def test_every_built_sentence_has_a_vector() -> None:
    shown = {name for vector in VECTORS for name in vector["shows"]}
    assert shown <= IDS.keys()
    missing = [name for name, entry in IDS.items() if is_built(entry) and name not in shown and not entry.get("tests")]
    assert not missing, f"sentences without a vector: {missing}"
    assert not [name for name, entry in IDS.items() if not is_built(entry) and (name in shown or entry.get("tests"))]


@pytest.mark.parametrize("test", sorted({test for entry in IDS.values() for test in entry.get("tests", ())}))
def test_tests_that_are_named_exist(test: str) -> None:
    path, _, name = test.partition("::")
    text = (ROOT / path).read_text()
    assert f"def {name}(" in text if name else "def test_" in text
