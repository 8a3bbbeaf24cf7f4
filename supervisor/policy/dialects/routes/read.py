"""Reads one route, field by field, within the limits of its kind."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec

from supervisor.policy.dialects.dialect import frame_of
from supervisor.policy.dialects.routes.filters import STATUSES, read_filters
from supervisor.policy.dialects.routes.matches import every_call, every_path, grpc_match, http_match
from supervisor.policy.dialects.routes.parts import (
    GATEWAY_API,
    LINKERD,
    AnyRoute,
    Backend,
    Filter,
    ForwardRule,
    GRPCMatch,
    GRPCRoute,
    HTTPMatch,
    HTTPRoute,
    NewPath,
    Persistence,
    Redirect,
    RequestRule,
    Retry,
    Rewrite,
    TCPRoute,
    Timeouts,
    TLSRoute,
)
from supervisor.policy.dialects.routes.references import (
    MOST_BACKENDS,
    MOST_WEIGHT,
    REFERENCE,
    read_parents,
    reference_of,
)
from supervisor.policy.dialects.routes.words import (
    bounded,
    duration,
    field_name,
    hostname,
    new_path,
    section_name,
)
from supervisor.policy.resources.manifest import Manifest, need_spec, read_frame
from supervisor.policy.resources.model import Text
from supervisor.source.node import Fields, Node, each
from supervisor.source.problems import Place, Problems, quote

MOST_ATTEMPTS: Final = 2**31 - 1
BACKEND: Final = (*REFERENCE, "weight")


class Form(msgspec.Struct, frozen=True):
    """The limits of a kind of route."""

    fields: tuple[str, ...]  # of a rule
    hosts: int
    rules: int
    matches: int = 0  # of a rule
    all_matches: int = 0  # of a route
    filters: tuple[str, ...] = ()
    backend_filters: tuple[str, ...] = ()
    statuses: tuple[int, ...] = STATUSES
    needs_hosts: bool = False
    needs_rules: bool = False
    linkerd: bool = False


_GRPC_FILTERS: Final = ("RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef")
_HTTP_FILTERS: Final = (*_GRPC_FILTERS, "RequestRedirect", "URLRewrite", "CORS", "ExternalAuth")
_HTTP_RULE: Final = ("name", "matches", "filters", "backendRefs", "timeouts", "retry", "sessionPersistence")
_GRPC_RULE: Final = ("name", "matches", "filters", "backendRefs", "sessionPersistence")
_RULE: Final = ("name", "backendRefs")
_HTTP: Final = Form(_HTTP_RULE, 16, 16, 64, 128, _HTTP_FILTERS, _HTTP_FILTERS)
_GRPC: Final = Form(_GRPC_RULE, 16, 16, 64, 128, _GRPC_FILTERS, _GRPC_FILTERS)
_TLS: Final = Form(_RULE, 1024, 1, needs_hosts=True, needs_rules=True)
_OLD_TLS: Final = Form(_RULE, 1024, 1, needs_rules=True)
_TCP: Final = Form(_RULE, 0, 1, needs_rules=True)
# linkerd2, charts/linkerd-crds/templates/policy/httproute.yaml
_OF_LINKERD: Final = ("RequestHeaderModifier", "RequestRedirect")
_LINKERD_HTTP: Final = Form(
    *(("matches", "filters", "backendRefs", "timeouts"), 16, 16, 8, 128, _OF_LINKERD),
    *((*_OF_LINKERD, "ResponseHeaderModifier"), (301, 302)),
    linkerd=True,
)
FORMS: Final[dict[tuple[str, str], dict[str, Form]]] = {
    (GATEWAY_API, "HTTPRoute"): {"v1beta1": _HTTP, "v1": _HTTP},
    (GATEWAY_API, "GRPCRoute"): {"v1alpha2": _GRPC, "v1": _GRPC},
    (GATEWAY_API, "TLSRoute"): {"v1alpha2": _OLD_TLS, "v1alpha3": _TLS, "v1": _TLS},
    (GATEWAY_API, "TCPRoute"): {"v1alpha2": _TCP, "v1": _TCP},
    (LINKERD, "HTTPRoute"): dict.fromkeys(("v1alpha1", "v1beta1", "v1beta2", "v1beta3"), _LINKERD_HTTP),
}
# As a dialect lists kinds: the versions that are read.
GATEWAY_API_KINDS: Final = {kind: tuple(forms) for kind, forms in FORMS.items() if kind[0] == GATEWAY_API}
LINKERD_KINDS: Final = {kind: tuple(forms) for kind, forms in FORMS.items() if kind[0] == LINKERD}


def read(manifest: Manifest, roots: tuple[str, ...], problems: Problems) -> AnyRoute:
    """The part of one document; `roots` are not needed. Raises Invalid without `spec`."""
    form = FORMS[manifest.group, manifest.kind][manifest.version]
    top, metadata = read_frame(manifest, problems)
    spec = need_spec(manifest, top, "write parentRefs: and rules:")
    if metadata.namespace is None and (node := top.get("metadata")):
        problems.error(node.place, "metadata.namespace is missing", "a file says nothing of a current namespace")
    hosts = () if manifest.kind == "TCPRoute" else ("hostnames",)
    known = ("parentRefs", *hosts, "rules") + (() if form.linkerd else ("useDefaultGateways",))
    fields = spec.fields(known, problems, null_is_absent=True)
    fields.read("useDefaultGateways", _default_gateways, None)
    frame: dict[str, Any] = {
        **frame_of(manifest, metadata),
        "api": manifest.group,
        "parents": read_parents(fields, metadata.namespace or "", manifest.group, problems),
        "hostnames": _hostnames(fields, form, problems),
        "annotations": _annotations(top.get("metadata"), problems),
    }
    if manifest.kind == "HTTPRoute":
        return HTTPRoute(**frame, rules=_requests(fields, form, http_match, every_path, problems))
    if manifest.kind == "GRPCRoute":
        return GRPCRoute(**frame, rules=_requests(fields, form, grpc_match, every_call, problems))
    return (TLSRoute if manifest.kind == "TLSRoute" else TCPRoute)(**frame, rules=_forwards(fields, form, problems))


def _default_gateways(node: Node) -> None:
    if node.choice("All", "None") == "All":
        raise node.invalid("All is not supported: no Gateway is a default here", "name Gateways in parentRefs")


def _hostnames(fields: Fields, form: Form, problems: Problems) -> tuple[Text, ...]:
    nothing: list[Node] = []
    nodes = fields.read("hostnames", lambda node: bounded(node, form.hosts), nothing)
    if form.needs_hosts and not nodes:
        problems.error(fields.node.place, "`hostnames` is missing or empty", "write hostnames: [api.example.com]")
    found: dict[str, Text] = {}
    for text in each(nodes, hostname, problems):
        found.setdefault(text.value, text)
    return tuple(found.values())


def _annotations(metadata: Node | None, problems: Problems) -> tuple[tuple[str, Text], ...]:
    """Those of Linkerd: names with a prefix such as retry.linkerd.io."""
    annotations = metadata.mapping().get("annotations") if metadata is not None else None
    if annotations is None or not isinstance(annotations[1].value, dict):
        return ()
    return tuple(
        (name, Text(node.value, node.line, node.column))
        for name, (_, node) in annotations[1].value.items()
        if name.partition("/")[0].endswith("linkerd.io") and isinstance(node.value, str)
    )


def _rule_nodes(fields: Fields, form: Form, problems: Problems) -> list[Node]:
    nothing: list[Node] = []
    nodes = fields.read("rules", lambda node: bounded(node, form.rules), nothing)
    if not nodes and (form.needs_rules or fields.get("rules") is not None):
        problems.error(fields.node.place, "`rules` is missing or empty", "write rules: [{backendRefs: [...]}]")
    return nodes


def _requests(
    fields: Fields,
    form: Form,
    match: Callable[[Node, Problems], HTTPMatch | GRPCMatch],
    every: Callable[[Node], HTTPMatch | GRPCMatch],
    problems: Problems,
) -> tuple[RequestRule, ...]:
    """The rules of an HTTPRoute or a GRPCRoute. Without `rules` one that holds for every request."""
    if fields.get("rules") is None:
        node = fields.node
        return (RequestRule("", (every(node),), (), (), Timeouts(), None, None, node.line, node.column),)

    def rule(node: Node) -> RequestRule:
        inner = node.fields(form.fields, problems, null_is_absent=True)
        nothing: list[Node] = []
        nodes = inner.read("matches", lambda one: bounded(one, form.matches), nothing)
        found = RequestRule(
            inner.read("name", section_name, ""),
            tuple(each(nodes, lambda one: match(one, problems), problems)) if nodes else (every(node),),
            read_filters(inner, form.filters, form.statuses, problems),
            read_backends(inner, form.backend_filters, form.statuses, problems),
            inner.read("timeouts", lambda one: _timeouts(one, problems), Timeouts()),
            inner.read("retry", lambda one: _retry(one, problems), _no_retry()),
            inner.read("sessionPersistence", lambda one: _persistence(one, problems), _no_persistence()),
            node.line,
            node.column,
        )
        _fit_together(found, node.file, problems)
        return found

    found = each(_rule_nodes(fields, form, problems), rule, problems)
    _distinct(found, fields.node.file, problems)
    if (count := sum(len(one.matches) for one in found)) > form.all_matches and (rules := fields.get("rules")):
        problems.error(rules.place, f"expected at most {form.all_matches} matches in a route, found {count}")
    return tuple(found)


def _forwards(fields: Fields, form: Form, problems: Problems) -> tuple[ForwardRule, ...]:
    """The rule of a TLSRoute or a TCPRoute."""

    def rule(node: Node) -> ForwardRule:
        inner = node.fields(form.fields, problems, null_is_absent=True)
        nothing: list[Node] = []
        inner.need("backendRefs", Node.filled, nothing, "write backendRefs: [{name: SERVICE, port: 443}]")
        backends = read_backends(inner, (), (), problems)
        return ForwardRule(inner.read("name", section_name, ""), backends, node.line, node.column)

    return tuple(each(_rule_nodes(fields, form, problems), rule, problems))


def read_backends(
    fields: Fields, filters: Sequence[str], statuses: Sequence[int], problems: Problems
) -> tuple[Backend, ...]:
    """`backendRefs`, with their own filters where a kind of route knows any."""
    known = (*BACKEND, "filters") if filters else BACKEND

    def backend(node: Node) -> Backend:
        inner = node.fields(known, problems, null_is_absent=True)
        return Backend(
            reference_of(inner, "Service", problems),
            inner.read("weight", lambda one: one.integer(0, MOST_WEIGHT), 1),
            read_filters(inner, filters, statuses, problems),
        )

    nothing: list[Node] = []
    nodes = fields.read("backendRefs", lambda node: bounded(node, MOST_BACKENDS), nothing)
    return tuple(each(nodes, backend, problems))


def _distinct(rules: Sequence[RequestRule], file: str, problems: Problems) -> None:
    names: dict[str, RequestRule] = {}
    for rule in rules:
        if rule.name and rule.name in names:
            words = f"two rules are named {quote(rule.name)}"
            problems.error(Place(file, rule.line, rule.column), words, f"the first is in line {names[rule.name].line}")
        names.setdefault(rule.name, rule)


def _fit_together(rule: RequestRule, file: str, problems: Problems) -> None:
    """Demands of filters, backends and matches of a rule on each other."""
    redirects = [one for one in rule.filters if isinstance(one.value, Redirect)]
    if redirects and rule.backends:
        place = Place(file, redirects[0].line, redirects[0].column)
        problems.error(place, "RequestRedirect beside backendRefs: a redirected request is sent to none", "remove one")
    first = rule.matches[0] if len(rule.matches) == 1 else None
    if isinstance(first, HTTPMatch) and first.path.kind == "prefix":
        return
    for one in (*rule.filters, *(inner for backend in rule.backends for inner in backend.filters)):
        if (path := _path_of(one)) is not None and path.prefix:
            words = "ReplacePrefixMatch needs a rule with exactly one match, of type PathPrefix"
            problems.error(Place(file, one.line, one.column), words, "write ReplaceFullPath")


def _path_of(one: Filter) -> NewPath | None:
    return one.value.path if isinstance(one.value, Redirect | Rewrite) else None


def _timeouts(node: Node, problems: Problems) -> Timeouts:
    fields = node.fields(("request", "backendRequest"), problems, null_is_absent=True)
    nothing: int | None = None
    found = Timeouts(fields.read("request", duration, nothing), fields.read("backendRequest", duration, nothing))
    if found.request and found.backend is not None and found.backend > found.request:
        one = fields.get("backendRequest") or node
        raise one.invalid("backendRequest is longer than request", "a request includes all of its backend requests")
    return found


def _no_retry() -> Retry | None:
    return None


def _retry(node: Node, problems: Problems) -> Retry:
    fields = node.fields(("codes", "attempts", "backoff"), problems, null_is_absent=True)
    nothing: int | None = None
    return Retry(
        tuple(dict.fromkeys(fields.each("codes", lambda one: one.integer(400, 599)))),
        fields.read("attempts", lambda one: one.integer(1, MOST_ATTEMPTS), nothing),
        fields.read("backoff", duration, nothing),
    )


def _no_persistence() -> Persistence | None:
    return None


def _persistence(node: Node, problems: Problems) -> Persistence:
    fields = node.fields(("type", "cookie", "header", "absoluteTimeout"), problems, null_is_absent=True)
    usual: Literal["Cookie", "Header"] = "Cookie"
    kind = fields.read("type", lambda one: one.choice("Cookie", "Header"), usual)
    lifetime: int | None = fields.read("absoluteTimeout", duration, None)
    for name in ("cookie", "header"):
        if name != kind.lower() and (one := fields.get(name)):
            problems.error(one.place, f"`{name}` beside type: {kind}", f"write `{kind.lower()}`")
    own = fields.get(kind.lower())
    if own is None:
        problems.error(node.place, f"`{kind.lower()}` is missing", f"type: {kind} has it")
        return Persistence(kind, "", "/", False, lifetime)
    known = ("name", "path", "lifetimeType") if kind == "Cookie" else ("name",)
    inner = own.fields(known, problems, null_is_absent=True)
    name = inner.read("name", field_name, "") if kind == "Cookie" else inner.need("name", field_name, "")
    permanent = inner.read("lifetimeType", lambda one: one.choice("Permanent", "Session"), "Session") == "Permanent"
    if permanent and lifetime is None:
        problems.error(own.place, "absoluteTimeout is missing", "a Permanent cookie has one: absoluteTimeout: 1h")
    return Persistence(kind, name, inner.read("path", new_path, "/"), permanent, lifetime)
