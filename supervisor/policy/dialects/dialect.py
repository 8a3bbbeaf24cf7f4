"""A dialect as the loader knows it: kinds, and two passes over them.

The first reads one document alone, whenever its file has changed: into rules where the document says everything itself,
else into a part, which is remembered with the file. The second sees all parts of the dialect together, resolves what
they say of each other, and gives their rules. It runs in each compilation and must cost little.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import msgspec

from supervisor.policy.resources.conditions import Expression
from supervisor.policy.resources.manifest import Manifest, Metadata
from supervisor.policy.resources.model import Rules, Selector
from supervisor.policy.resources.rates import Rate
from supervisor.policy.resources.routing import Invalid, Service
from supervisor.policy.resources.routing import Named as Elsewhere
from supervisor.policy.resources.status import Status
from supervisor.source.problems import Place, Problems

__all__ = ["ELSEWHERE", "Dialect", "Part", "Services", "Surroundings", "frame_of", "sources_of", "status_of"]

# The hint where a resource leads to another gateway.
ELSEWHERE: Final = "gateway.services in sluice.yaml names the Services of this gateway"


class Part(msgspec.Struct, frozen=True, array_like=True, tag=True, kw_only=True):
    """One resource as its document says it. Dialects derive their kinds from it."""

    kind: str
    namespace: str  # "" for kinds without one
    name: str
    file: str
    line: int
    column: int
    created: int | None = None  # creationTimestamp, microseconds since 1970

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.file, self.line, self.column)

    @property
    def key(self) -> tuple[str, str, str]:
        """Kind, namespace and name."""
        return self.kind, self.namespace, self.name

    @property
    def entries(self) -> int:
        """The entries that its rules may have, which its namespace's budget counts: here the items of its lists. A
        dialect that multiplies lists says so itself."""
        return 1 + _items_in(msgspec.to_builtins(self))

    @property
    def expressions(self) -> Iterator[Expression]:
        """The regular expressions that its rules have, whose states its namespace's budget counts."""
        return iter(())

    @property
    def title(self) -> str:
        """As people name it."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def _items_in(value: object) -> int:
    if isinstance(value, dict):
        return sum(map(_items_in, value.values()))
    return len(value) + sum(map(_items_in, value)) if isinstance(value, list | tuple) else 0


def frame_of(manifest: Manifest, metadata: Metadata) -> dict[str, Any]:
    """The fields that every part has."""
    place = manifest.node.place
    return {
        "kind": manifest.kind,
        "namespace": metadata.namespace or "",
        "name": metadata.name,
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "created": metadata.created,
    }


def status_of(
    part: Part, type_: str, status: bool, reason: str, message: str = "", parent: str = "", place: Place | None = None
) -> Status:
    """A condition of a part, at its own place or at that of one of its fields."""
    where = place or part.place
    return Status(
        *(part.kind, part.namespace, part.name, parent, type_, status, reason, message),
        *(where.file, where.line, where.column),
    )


class Services(Protocol):
    """The Services of the cluster, as far as they are known."""

    def find(self, namespace: str, name: str, port: int, grpc: bool = False) -> Service | Elsewhere | Invalid | None:
        """The one of that name with its endpoints, or the name outside that it stands for; Invalid: it cannot be
        reached as its port asks; None: it does not exist, or has no such port. `grpc`: requests to it are gRPC."""

    def grants(self, group: str, kind: str, namespace: str, service: tuple[str, str]) -> bool:
        """Whether a ReferenceGrant lets resources of a group, kind and namespace refer to a Service (namespace and
        name) of another one."""


class _NoServices:
    """None is known: each name of one is asked of DNS."""

    def __init__(self, domain: str) -> None:
        self.domain = domain

    def find(self, namespace: str, name: str, port: int, grpc: bool = False) -> Service | Elsewhere | Invalid | None:
        return Service(namespace, name, port, "h2c" if grpc else "http", (), f"{name}.{namespace}.svc.{self.domain}")

    def grants(self, group: str, kind: str, namespace: str, service: tuple[str, str]) -> bool:
        return namespace == service[0]


class Surroundings(msgspec.Struct, frozen=True):
    """The part of sluice.yaml that the meaning of manifests depends on, and of other manifests.

    `namespace`, `labels`, `services` (namespace/name) and `cluster_networks` are those of `gateway`, `listeners` their
    names and ports, `trust_domains` their names and the namespace of Linkerd in each ("" = none), `global_namespace`
    that of `linkerd`. `known`: the Services of the cluster, which have names below `cluster_domain`. `passthrough`:
    policy.passthrough, which dialects see resolved where it is `mesh`, and `allowed` the sources that it has ended for,
    as an allow selects them.
    """

    services: tuple[str, ...] = ()
    passthrough: bool | Literal["mesh"] = False
    allowed: frozenset[Selector] = frozenset()
    namespace: str = "egress"
    labels: tuple[tuple[str, str], ...] = ()
    listeners: tuple[tuple[str, int], ...] = ()
    cluster_networks: tuple[str, ...] = ()
    global_namespace: str = "linkerd-egress"
    trust_domains: tuple[tuple[str, str], ...] = ()
    cluster_domain: str = "cluster.local"
    known: Services = _NoServices("cluster.local")


def sources_of(namespace: str, surroundings: Surroundings) -> tuple[Selector, ...]:
    """The sources that resources of a namespace may be about: its own; of the global one those as well of every
    namespace without a network of destinations."""
    own = (Selector(namespace=namespace),)
    return (*own, Selector(elsewhere=True)) if namespace == surroundings.global_namespace else own


@dataclass(frozen=True, slots=True)
class Dialect:
    """`kinds` of API groups with the versions that are read. `read` takes real folders that host lists may lie in, and
    raises Invalid for what cannot be read at all. `rules` gets every part of the types `parts`; so does `opens`, which
    says whether the mesh lets out what no rule names, None where it says nothing, and `statuses`, which gives the
    conditions of each resource: those that are not fine become warnings, and no other word of them is needed. `rates`
    gives what limits requests at listeners, at most one of each.
    `selects` gets a resource of a namespace that cannot be used and gives the sources that it closes, as far as it can
    be read; without it these are all of the namespace. Other namespaces it reaches from those alone that stand for
    them: with `elsewhere` from the global one, and all sources from the gateway's."""

    kinds: Mapping[tuple[str, str], tuple[str, ...]]
    read: Callable[[Manifest, tuple[str, ...], Problems], Rules | Part]
    parts: tuple[type[Part], ...] = ()
    rules: Callable[[Sequence[Any], Surroundings, Problems], list[Rules]] | None = None
    opens: Callable[[Sequence[Any]], bool | None] | None = None
    statuses: Callable[[Sequence[Any], Surroundings], list[Status]] | None = None
    rates: Callable[[Sequence[Any], Surroundings], list[Rate]] | None = None
    selects: Callable[[Manifest, str, Surroundings], tuple[Selector, ...]] | None = None
