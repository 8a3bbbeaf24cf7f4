"""Reads what names and limits requests: ServiceProfile (v1alpha1, v1alpha2) and HTTPLocalRateLimitPolicy.

Neither allows or denies anything. Conditions of a ServiceProfile nest at most MOST_DEEP levels.
"""

import re
from typing import Any, Final

from supervisor.policy.dialects.linkerd.read_authorizations import ACCOUNT
from supervisor.policy.dialects.linkerd.resources import (
    AllStatuses,
    AnyStatus,
    HTTPLocalRateLimitPolicy,
    NotStatus,
    ProfileRoute,
    RateOverride,
    ResponseClass,
    RetryBudget,
    ServiceProfile,
    StatusMatch,
    StatusRange,
    Target,
)
from supervisor.policy.dialects.linkerd.words import LINKERD, bounded, read_target
from supervisor.policy.resources.conditions import AllOf, AnyOf, Condition, Method, Not, Path
from supervisor.policy.resources.expressions import expression
from supervisor.policy.resources.model import Text
from supervisor.source.node import Fields, Node, each
from supervisor.source.problems import Problems

MOST_DEEP: Final = 16
MOST_ROUTES: Final = 1000
MOST_PARTS: Final = 64
MOST_RATE: Final = 2**63 - 1
MOST_NUMBER: Final = 2**31 - 1
STATUSES: Final = (100, 599)
# Of Go's durations (time.ParseDuration) those without a sign.
_DURATION: Final = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART: Final = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_MILLISECONDS: Final = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 36e5}
_RATIO: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_WEIGHT: Final = re.compile(
    r"\+?(([0-9]{1,18}(\.[0-9]{0,18})?)|(\.[0-9]{1,18}))(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]{1,3}))?"
)
_METHOD: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # RFC 9110 section 5.6.2


def service_profile(spec: Node, frame: dict[str, Any], problems: Problems) -> ServiceProfile:
    known = ("routes", "retryBudget", "dstOverrides", "opaquePorts")
    fields = spec.fields(known, problems, null_is_absent=True)
    nodes = bounded(fields.items("routes"), MOST_ROUTES, "routes")
    unlimited: RetryBudget | None = None
    return ServiceProfile(
        **frame,
        routes=tuple(each(nodes, lambda node: _route(node, problems), problems)),
        budget=fields.read("retryBudget", lambda node: _budget(node, problems), unlimited),
        overrides=tuple(fields.each("dstOverrides", lambda node: _destination(node, problems))),
        opaque_ports=tuple(fields.each("opaquePorts", _ports)),
    )


def _route(node: Node, problems: Problems) -> ProfileRoute:
    known = ("name", "condition", "responseClasses", "isRetryable", "timeout")
    fields = node.fields(known, problems, null_is_absent=True)
    every: Condition = AllOf(())
    nodes = bounded(fields.items("responseClasses"), MOST_PARTS, "classes")
    return ProfileRoute(
        fields.need("name", Node.text, "", "each route has a name"),
        fields.need("condition", lambda one: _request(one, problems), every, "write condition: {pathRegex: /.*}"),
        tuple(each(nodes, lambda one: _class(one, problems), problems)),
        fields.read("isRetryable", Node.boolean, False),
        fields.read("timeout", _duration, 0),
    )


def _duration(node: Node) -> int:
    """Milliseconds, from 300ms or 1.5s."""
    text = node.value if isinstance(node.value, str) else ""
    if not _DURATION.fullmatch(text):
        hint = f"a unit is missing: {text}s" if text.isdecimal() else "durations look like 300ms or 1.5s"
        raise node.unexpected("a duration", hint)
    return round(sum(float(number) * _MILLISECONDS[unit] for number, unit in _DURATION_PART.findall(text)))


def _parts(fields: Fields, name: str) -> list[Node] | None:
    """Conditions of a list; None without it. A single mapping counts as a list of it: `not` is one in Linkerd's own
    code, and a list in its definition."""
    node = fields.get(name)
    if node is None:
        return None
    if name == "not" and isinstance(node.value, dict):
        return [node]
    return bounded(node.items(), MOST_PARTS, "conditions")


def _nested(node: Node, depth: int) -> int:
    if depth >= MOST_DEEP:
        raise node.invalid(f"conditions are nested deeper than {MOST_DEEP}")
    return depth + 1


def _some(node: Node, names: tuple[str, ...], problems: Problems) -> Fields:
    """The fields of a condition, which has one at least."""
    fields = node.fields(names, problems, null_is_absent=True)
    if not any(fields.get(name) is not None for name in names):
        raise node.invalid("an empty condition", f"one of {', '.join(names)}")
    return fields


def _request(node: Node, problems: Problems, depth: int = 0) -> Condition:
    """A RequestMatch: all that is set must hold."""
    deeper = _nested(node, depth)
    fields = _some(node, ("pathRegex", "method", "all", "any", "not"), problems)
    found: list[Condition] = []
    if (path := fields.get("pathRegex")) is not None:
        text = fields.read("pathRegex", expression, "")
        found.append(Path("regex", Text(text, path.line, path.column)))
    if fields.get("method") is not None:
        found.append(Method(fields.read("method", _method, "")))

    def inner(one: Node) -> Condition:
        return _request(one, problems, deeper)

    if (nodes := _parts(fields, "all")) is not None:
        found.append(AllOf(tuple(each(nodes, inner, problems))))
    if (nodes := _parts(fields, "any")) is not None:
        found.append(AnyOf(tuple(each(nodes, inner, problems))))
    found += [Not(one) for one in each(_parts(fields, "not") or [], inner, problems)]
    return found[0] if len(found) == 1 else AllOf(tuple(found))


def _method(node: Node) -> str:
    text = node.string()
    if not _METHOD.fullmatch(text):
        raise node.unexpected("a method such as GET")
    return text


