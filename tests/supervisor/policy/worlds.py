"""Compiles a drawn world as the compile process would, and asks the image what the evaluator is asked."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.image import PolicyImage
from gateway.policy.target import HttpRequest
from supervisor.config.config import Addresses, Config, Gateway, Identity, Listener, Network, Policy
from supervisor.config.upstreams import Upstream
from supervisor.identity.users import User
from supervisor.policy import builder
from supervisor.policy.compiler import build_image
from supervisor.policy.loader import load_policy
from supervisor.source.problems import Place, Problems
from tests.supervisor.policy.draws import LISTENERS, UPSTREAM
from tests.supervisor.policy.evaluator import Answer, Question, Rule
from tests.supervisor.policy.matching import Request, World


@contextmanager
def laid_out(spread: int, walked: int) -> Iterator[None]:
    """Images are laid out so (csrc/build/builder.h); 0 and 0: with clauses and indexes wherever there can be any."""
    base: Any = builder.ImageBuilder

    class Builder(base):  # type: ignore[misc] # compiled, untyped
        def __init__(self) -> None:
            super().__init__()
            self.layout(spread, walked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "ImageBuilder", Builder)
        yield


def compile_world(world: World, folder: Path, kind: type[PolicyImage] = PolicyImage) -> PolicyImage:
    """The image of a world, opened as `kind`. Manifests and lists are written to `folder`; the loader reads them."""
    (folder / "policy.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": world.manifests}))
    for name, text in world.lists.items():
        (folder / name).write_text(text)
    config = config_of(world, folder)
    users = users_of(world)
    problems = Problems()
    built = build_image(config, users, load_policy(config.policy.paths, config.policy.places, problems), problems)
    assert built is not None, str(problems)
    try:
        return kind.from_fd(built.descriptor, validate=True)
    finally:
        os.close(built.descriptor)


def users_of(world: World) -> tuple[User, ...]:
    return tuple(User(name, "", *identity) for name, identity in world.users.items())


def config_of(world: World, folder: Path) -> Config:
    """The sluice.yaml of a world whose manifests are in `folder`."""
    path = str(folder / "policy.json")
    return Config(
        path=str(folder / "sluice.yaml"),
        control="ipc:///nowhere",
        listeners=tuple(Listener(name=str(port), host="192.0.2.1", port=port) for port in LISTENERS),
        gateway=Gateway(service_addresses=("8.9.0.1", "10.1.2.3")),
        policy=Policy(
            paths=(path,),
            places=(Place(path),),
            passthrough=world.passthrough,
            audit=world.audit,
            audit_namespaces=tuple(world.audit_namespaces),
        ),
        identity=Identity(networks=tuple(Network(*entry) for entry in world.networks)),
        upstreams=(Upstream(UPSTREAM, "http", (("192.0.2.9", 1080),)),),
        addresses=Addresses(allow=tuple(world.allow), deny=tuple(world.deny), nat64=tuple(world.nat64)),
    )


def ask(image: PolicyImage, question: Question, every: bool = True) -> Answer:
    """The image's answer, in the evaluator's words. `every`: with a trail, for which every rule is looked at."""
    said = image.explain(
        host=question.host,
        port=question.port,
        namespace=question.namespace or None,
        service_account=question.account or None,
        identity=question.identity or None,
        user=question.user or None,
        token=tuple(question.token.split("/")) if question.token else None,
        forwarded=(question.forwarded, *question.forwarded.split("/")[4:7:2]) if question.forwarded else None,
        source_ip=question.source or None,
        address=question.address or None,
        audit=question.audit,
        inner=question.inner,
        sni=question.sni or None,
        shows=question.shows or None,
        ech=question.ech,
        every=every,
        request=asked(question.request),
    )
    rule = said["rule"]
    assert said["source_address"] == said["attributes"].get("sourceAddress", {"value": None})["value"]
    if tls := said["attributes"].get("tls"):
        tls["value"] = tls["value"].get("port")
    attributes = [(name, each["value"], known(each["rule"])) for name, each in sorted(said["attributes"].items())]
    return Answer(said["verdict"], said["phase"], said["reason"], known(rule), said["would_deny"], tuple(attributes))


def asked(request: Request | None) -> HttpRequest | None:
    return HttpRequest(request.method, request.path, None, request.headers) if request else None


def known(rule: dict[str, Any] | None) -> Rule | None:
    return (rule["kind"], rule["namespace"] or "", rule["name"], rule["index"]) if rule else None
