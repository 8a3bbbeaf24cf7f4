"""Routes for egress as an article about Linkerd has them: gateway.linkerd.io/v1alpha1 HTTPRoute and TCPRoute
(DECISIONS.md section 6).

A route allows one workload of its own namespace, `parent.name`, to reach one host. That is a service account of this
name or, where pods are known, a pod, or the pods of a Deployment, StatefulSet, DaemonSet or Job. The namespace of
`parent` is Linkerd's own and selects nothing. `forwardTo` names the gateway that the sidecar sends the traffic
to: where it is another one, the route decides nothing here.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from supervisor.policy.dialects.backends import NOT_FOUND, NOT_PERMITTED, Referrer, backend_of
from supervisor.policy.dialects.dialect import ELSEWHERE, Dialect, Part, Surroundings, frame_of
from supervisor.policy.resources import routing
from supervisor.policy.resources.hosts import host_pattern
from supervisor.policy.resources.labels import Workloads
from supervisor.policy.resources.manifest import Manifest, need_spec, read_frame
from supervisor.policy.resources.model import Destination, Item, Range, Rules, Selector, Text
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Invalid, Place, Problems
from supervisor.source.words import namespace_name, object_name

__all__ = ["DIALECT", "GROUP", "Route"]

GROUP: Final = "gateway.linkerd.io"
VERSION: Final = "v1alpha1"
HTTP_PORTS: Final[tuple[Range, ...]] = ((80, 80), (443, 443))
MIRROR: Final = "RequestMirror"
HINTS: Final = {
    NOT_FOUND: "there is no such Service, or it has no such port",
    NOT_PERMITTED: "a ReferenceGrant of its namespace lets routes of another one refer to it",
}
MOST_FILTERS: Final = 16
MOST_TARGETS: Final = 16


class Target(msgspec.Struct, frozen=True, array_like=True):
    """A Service and its port; `namespace` "" = any, as the manifest says none."""

    namespace: str
    name: str
    port: int
    line: int
    column: int

    @property
    def text(self) -> str:
        """As people name it."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def is_one_of(self, services: Sequence[str]) -> bool:
        """Whether it is one of these, namespace/name; without a namespace of its own by its name alone."""
        return any(one == self.text or (not self.namespace and one.rpartition("/")[2] == self.name) for one in services)


class Route(Part, frozen=True, kw_only=True):
    """One route. `source` is the name of the workload in its namespace, `mirrors` are backends of RequestMirror."""

    source: str
    host: Text
    targets: tuple[Target, ...]
    mirrors: tuple[Target, ...] = ()


def read(manifest: Manifest, roots: tuple[str, ...], problems: Problems) -> Route:
    """One document, field by field. Raises Invalid for what cannot be read at all."""
    top, metadata = read_frame(manifest, problems)
    if metadata.namespace_node is None and (node := top.get("metadata")):
        problems.error(node.place, "metadata.namespace is missing: the route's source is a workload of it")
    spec = need_spec(manifest, top, "write parent:, host: and forwardTo:")
    known = (
        ("parent", "host", "filters", "forwardTo") if manifest.kind == "HTTPRoute" else ("parent", "host", "forwardTo")
    )
    fields = spec.fields(known, problems)
    nowhere = Text("", spec.line, spec.column)
    nothing: tuple[Target, ...] = ()
    return Route(
        **frame_of(manifest, metadata),
        source=fields.need("parent", lambda one: _parent(one, problems), "", "write parent: {name: WORKLOAD}"),
        host=fields.need("host", lambda one: _host(one, problems, nowhere), nowhere, "write host: {name: NAME}"),
        targets=fields.need(
            "forwardTo",
            lambda one: _targets(one, problems),
            nothing,
            "write forwardTo: [{service: {name: linkerd-egress, port: {number: 80}}}]",
        ),
        mirrors=fields.read("filters", lambda one: _mirrors(one, problems), nothing),
    )


def selects(manifest: Manifest, namespace: str, surroundings: Surroundings) -> tuple[Selector, ...]:
    """The workload of a route, all of its namespace where that cannot be read."""
    problems = Problems()
    try:
        spec = need_spec(manifest, read_frame(manifest, Problems())[0]).mapping()
        name = _parent(spec["parent"][1], problems)
        if not problems.errors:
            return _selectors(namespace, name)
    except (Invalid, KeyError):
        pass
    return (Selector(namespace=namespace),)


def _selectors(namespace: str, name: str) -> tuple[Selector, ...]:
    return Selector(namespace=namespace, service_account=name), Selector(workloads=Workloads(namespace, name=name))


