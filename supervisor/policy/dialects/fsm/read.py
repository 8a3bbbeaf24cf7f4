"""Reads one document of FSM (policy.flomesh.io) or of osm-edge (policy.openservicemesh.io), field by field."""

from collections.abc import Callable
from typing import Any, Final

from supervisor.policy.dialects.dialect import Surroundings, frame_of
from supervisor.policy.dialects.fsm.read_routes import route_group, traffic_setting
from supervisor.policy.dialects.fsm.resources import (
    Egress,
    EgressGateway,
    GatewayRule,
    MeshConfig,
    Port,
    Protocol,
    Reference,
    Target,
)
from supervisor.policy.resources.hosts import host_pattern
from supervisor.policy.resources.manifest import Manifest, need_spec, read_frame
from supervisor.policy.resources.model import Selector, Text
from supervisor.source.node import Node, each
from supervisor.source.problems import Invalid, Place, Problems, quote
from supervisor.source.words import namespace_name, object_name

FLOMESH: Final = "policy.flomesh.io"
OSM_EDGE: Final = "policy.openservicemesh.io"
ROUTES: Final = "specs.smi-spec.io"
CONFIG: Final = "config.flomesh.io"
PROTOCOLS: Final[tuple[Protocol, ...]] = ("http", "https", "tcp", "tcp-server-first")
MOST_WEIGHT: Final = 2**31 - 1
FULL_WEIGHT: Final = 100  # what none, or 0, stands for
# Kinds that `matches` of an Egress may name, and their API versions (FSM, pkg/validator/validators.go).
MATCHED: Final = {
    "HTTPRouteGroup": ("specs.smi-spec.io/v1alpha4",),
    "UpstreamTrafficSetting": (f"{FLOMESH}/v1alpha1", f"{OSM_EDGE}/v1alpha1"),
}


def read(manifest: Manifest, roots: tuple[str, ...], problems: Problems) -> Any:
    """The part of one document; `roots` are not needed. Raises Invalid without `spec`."""
    top, metadata = read_frame(manifest, problems)
    spec = need_spec(manifest, top)
    if metadata.namespace is None and (node := top.get("metadata")):
        problems.error(node.place, "metadata.namespace is missing", "a file says nothing of a current namespace")
    return SPECS[manifest.kind](spec, frame_of(manifest, metadata), problems)


def egress_gateway(spec: Node, frame: dict[str, Any], problems: Problems) -> EgressGateway:
    """`rules` and `matches` are osm-edge's, and gone from FSM's definition; `matches` never had an effect."""
    fields = spec.fields(("global", "rules", "matches"), problems, null_is_absent=True)
    fields.each("matches", lambda node: _typed(node, problems))
    return EgressGateway(
        **frame,
        everything=tuple(fields.each("global", lambda node: _target(node, problems))),
        rules=tuple(fields.each("rules", lambda node: _gateway_rule(node, problems))),
    )


def _target(node: Node, problems: Problems) -> Target:
    fields = node.fields(("service", "namespace", "weight"), problems, null_is_absent=True)
    weight = fields.read("weight", lambda one: one.integer(0, MOST_WEIGHT), 0)
    return Target(
        fields.need("namespace", namespace_name, "", "the namespace of the gateway's Service"),
        fields.need("service", object_name, "", "the name of the gateway's Service"),
        weight or FULL_WEIGHT,
    )


def _gateway_rule(node: Node, problems: Problems) -> GatewayRule:
    fields = node.fields(("egressPolicies", "egressGateways"), problems)
    for name in ("egressPolicies", "egressGateways"):
        nothing: list[Node] = []
        fields.need(name, Node.filled, nothing)
    return GatewayRule(
        tuple(fields.each("egressPolicies", lambda one: _named(one, problems))),
        tuple(fields.each("egressGateways", lambda one: _target(one, problems))),
    )


def _named(node: Node, problems: Problems) -> tuple[str, str]:
    fields = node.fields(("name", "namespace"), problems)
    return fields.need("namespace", namespace_name, ""), fields.need("name", object_name, "")


def egress(spec: Node, frame: dict[str, Any], problems: Problems) -> Egress:
    fields = spec.fields(("sources", "hosts", "ipAddresses", "ports", "matches"), problems, null_is_absent=True)
    nothing: list[Node] = []
    sources = fields.need("sources", Node.filled, nothing, "write sources: [{kind: ServiceAccount, name:, namespace:}]")
    ports = fields.need("ports", Node.filled, nothing, "write ports: [{number: 443, protocol: https}]")
    found = each(sources, lambda node: _source(node, problems), problems)
    numbered = enumerate(ports)
    read_ports = [port for index, node in numbered if (port := _port(node, index, problems)) is not None]
    matches = fields.each("matches", lambda node: _match(node, problems))
    settings = [match for match in matches if match.kind == "UpstreamTrafficSetting"]
    if len(settings) > 1 and (node := fields.get("matches")):
        problems.error(node.place, "more than one UpstreamTrafficSetting", "an Egress has at most one")
    return Egress(
        **frame,
        sources=tuple(dict.fromkeys(source for source, _ in found)),
        certificates=any(certificate for _, certificate in found),
        ports=_once(read_ports, problems, frame),
        hosts=_distinct(fields.each("hosts", _host)),
        addresses=_distinct(fields.each("ipAddresses", lambda one: Text(one.cidr(), one.line, one.column))),
        matches=tuple(matches),
    )


