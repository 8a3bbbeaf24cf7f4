"""Reads who is admitted: AuthorizationPolicy, the authentications that it names, and ServerAuthorization.

The rules of Linkerd's own admission (policy-controller/runtime/src/admission.rs) are errors here.
"""

from typing import Any, Final

from supervisor.policy.dialects.linkerd.resources import (
    AuthorizationPolicy,
    Block,
    MeshTLSAuthentication,
    NetworkAuthentication,
    ServerAuthorization,
    Target,
)
from supervisor.policy.dialects.linkerd.words import (
    CORE,
    GATEWAY_API,
    LINKERD,
    MOST_IDENTITIES,
    bounded,
    identity,
    read_blocks,
    read_target,
)
from supervisor.policy.resources.labels import Requirement, read_selector
from supervisor.policy.resources.model import Text
from supervisor.source.node import Fields, Node, each
from supervisor.source.problems import Place, Problems
from supervisor.source.words import namespace_name, object_name

ACCOUNT: Final = (CORE, "ServiceAccount")
NAMESPACE: Final = (CORE, "Namespace")
MESH_TLS: Final = (LINKERD, "MeshTLSAuthentication")
NETWORK: Final = (LINKERD, "NetworkAuthentication")
# Linkerd itself knows Server, HTTPRoute, GRPCRoute and Namespace; the others are for egress.
TARGETS: Final = (
    *((LINKERD, kind) for kind in ("Server", "EgressNetwork", "HTTPRoute")),
    *((GATEWAY_API, kind) for kind in ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute")),
    NAMESPACE,
)
MOST_NEEDED: Final = 16


def authorization_policy(spec: Node, frame: dict[str, Any], problems: Problems) -> AuthorizationPolicy:
    fields = spec.fields(("targetRef", "requiredAuthenticationRefs"), problems, null_is_absent=True)
    nowhere = Target(LINKERD, "Server", "", "", spec.line, spec.column)
    target = fields.need(
        "targetRef",
        lambda node: read_target(node, TARGETS, problems, namespaced=False),
        nowhere,
        f"write targetRef: {{group: {LINKERD}, kind: EgressNetwork, name: NAME}}",
    )
    if (target.group, target.kind) == NAMESPACE and target.name not in ("", frame["namespace"]):
        words = f"cannot target another namespace: {target.name}"
        problems.error(Place(spec.file, target.line, target.column), words, f"write name: {frame['namespace']}")
    nothing: list[Node] = []
    nodes = fields.need(
        "requiredAuthenticationRefs",
        lambda node: bounded(node.items(), MOST_NEEDED, "authentications"),
        nothing,
        f"write requiredAuthenticationRefs: [{{group: {LINKERD}, kind: MeshTLSAuthentication, name: NAME}}]",
    )
    needed = each(nodes, lambda node: read_target(node, (MESH_TLS, NETWORK, ACCOUNT), problems), problems)
    _few(needed, spec.file, problems)
    return AuthorizationPolicy(**frame, target=target, needed=tuple(needed))


def _few(needed: list[Target], file: str, problems: Problems) -> None:
    """One of each at most, and not a MeshTLSAuthentication beside a ServiceAccount."""
    first: dict[str, Target] = {}
    for target in needed:
        place = Place(file, target.line, target.column)
        other = {"ServiceAccount": "MeshTLSAuthentication", "MeshTLSAuthentication": "ServiceAccount"}.get(target.kind)
        if target.kind in first:
            where = f"the first one is in line {first[target.kind].line}"
            problems.error(place, f"only a single {target.kind} may be set", where)
        elif other in first:
            words = "a MeshTLSAuthentication and a ServiceAccount may not be set together"
            problems.error(place, words, "name the service account in the MeshTLSAuthentication")
        first.setdefault(target.kind, target)


def mesh_tls_authentication(spec: Node, frame: dict[str, Any], problems: Problems) -> MeshTLSAuthentication:
    fields = spec.fields(("identities", "identityRefs"), problems, null_is_absent=True)
    _exactly_one(fields, ("identities", "identityRefs"), problems, 'write identities: ["*"] for every meshed client')
    return MeshTLSAuthentication(
        **frame,
        identities=_identities(fields, problems, filled=True),
        references=tuple(
            each(_filled(fields, "identityRefs"), lambda node: _identity_reference(node, problems), problems)
        ),
    )


def _exactly_one(fields: Fields, names: tuple[str, str], problems: Problems, hint: str) -> None:
    found = [name for name in names if fields.get(name) is not None]
    if len(found) != 1:
        words = f"expected {names[0]} or {names[1]}, found " + ("both" if found else "neither")
        problems.error(fields.node.place, words, hint)


def _filled(fields: Fields, name: str) -> list[Node]:
    nothing: list[Node] = []
    return fields.read(name, lambda node: bounded(node.filled(), MOST_IDENTITIES, name), nothing)


def _identities(fields: Fields, problems: Problems, filled: bool = False) -> tuple[Text, ...]:
    nodes = _filled(fields, "identities") if filled else bounded(fields.items("identities"), MOST_IDENTITIES, "items")
    return tuple({text.value: text for text in each(nodes, identity, problems)}.values())


def _identity_reference(node: Node, problems: Problems) -> Target:
    """A Namespace has no namespace."""
    found = read_target(node, (ACCOUNT, NAMESPACE), problems)
    if (found.group, found.kind) == NAMESPACE and found.namespace:
        words = "a Namespace identityRef is cluster-scoped and cannot have a namespace"
        raise node.invalid(words, "remove namespace:; name: is the namespace meant")
    return found


def network_authentication(spec: Node, frame: dict[str, Any], problems: Problems) -> NetworkAuthentication:
    fields = spec.fields(("networks",), problems, null_is_absent=True)
    nothing: list[Node] = []
    nodes = fields.need("networks", Node.filled, nothing, "write networks: [{cidr: 10.0.0.0/8}]")
    return NetworkAuthentication(**frame, blocks=read_blocks(nodes, problems))


def server_authorization(spec: Node, frame: dict[str, Any], problems: Problems) -> ServerAuthorization:
    fields = spec.fields(("server", "client"), problems, null_is_absent=True)
    unnamed: tuple[str, tuple[Requirement, ...]] = "", ()
    server, selector = fields.need(
        "server", lambda node: _server(node, problems), unnamed, "write server: {name: NAME}"
    )
    nothing: dict[str, Any] = {"blocks": (), "identities": (), "accounts": (), "tls": False}
    hint = "write client: {meshTLS: {identities: [...]}}, or {unauthenticated: true}"
    client = fields.need("client", lambda node: _client(node, frame["namespace"], problems), nothing, hint)
    return ServerAuthorization(**frame, server=server, selector=selector, **client)


def _server(node: Node, problems: Problems) -> tuple[str, tuple[Requirement, ...]]:
    fields = node.fields(("name", "selector"), problems, null_is_absent=True)
    _exactly_one(fields, ("name", "selector"), problems, "write name: and the name of a Server")
    all_of_them: tuple[Requirement, ...] = ()
    selector = fields.read("selector", lambda one: read_selector(one, problems), all_of_them)
    return fields.read("name", object_name, ""), selector


def _client(node: Node, namespace: str, problems: Problems) -> dict[str, Any]:
    fields = node.fields(("networks", "unauthenticated", "meshTLS"), problems, null_is_absent=True)
    blocks: tuple[Block, ...] = read_blocks(fields.items("networks"), problems)
    unauthenticated = fields.read("unauthenticated", Node.boolean, False)
    mesh = fields.get("meshTLS")
    if mesh is not None and unauthenticated:
        problems.error(mesh.place, "meshTLS beside unauthenticated: true", "remove one of them")
    if mesh is None:
        if not unauthenticated:
            hint = "write meshTLS: {identities: [...]}, or unauthenticated: true"
            problems.error(node.place, "no client authentication: no source would be admitted", hint)
        return {"blocks": blocks, "identities": None, "accounts": None, "tls": False}
    inner = mesh.fields(("unauthenticatedTLS", "identities", "serviceAccounts"), problems, null_is_absent=True)
    tls = inner.read("unauthenticatedTLS", Node.boolean, False)
    identities = _identities(inner, problems)
    accounts = tuple(inner.each("serviceAccounts", lambda one: _account(one, namespace, problems)))
    if tls and (identities or accounts):
        words = "unauthenticatedTLS: true beside identities or serviceAccounts"
        problems.error(mesh.place, words, "remove one of them")
    elif not tls and not identities and not accounts:
        problems.error(mesh.place, "meshTLS without identities: no source is admitted", 'write identities: ["*"]')
    return {"blocks": blocks, "identities": identities, "accounts": accounts, "tls": tls}


def _account(node: Node, namespace: str, problems: Problems) -> tuple[str, str]:
    fields = node.fields(("name", "namespace"), problems, null_is_absent=True)
    return fields.read("namespace", namespace_name, namespace), fields.need("name", object_name, "")
