"""The conditions that Gateway API has for Gateways, their listeners, routes and policies."""

from collections.abc import Iterator, Sequence

import msgspec

from supervisor.policy.dialects.dialect import Part, Surroundings, status_of
from supervisor.policy.dialects.gateway_api.attachment import Attachment, Attachments
from supervisor.policy.dialects.gateway_api.backends import Backends
from supervisor.policy.dialects.gateway_api.listeners import Refusal, allowed_kinds, refusal_of
from supervisor.policy.dialects.gateway_api.origination import Originations
from supervisor.policy.dialects.gateway_api.resources import Gateway, Listener
from supervisor.policy.dialects.gateway_api.support import unusable, unusable_rule
from supervisor.policy.dialects.routes import GRPCRoute, HTTPRoute, Parent
from supervisor.policy.resources.status import Status
from supervisor.source.problems import Place


def statuses(parts: Sequence[Part], surroundings: Surroundings) -> list[Status]:
    """All conditions, of what belongs to this gateway."""
    attachments = Attachments(parts, surroundings)
    backends = Backends(parts, surroundings)
    found: list[Status] = []
    for gateway in attachments.gateways.values():
        found += _gateway(gateway, surroundings)
    for one in attachments.found:
        found += _route(one, backends)
    originations = Originations(parts, backends)
    for aimed in originations.aimed:
        target = aimed.target.reference
        section = f"#{aimed.target.section}" if aimed.target.section else ""
        title = f"{target.kind} {aimed.policy.namespace}/{target.name}{section}"
        place = Place(aimed.policy.file, target.line, target.column)
        unresolved = originations.unresolved(aimed.policy)
        refusal = aimed.refusal or (unresolved and Refusal("NoValidCACertificate", unresolved.message))
        found.append(_of(aimed.policy, "Accepted", refusal, title, place))
        found.append(_of(aimed.policy, "ResolvedRefs", unresolved, title, place))
    return found


def _of(part: Part, kind: str, refusal: Refusal | None, parent: str, place: Place) -> Status:
    if refusal is None:
        return status_of(part, kind, True, kind, "", parent, place)
    return status_of(part, kind, False, *refusal, parent, place)


def _gateway(gateway: Gateway, surroundings: Surroundings) -> Iterator[Status]:
    refusals = [refusal_of(one, surroundings) for one in gateway.listeners]
    wrong = sum(one is not None for one in refusals)
    reason = "ListenersNotValid" if wrong else "Accepted"
    words = f"{wrong} of {len(refusals)} listeners cannot be used" if wrong else ""
    usable = wrong < len(refusals)
    yield status_of(gateway, "Accepted", usable, reason, words)
    yield status_of(gateway, "Programmed", usable, "Programmed" if usable else "Invalid")
    for listener, refusal in zip(gateway.listeners, refusals, strict=True):
        yield from _listener(gateway, listener, refusal)


def _listener(gateway: Gateway, listener: Listener, refusal: Refusal | None) -> Iterator[Status]:
    """Those of one listener: the resource is named with it."""
    place = Place(gateway.file, listener.line, listener.column)
    yield _named(_of(gateway, "Accepted", refusal, "", place), listener)
    kinds, strange = allowed_kinds(listener)
    unresolved: Refusal | None = None
    if refusal is None and strange:
        names = ", ".join(kind for _, kind in strange)
        rest = f"; {', '.join(kinds)} may attach" if kinds else "; no route may attach"
        unresolved = Refusal("InvalidRouteKinds", f"{names}: not of protocol {listener.protocol}{rest}")
    yield _named(_of(gateway, "ResolvedRefs", unresolved, "", place), listener)


def _named(status: Status, listener: Listener) -> Status:
    return msgspec.structs.replace(status, name=f"{status.name}#{listener.name}")


def _title(route: Part, parent: Parent) -> str:
    section = f"#{parent.section}" if parent.section else ""
    port = f":{parent.port}" if parent.port else ""
    return f"Gateway {parent.namespace or route.namespace}/{parent.name}{section}{port}"


def _route(one: Attachment, backends: Backends) -> Iterator[Status]:
    route, parent = one.route, one.parent
    title = _title(route, parent)
    refusal, place = one.refusal, Place(route.file, parent.line, parent.column)
    if refusal is None and unusable(route):
        refusal = Refusal("UnsupportedValue", "every rule has a filter that is not known here")
    yield _of(route, "Accepted", refusal, title, place)
    wrong = backends.all_wrong(route)
    if wrong:
        where = Place(route.file, wrong[0].reference.line, wrong[0].reference.column)
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        first = wrong[0].refusal
        yield _of(route, "ResolvedRefs", Refusal(first.reason, first.message + more), title, where)
    else:
        yield _of(route, "ResolvedRefs", None, title, place)
    if refusal is None and isinstance(route, HTTPRoute | GRPCRoute):
        dropped = [rule for rule in route.rules if unusable_rule(rule)]
        if dropped:
            where = Place(route.file, dropped[0].line, dropped[0].column)
            words = (
                f"{len(dropped)} of {len(route.rules)} rules have a filter that is not known here: they allow nothing"
            )
            yield status_of(route, "PartiallyInvalid", True, "UnsupportedValue", words, title, where)
