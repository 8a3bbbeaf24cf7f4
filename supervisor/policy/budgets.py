"""Costs of the policy objects of one namespace, against `policy.perNamespace` (DECISIONS.md section 9).

Costs are those of the object alone, whatever else there is, and no times: entries (items of rules, what they except,
ranges of ports, selected sources; of a dialect's product of lists the product), the bytes that are kept for it, and the
states of the tables of its regular expressions. To count those the tables have to be made: it is done as far as the
budget reaches, and not at all where it could not be passed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from supervisor.config.tenants import Budget
from supervisor.policy.dialects.dialect import Part
from supervisor.policy.regex.expression import MOST_STATES, states_of
from supervisor.policy.resources.conditions import Expression, expressions_in
from supervisor.policy.resources.model import Range, Rules
from supervisor.source.problems import Place

__all__ = ["Cost", "Named", "cost_of", "over_budget"]

_encode = msgspec.msgpack.Encoder().encode


class Cost(msgspec.Struct, frozen=True, array_like=True):
    entries: int = 0
    bytes: int = 0
    expressions: tuple[Expression, ...] = ()


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
        return Cost(read.entries, size, _once(read.expressions))
    ports: set[tuple[Range, ...]] = set()
    entries = len(read.selectors)
    for item in read.items:
        entries += 1 + len(item.destination.excepts)
        ports.add(item.destination.ports)
    asked = _once(expressions_in(*(one for item in read.items for one in (item.path, item.when) if one)))
    return Cost(entries + sum(map(len, ports)), size, asked)


def _once(expressions: Iterable[Expression]) -> tuple[Expression, ...]:
    return tuple(dict.fromkeys(expressions))


def over_budget(named: Iterable[Named], budget: Budget) -> Iterator[tuple[Named, str]]:
    """Each object that passes the budget of its namespace or is younger than one that does, and the words that say so.
    The oldest count first; one without a creationTimestamp after all that have one."""
    spaces: dict[str, list[Named]] = defaultdict(list)
    for one in named:
        if one.namespace:
            spaces[one.namespace].append(one)
    for space, objects in spaces.items():
        used = _Used()
        for one in objects:
            used.entries, used.bytes = used.entries + one.cost.entries, used.bytes + one.cost.bytes
            used.states += MOST_STATES * len(one.cost.expressions)  # more it cannot be
        if not used.passes(budget):
            continue
        used = _Used()
        for one in sorted(objects, key=lambda one: (one.created is None, one.created or 0, one.kind, one.name)):
            used.add(one.cost, budget)
            if used.passes(budget):
                most = f"{budget.entries} entries, {budget.bytes} bytes and {budget.states} states"
                yield one, f"with {one.title} the namespace {space} has {used}: policy.perNamespace is {most}"


@dataclass(slots=True)
class _Used:
    """The sums over objects of a namespace so far."""

    entries: int = 0
    bytes: int = 0
    states: int = 0

    def passes(self, budget: Budget) -> bool:
        return self.entries > budget.entries or self.bytes > budget.bytes or self.states > budget.states

    def add(self, cost: Cost, budget: Budget) -> None:
        self.entries, self.bytes = self.entries + cost.entries, self.bytes + cost.bytes
        for text, search in cost.expressions:
            if self.passes(budget):
                return
            self.states += states_of(text, search=search)

    def __str__(self) -> str:
        states = f" and {self.states} states of regular expressions" if self.states else ""
        return f"{self.entries} entries, {self.bytes} bytes{states}"
