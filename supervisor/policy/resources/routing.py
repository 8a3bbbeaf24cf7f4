"""The way of a request that a rule lets pass: its route with filters, backends, time limits and retries, and
changes of its fields. In the words of every dialect; resolved, so that workers follow no reference.

Their JSON is what the policy image has as texts: the names of fields, and of tags, are read by workers
(gateway/routing), so that none of them may change alone. A field that is UNSET is not in it. Times are in milliseconds.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

__all__ = [
    "Asked",
    "Backend",
    "Cors",
    "Filter",
    "HeaderChanges",
    "Invalid",
    "MirrorTo",
    "Named",
    "NewPath",
    "RedirectTo",
    "RequestHeaders",
    "ResponseHeaders",
    "Retry",
    "RewriteTo",
    "Route",
    "Service",
    "Timeouts",
    "Weighted",
    "headers_text",
    "route_text",
]

System = Literal["gateway-api", "linkerd", "fsm", "article"]
Protocol = Literal["http", "h2c", "https"]
Pair = tuple[str, str]  # name and value of a field; the name in lower case


class Asked(msgspec.Struct, frozen=True, tag="asked", tag_field="kind"):
    """The destination that was asked for."""


class Service(msgspec.Struct, frozen=True, tag="service", tag_field="kind"):
    """A Service by its endpoints: address, port, and whether it is a live pod of the Service's own namespace, or of one
    that a ReferenceGrant names, for which the address guard is lifted. `dns`: the name that is asked for them instead;
    None: they are known, if only as none. `tls`: TLS towards it, as policy knows the settings; UNSET = cleartext."""

    namespace: str
    name: str
    port: int
    protocol: Protocol = "http"
    endpoints: tuple[tuple[str, int, bool], ...] = ()
    dns: str | None = None
    tls: str | UnsetType = UNSET


class Named(msgspec.Struct, frozen=True, tag="name", tag_field="kind"):
    """A destination outside, judged as one that the source asks for."""

    host: str
    port: int


class Invalid(msgspec.Struct, frozen=True, tag="invalid", tag_field="kind"):
    """A reference that cannot be resolved. Its share of requests is answered 500."""

    reason: str


Backend = Asked | Service | Named | Invalid


class NewPath(msgspec.Struct, frozen=True, omit_defaults=True):
    """`full` stands for the whole path, else `prefix` for `matched`, with which the path begins."""

    full: str | None = None
    prefix: str | None = None
    matched: str | None = None


class RequestHeaders(msgspec.Struct, frozen=True, tag="request-headers", tag_field="type"):
    """Fields of a request that are set, added and removed."""

    set: tuple[Pair, ...] = ()
    add: tuple[Pair, ...] = ()
    remove: tuple[str, ...] = ()


class ResponseHeaders(msgspec.Struct, frozen=True, tag="response-headers", tag_field="type"):
    """The same of its response."""

    set: tuple[Pair, ...] = ()
    add: tuple[Pair, ...] = ()
    remove: tuple[str, ...] = ()


class RedirectTo(msgspec.Struct, frozen=True, tag="redirect", tag_field="type"):
    """The answer is a redirection; None = that part stays as it was asked for."""

    scheme: str | None = None
    hostname: str | None = None
    port: int | None = None
    status: int = 302
    path: NewPath | None = None


class RewriteTo(msgspec.Struct, frozen=True, tag="rewrite", tag_field="type"):
    """Host and path are replaced; None = they stay."""

    hostname: str | None = None
    path: NewPath | None = None


class MirrorTo(msgspec.Struct, frozen=True, tag="mirror", tag_field="type"):
    """`numerator` of `denominator` requests are copied to a backend."""

    backend: Backend
    numerator: int = 100
    denominator: int = 100


class Cors(msgspec.Struct, frozen=True, tag="cors", tag_field="type"):
    """Cross-origin requests; `max_age` in seconds."""

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age: int = 5


Filter = RequestHeaders | ResponseHeaders | RedirectTo | RewriteTo | MirrorTo | Cors


class Weighted(msgspec.Struct, frozen=True):
    """A backend's share of requests, and the filters of that share."""

    weight: int
    backend: Backend
    filters: tuple[Filter, ...] = ()


class Timeouts(msgspec.Struct, frozen=True):
    """None and UNSET = none. `request` is for all tries together, `backend` for each of them; `response` for its head,
    `idle` for the time without a byte."""

    request: int | None = None
    backend: int | None = None
    response: int | UnsetType = UNSET
    idle: int | UnsetType = UNSET


class Retry(msgspec.Struct, frozen=True):
    """Tries beyond the first, after responses with one of `codes` or a gRPC status of `grpc`, and after failed
    connections. `backoff` is the shortest wait, `timeout` the limit of a try. `any_method`: those that are not
    idempotent as well. `budget`: retries for each request, and per second at least, counted over so long."""

    codes: tuple[int, ...] = ()
    attempts: int = 1
    backoff: int | None = None
    grpc: tuple[str, ...] | UnsetType = UNSET
    timeout: int | UnsetType = UNSET
    any_method: bool | UnsetType = UNSET
    budget: tuple[float, int, int] | UnsetType = UNSET


class Route(msgspec.Struct, frozen=True):
    """One rule of a route. `route` is Kind/namespace/name, `name` that of the rule. Without `backends` requests go to
    the destination that was asked for."""

    route: str
    rule: int
    system: System
    filters: tuple[Filter, ...] = ()
    backends: tuple[Weighted, ...] = ()
    timeouts: Timeouts = Timeouts()
    retry: Retry | None = None
    name: str | UnsetType = UNSET


class HeaderChanges(msgspec.Struct, frozen=True):
    """Changes of a rule in the fields of requests. `keep`: fields that would be removed else."""

    set: tuple[Pair, ...] = ()
    remove: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    read_only: bool = False  # GET, HEAD and OPTIONS alone, without a body or an upgrade


def route_text(route: Route) -> str:
    """As the image has it."""
    return msgspec.json.encode(route).decode()


def headers_text(changes: HeaderChanges | None, read_only: bool) -> str | None:
    """The same of changes, and of an item that is `read_only`; None: neither."""
    if read_only:
        changes = msgspec.structs.replace(changes or HeaderChanges(), read_only=True)
    return msgspec.json.encode(changes).decode() if changes is not None else None
