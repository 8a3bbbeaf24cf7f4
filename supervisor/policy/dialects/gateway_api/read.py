"""Reads one document: a Gateway, a ReferenceGrant or a BackendTLSPolicy, field by field; routes have a room."""

import re
from collections.abc import Callable
from typing import Any, Final

from supervisor.policy.dialects import routes
from supervisor.policy.dialects.dialect import Part, frame_of
from supervisor.policy.dialects.gateway_api.read_policies import backend_tls_policy, no_effect, reference_grant
from supervisor.policy.dialects.gateway_api.resources import From, Gateway, Kind, Listener
from supervisor.policy.dialects.routes.parts import GATEWAY_API
from supervisor.policy.dialects.routes.words import api_group, bounded, hostname, kind_name, port, section_name
from supervisor.policy.resources.labels import Requirement, read_selector
from supervisor.policy.resources.manifest import Manifest, need_spec, read_frame
from supervisor.policy.resources.model import Text
from supervisor.source.node import Fields, Node, each
from supervisor.source.problems import Place, Problems, quote
from supervisor.source.words import namespace_name, object_name

MOST_LISTENERS: Final = 64
MOST_KINDS: Final = 8
MOST_CERTIFICATES: Final = 64
# Of a Gateway's spec, what sluice.yaml says here, or what is about a cloud.
UNUSED: Final = ("addresses", "infrastructure", "allowedListeners", "tls", "backendTLS", "defaultScope")
_PROTOCOL: Final = re.compile(
    r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9]+"
)


def read(manifest: Manifest, roots: tuple[str, ...], problems: Problems) -> Part:
    """The part of one document; `roots` are not needed. Raises Invalid without `spec`."""
    if manifest.kind not in SPECS:
        return routes.read(manifest, roots, problems)
    top, metadata = read_frame(manifest, problems)
    spec = need_spec(manifest, top)
    if metadata.namespace is None and (node := top.get("metadata")):
        problems.error(node.place, "metadata.namespace is missing", "a file says nothing of a current namespace")
    return SPECS[manifest.kind](spec, frame_of(manifest, metadata), problems)


def gateway(spec: Node, frame: dict[str, Any], problems: Problems) -> Gateway:
    """A Gateway. Of the fields without effect the outer form is read."""
    fields = spec.fields(("gatewayClassName", "listeners", *UNUSED), problems, null_is_absent=True)
    nothing: list[Node] = []
    nodes = fields.need("listeners", _listener_nodes, nothing, "write listeners: [{name:, port:, protocol: HTTP}]")
    listeners = each(nodes, lambda node: _listener(node, problems), problems)
    _distinct(listeners, spec.file, problems)
    return Gateway(
        **frame,
        class_name=fields.need("gatewayClassName", object_name, "", "write gatewayClassName: sluice"),
        listeners=tuple(listeners),
        unused=tuple(Text(name, node.line, node.column) for name in UNUSED if (node := _unused(fields, name))),
    )


def _unused(fields: Fields, name: str) -> Node | None:
    node = fields.get(name)
    if node is None:
        return None
    form: Callable[[Node], object] = Node.mapping
    if name == "addresses":
        form = Node.items
    elif name == "defaultScope":
        form = lambda one: one.choice("All", "None")  # noqa: E731 # a reader like the others
    fields.read(name, form, None)
    return node


def _listener_nodes(node: Node) -> list[Node]:
    node.filled()
    return bounded(node, MOST_LISTENERS)


def _listener(node: Node, problems: Problems) -> Listener:
    known = ("name", "port", "protocol", "hostname", "tls", "allowedRoutes")
    fields = node.fields(known, problems, null_is_absent=True)
    protocol = fields.need("protocol", _protocol, "HTTP", "write protocol: HTTP, HTTPS, TLS or TCP")
    host = fields.read("hostname", hostname, Text("", node.line, node.column))
    mode = fields.read("tls", lambda one: _tls(one, problems), "")
    if protocol in ("HTTP", "TCP", "UDP") and (one := fields.get("tls")):
        problems.error(one.place, f"`tls` beside protocol: {protocol}", "remove it, or write protocol: HTTPS or TLS")
    if protocol in ("TCP", "UDP") and (one := fields.get("hostname")):
        problems.error(one.place, f"`hostname` beside protocol: {protocol}, which shows no name", "remove it")
    if protocol == "HTTPS" and mode == "Passthrough" and (one := fields.get("tls")):
        problems.error(one.place, "protocol: HTTPS has mode: Terminate", "write protocol: TLS")
    if protocol == "TLS" and not mode:
        problems.error(node.place, "protocol: TLS without tls.mode", "write tls: {mode: Passthrough}")
    allowed = fields.read("allowedRoutes", lambda one: _allowed(one, problems), _everything_of_its_own())
    return Listener(
        fields.need("name", section_name, "", "the name of a listener of sluice.yaml"),
        fields.need("port", port, 0, "the port of that listener"),
        *(protocol, host.value, mode, *allowed, node.line, node.column),
    )