def _parent(node: Node, problems: Problems) -> str:
    fields = node.fields(("namespace", "name"), problems, prefix="parent.")
    fields.read("namespace", namespace_name, "")
    return fields.need("name", object_name, "", "the service account, or the Deployment, that may reach the host")


def _host(node: Node, problems: Problems, nowhere: Text) -> Text:
    fields = node.fields(("name",), problems, prefix="host.")
    return fields.need("name", host_pattern, nowhere, "write name: and a host such as api.example.com")


def _targets(node: Node, problems: Problems) -> tuple[Target, ...]:
    items = node.filled()
    if len(items) > MOST_TARGETS:
        raise items[MOST_TARGETS].invalid(f"more than {MOST_TARGETS} Services")
    found = []
    for item in items:
        before = len(problems.errors)
        target = _service(item.fields(("service",), problems), item, problems)
        if len(problems.errors) == before and target is not None:
            found.append(target)
    return tuple(found)


def _service(fields: Fields, where: Node, problems: Problems) -> Target | None:
    """`service` of a forwardTo or of a mirror's backend."""
    nothing: Target | None = None
    return fields.need("service", lambda node: _target(node, problems), nothing, "write service: {name: NAME}")


def _target(node: Node, problems: Problems) -> Target | None:
    fields = node.fields(("namespace", "name", "port"), problems, prefix="service.")
    return Target(
        fields.read("namespace", namespace_name, ""),
        fields.need("name", object_name, "", "write name: and the name of a Service"),
        fields.need("port", lambda one: _port(one, problems), 0, "write port: {number: 80}"),
        node.line,
        node.column,
    )


def _port(node: Node, problems: Problems) -> int:
    fields = node.fields(("number",), problems, prefix="port.")
    return fields.need("number", lambda one: one.integer(1, 65535), 0, "write number: 80")


def _mirrors(node: Node, problems: Problems) -> tuple[Target, ...]:
    items = node.items()
    if len(items) > MOST_FILTERS:
        raise items[MOST_FILTERS].invalid(f"more than {MOST_FILTERS} filters")
    found = []
    for item in items:
        fields = item.fields(("type", "backend"), problems)
        fields.need("type", lambda one: one.choice(MIRROR), "", f"write type: {MIRROR}")
        nothing: Target | None = None
        target = fields.need(
            "backend",
            lambda one: _service(one.fields(("service",), problems), one, problems),
            nothing,
            "write backend: {service: {name: NAME, port: {number: PORT}}}",
        )
        if target is not None:
            found.append(target)
    return tuple(found)


def rules(routes: Sequence[Route], surroundings: Surroundings, problems: Problems) -> list[Rules]:
    """One rule of each route that leads to this gateway."""
    found = []
    for route in routes:
        if not any(target.is_one_of(surroundings.services) for target in route.targets):
            others = ", ".join(target.text for target in route.targets)
            words = f"{route.title} leads to another gateway than this one ({others}): it decides nothing here"
            problems.warning(route.place, words, ELSEWHERE)
            continue
        mirrors = tuple(_mirror(route, mirror, surroundings, problems) for mirror in route.mirrors)
        found.append(_rules(route, mirrors))
    return found


def _mirror(route: Route, target: Target, surroundings: Surroundings, problems: Problems) -> routing.MirrorTo:
    """A copy of each request to a Service; without a namespace to one of the route's own."""
    referrer = Referrer(GROUP, route.kind, route.namespace)
    backend = backend_of(referrer, target.namespace, target.name, target.port, surroundings)
    if isinstance(backend, routing.Invalid):
        words = f"the mirror {target.text} of {route.title} cannot be used: {backend.reason}"
        problems.warning(Place(route.file, target.line, target.column), words, HINTS[backend.reason])
    return routing.MirrorTo(backend)


def _rules(route: Route, mirrors: tuple[routing.MirrorTo, ...]) -> Rules:
    ports = HTTP_PORTS if route.kind == "HTTPRoute" else ()
    return Rules(
        kind=route.kind,
        namespace=route.namespace,
        name=route.name,
        file=route.file,
        tier="allow",
        selectors=_selectors(route.namespace, route.source),
        items=(Item(0, route.host.line, route.host.column, Destination(host=route.host, ports=ports)),),
        created=route.created,
        route=routing.Route(f"{route.kind}/{route.namespace}/{route.name}", 0, "article", mirrors)
        if route.kind == "HTTPRoute"
        else None,
    )


KINDS: Final = {(GROUP, kind): (VERSION,) for kind in ("HTTPRoute", "TCPRoute")}
DIALECT: Final = Dialect(KINDS, read, (Route,), rules, selects=selects)
