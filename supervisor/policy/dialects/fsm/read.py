"""Reads one document of FSM (policy.flomesh.io) or of osm-edge (policy.openservicemesh.io), field by field."""

from collections.abc import Callable
from typing import Any, Final

from supervisor.policy.dialects.fsm.resources import EgressGateway, GatewayRule, Target
from supervisor.policy.resources.manifest import TOP, Manifest, Metadata, read_metadata
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Problems
from supervisor.source.words import namespace_name, object_name

FLOMESH: Final = "policy.flomesh.io"
OSM_EDGE: Final = "policy.openservicemesh.io"
MOST_WEIGHT: Final = 2**31 - 1
FULL_WEIGHT: Final = 100  # what none, or 0, stands for


def read(manifest: Manifest, roots: tuple[str, ...], problems: Problems) -> Any:
    """The part of one document; `roots` are not needed. Raises Invalid without `spec`."""
    top = manifest.node.fields(TOP, problems)
    nameless = Metadata("", None, None, None)
    metadata = top.need("metadata", lambda node: read_metadata(node, problems), nameless)
    spec = top.get("spec")
    if spec is None:
        raise manifest.node.invalid("`spec` is missing")
    if metadata.namespace is None and (node := top.get("metadata")):
        problems.error(node.place, "metadata.namespace is missing", "nothing is known of a kubectl context here")
    place = manifest.node.place
    frame = {
        "kind": manifest.kind,
        "namespace": metadata.namespace or "",
        "name": metadata.name,
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "created": metadata.created,
    }
    return SPECS[manifest.kind](spec, frame, problems)


def egress_gateway(spec: Node, frame: dict[str, Any], problems: Problems) -> EgressGateway:
    """`rules` and `matches` are osm-edge's, and gone from FSM's definition; `matches` never had an effect."""
    fields = spec.fields(("global", "rules", "matches"), problems, null_is_absent=True)
    for node in fields.items("matches"):
        match(node, problems)
    return EgressGateway(
        **frame,
        everything=tuple(fields.each("global", lambda node: target(node, problems))),
        rules=tuple(fields.each("rules", lambda node: gateway_rule(node, problems))),
    )


def target(node: Node, problems: Problems) -> Target:
    fields = node.fields(("service", "namespace", "weight"), problems, null_is_absent=True)
    weight = fields.read("weight", lambda one: one.integer(0, MOST_WEIGHT), 0)
    return Target(
        fields.need("namespace", namespace_name, "", "the namespace of the gateway's Service"),
        fields.need("service", object_name, "", "the name of the gateway's Service"),
        weight or FULL_WEIGHT,
    )


def gateway_rule(node: Node, problems: Problems) -> GatewayRule:
    fields = node.fields(("egressPolicies", "egressGateways"), problems)
    for name in ("egressPolicies", "egressGateways"):
        fields.need(name, Node.filled, None)
    return GatewayRule(
        tuple(fields.each("egressPolicies", lambda one: _named(one, problems))),
        tuple(fields.each("egressGateways", lambda one: target(one, problems))),
    )


def _named(node: Node, problems: Problems) -> tuple[str, str]:
    fields = node.fields(("name", "namespace"), problems)
    return fields.need("namespace", namespace_name, ""), fields.need("name", object_name, "")


def match(node: Node, problems: Problems) -> Fields:
    """A TypedLocalObjectReference."""
    fields = node.fields(("apiGroup", "kind", "name"), problems, null_is_absent=True)
    fields.need("kind", Node.string, "")
    fields.need("name", object_name, "")
    return fields


SPECS: Final[dict[str, Callable[[Node, dict[str, Any], Problems], Any]]] = {"EgressGateway": egress_gateway}
KINDS: Final = {(group, kind): ("v1alpha1",) for group in (FLOMESH, OSM_EDGE) for kind in SPECS}