def _protocol(node: Node) -> str:
    text = node.string()
    if len(text) > 255 or not _PROTOCOL.fullmatch(text):
        raise node.unexpected("a protocol: HTTP, HTTPS, TLS, TCP, or a domain and a name such as sluice.dev/proxy")
    return text


def _tls(node: Node, problems: Problems) -> str:
    """Its mode. Certificates are those of the listener in sluice.yaml."""
    fields = node.fields(("mode", "certificateRefs", "options"), problems, null_is_absent=True)
    mode = fields.read("mode", lambda one: one.choice("Terminate", "Passthrough"), "Terminate")
    nothing: list[Node] = []
    nodes = fields.read("certificateRefs", lambda one: bounded(one, MOST_CERTIFICATES), nothing)
    for one in nodes:
        inner = one.fields(("group", "kind", "name", "namespace"), problems, null_is_absent=True)
        inner.read("group", api_group, "")
        inner.read("kind", kind_name, "Secret")
        inner.need("name", object_name, "", "the name of a Secret")
        inner.read("namespace", namespace_name, "")
    options = no_effect(fields, problems)
    if mode == "Terminate" and not nodes and not options:
        problems.error(node.place, "mode: Terminate without certificateRefs", "write certificateRefs: [{name: SECRET}]")
    return mode


Allowed = tuple[tuple[Kind, ...] | None, From, tuple[Requirement, ...]]


def _everything_of_its_own() -> Allowed:
    return None, "Same", ()


def _allowed(node: Node, problems: Problems) -> Allowed:
    fields = node.fields(("namespaces", "kinds"), problems, null_is_absent=True)
    same: tuple[From, tuple[Requirement, ...]] = ("Same", ())
    spaces = fields.read("namespaces", lambda one: _spaces(one, problems), same)
    nothing: list[Node] = []
    nodes = fields.read("kinds", lambda one: bounded(one, MOST_KINDS), nothing)
    kinds = tuple(each(nodes, lambda one: _kind(one, problems), problems))
    return kinds or None, *spaces


def _spaces(node: Node, problems: Problems) -> tuple[From, tuple[Requirement, ...]]:
    fields = node.fields(("from", "selector"), problems, null_is_absent=True)
    same: From = "Same"
    words: tuple[From, ...] = ("All", "Same", "Selector", "None")
    found = fields.read("from", lambda one: one.choice(*words), same)
    nothing: tuple[Requirement, ...] = ()
    selector = fields.read("selector", lambda one: read_selector(one, problems), nothing)
    if found == "Selector" and fields.get("selector") is None:
        problems.error(node.place, "from: Selector without selector", "write selector: {matchLabels: {}}")
    if found != "Selector" and (one := fields.get("selector")):
        problems.error(one.place, f"`selector` beside from: {found}", "write from: Selector")
    return found, selector


def _kind(node: Node, problems: Problems) -> Kind:
    fields = node.fields(("group", "kind"), problems, null_is_absent=True)
    return fields.read("group", api_group, GATEWAY_API), fields.need("kind", kind_name, "", "such as HTTPRoute")


def _distinct(listeners: list[Listener], file: str, problems: Problems) -> None:
    names: dict[object, Listener] = {}
    for one in listeners:
        for key, words in (
            (one.name, f"two listeners are named {quote(one.name)}"),
            ((one.port, one.protocol, one.hostname), f"two listeners have port {one.port}, {one.protocol}"),
        ):
            if key in names:
                hint = f"the first one is in line {names[key].line}"
                problems.error(Place(file, one.line, one.column), words, hint)
            names.setdefault(key, one)


SPECS: Final[dict[str, Callable[[Node, dict[str, Any], Problems], Part]]] = {
    "Gateway": gateway,
    "ReferenceGrant": reference_grant,
    "BackendTLSPolicy": backend_tls_policy,
}
KINDS: Final = {
    (GATEWAY_API, "Gateway"): ("v1beta1", "v1"),
    (GATEWAY_API, "ReferenceGrant"): ("v1alpha2", "v1beta1", "v1"),
    (GATEWAY_API, "BackendTLSPolicy"): ("v1alpha3", "v1"),
    **routes.GATEWAY_API_KINDS,
}
