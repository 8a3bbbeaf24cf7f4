"""Reads one document of Linkerd: EgressNetwork and Server here, the others in modules of their own."""

from collections.abc import Callable
from typing import Any, Final, get_args

from supervisor.policy.dialects.dialect import frame_of
from supervisor.policy.dialects.linkerd.read_authorizations import (
    authorization_policy,
    mesh_tls_authentication,
    network_authentication,
    server_authorization,
)
from supervisor.policy.dialects.linkerd.read_profiles import rate_limit_policy, service_profile
from supervisor.policy.dialects.linkerd.resources import (
    AccessPolicy,
    EgressNetwork,
    ProxyProtocol,
    Server,
    TrafficPolicy,
)
from supervisor.policy.dialects.linkerd.words import LINKERD, frame_says, read_blocks
from supervisor.policy.resources.labels import Requirement, read_labels, read_selector
from supervisor.policy.resources.manifest import Manifest, need_spec, read_frame
from supervisor.source.node import Node, attempt
from supervisor.source.problems import Problems
from supervisor.source.words import label_value

PROFILES: Final = "linkerd.io"
TRAFFIC_POLICIES: Final[tuple[TrafficPolicy, ...]] = get_args(TrafficPolicy)
ACCESS_POLICIES: Final[tuple[AccessPolicy, ...]] = get_args(AccessPolicy)
LATER_FIELDS: Final = {"externalWorkloadSelector": "v1beta2", "accessPolicy": "v1beta3"}  # of a Server
PROTOCOLS: Final[tuple[ProxyProtocol, ...]] = get_args(ProxyProtocol)


def read(manifest: Manifest, roots: tuple[str, ...], problems: Problems) -> Any:
    """The part of one document; `roots` are not needed. Raises Invalid without `spec`."""
    top, metadata = read_frame(manifest, problems)
    spec = need_spec(manifest, top)
    if metadata.namespace is None and (node := top.get("metadata")):
        problems.error(node.place, "metadata.namespace is missing", "a file says nothing of a current namespace")
    frame = frame_of(manifest, metadata)
    if manifest.kind == "Server":
        return server(spec, frame, manifest.version, frame_says(top.get("metadata"), "labels"), problems)
    return SPECS[manifest.kind](spec, frame, problems)


def egress_network(spec: Node, frame: dict[str, Any], problems: Problems) -> EgressNetwork:
    fields = spec.fields(("trafficPolicy", "networks"), problems, null_is_absent=True)
    usual: TrafficPolicy = "Deny"
    policy = fields.need(
        "trafficPolicy", lambda node: node.choice(*TRAFFIC_POLICIES), usual, "write trafficPolicy: Allow or Deny"
    )
    if fields.get("networks") is None:
        return EgressNetwork(**frame, policy=policy, blocks=None)
    nothing: list[Node] = []
    nodes = fields.read("networks", Node.filled, nothing)
    return EgressNetwork(**frame, policy=policy, blocks=read_blocks(nodes, problems))


def server(spec: Node, frame: dict[str, Any], version: str, labels: Node | None, problems: Problems) -> Server:
    known = ("port", "podSelector", "proxyProtocol", *LATER_FIELDS)
    fields = spec.fields(known, problems, null_is_absent=True)
    for name, since in LATER_FIELDS.items():
        if version < since and (node := fields.get(name)):
            words = f"{name} is not a field of {version}: it came with {since}"
            problems.error(node.place, words, f"write apiVersion: {LINKERD}/{since}")
    selectors = [name for name in ("podSelector", "externalWorkloadSelector") if fields.get(name) is not None]
    if len(selectors) != 1:
        words = "expected podSelector or externalWorkloadSelector, found " + ("both" if selectors else "neither")
        problems.error(spec.place, words, "write podSelector: {matchLabels: {app: NAME}}, or {} for every pod")
    selected: dict[str, tuple[Requirement, ...] | None] = {}
    for name in selectors:
        nothing: tuple[Requirement, ...] | None = None
        selected[name] = fields.read(name, lambda node: read_selector(node, problems), nothing)
    closed: AccessPolicy = "deny"
    any_protocol: ProxyProtocol = "unknown"
    nowhere: int | str = 0
    unlabelled: tuple[tuple[str, str], ...] = ()
    return Server(
        **frame,
        labels=attempt(labels, read_labels, problems, unlabelled) if labels is not None else (),
        pods=selected.get("podSelector"),
        port=fields.need("port", _port, nowhere, "write port: and a number, or the name of a port of the pod"),
        access=fields.read("accessPolicy", lambda node: node.choice(*ACCESS_POLICIES), closed),
        protocol=fields.read("proxyProtocol", lambda node: node.choice(*PROTOCOLS), any_protocol),
    )


def _port(node: Node) -> int | str:
    """A number, or the name of a port (RFC 6335 section 5.1, of which Kubernetes takes lower case)."""
    if node.plain and isinstance(node.value, str) and node.value.lstrip("-").isdecimal():
        return node.integer(1, 65535)
    text = label_value(node)
    if not text or len(text) > 15 or text != text.lower() or "." in text or "_" in text or text.isdecimal():
        raise node.unexpected("a port: a number, or a name of at most 15 letters, digits and '-'")
    return text


SPECS: Final[dict[str, Callable[[Node, dict[str, Any], Problems], Any]]] = {
    "EgressNetwork": egress_network,
    "AuthorizationPolicy": authorization_policy,
    "MeshTLSAuthentication": mesh_tls_authentication,
    "NetworkAuthentication": network_authentication,
    "ServerAuthorization": server_authorization,
    "HTTPLocalRateLimitPolicy": rate_limit_policy,
    "ServiceProfile": service_profile,
}
KINDS: Final = {
    **{(LINKERD, kind): ("v1alpha1",) for kind in tuple(SPECS)[:4]},
    (LINKERD, "HTTPLocalRateLimitPolicy"): ("v1alpha1",),
    (LINKERD, "ServerAuthorization"): ("v1alpha1", "v1beta1"),
    (LINKERD, "Server"): ("v1alpha1", "v1beta1", "v1beta2", "v1beta3"),
    (PROFILES, "ServiceProfile"): ("v1alpha1", "v1alpha2"),
}
