"""The vectors of tests/vectors/decisions against compiled images: each question is answered as its sentence says.

A rule is `{name, in: NAMESPACE, from, created, ...}` with its items under `allow`, `deny`, `audit` or `hard`; without
`in` it is a ClusterEgressPolicy. `acl` is a Smokescreen ACL file beside them. `users` and `networks` map to
`namespace/account`; `config` is laid over sluice.yaml, `manifests` are objects of the cluster or of other dialects,
`lists` files beside them. `as_cluster` judges them as a cluster's: `not_accepted` has the reason of each object that is
refused. `refuses`: texts of errors instead of an image; `warns`: texts of warnings.
A question is answered as it `says`, or `refused` with a text. `sets` of a question are the attributes that the decision
brings along: `NAME: VALUE from RULE`, `NAME: VALUE` for a default.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import tests.support.seeded_probe as seeded_probe
from gateway.policy.image import PolicyImage
from gateway.policy.target import HttpRequest
from supervisor.generation.compile import compile_all
from tests.support.certificates import Authority
from tests.support.front import HASH, errors, warnings

ROOT: Final = Path(__file__).resolve().parents[3]
FOLDER: Final = ROOT / "tests/vectors/decisions"
IDS: Final[dict[str, dict[str, Any]]] = yaml.load((FOLDER / "ids.yaml").read_text(), yaml.CSafeLoader)
VECTORS: Final[list[dict[str, Any]]] = [
    {"file": path.stem, **vector}
    for path in sorted(FOLDER.glob("section-*.yaml"))
    for vector in yaml.load(path.read_text(), yaml.CSafeLoader)
]
SAID: Final = ("to", "says", "refused", "would_deny", "index", "sets")  # of a question: all else is asked
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


def written(vector: dict[str, Any], folder: Path) -> str:
    """Writes sluice.yaml and what it names; its path."""
    config = {key: dict(value) if isinstance(value, dict) else value for key, value in vector.get("config", {}).items()}
    (folder / "policy").mkdir()
    config["policy"] = {"paths": ["policy"], **config.get("policy", {})}
    networks = [{"cidr": cidr, **identity(text)} for cidr, text in vector.get("networks", {}).items()]
    config["identity"] = {"networks": networks, "users": "users.yaml"}
    users = [
        {"name": name, "hash": HASH, **({"identity": identity(text)} if text else {})}
        for name, text in vector.get("users", {}).items()
    ]
    rules = vector.get("rules", [])
    if any("tls" in rule for rule in rules):
        Authority(folder / "policy")
    if documents := [manifest(rule) for rule in rules] + vector.get("manifests", []):
        (folder / "policy/rules.yaml").write_text(yaml.safe_dump_all(documents))
    for name, text in vector.get("lists", {}).items():
        (folder / "policy" / name).write_text(text)
    if acl := vector.get("acl"):
        (folder / "policy/acl.yaml").write_text(yaml.safe_dump({"version": "v1", **acl}))
    (folder / "users.yaml").write_text(yaml.safe_dump({"users": users}))
    (folder / "sluice.yaml").write_text(yaml.safe_dump(config))
    return str(folder / "sluice.yaml")


def compile_vector(vector: dict[str, Any], folder: Path, kind: type[PolicyImage] = PolicyImage) -> PolicyImage | None:
    """Compiled as a reload would; None where it is refused, as the vector has it."""
    as_cluster = vector.get("as_cluster", False)
    report, descriptor, workloads = compile_all(written(vector, folder), statuses=True, as_cluster=as_cluster)
    found = "\n".join(errors(folder, report))
    assert all(text in found for text in vector.get("refuses", ())), found
    told = "\n".join(warnings(folder, report))
    assert all(text in told for text in vector.get("warns", ())), told
    refused = {status.name: status.reason for status in report.statuses if not status.status}
    assert refused == vector.get("not_accepted", refused)
    if "refuses" in vector:
        assert descriptor is None and not vector.get("ask")
        return None
    assert descriptor is not None, found
    try:
        image = kind.from_fd(descriptor, validate=True)
        return image if workloads is None else image.attach(workloads)
    finally:
        for one in (descriptor, workloads):
            if one is not None:
                os.close(one)


def title(vector: dict[str, Any]) -> str:
    return vector.get("title") or " ".join(vector["shows"])


def differences(image: PolicyImage, question: dict[str, Any]) -> list[str]:
    """The parts of an answer that are not as the vector has them."""
    asked = {key: value for key, value in question.items() if key not in (*SAID, "get", "method", "headers")}
    if "get" in question:
        fields = tuple(question.get("headers", {}).items())
        path, _, query = question["get"].partition("?")
        asked["request"] = HttpRequest(question.get("method", "GET"), path, query or None, fields)
    host, _, port = question["to"].rpartition(":")
    try:
        said = image.explain(host=host.strip("[]"), port=int(port), **asked)
    except ValueError as wrong:
        return [] if question.get("refused", "says nothing of it") in str(wrong) else [f"refused: {wrong}"]
    name = [said["rule"]["name"]] if said["rule"] else []
    found = {
        "says": " ".join([said["verdict"], said["phase"], said["reason"], *name]),
        "would_deny": said["would_deny"],
        "index": said["rule"] and said["rule"]["index"],
        "sets": {key: attribute(each) for key, each in said["attributes"].items() if key != "route"},
        "refused": None,
    }
    return [f"{key}: {value}" for key, value in found.items() if question.get(key, value) != value]


@pytest.mark.parametrize("vector", VECTORS, ids=title)
def test_vector(vector: dict[str, Any], tmp_path: Path) -> None:
    image = compile_vector(vector, tmp_path)
    assert image is not None or not vector.get("ask")
    for question in vector.get("ask", ()):
        assert image is not None
        assert "says" in question or "refused" in question
        assert not (found := differences(image, question)), (question, found)


def test_the_time_of_a_file_never_counts(tmp_path: Path) -> None:
    """DECISIONS.md section 4: of two rules without a creationTimestamp the first by name wins, whatever is older."""
    rules = [{"name": name, "allow": [{"host": "a.test"}]} for name in ("a", "b")]
    for older in ("a", "b"):
        folder = tmp_path / older
        folder.mkdir()
        path = written({"rules": rules}, folder)
        (folder / "policy/rules.yaml").unlink()
        for rule in rules:
            file = folder / f"policy/{rule['name']}.yaml"
            file.write_text(yaml.safe_dump(manifest(rule)))
            os.utime(file, (1, 1) if rule["name"] == older else None)
        _, descriptor, _ = compile_all(path)
        assert descriptor is not None
        image = PolicyImage.from_fd(descriptor, validate=True)
        os.close(descriptor)
        assert image.explain(host="a.test", port=1)["rule"]["name"] == "a"


# A bug of the judge (csrc/policy/seed.h) and the sentence that it negates: a vector of that sentence must fail.
NEGATED: Final = {
    "*.example.com also means example.com": "2.wildcard.apex",
    "the longest suffix does not win": "4.winner.suffix",
    "every rule is for every port": "3.name.cidr-covers",
    "allow outranks deny": "4.deny",
    "of equal rules the younger wins": "4.winner.age",
    "the narrower source does not win": "4.winner.source",
    "a lower identity's denies are shed": "1.denies-lower",
    "a lower identity's allows count": "1.allows-highest",
    "audit mode softens a hard deny": "4.audit-mode.hard",
    "any CIDR allow lifts the guard": "3.guard.lift-wide",
    "an embedded IPv4 address is not judged": "3.guard.inner-address",
    "a name that only its address can allow is denied": "3.name.cidr-covers",
    "an allow of the source does not end passthrough": "4.passthrough",
    "a name that goes to a parent is judged by address as well": "3.parent.names",
    "attributes are the winner's alone": "4.attributes",
    "any name may show inside": "3.inner.equal",
    "a denied name behind an address passes": "3.behind.default",
    "any protocol may show inside": "3.inner.protocol",
    "an encrypted ClientHello always passes": "3.inner.ech-rule",
    "a held tunnel is carried by a rule with a parent": "3.provisional.other-way",
    "every rule of a group counts": "6.smokescreen",
    "a dialect's own precedence is ignored": "6.smokescreen",
    "a user is a role beside that of the certificate": "6.smokescreen.role",
    "a rule is for every protocol": "7.precedence.kinds",
}
# No sentence of sections 1 to 4 is about these alone, or no question to an image shows them.
ELSEWHERE: Final = {
    "excepted names and addresses match all the same": "tests/supervisor/policy/test_property.py",
    "a source is in no clause": "tests/supervisor/policy/test_property.py",
    "an index is read one stretch of ports too early": "tests/supervisor/policy/test_property.py",
    "what the kernel routes here passes": "tests/e2e/network/test_own_addresses.py",
    "of two groups that say the same the weaker match is named": "tests/supervisor/policy/test_groups.py",
    "a default allow outranks a default deny": "tests/supervisor/policy/test_groups.py",
    "a default of the name outranks one of the address": "tests/supervisor/policy/test_groups.py",
    **dict.fromkeys(
        (
            "every address lies in the blocks of a condition",
            "rules of every network of destinations count",
            "a rule that wins admits all sources",
            "a name is not judged again with its address",
            "ports count where only the order does",
            "a rule of the address goes before that of the name",
        ),
        "tests/supervisor/policy/test_conditions.py",
    ),
    **dict.fromkeys(
        (
            "a prefix of a path ends within an element",
            "the last field of a name counts",
            "what is not known of a request holds",
            "the better path does not win",
        ),
        "tests/supervisor/policy/test_requests_property.py",
    ),
    "a listed role is another one as well": "tests/supervisor/policy/dialects/test_smokescreen_property.py",
}


@pytest.fixture
def unseeded() -> Iterator[None]:
    yield
    seeded_probe.seed(0)


@pytest.mark.usefixtures("unseeded")
@pytest.mark.parametrize(("bug", "sentence"), NEGATED.items(), ids=NEGATED)
def test_a_negated_sentence_fails_its_vector(bug: str, sentence: str, tmp_path: Path) -> None:
    failed = False
    for number, vector in enumerate(each for each in VECTORS if sentence in each["shows"]):
        (tmp_path / str(number)).mkdir()
        image = compile_vector(vector, tmp_path / str(number), seeded_probe.PolicyImage)
        if image is None:
            continue
        seeded_probe.seed(0)
        assert not any(differences(image, question) for question in vector["ask"])
        seeded_probe.seed(seeded_probe.bugs().index(bug) + 1)
        failed |= any(differences(image, question) for question in vector["ask"])
    assert failed, f"no vector of {sentence} fails when the judge negates it"


def test_every_bug_of_the_judge_negates_a_sentence() -> None:
    assert {*NEGATED, *ELSEWHERE} == set(seeded_probe.bugs())
    assert all((ROOT / path).exists() for path in ELSEWHERE.values())


def attribute(each: dict[str, Any]) -> str:
    value = " ".join(each["value"]) if isinstance(each["value"], list) else str(each["value"])
    if isinstance(each["value"], dict):  # tls
        value = str(each["value"].get("port", "as it comes"))
    return f"{value} from {each['rule']['name']}" if each["rule"] else value


def is_built(entry: dict[str, Any]) -> bool:
    return "waits" not in entry


def test_every_built_sentence_has_a_vector() -> None:
    shown = {name for vector in VECTORS for name in vector["shows"]}
    assert shown <= IDS.keys()
    missing = [name for name, entry in IDS.items() if is_built(entry) and name not in shown and not entry.get("tests")]
    assert not missing, f"sentences without a vector: {missing}"
    assert not [name for name, entry in IDS.items() if not is_built(entry) and (name in shown or entry.get("tests"))]


def test_sentences_that_wait_say_for_what() -> None:
    """They are not done: this is their list (`pytest -s`)."""
    waiting = {name: entry["waits"] for name, entry in IDS.items() if not is_built(entry)}
    assert all(isinstance(part, str) and part for part in waiting.values())
    assert all(entry.keys() <= {"says", "tests", "waits"} and entry["says"] for entry in IDS.values())
    for name, part in waiting.items():
        print(f"{name}: waits for {part}")


@pytest.mark.parametrize("test", sorted({test for entry in IDS.values() for test in entry.get("tests", ())}))
def test_tests_that_are_named_exist(test: str) -> None:
    path, _, name = test.partition("::")
    text = (ROOT / path).read_text()
    if path.endswith(".txt"):
        assert f"\n{name}\n" in text, "a script of a playbook"
    else:
        assert f"def {name}(" in text if name else "def test_" in text
