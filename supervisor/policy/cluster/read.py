"""Reads the manifests of the cluster's objects: only the fields that matter here, as what a server adds is not ours to
judge. Each of these is typed and bounded, and an error names its place."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from supervisor.policy.cluster.objects import (
    Configuration,
    Controller,
    Endpoint,
    EndpointSlice,
    Fact,
    Labels,
    Namespace,
    Owner,
    Pod,
    Port,
    ReplicaSet,
    Service,
    ServiceAccount,
)
from supervisor.policy.dialects.dialect import Dialect
from supervisor.policy.resources.labels import read_labels
from supervisor.policy.resources.manifest import Manifest, resource_name, timestamp
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Problems
from supervisor.source.words import namespace_name, object_name

__all__ = ["DIALECT"]

PHASES: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
SERVICE_OF_SLICE: Final = "kubernetes.io/service-name"
MOST_ADDRESSES: Final = 16  # of one pod: two families, and room for additional networks
MOST_ENDPOINTS: Final = 1000  # the API server's own limit for a slice
MOST_PORTS: Final = 100
MOST_OWNERS: Final = 100
MOST_KEYS: Final = 10_000
AUTHORITY: Final = "ca.crt"  # of a ConfigMap
MOST_AUTHORITY: Final = 1 << 20  # bytes
NOTHING: Final[Labels] = ()


class _Object:
    """The frame of one manifest."""

    def __init__(self, manifest: Manifest, problems: Problems, namespaced: bool = True) -> None:
        self.problems = problems
        self.manifest = manifest
        self.top = self.some(
            manifest.node, ("metadata", "spec", "status", "data", "binaryData", "stringData", "ports", "endpoints")
        )
        node = self.top.get("metadata")
        if node is None:
            raise manifest.node.invalid("`metadata` is missing")
        names = ("name", "namespace", "labels", "uid", "creationTimestamp", "ownerReferences")
        self.metadata = metadata = self.some(node, names, "metadata.")
        namespace = metadata.get("namespace")
        if namespaced and namespace is None:
            problems.error(node.place, f"metadata.namespace is missing: a {manifest.kind} lies in one")
        self.frame: dict[str, Any] = {
            "kind": manifest.kind,
            "name": metadata.need("name", resource_name, "", "write name:"),
            "namespace": metadata.read("namespace", namespace_name, "") if namespaced else "",
            "file": manifest.node.file,
            "line": manifest.node.line,
            "column": manifest.node.column,
            "created": metadata.read("creationTimestamp", timestamp, None),
        }

    def some(self, node: Node, names: tuple[str, ...], prefix: str = "") -> Fields:
        """These fields of an object; others are passed over."""
        kept = {name: pair for name, pair in node.mapping().items() if name in names}
        return Node(node.file, node.line, node.column, kept).fields(names, self.problems, True, prefix)

    def part(self, name: str, names: tuple[str, ...]) -> Fields:
        """The same of `spec` or `status`, which may be absent."""
        node = self.top.get(name)
        where = node if node is not None else empty(self.manifest.node)
        return self.some(where, names, f"{name}.")

    @property
    def labels(self) -> Labels:
        return self.metadata.read("labels", read_labels, NOTHING)

    def owner(self) -> Owner:
        """The controller among its owners, else the first of them."""
        found: list[tuple[bool, Owner]] = []
        for node in bounded(self.metadata.items("ownerReferences"), MOST_OWNERS, "owners"):
            fields = self.some(node, ("kind", "name", "controller"))
            owner = Owner(fields.need("kind", Node.string, ""), fields.need("name", object_name, ""))
            found.append((not fields.read("controller", Node.boolean, False), owner))
        return min(found, key=lambda pair: pair[0])[1] if found else Owner()


def empty(node: Node) -> Node:
    """A mapping without fields, for one that is absent."""
    return Node(node.file, node.line, node.column, {})


def bounded(items: list[Node], most: int, what: str) -> list[Node]:
    """A list that is not too long. Raises Invalid."""
    if len(items) > most:
        raise items[most].invalid(f"more than {most} {what}")
    return items


def _pod(manifest: Manifest, problems: Problems) -> Pod:
    this = _Object(manifest, problems)
    spec = this.part("spec", ("serviceAccountName", "serviceAccount", "hostNetwork"))
    status = this.part("status", ("phase", "podIP", "podIPs", "startTime"))
    account = "serviceAccountName" if spec.get("serviceAccountName") is not None else "serviceAccount"
    addresses = [
        this.some(node, ("ip",)).need("ip", Node.address, "")
        for node in bounded(status.items("podIPs"), MOST_ADDRESSES, "addresses of one pod")
    ]
    addresses += [status.read("podIP", Node.address, "")]
    return Pod(
        **this.frame,
        uid=this.metadata.read("uid", Node.text, ""),
        service_account=spec.read(account, object_name, "default"),
        labels=this.labels,
        owner=this.owner(),
        phase=status.read("phase", lambda node: node.choice(*PHASES), "Unknown"),
        host_network=spec.read("hostNetwork", Node.boolean, False),
        addresses=tuple(dict.fromkeys(filter(None, addresses))),
        started=status.read("startTime", timestamp, None),
    )


def _namespace(manifest: Manifest, problems: Problems) -> Namespace:
    this = _Object(manifest, problems, namespaced=False)
    return Namespace(**this.frame, labels=this.labels)


def _replica_set(manifest: Manifest, problems: Problems) -> ReplicaSet:
    this = _Object(manifest, problems)
    return ReplicaSet(**this.frame, owner=this.owner())


def _service_account(manifest: Manifest, problems: Problems) -> ServiceAccount:
    return ServiceAccount(**_Object(manifest, problems).frame)


def _controller(manifest: Manifest, problems: Problems) -> Controller:
    return Controller(**_Object(manifest, problems).frame)


def _ports(this: _Object, items: list[Node]) -> tuple[Port, ...]:
    found = []
    for node in bounded(items, MOST_PORTS, "ports"):
        fields = this.some(node, ("name", "port", "appProtocol"))
        number = fields.read("port", lambda one: one.integer(1, 65535), 0)
        found.append(Port(fields.read("name", Node.text, ""), number, fields.read("appProtocol", Node.text, "")))
    return tuple(found)


def _cluster_ip(node: Node) -> str:
    return "" if node.value in ("None", "") else node.address()


def _service(manifest: Manifest, problems: Problems) -> Service:
    this = _Object(manifest, problems)
    spec = this.part("spec", ("clusterIP", "clusterIPs", "externalName", "selector", "ports", "type"))
    kind = spec.read("type", Node.string, "ClusterIP")
    addresses = [spec.read("clusterIP", _cluster_ip, ""), *spec.each("clusterIPs", _cluster_ip)]
    return Service(
        **this.frame,
        addresses=tuple(dict.fromkeys(filter(None, addresses))),
        external_name=spec.read("externalName", Node.text, "") if kind == "ExternalName" else "",
        selector=spec.read("selector", read_labels, NOTHING),
        ports=_ports(this, spec.items("ports")),
    )


def _endpoint_slice(manifest: Manifest, problems: Problems) -> EndpointSlice:
    this = _Object(manifest, problems)
    endpoints = []
    for node in bounded(this.top.items("endpoints"), MOST_ENDPOINTS, "endpoints"):
        fields = this.some(node, ("addresses", "conditions", "targetRef"))
        nothing = empty(node)
        conditions = this.some(fields.get("conditions") or nothing, ("ready",))
        target = this.some(fields.get("targetRef") or nothing, ("kind", "name"))
        is_pod = target.read("kind", Node.text, "") == "Pod"
        endpoints.append(
            Endpoint(
                tuple(bounded_texts(fields, "addresses")),
                conditions.read("ready", Node.boolean, True),
                target.read("name", object_name, "") if is_pod else "",
            )
        )
    return EndpointSlice(
        **this.frame,
        service=dict(this.labels).get(SERVICE_OF_SLICE, ""),
        ports=_ports(this, this.top.items("ports")),
        endpoints=tuple(endpoints),
    )


def bounded_texts(fields: Fields, name: str) -> Iterable[str]:
    """Addresses, or names where the slice is of that type."""
    return [node.text() for node in bounded(fields.items(name), MOST_ENDPOINTS, name)]


def _configuration(manifest: Manifest, problems: Problems) -> Configuration:
    this = _Object(manifest, problems)
    keys: dict[str, None] = {}
    for name in ("data", "binaryData", "stringData"):
        node = this.top.get(name)
        keys |= dict.fromkeys(node.mapping() if node is not None else ())
    if len(keys) > MOST_KEYS:
        raise manifest.node.invalid(f"more than {MOST_KEYS} keys")
    authority = ""
    if manifest.kind == "ConfigMap" and (data := this.top.get("data")) is not None and AUTHORITY in keys:
        authority = this.some(data, (AUTHORITY,), "data.").read(AUTHORITY, _authority, "")
    return Configuration(**this.frame, keys=tuple(keys), authority=authority)


def _authority(node: Node) -> str:
    text = node.text()
    if len(text) > MOST_AUTHORITY:
        raise node.invalid(f"more than {MOST_AUTHORITY} bytes of certificates")
    return text


READERS: Final[dict[tuple[str, str], Callable[[Manifest, Problems], Fact]]] = {
    ("", "Pod"): _pod,
    ("", "Namespace"): _namespace,
    ("", "ServiceAccount"): _service_account,
    ("", "Service"): _service,
    ("", "ConfigMap"): _configuration,
    ("", "Secret"): _configuration,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "Deployment"): _controller,
    ("apps", "StatefulSet"): _controller,
    ("apps", "DaemonSet"): _controller,
    ("batch", "Job"): _controller,
    ("batch", "CronJob"): _controller,
}


def read(manifest: Manifest, roots: tuple[str, ...], problems: Problems) -> Fact:
    """One object. Raises Invalid for what cannot be read at all."""
    return READERS[manifest.group, manifest.kind](manifest, problems)


DIALECT: Final = Dialect(dict.fromkeys(READERS, ("v1",)), read, selects=lambda manifest, namespace, surroundings: ())
