"""Images of Linkerd's manifests, compiled as a reload would, and asked."""

import json
import os
from pathlib import Path
from typing import Any

from gateway.policy.image import PolicyImage
from supervisor.config.config import Config, Gateway, Listener, Policy
from supervisor.config.upstreams import Upstream
from supervisor.generation.building import surroundings_of
from supervisor.policy.compiler import build_image
from supervisor.policy.loader import load_policy
from supervisor.source.problems import Place, Problems
from tests.supervisor.policy.dialects.linkerd.evaluator import GATEWAY, LABELS, LISTENERS, Asked, Said
from tests.supervisor.policy.dialects.linkerd.matching import Manifest


def image_of(
    manifests: list[Manifest], folder: Path, cluster: tuple[str, ...] = (), kind: type[PolicyImage] = PolicyImage
) -> PolicyImage:
    """The image of manifests that have no mistake."""
    return compiled(manifests, folder, cluster, kind=kind)[0]


def compiled(
    manifests: list[Manifest],
    folder: Path,
    cluster: tuple[str, ...] = (),
    acl: dict[str, Any] | None = None,
    upstreams: tuple[str, ...] = (),
    kind: type[PolicyImage] = PolicyImage,
) -> tuple[PolicyImage, str]:
    """The image, and warnings. `acl`: a Smokescreen ACL beside them."""
    (folder / "policy.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))
    if acl is not None:
        (folder / "acl.json").write_text(json.dumps({"version": "v1", **acl}))
    paths = tuple(str(folder / name) for name in ("policy.json", "acl.json") if (folder / name).exists())
    config = Config(
        path=str(folder / "sluice.yaml"),
        control="ipc:///nowhere",
        listeners=tuple(Listener(name=name, host="192.0.2.1", port=port) for name, port in LISTENERS.items()),
        gateway=Gateway(namespace=GATEWAY, labels=tuple(LABELS.items()), cluster_networks=cluster),
        policy=Policy(paths=paths, places=tuple(map(Place, paths))),
        upstreams=tuple(Upstream(name, "http", (("192.0.2.9", 1080),)) for name in upstreams),
    )
    problems = Problems()
    policy = load_policy(config.policy.paths, config.policy.places, problems, surroundings=surroundings_of(config))
    built = build_image(config, (), policy, problems)
    assert built is not None, str(problems)
    try:
        return kind.from_fd(built.descriptor, validate=True), "\n".join(map(str, problems.warnings))
    finally:
        os.close(built.descriptor)


def explain(image: PolicyImage, asked: Asked, every: bool = False, **more: Any) -> dict[str, Any]:
    """The image's answer."""
    who = asked.who
    said: dict[str, Any] = image.explain(
        host=asked.host or asked.address,
        address=asked.address if asked.host else None,
        port=asked.port,
        namespace=who.namespace or None,
        service_account=who.account or None,
        identity=who.uri or None,
        user=who.user or None,
        source_ip=who.address or None,
        listener=asked.listener,
        sni=asked.sni or None,
        every=every,
        **more,
    )
    return said


def ask(image: PolicyImage, asked: Asked, every: bool = False) -> tuple[str, str, object]:
    """Verdict, reason and rule. Whether it is by the name or by the address that no rule matches is not Linkerd's."""
    said = explain(image, asked, every)
    rule, reason = said["rule"], said["reason"]
    reason = "no_rule" if reason == "no_cidr_rule" else reason
    if reason == "needs_http" and (rule is None or rule["kind"] == "EgressNetwork"):
        reason = "default_deny" if rule else "no_rule"  # a request that satisfies a route would turn it
    return said["verdict"], reason, rule and (rule["kind"], rule["namespace"], rule["name"], rule["index"])


def expected(said: Said) -> tuple[str, str, object]:
    """The evaluator's answer likewise."""
    return said.verdict, said.reason, said.rule
