"""The dialects that there are, and which of them reads a manifest."""

from collections.abc import Callable, Sequence
from typing import Final

from supervisor.policy.cluster import read as cluster
from supervisor.policy.cluster.objects import Fact
from supervisor.policy.dialects import (
    egress_policy,
    fsm,
    gateway_api,
    linkerd,
    linkerd_egress_routes,
    routes,
    smokescreen,
)
from supervisor.policy.dialects.dialect import Part, Surroundings
from supervisor.policy.resources.manifest import Manifest
from supervisor.policy.resources.model import Rules, Selector
from supervisor.policy.resources.rates import Rate
from supervisor.policy.resources.status import Status, as_problem
from supervisor.source.node import Node
from supervisor.source.problems import Problems, did_you_mean, quote

__all__ = ["AnyPart", "mesh_opens", "rates_of", "reader_of", "rules_of", "statuses_of", "whole_file"]

DIALECTS: Final = (
    *(egress_policy.DIALECT, fsm.DIALECT, linkerd_egress_routes.DIALECT, routes.DIALECT, linkerd.DIALECT),
    *(gateway_api.DIALECT, cluster.DIALECT),
)
# What files are remembered by: the parts of every dialect, and the cluster's objects.
AnyPart = fsm.FsmPart | linkerd_egress_routes.Route | linkerd.LinkerdPart | gateway_api.GatewayPart | Fact

KINDS: Final = {kind: (dialect, versions) for dialect in DIALECTS for kind, versions in dialect.kinds.items()}
# Groups of which every kind is read: one that is not known there is a mistake. Kinds in OURS are so under any group.
OURS: Final = (egress_policy.GROUP, linkerd_egress_routes.GROUP)
WHOLE: Final = (*OURS, linkerd.GROUP)

WITHOUT_NAMESPACE: Final = ("ClusterEgressPolicy", "Namespace")

Reader = Callable[[Manifest, tuple[str, ...], Problems], Rules | Part]


def reader_of(manifest: Manifest, problems: Problems) -> Reader | None:
    """The reader of a kind; None for one that has nothing to do with egress. Raises Invalid for what is nearly
    one that is read."""
    kind = manifest.node.mapping()["kind"][1]
    version = manifest.node.mapping()["apiVersion"][1]
    found = KINDS.get((manifest.group, manifest.kind))
    if found is not None:
        dialect, versions = found
        if manifest.version not in versions:
            expected = " or ".join(f"{manifest.group}/{one}" for one in versions)
            raise version.unexpected(f"apiVersion {expected}", f"write {manifest.group}/{versions[-1]}")
        return dialect.read
    if manifest.group in WHOLE:
        known = [name for group, name in KINDS if group == manifest.group]
        raise kind.unexpected("one of " + ", ".join(known), did_you_mean(manifest.kind, known))
    for (group, name), (_, versions) in KINDS.items():
        if name == manifest.kind and group in OURS:
            expected = f"{group}/{versions[-1]}"
            raise version.unexpected(f"apiVersion {expected} for {name}", f"write {expected}")
    near = did_you_mean(manifest.kind, {name for _, name in KINDS}) if not manifest.group else ""
    if near:  # most likely a slip: it would be missing without a word
        problems.warning(kind.place, f"{quote(manifest.kind)} is ignored: not a kind that is known", near)
    return None


def is_namespaced(manifest: Manifest) -> bool:
    """Whether objects of a kind that is read lie in a namespace."""
    return manifest.kind not in WITHOUT_NAMESPACE


def closed_by(manifest: Manifest, namespace: str, surroundings: Surroundings) -> tuple[Selector, ...]:
    """The sources that an object closes which cannot be used, as far as it can be read; else all of its namespace, or
    of the mesh."""
    dialect, _ = KINDS.get((manifest.group, manifest.kind), (None, ()))
    if dialect is None or dialect.selects is None:
        return (Selector(namespace=namespace),)
    found = dialect.selects(manifest, namespace, surroundings)
    return tuple(each for each in found if not namespace or _may_close(each, namespace, surroundings))


def _may_close(selector: Selector, namespace: str, surroundings: Surroundings) -> bool:
    """An object reaches beyond its namespace from the global one and the gateway's own alone."""
    if selector.elsewhere:
        return namespace == surroundings.global_namespace
    if selector == Selector():
        return namespace == surroundings.namespace
    return (selector.workloads.namespace if selector.workloads is not None else selector.namespace) == namespace


def whole_file(document: Node, problems: Problems) -> tuple[str, list[Rules]] | None:
    """The name and the rules of a document that is no Kubernetes manifest, and known by its shape; None for any other.
    Raises Invalid where it cannot be read at all."""
    if smokescreen.is_acl(document):
        return smokescreen.FILE, smokescreen.read(document, problems)
    return None


def rules_of(parts: Sequence[Part], surroundings: Surroundings, problems: Problems) -> list[Rules]:
    """The second pass: the rules of all parts, dialect by dialect."""
    rules: list[Rules] = []
    for dialect in DIALECTS:
        own = [part for part in parts if isinstance(part, dialect.parts)]
        if own and dialect.rules is not None:
            rules += dialect.rules(own, surroundings, problems)
    return rules


def statuses_of(parts: Sequence[Part], surroundings: Surroundings, problems: Problems) -> list[Status]:
    """The conditions of all resources, sorted; a warning of each that is not fine and not an error as well."""
    found: list[Status] = []
    for dialect in DIALECTS:
        own = [part for part in parts if isinstance(part, dialect.parts)]
        if own and dialect.statuses is not None:
            found += dialect.statuses(own, surroundings)
    wrong = {(error.file, error.line, error.column) for error in problems.errors}
    for status in found:
        if not status.fine and (status.file, status.line, status.column) not in wrong:
            problems.warn(as_problem(status))
    return sorted(found)


def rates_of(parts: Sequence[Part], surroundings: Surroundings) -> tuple[Rate, ...]:
    """Requests a second at listeners, sorted."""
    found: list[Rate] = []
    for dialect in DIALECTS:
        if dialect.rates is not None:
            found += dialect.rates([part for part in parts if isinstance(part, dialect.parts)], surroundings)
    return tuple(sorted(found, key=lambda rate: (rate.listener, rate.name)))


def mesh_opens(parts: Sequence[Part]) -> bool | None:
    """Whether the mesh's own settings let out what no rule names; None where there are none."""
    for dialect in DIALECTS:
        own = [part for part in parts if isinstance(part, dialect.parts)]
        if own and dialect.opens is not None and (said := dialect.opens(own)) is not None:
            return said
    return None