def _source(node: Node, problems: Problems) -> tuple[tuple[str, str], bool]:
    """Namespace and name, and whether the sidecar is to show a certificate to the destination."""
    fields = node.fields(("kind", "name", "namespace", "mtls"), problems, null_is_absent=True)
    fields.need("kind", lambda one: one.choice("ServiceAccount"), "ServiceAccount")
    if (tls := fields.get("mtls")) is not None:
        _certificate(tls, problems)
    namespace = fields.need("namespace", namespace_name, "")
    return (namespace, fields.need("name", object_name, "")), tls is not None


def _certificate(node: Node, problems: Problems) -> None:
    fields = node.fields(("issuer", "cert"), problems, null_is_absent=True)
    fields.read("issuer", Node.string, "")
    if (cert := fields.get("cert")) is None:
        return
    inner = cert.fields(("sn", "subjectAltNames", "expiration", "secret"), problems, null_is_absent=True)
    inner.read("sn", lambda one: one.integer(0, 2**63 - 1), 0)
    inner.each("subjectAltNames", Node.string)
    inner.read("expiration", Node.string, "")
    if (secret := inner.get("secret")) is not None:
        _named(secret, problems)


def _port(node: Node, index: int, problems: Problems) -> Port | None:
    before = len(problems.errors)
    try:
        fields = node.fields(("number", "protocol"), problems)
    except Invalid as wrong:
        problems.add(wrong.problem)
        return None
    number = fields.need("number", lambda one: one.integer(1, 65535), 0)
    usual: Protocol = "http"
    protocol = fields.need("protocol", _protocol, usual, f"one of {', '.join(PROTOCOLS)}")
    return Port(number, protocol, index, node.line, node.column) if len(problems.errors) == before else None


def _protocol(node: Node) -> Protocol:
    """In whatever case, as the controller reads it. Words that it would pass over are errors here."""
    lower = Node(node.file, node.line, node.column, node.text().lower(), node.plain)
    return lower.choice(*PROTOCOLS)


def selects(manifest: Manifest, namespace: str, surroundings: Surroundings) -> tuple[Selector, ...]:
    """The sources of an Egress, all of its namespace where they cannot be read; other kinds select none."""
    if manifest.kind != "Egress":
        return ()
    problems = Problems()
    try:
        spec = need_spec(manifest, read_frame(manifest, Problems())[0]).mapping()
        found = each(spec["sources"][1].filled(), lambda node: _source(node, problems), problems)
        if not problems.errors:
            return tuple(Selector(*source) for source, _ in found)
    except (Invalid, KeyError):
        pass
    return (Selector(namespace=namespace),)


def _once(ports: list[Port], problems: Problems, frame: dict[str, Any]) -> tuple[Port, ...]:
    seen: dict[int, Port] = {}
    for port in ports:
        if port.number in seen:
            other = seen[port.number]
            words = f"port {port.number} twice, as {other.protocol} and as {port.protocol}"
            place = Place(frame["file"], port.line, port.column)
            problems.error(place, words, f"it is first listed in line {other.line}")
        seen.setdefault(port.number, port)
    return tuple(seen.values())


def _host(node: Node) -> Text:
    """A name; FSM looks hosts up as they stand, so there are no wildcards."""
    text = host_pattern(node)
    if text.value.startswith("*"):
        hint = "write an EgressPolicy for it"
        raise node.invalid(f"{quote(text.value)}: an Egress knows no wildcards, its hosts are names", hint)
    return text


def _distinct(texts: list[Text]) -> tuple[Text, ...]:
    return tuple({text.value: text for text in reversed(texts)}.values())[::-1]


def _typed(node: Node, problems: Problems) -> str:
    """A TypedLocalObjectReference to whatever kind; its name."""
    fields = node.fields(("apiGroup", "kind", "name"), problems, null_is_absent=True)
    fields.read("apiGroup", Node.string, "")
    fields.need("kind", Node.string, "")
    return fields.need("name", object_name, "")


def _match(node: Node, problems: Problems) -> Reference:
    """A TypedLocalObjectReference to a kind that an Egress may name."""
    fields = node.fields(("apiGroup", "kind", "name"), problems, null_is_absent=True)
    kind = fields.need("kind", lambda one: one.choice(*MATCHED), "HTTPRouteGroup")
    fields.need("apiGroup", lambda one: one.choice(*MATCHED[kind]), "", f"write apiGroup: {MATCHED[kind][0]}")
    place = fields.get("name") or node
    return Reference(kind, Text(fields.need("name", object_name, ""), place.line, place.column))


def mesh_config(spec: Node, frame: dict[str, Any], problems: Problems) -> MeshConfig:
    """Of the mesh's own settings this alone is about what leaves it."""
    traffic = spec.mapping().get("traffic")
    open_: tuple[Node, Node] | None = traffic[1].mapping().get("enableEgress") if traffic else None
    return MeshConfig(**frame, open=open_[1].boolean() if open_ else False)


SPECS: Final[dict[str, Callable[[Node, dict[str, Any], Problems], Any]]] = {
    "EgressGateway": egress_gateway,
    "Egress": egress,
    "UpstreamTrafficSetting": traffic_setting,
    "HTTPRouteGroup": route_group,
    "MeshConfig": mesh_config,
}
KINDS: Final = {
    **{(group, kind): ("v1alpha1",) for group in (FLOMESH, OSM_EDGE) for kind in tuple(SPECS)[:3]},
    (ROUTES, "HTTPRouteGroup"): ("v1alpha4",),
    (CONFIG, "MeshConfig"): ("v1alpha2", "v1alpha3"),
}
