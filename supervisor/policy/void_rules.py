"""Warnings of `check` for rules that can never decide: shadowed by a deny, the same as an earlier one, excepted whole.

None of it is an error: the answers are right, but a line of policy has no effect, which is seldom meant.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from supervisor.config.config import Config
from supervisor.policy.covering import Sources, destination_of, home_of, leaves, ports_cover, wider_than
from supervisor.policy.resources.model import Item, Rules
from supervisor.segment.rule_slots import label_of
from supervisor.source.problems import Place, Problems

MOST: Final = 20  # warnings; the rest is counted
MOST_LIKE: Final = 16  # rules of one destination and namespace that are compared
ATTRIBUTES: Final = (
    *("on_revoke", "inner", "protocol", "ech", "upstream", "source_addresses", "tls"),
    *("route", "headers", "read_only"),
)

One = tuple[Rules, Item]


def warn_of_void_rules(config: Config, rules: Sequence[Rules], problems: Problems) -> None:
    """A warning at each item that wins no question, and gives no attribute, in any phase:

    - an Allow or Audit, where one Deny (hard or not) has all its destinations, ports and sources. Its `except` may take
      out only what the item's takes out as well; its sources are the same selectors, or wider by `cidr`, by namespace
      or by being all. With `policy.passthrough` an Allow is not named: it still ends passthrough for its sources.
    - an item with destination, `except` and ports of another one of the same tier that comes before it (DECISIONS.md
      section 4), whose sources are all among that one's selectors, and whose attributes that one all has.
    - an item whose `except` leaves no address of its `cidr`.

    Not compared, and so not named: names in list files, items with conditions, a rule that several cover together, and
    more than MOST_LIKE rules of one destination and namespace; nor rules of other groups than 0, which have an order of
    their own. The cost is that of a look-up for each item.
    """
    rules = [each for each in rules if not each.group]
    told = left_out = 0
    for place, text, hint in _facts(config, rules):
        if told < MOST:
            told += 1
            problems.warning(place, text, hint)
        else:
            left_out += 1
    if left_out:
        words = f"{left_out} more items of policies that never decide are not listed"
        problems.warning(Place(config.path), words, "each is covered by a deny, or the same as an earlier item")


def _facts(config: Config, rules: Sequence[Rules]) -> Iterator[tuple[Place, str, str]]:
    """Place, text and hint of each warning."""
    sources = Sources()
    denies = _Denies(rules, sources)
    groups: dict[tuple[str, str], list[Rules]] = {}
    for each in rules:
        groups.setdefault((home_of(each), each.tier), []).append(each)
    for (home, tier), members in groups.items():
        first: dict[str, list[One]] = {}
        shadowed = bool(denies) and (tier == "audit" or (tier == "allow" and not config.policy.passthrough))
        for each in members:
            for item in each.items:
                if item.path or item.when:
                    continue
                to = item.destination
                if to.cidr and len(to.excepts) > 1 and _is_whole(to.cidr, [text.value for text in to.excepts]):
                    text = f"`except` takes out all of {to.cidr}: this item matches nothing"
                    yield each.place(item), text, "remove the item, or one of its `except`"
                elif shadowed and (deny := denies.over(each, item, home)) is not None:
                    text = f"this item never decides: {_named(*deny)}, denies the same sources, destinations and ports"
                    yield each.place(item), text, "remove one of the two: a deny outranks every allow and audit"
                elif len(members) > 1:  # within one resource it is an error
                    yield from _repeated(each, item, first.setdefault(destination_of(item), []), sources)


def _repeated(rules: Rules, item: Item, like: list[One], sources: "Sources") -> Iterator[tuple[Place, str, str]]:
    """The warning where one of those `like` an item and it are the same; the item is added to them."""
    if (pair := _same(rules, item, like, sources)) is not None:
        (later, own), before = pair
        text = f"this item never decides: {_named(*before)}, is the same and comes first"
        yield later.place(own), text, "remove one of the two"
    if len(like) < MOST_LIKE:
        like.append((rules, item))


def _named(rules: Rules, item: Item) -> str:
    return f"{label_of(rules.kind, rules.namespace, rules.name)}, item {item.index} ({rules.place(item)})"


def _same(rules: Rules, item: Item, like: list[One], sources: "Sources") -> tuple[One, One] | None:
    """An item and the one that takes its place, of this one and those of its tier that are like it."""
    for other, own in like:
        if not _equal(item, own):
            continue
        one: tuple[One, One] = ((rules, item), (other, own))
        later, earlier = one if _order(other, own) < _order(rules, item) else one[::-1]
        if sources.among(later[0], earlier[0]) and all(
            getattr(earlier[0], name) not in (None, ()) or getattr(later[0], name) in (None, ()) for name in ATTRIBUTES
        ):
            return later, earlier
    return None


def _order(rules: Rules, item: Item) -> tuple[bool, int, str, str, int]:
    return (*rules.order, item.index)


def _equal(one: Item, other: Item) -> bool:
    """Whether both match the same; their destinations are equal, but for ports and `except`."""
    a, b = one.destination, other.destination
    if a.ports != b.ports and sorted(a.ports) != sorted(b.ports):
        return False
    if (a.excepts or b.excepts) and {text.value for text in a.excepts} != {text.value for text in b.excepts}:
        return False
    return (a.host is None, a.cidr == "") == (b.host is None, b.cidr == "")


class _Denies:
    """Items of denies, found by a destination that they hold for."""

    def __init__(self, rules: Iterable[Rules], sources: Sources) -> None:
        self.sources = sources
        self.items: dict[str, dict[str, list[One]]] = {}  # by namespace and destination
        self.lengths: dict[int, set[int]] = {}  # prefixes of networks, by IP version
        for each in rules:
            if each.tier in ("deny", "hard_deny"):
                like_it = self.items.setdefault(home_of(each), {})
                for item in each.items:
                    if item.path or item.when:
                        continue
                    like = like_it.setdefault(destination_of(item), [])
                    if len(like) < MOST_LIKE:
                        like.append((each, item))
                    if item.destination.cidr:
                        address, _, length = item.destination.cidr.partition("/")
                        self.lengths.setdefault(6 if ":" in address else 4, set()).add(int(length))

    def __bool__(self) -> bool:
        return bool(self.items)

    def over(self, rules: Rules, item: Item, home: str) -> One | None:
        """A deny that has all of an item, whose sources are of the namespace `home`."""
        for space in (home, "") if home else ("",):
            found = self.items.get(space)
            for destination in wider_than(item, self.lengths) if found else ():
                for deny, own in found.get(destination, ()) if found else ():
                    if (
                        ports_cover(own.destination.ports, item.destination.ports)
                        and leaves(own, item)
                        and self.sources.cover(deny, rules)
                    ):
                        return deny, own
        return None


def _is_whole(cidr: str, excepts: list[str]) -> bool:
    """Whether networks inside another one leave nothing."""
    left = list(ipaddress.collapse_addresses(map(ipaddress.ip_network, excepts)))  # type: ignore[type-var]
    return len(left) == 1 and str(left[0]) == cidr
