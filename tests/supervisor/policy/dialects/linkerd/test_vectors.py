"""The vectors of tests/vectors/linkerd.yaml: manifests, questions, and what is said."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import tests.support.seeded_probe as seeded_probe
from gateway.policy.image import PolicyImage
from tests.supervisor.policy.dialects.linkerd.images import compiled
from tests.supervisor.policy.dialects.linkerd.loading import VERSIONS

VECTORS: Final[list[dict[str, Any]]] = yaml.safe_load((Path(__file__).parents[4] / "vectors/linkerd.yaml").read_text())
OURS: Final = ("EgressPolicy", "ClusterEgressPolicy")


def manifest(said: dict[str, Any]) -> dict[str, Any]:
    """One as users write it."""
    usual = "sluice.dev/v1alpha1" if said["kind"] in OURS else "policy.linkerd.io/v1alpha1"
    metadata = {"name": said["name"]}
    metadata |= {"namespace": said["in"]} if "in" in said else {}
    metadata |= {"creationTimestamp": said["created"]} if "created" in said else {}
    version = said.get("version", VERSIONS.get(said["kind"], usual))
    return {"apiVersion": version, "kind": said["kind"], "metadata": metadata, "spec": said["spec"]}


def image_of(vector: dict[str, Any], folder: Path, kind: type[PolicyImage] = PolicyImage) -> tuple[PolicyImage, str]:
    """The image, and warnings."""
    manifests = [manifest(one) for one in vector["manifests"]]
    upstreams = (vector["upstream"],) if "upstream" in vector else ()
    return compiled(manifests, folder, tuple(vector.get("cluster", ())), vector.get("acl"), upstreams, kind)


def said(image: PolicyImage, asked: dict[str, Any]) -> str:
    """As vectors write it; with the phase where the vector has one."""
    host, _, port = asked["to"].rpartition(":")
    namespace, _, account = asked.get("from", "").partition("/")
    answer = image.explain(
        host=host,
        port=int(port),
        namespace=namespace or None,
        service_account=account or None,
        user=asked.get("role"),
        source_ip=asked.get("source"),
        address=asked.get("address"),
        listener=asked.get("listener"),
        sni=asked.get("sni"),
    )
    rule = answer["rule"]
    named = f"{rule['kind']}/{rule['namespace'] or ''}/{rule['name']}" if rule else ""
    phase = answer["phase"] if asked["says"].split()[1] in ("name", "address", "inner") else ""
    return " ".join(filter(None, (answer["verdict"], phase, answer["reason"], named)))


@pytest.mark.parametrize("vector", VECTORS, ids=[each["title"] for each in VECTORS])
def test_a_vector(vector: dict[str, Any], tmp_path: Path) -> None:
    image, warnings = image_of(vector, tmp_path)
    assert [said(image, each) for each in vector["ask"]] == [each["says"] for each in vector["ask"]]
    assert vector.get("warns", "") in warnings


# Bugs of the judge (csrc/policy/seed.h) that these vectors find.
BUGS: Final = (
    "rules of every network of destinations count",
    "a rule that wins admits all sources",
    "a name is not judged again with its address",
    "a rule of the address goes before that of the name",
    "a dialect's own precedence is ignored",
    "a default allow outranks a default deny",
)


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_seeded_in_the_judge_is_found(bug: str, tmp_path: Path) -> None:
    found = False
    try:
        for number, vector in enumerate(VECTORS):
            (tmp_path / str(number)).mkdir()
            image, _ = image_of(vector, tmp_path / str(number), seeded_probe.PolicyImage)
            seeded_probe.seed(seeded_probe.bugs().index(bug) + 1)
            found |= any(said(image, each) != each["says"] for each in vector["ask"])
            seeded_probe.seed(0)
    finally:
        seeded_probe.seed(0)
    assert found
