"""Routes as their documents say them: HTTPRoute, GRPCRoute, TLSRoute and TCPRoute of gateway.networking.k8s.io, and
HTTPRoute of policy.linkerd.io. What a parent makes of them is its dialect's matter."""

import re
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from supervisor.policy.dialects.dialect import Part
from supervisor.policy.resources.conditions import Expression, Path
from supervisor.policy.resources.model import Text

GATEWAY_API: Final = "gateway.networking.k8s.io"
LINKERD: Final = "policy.linkerd.io"
CORE: Final = ""  # the group of Service and other kinds of Kubernetes itself


class Parent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One of `parentRefs`; namespace, section and port are "" and 0 where it does not say."""

    group: str
    kind: str
    namespace: str
    name: str
    section: str
    port: int
    line: int
    column: int

    def is_kind(self, group: str, kind: str) -> bool:
        """Whether it refers to a resource of this kind."""
        return (self.group, self.kind) == (group, kind)


class Reference(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A resource that is referred to; `namespace` "" = the route's own, `port` 0 = it does not say."""

    group: str
    kind: str
    namespace: str
    name: str
    port: int
    line: int
    column: int

    def is_kind(self, group: str, kind: str) -> bool:
        """Whether it refers to a resource of this kind."""
        return (self.group, self.kind) == (group, kind)


class HeaderModifier(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Fields set, added and removed, names as written; of requests, or of `responses`."""

    responses: bool
    set: tuple[tuple[str, str], ...]
    add: tuple[tuple[str, str], ...]
    remove: tuple[str, ...]


class Mirror(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """`numerator` of `denominator` requests are copied to a backend."""

    backend: Reference
    numerator: int
    denominator: int


class NewPath(msgspec.Struct, frozen=True, array_like=True):
    """`value` stands for the whole path, or for the prefix that matched."""

    prefix: bool
    value: str


class Redirect(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The answer is a redirection; "", None and 0 = that part stays as it was asked for."""

    scheme: str
    hostname: str
    path: NewPath | None
    port: int
    status: int


class Rewrite(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Host and path are replaced; "" and None = they stay."""

    hostname: str
    path: NewPath | None


class Cors(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Cross-origin requests; `age` in seconds."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...]
    credentials: bool
    age: int


class ExternalAuth(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A service that requests are put to before they pass. `body`: bytes of it that are sent along, None = none."""

    protocol: Literal["HTTP", "GRPC"]
    backend: Reference
    path: str
    headers: tuple[str, ...]
    answered: tuple[str, ...]  # fields of the answer that go on with the request
    body: int | None


class Extension(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A filter of an implementation's own."""

    reference: Reference


class Filter(msgspec.Struct, frozen=True, array_like=True):
    """One filter, and where it stands."""

    type: str
    value: HeaderModifier | Mirror | Redirect | Rewrite | Cors | ExternalAuth | Extension
    line: int
    column: int


class Backend(msgspec.Struct, frozen=True, array_like=True):
    """One of `backendRefs`; `weight` counts among the others, 0 = no traffic."""

    reference: Reference
    weight: int = 1
    filters: tuple[Filter, ...] = ()


class Named(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A header field (name in lower case) or a query parameter, and the value that it has to have."""

    name: str
    kind: Literal["exact", "regex"]
    value: Text


class HTTPMatch(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """All that is set must hold. The path as written; `method` "" = any."""

    path: Path
    headers: tuple[Named, ...]
    queries: tuple[Named, ...]
    method: str
    line: int
    column: int

    @property
    def expressions(self) -> Iterator[Expression]:
        """As Part has it."""
        yield from ((self.path.value.value, False),) if self.path.kind == "regex" else ()
        yield from _expressions_of(*self.headers, *self.queries)


class GRPCMatch(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A method of a gRPC service; "" = any. `kind` holds for both."""

    kind: Literal["exact", "regex"]
    service: str
    method: str
    headers: tuple[Named, ...]
    line: int
    column: int

    @property
    def calls(self) -> str:
        """The expression for paths of its calls, where it needs one; else ""."""
        exact = self.kind == "exact"
        if not self.method or (exact and self.service):
            return "" if exact or not self.service else f"/(?:{self.service})/[^/]+"
        method = re.escape(self.method) if exact else f"(?:{self.method})"
        return f"/(?:{self.service})/{method}" if self.service else f"/[^/]+/{method}"

    @property
    def expressions(self) -> Iterator[Expression]:
        """As Part has it."""
        yield from ((self.calls, False),) if self.calls else ()
        yield from _expressions_of(*self.headers)


def _expressions_of(*wanted: Named) -> Iterator[Expression]:
    return ((one.value.value, False) for one in wanted if one.kind == "regex")


class Timeouts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Milliseconds; None = it does not say, 0 = none."""

    request: int | None = None
    backend: int | None = None


class Retry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`attempts` beyond the first, None = it does not say; `backoff`, milliseconds, is the shortest wait."""

    codes: tuple[int, ...] = ()
    attempts: int | None = None
    backoff: int | None = None


class Persistence(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Requests of one session reach one endpoint. `lifetime` in milliseconds, None = it does not say."""

    kind: Literal["Cookie", "Header"]
    name: str
    path: str
    permanent: bool
    lifetime: int | None


class RequestRule(msgspec.Struct, frozen=True, array_like=True):
    """One of `rules` of an HTTPRoute or a GRPCRoute: it holds where one of `matches` does, of which there is one at
    least."""

    name: str
    matches: tuple[HTTPMatch | GRPCMatch, ...]
    filters: tuple[Filter, ...]
    backends: tuple[Backend, ...]
    timeouts: Timeouts
    retry: Retry | None
    persistence: Persistence | None
    line: int
    column: int


class ForwardRule(msgspec.Struct, frozen=True, array_like=True):
    """One of `rules` of a TLSRoute or a TCPRoute."""

    name: str
    backends: tuple[Backend, ...]
    line: int
    column: int


class Route(Part, frozen=True, kw_only=True):
    """The fields that all routes have. `api` is the group. Without `hostnames` every host. `annotations` are those of
    Linkerd, name and value, the places theirs."""

    api: str
    parents: tuple[Parent, ...]
    hostnames: tuple[Text, ...] = ()
    annotations: tuple[tuple[str, Text], ...] = ()

    @property
    def entries(self) -> int:
        """Each match under each hostname, for each parent."""
        return max(1, len(self.hostnames)) * self.matched * max(1, len(self.parents))

    @property
    def matched(self) -> int:
        """How many matches it has in all."""
        return 1


class RequestRoute(Route, frozen=True, kw_only=True):
    """One whose rules are about requests."""

    rules: tuple[RequestRule, ...]

    @property
    def matched(self) -> int:
        """As Route has it."""
        return sum(len(rule.matches) for rule in self.rules)

    @property
    def expressions(self) -> Iterator[Expression]:
        """As Part has it."""
        return (one for rule in self.rules for match in rule.matches for one in match.expressions)


class HTTPRoute(RequestRoute, frozen=True, kw_only=True):
    pass


class GRPCRoute(RequestRoute, frozen=True, kw_only=True):
    pass


class TLSRoute(Route, frozen=True, kw_only=True):
    rules: tuple[ForwardRule, ...]


class TCPRoute(Route, frozen=True, kw_only=True):
    rules: tuple[ForwardRule, ...]


AnyRoute = HTTPRoute | GRPCRoute | TLSRoute | TCPRoute
