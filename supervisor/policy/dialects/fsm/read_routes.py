"""Reads what an Egress refers to: HTTPRouteGroup (SMI Traffic Specs v1alpha4) and UpstreamTrafficSetting."""

from typing import Any, Final

from supervisor.policy.dialects.fsm.resources import HTTPRouteGroup, RouteMatch, UpstreamTrafficSetting
from supervisor.policy.resources.expressions import expression
from supervisor.source.node import Fields, Node, each
from supervisor.source.problems import Problems, quote
from supervisor.source.words import server_name

METHODS: Final = ("GET", "HEAD", "PUT", "POST", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
MOST_NUMBER: Final = 2**31 - 1


def route_group(spec: Node, frame: dict[str, Any], problems: Problems) -> HTTPRouteGroup:
    fields = spec.fields(("matches",), problems, null_is_absent=True)
    nothing: list[Node] = []
    nodes = fields.need("matches", Node.filled, nothing, "write matches: [{name:, pathRegex:, methods:}]")
    return HTTPRouteGroup(**frame, matches=tuple(each(nodes, lambda node: _route_match(node, problems), problems)))


def _route_match(node: Node, problems: Problems) -> RouteMatch:
    fields = node.fields(("name", "pathRegex", "methods", "headers"), problems, null_is_absent=True)
    methods = fields.each("methods", lambda one: one.choice("*", *METHODS))
    nothing: tuple[tuple[str, str], ...] = ()
    return RouteMatch(
        fields.need("name", Node.string, "", "each match has a name"),
        fields.read("pathRegex", lambda one: expression(one, search=True), ".*"),
        () if "*" in methods else tuple(dict.fromkeys(methods)),
        fields.read("headers", _headers, nothing),
    )


def _headers(node: Node) -> tuple[tuple[str, str], ...]:
    """A mapping, as the controller reads it, or a list of mappings, as the definition has it."""
    parts = node.items() if isinstance(node.value, list) else [node]
    return tuple((name, expression(value)) for part in parts for name, (_, value) in part.mapping().items())


# What FSM's definition has below connectionSettings: numbers, and the words that are times or texts.
TIMES: Final = ("connectTimeout", "statTimeWindow", "degradedTimeWindow", "slowTimeThreshold")
TCP: Final = ("maxConnections", "connectTimeout")
HTTP: Final = ("maxRequests", "maxRequestsPerConnection", "maxPendingRequests", "maxRetries", "circuitBreaking")
BREAKER: Final = (
    *("statTimeWindow", "minRequestAmount", "slowTimeThreshold", "slowAmountThreshold", "slowRatioThreshold"),
    *("errorAmountThreshold", "errorRatioThreshold", "degradedTimeWindow", "degradedStatusCode"),
    "degradedResponseContent",
)


def traffic_setting(spec: Node, frame: dict[str, Any], problems: Problems) -> UpstreamTrafficSetting:
    """Read to its last field, and without effect: tunnels have no requests."""
    fields = spec.fields(("host", "connectionSettings", "rateLimit", "httpRoutes"), problems, null_is_absent=True)
    for name in ("rateLimit", "httpRoutes"):
        if (node := fields.get(name)) is not None:
            problems.warning(node.place, f"{name} has no effect on what leaves the mesh, here as in FSM")
    if (node := fields.get("connectionSettings")) is not None:
        settings = node.fields(("tcp", "http"), problems, null_is_absent=True)
        for name, known in (("tcp", TCP), ("http", HTTP)):
            if (section := settings.get(name)) is not None:
                _numbers(section.fields(known, problems, null_is_absent=True), known, problems)
    return UpstreamTrafficSetting(**frame, host=fields.need("host", _host, "", "the name of the destination"))


def _numbers(fields: Fields, known: tuple[str, ...], problems: Problems) -> None:
    for name in known:
        if name == "circuitBreaking":
            if (breaker := fields.get(name)) is not None:
                _numbers(breaker.fields(BREAKER, problems, null_is_absent=True), BREAKER, problems)
        elif name in TIMES:
            fields.read(name, Node.duration, 0.0)
        elif name == "degradedResponseContent":
            fields.read(name, Node.string, "")
        elif name.endswith("RatioThreshold"):
            fields.read(name, _ratio, 0.0)
        else:
            fields.read(name, lambda one: one.integer(0, MOST_NUMBER), 0)


def _ratio(node: Node) -> float:
    try:
        ratio = float(node.text())
    except ValueError:
        raise node.unexpected("a number from 0 to 1") from None
    if not 0 <= ratio <= 1:
        raise node.invalid(f"{quote(node.text())} is out of range: 0 to 1")
    return ratio


def _host(node: Node) -> str:
    text = server_name(node)
    if "." not in text:
        raise node.invalid(f"{quote(text)} has one label: FSM wants two", "write the whole name")
    return text
