"""Reads ReferenceGrant and BackendTLSPolicy."""

from typing import Any, Final, NamedTuple

from supervisor.policy.dialects.gateway_api.resources import (
    BackendTLSPolicy,
    GrantedFrom,
    GrantedTo,
    ReferenceGrant,
    Target,
)
from supervisor.policy.dialects.routes.parts import Reference
from supervisor.policy.dialects.routes.references import read_object
from supervisor.policy.dialects.routes.words import (
    api_group,
    bounded,
    hostname,
    kind_name,
    precise_hostname,
    section_name,
)
from supervisor.policy.resources.model import Text
from supervisor.source.node import Fields, Node, each
from supervisor.source.problems import Place, Problems, quote
from supervisor.source.words import certificate_name, namespace_name, object_name

MOST_GRANTS: Final = 16
MOST_TARGETS: Final = 16
MOST_NAMES: Final = 5
MOST_CERTIFICATES: Final = 8
MOST_OPTIONS: Final = 16


def reference_grant(spec: Node, frame: dict[str, Any], problems: Problems) -> ReferenceGrant:
    fields = spec.fields(("from", "to"), problems, null_is_absent=True)
    return ReferenceGrant(
        **frame,
        sources=tuple(each(_filled(fields, "from", MOST_GRANTS), lambda one: _from(one, problems), problems)),
        targets=tuple(each(_filled(fields, "to", MOST_GRANTS), lambda one: _to(one, problems), problems)),
    )


def _filled(fields: Fields, name: str, most: int) -> list[Node]:
    def read(node: Node) -> list[Node]:
        node.filled()
        return bounded(node, most)

    nothing: list[Node] = []
    return fields.need(name, read, nothing)


def _from(node: Node, problems: Problems) -> GrantedFrom:
    fields = node.fields(("group", "kind", "namespace"), problems, null_is_absent=True)
    return GrantedFrom(
        fields.need("group", api_group, "", "such as gateway.networking.k8s.io"),
        fields.need("kind", kind_name, "", "such as HTTPRoute"),
        fields.need("namespace", namespace_name, "", "the namespace that may refer"),
    )


def _to(node: Node, problems: Problems) -> GrantedTo:
    fields = node.fields(("group", "kind", "name"), problems, null_is_absent=True)
    return GrantedTo(
        fields.need("group", api_group, "", 'write group: "" for Services'),
        fields.need("kind", kind_name, "", "such as Service"),
        fields.read("name", object_name, ""),
    )


def backend_tls_policy(spec: Node, frame: dict[str, Any], problems: Problems) -> BackendTLSPolicy:
    fields = spec.fields(("targetRefs", "validation", "options"), problems, null_is_absent=True)
    targets = each(_filled(fields, "targetRefs", MOST_TARGETS), lambda one: _target(one, problems), problems)
    _distinct(targets, spec.file, problems)
    no_effect(fields, problems)
    nothing = _Validation(Text("", spec.line, spec.column))
    read = fields.need(
        "validation", lambda one: _validation(one, problems), nothing, "write validation: {hostname: NAME}"
    )
    return BackendTLSPolicy(**frame, targets=tuple(targets), **read._asdict())


def _target(node: Node, problems: Problems) -> Target:
    fields = node.fields(("group", "kind", "name", "sectionName"), problems, null_is_absent=True)
    group = fields.need("group", api_group, "", 'write group: "" for a Service')
    kind = fields.need("kind", kind_name, "", "such as Service")
    name = fields.need("name", object_name, "")
    reference = Reference("" if group == "core" else group, kind, "", name, 0, node.line, node.column)
    return Target(reference, fields.read("sectionName", section_name, ""))


def _distinct(targets: list[Target], file: str, problems: Problems) -> None:
    seen: dict[tuple[str, str, str], list[Target]] = {}
    for target in targets:
        one = target.reference
        others = seen.setdefault((one.group, one.kind, one.name), [])
        if any(not target.section or not other.section or target.section == other.section for other in others):
            words = f"{one.kind} {one.name} twice: each reference needs another sectionName"
            problems.error(Place(file, one.line, one.column), words)
        others.append(target)


class _Validation(NamedTuple):
    """As BackendTLSPolicy has it."""

    hostname: Text
    names: tuple[str, ...] = ()
    authorities: tuple[Reference, ...] = ()


def _validation(node: Node, problems: Problems) -> _Validation:
    known = ("hostname", "caCertificateRefs", "wellKnownCACertificates", "subjectAltNames")
    fields = node.fields(known, problems, null_is_absent=True)
    nothing: list[Node] = []
    certificates = fields.read("caCertificateRefs", lambda one: bounded(one, MOST_CERTIFICATES), nothing)
    references = each(certificates, lambda one: read_object(one, problems), problems)
    fields.read("wellKnownCACertificates", lambda one: one.choice("System"), "")
    system = fields.get("wellKnownCACertificates")
    if certificates and system is not None:
        problems.error(system.place, "wellKnownCACertificates beside caCertificateRefs", "remove one of them")
    elif not certificates and system is None:
        problems.error(node.place, "no CA is named", "write wellKnownCACertificates: System, or caCertificateRefs")
    alternatives = fields.read("subjectAltNames", lambda one: bounded(one, MOST_NAMES), nothing)
    host = fields.get("hostname") or node
    name = fields.need("hostname", precise_hostname, "", "the name that the certificate is checked against")
    names = tuple(each(alternatives, lambda one: _name(one, problems), problems))
    return _Validation(Text(name, host.line, host.column), names, tuple(references))


def _name(node: Node, problems: Problems) -> str:
    fields = node.fields(("type", "hostname", "uri"), problems, null_is_absent=True)
    kind = fields.need("type", lambda one: one.choice("Hostname", "URI"), "Hostname", "write type: Hostname or URI")
    for name in ("hostname", "uri"):
        if name != kind.lower() and (one := fields.get(name)):
            problems.error(one.place, f"{quote(name)} beside type: {kind}", f"write {kind.lower()}:")
    if kind == "URI":
        return fields.need("uri", certificate_name, "", "such as spiffe://cluster.local/ns/shop/sa/cart")
    found = fields.need("hostname", hostname, Text("", node.line, node.column))
    if found.value.startswith("*"):
        raise node.invalid(f"{quote(found.value)}: a wildcard is not supported here", "write the name itself")
    return found.value


def no_effect(fields: Fields, problems: Problems) -> bool:
    """`options` of an implementation, whether there are any: none has an effect here."""
    node = fields.get("options")
    if node is None:
        return False
    nothing: dict[str, tuple[Node, Node]] = {}
    count = len(fields.read("options", Node.mapping, nothing))
    if count > MOST_OPTIONS:
        problems.error(node.place, f"expected at most {MOST_OPTIONS} options, found {count}")
    elif count:
        problems.warning(node.place, "`options` have no effect here")
    return bool(count)
