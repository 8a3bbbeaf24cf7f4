"""Costs of the policy objects of one namespace, against `policy.perNamespace` (DECISIONS.md section 9).

Costs are those of the object alone, whatever else there is, and no times: entries (items of rules, what they except,
ranges of ports, selected sources; of a dialect's product of lists the product) and the bytes that are kept for it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from supervisor.config.tenants import Budget
from supervisor.policy.dialects.dialect import Part
from supervisor.policy.resources.model import Range, Rules
from supervisor.source.problems import Place

__all__ = ["Cost", "Named", "cost_of", "over_budget"]

_encode = msgspec.msgpack.Encoder().encode


class Cost(msgspec.Struct, frozen=True, array_like=True):
    entries: int = 0
    bytes: int = 0


class Named(msgspec.Struct, frozen=True, array_like=True):
    """A resource that was read, and where it stands."""

    kind: str
    namespace: str  # "" for kinds without one
    name: str
    place: Place
    created: int | None = None
    cost: Cost = Cost()
    group: str = ""  # of the API

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.namespace, self.name

    @property
    def title(self) -> str:
        """As people name it."""
        return "/".join(filter(None, self.key)).replace("/", " ", 1)


def cost_of(read: Rules | Part) -> Cost:
    """Of one resource; nothing for kinds without a namespace."""
    if not read.namespace:
        return Cost()
    size = len(_encode(read))
    if not isinstance(read, Rules):
        return Cost(read.entries, size)
    ports: set[tuple[Range, ...]] = set()
    entries = len(read.selectors)
    for item in read.items:
        entries += 1 + len(item.destination.excepts)
        ports.add(item.destination.ports)
    return Cost(entries + sum(map(len, ports)), size)


def over_budget(named: Iterable[Named], budget: Budget) -> Iterator[tuple[Named, str]]:
    """Each object that passes the budget of its namespace or is younger than one that does, and the words that say so.
    The oldest count first; one without a creationTimestamp after all that have one."""
    spaces: dict[str, list[Named]] = defaultdict(list)
    for one in named:
        if one.namespace:
            spaces[one.namespace].append(one)
    for space, objects in spaces.items():
        entries, size = sum(one.cost.entries for one in objects), sum(one.cost.bytes for one in objects)
        if entries <= budget.entries and size <= budget.bytes:
            continue
        entries = size = 0
        for one in sorted(objects, key=lambda one: (one.created is None, one.created or 0, one.kind, one.name)):
            entries, size = entries + one.cost.entries, size + one.cost.bytes
            if entries > budget.entries or size > budget.bytes:
                what = f"{entries} entries, {size} bytes"
                most = f"{budget.entries} entries and {budget.bytes} bytes"
                yield one, f"with {one.title} the namespace {space} has {what}: policy.perNamespace is {most}"
