"""Passthrough of FSM's sources: an Egress ends it on the ports that it names, and leaves it on all others."""

from collections.abc import Iterator, Sequence
from typing import Final

from supervisor.policy.dialects.fsm.resources import Egress
from supervisor.policy.dialects.groups import FSM
from supervisor.policy.resources.model import Destination, Item, Range, Rules, Selector
from supervisor.source.words import workload_of

KIND: Final = "EgressPassthrough"  # in logs and metrics, with namespace and service account
MOST_PORT: Final = 65535


def passthrough(egresses: Sequence[Egress], allowed: frozenset[Selector]) -> Iterator[Rules]:
    """A default for each source of an Egress that nothing of `allowed` selects: to allow the ports that none names."""
    named: dict[tuple[str, str], set[int]] = {}
    first: dict[tuple[str, str], Egress] = {}
    for egress in egresses:
        for source in egress.sources:
            named.setdefault(source, set()).update(port.number for port in egress.ports)
            first.setdefault(source, egress)
    for source, ports in named.items():
        if any(_selects(selector, *source) for selector in allowed):
            continue
        egress = first[source]
        everything = Destination(anything=True, ports=tuple(_others(ports)))
        yield Rules(
            kind=KIND,
            namespace=source[0],
            name=source[1],
            file=egress.file,
            tier="default_allow",
            selectors=(Selector(*source),),
            items=(Item(0, egress.line, egress.column, everything),),
            group=FSM,
            instead_of_passthrough=True,
        )


def _selects(selector: Selector, namespace: str, account: str) -> bool:
    """Whether a selector may hold for a service account. One with a network counts as if it held for all of it: the
    narrower reading."""
    if selector.identity:
        return workload_of(selector.identity) == (namespace, account)
    if selector.user or selector.namespace not in ("", namespace):
        return False
    return selector.service_account in ("", account)


def _others(ports: set[int]) -> Iterator[Range]:
    """The ranges of all ports but these."""
    low = 1
    for port in sorted(ports):
        if low < port:
            yield low, port - 1
        low = port + 1
    if low <= MOST_PORT:
        yield low, MOST_PORT