def _class(node: Node, problems: Problems) -> ResponseClass:
    fields = node.fields(("condition", "isFailure"), problems, null_is_absent=True)
    every: StatusMatch = StatusRange(*STATUSES)
    match = fields.need(
        "condition", lambda one: _response(one, problems), every, "write condition: {status: {min: 500}}"
    )
    return ResponseClass(match, fields.read("isFailure", Node.boolean, False))


def _response(node: Node, problems: Problems, depth: int = 0) -> StatusMatch:
    """A ResponseMatch, likewise."""
    deeper = _nested(node, depth)
    fields = _some(node, ("status", "all", "any", "not"), problems)
    found: list[StatusMatch] = []
    if fields.get("status") is not None:
        found.append(fields.read("status", lambda one: _range(one, problems), StatusRange(*STATUSES)))

    def inner(one: Node) -> StatusMatch:
        return _response(one, problems, deeper)

    if (nodes := _parts(fields, "all")) is not None:
        found.append(AllStatuses(tuple(each(nodes, inner, problems))))
    if (nodes := _parts(fields, "any")) is not None:
        found.append(AnyStatus(tuple(each(nodes, inner, problems))))
    found += [NotStatus(one) for one in each(_parts(fields, "not") or [], inner, problems)]
    return found[0] if len(found) == 1 else AllStatuses(tuple(found))


def _range(node: Node, problems: Problems) -> StatusRange:
    """One bound alone is that one code."""
    fields = node.fields(("min", "max"), problems, null_is_absent=True)
    low = fields.read("min", lambda one: one.integer(*STATUSES), 0)
    high = fields.read("max", lambda one: one.integer(*STATUSES), 0)
    if low and high and high < low:
        raise node.invalid(f"the range from {low} to {high} is empty", f"write min: {high} and max: {low}")
    if fields.get("min") is None and fields.get("max") is None:
        raise node.unexpected("min, max or both")
    return StatusRange(low or high, high or low)


def _budget(node: Node, problems: Problems) -> RetryBudget:
    fields = node.fields(("retryRatio", "minRetriesPerSecond", "ttl"), problems, null_is_absent=True)
    return RetryBudget(
        fields.need("retryRatio", _ratio, 0.0, "write retryRatio: 0.2"),
        fields.need("minRetriesPerSecond", lambda one: one.integer(0, MOST_NUMBER), 0, "write minRetriesPerSecond: 10"),
        fields.need("ttl", _duration, 0, "write ttl: 10s"),
    )


def _ratio(node: Node) -> float:
    if not node.plain or not isinstance(node.value, str) or not _RATIO.fullmatch(node.value):
        raise node.unexpected("a number such as 0.2, not negative")
    return float(node.value)


def _destination(node: Node, problems: Problems) -> tuple[str, str]:
    fields = node.fields(("authority", "weight"), problems, null_is_absent=True)
    return fields.need("authority", Node.string, ""), fields.need("weight", _weight, "", "write weight: 1")


def _weight(node: Node) -> str:
    """A quantity of Kubernetes, not negative."""
    text = node.text()
    if not _WEIGHT.fullmatch(text):
        raise node.unexpected("a weight such as 1 or 500m")
    return text


def _ports(node: Node) -> str:
    """A port, or a range of them, as text."""
    text = node.text()
    low, dash, high = text.partition("-")
    for part in (low, high) if dash else (low,):
        if not part.isdecimal() or not 1 <= int(part[:6]) <= 65535:
            raise node.unexpected('a port, or a range such as "8000-8100"')
    return text


def rate_limit_policy(spec: Node, frame: dict[str, Any], problems: Problems) -> HTTPLocalRateLimitPolicy:
    fields = spec.fields(("targetRef", "total", "identity", "overrides"), problems, null_is_absent=True)
    nowhere = Target(LINKERD, "Server", "", "", spec.line, spec.column)
    target = fields.need(
        "targetRef",
        lambda node: read_target(node, ((LINKERD, "Server"),), problems, namespaced=False),
        nowhere,
        f"write targetRef: {{group: {LINKERD}, kind: Server, name: NAME}}",
    )
    total = fields.read("total", lambda node: _rate(node, 0, problems), 0)
    nodes = bounded(fields.items("overrides"), MOST_PARTS, "overrides")
    return HTTPLocalRateLimitPolicy(
        **frame,
        target=target,
        total=total,
        identity=fields.read("identity", lambda node: _rate(node, total, problems), 0),
        overrides=tuple(each(nodes, lambda node: _override(node, total, problems), problems)),
    )


def _rate(node: Node, total: int, problems: Problems) -> int:
    return _per_second(node.fields(("requestsPerSecond",), problems, null_is_absent=True), total)


def _per_second(fields: Fields, total: int) -> int:
    """At most what holds for all of them; `total` 0 = no such limit."""

    def rate(node: Node) -> int:
        found = node.integer(1, MOST_RATE)
        if total and found > total:
            raise node.invalid(f"{found} is more than total.requestsPerSecond, {total}", f"write at most {total}")
        return found

    return fields.need("requestsPerSecond", rate, 0, "write requestsPerSecond: 100")


def _override(node: Node, total: int, problems: Problems) -> RateOverride:
    fields = node.fields(("requestsPerSecond", "clientRefs"), problems, null_is_absent=True)
    nothing: list[Node] = []
    nodes = fields.need("clientRefs", Node.items, nothing, "write clientRefs: [{kind: ServiceAccount, name: NAME}]")
    nodes = bounded(nodes, MOST_PARTS, "clients")
    clients = each(nodes, lambda one: read_target(one, (ACCOUNT,), problems), problems)
    return RateOverride(_per_second(fields, total), tuple(clients))
