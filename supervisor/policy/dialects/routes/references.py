"""References of routes: `parentRefs`, `backendRefs` and others. Read here; resolved by the dialect of the parent."""

from collections.abc import Sequence
from typing import Final

from supervisor.policy.dialects.routes.parts import CORE, Parent, Reference
from supervisor.policy.dialects.routes.words import api_group, bounded, kind_name, port, section_name
from supervisor.source.node import Fields, Node, each
from supervisor.source.problems import Place, Problems, did_you_mean, quote
from supervisor.source.words import namespace_name, object_name

REFERENCE: Final = ("group", "kind", "name", "namespace", "port")
MOST_PARENTS: Final = 32
MOST_BACKENDS: Final = 16
MOST_WEIGHT: Final = 1_000_000
# Kinds that a reference names most often: one that is nearly one of them is a slip.
KINDS: Final = ("Gateway", "EgressNetwork", "Service", "ServiceImport", "Server", "Namespace", "ServiceAccount")


def read_parents(fields: Fields, namespace: str, default_group: str, problems: Problems) -> tuple[Parent, ...]:
    """`parentRefs`. A route without any belongs to nothing."""
    nothing: list[Node] = []
    nodes = fields.read("parentRefs", lambda node: bounded(node, MOST_PARENTS), nothing)
    if not nodes and fields.get("parentRefs") is None:
        words = "`parentRefs` is missing: the route belongs to nothing, and decides nothing"
        problems.warning(fields.node.place, words, "write parentRefs: [{name: GATEWAY}]")
    parents = each(nodes, lambda node: _parent(node, default_group, problems), problems)
    _distinct(parents, namespace, fields.node.file, problems)
    return tuple(parents)


def _parent(node: Node, default_group: str, problems: Problems) -> Parent:
    fields = node.fields((*REFERENCE, "sectionName"), problems, null_is_absent=True)
    return Parent(
        fields.read("group", api_group, default_group),
        _kind(fields, "Gateway", problems),
        fields.read("namespace", namespace_name, ""),
        fields.need("name", object_name, "", "the name of a Gateway or another parent"),
        fields.read("sectionName", section_name, ""),
        fields.read("port", port, 0),
        node.line,
        node.column,
    )


def _kind(fields: Fields, default: str, problems: Problems) -> str:
    found = fields.read("kind", kind_name, default)
    if found not in KINDS and (hint := did_you_mean(found, KINDS)) and (node := fields.get("kind")):
        problems.warning(node.place, f"{quote(found)} is not a kind that is known", hint)
    return found


def _distinct(parents: Sequence[Parent], namespace: str, file: str, problems: Problems) -> None:
    """Two references to one parent differ in section or port, and both have one."""
    seen: dict[tuple[str, ...], list[Parent]] = {}
    for parent in parents:
        key = (parent.group, parent.kind, parent.namespace or namespace, parent.name)
        others = seen.setdefault(key, [])
        for other in others:
            whole = not (parent.section or parent.port) or not (other.section or other.port)
            if whole or (parent.section, parent.port) == (other.section, other.port):
                words = f"{parent.kind} {parent.name} twice: each reference needs another sectionName or port"
                problems.error(Place(file, parent.line, parent.column), words, f"the first one is in line {other.line}")
                break
        others.append(parent)


def read_reference(node: Node, problems: Problems, default_kind: str = "Service") -> Reference:
    """A resource, and its port: of a Service it must be there."""
    return reference_of(node.fields(REFERENCE, problems, null_is_absent=True), default_kind, problems)


def reference_of(fields: Fields, default_kind: str, problems: Problems) -> Reference:
    """A reference from the fields of a mapping that may have others."""
    group = fields.read("group", api_group, CORE)
    found = Reference(
        CORE if group == "core" else group,
        _kind(fields, default_kind, problems),
        fields.read("namespace", namespace_name, ""),
        fields.need("name", object_name, "", f"the name of a {default_kind}"),
        fields.read("port", port, 0),
        fields.node.line,
        fields.node.column,
    )
    if found.is_kind(CORE, "Service") and fields.get("port") is None:
        problems.error(fields.node.place, "`port` is missing", "a reference to a Service names its port: port: 443")
    return found


def read_object(node: Node, problems: Problems) -> Reference:
    """A resource of the route's own namespace: group, kind and name, all of them."""
    fields = node.fields(("group", "kind", "name"), problems, null_is_absent=True)
    group = fields.need("group", api_group, "", 'write group: and an API group; "" is Kubernetes\' own')
    kind, name = fields.need("kind", kind_name, ""), fields.need("name", object_name, "")
    return Reference(group, kind, "", name, 0, node.line, node.column)
