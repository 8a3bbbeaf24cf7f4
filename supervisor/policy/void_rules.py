"""Warnings of `check` for rules that can never decide: shadowed by a deny, the same as an earlier one, excepted whole.

None of it is an error: the answers are right, but a line of policy has no effect, which is seldom meant.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from supervisor.config.config import Config
from supervisor.policy.resources.model import Item, Range, Rules, Selector
from supervisor.segment.rule_slots import label_of
from supervisor.source.problems import Place, Problems

MOST: Final = 20  # warnings; the rest is counted
MOST_LIKE: Final = 16  # rules of one destination and namespace, and selectors with a cidr, that are compared
FEW: Final = 4  # selectors that are compared again rather than remembered
EVERY_PORT: Final[tuple[Range, ...]] = ((1, 65535),)
ATTRIBUTES: Final = ("on_revoke", "inner", "protocol", "ech", "upstream", "source_addresses", "tls")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
One = tuple[Rules, Item]


def warn_of_void_rules(config: Config, rules: Sequence[Rules], problems: Problems) -> None:
    """A warning at each item that wins no question, and gives no attribute, in any phase:

    - an Allow or Audit, where one Deny (hard or not) has all its destinations, ports and sources. Its `except` may take
      out only what the item's takes out as well; its sources are the same selectors, or wider by `cidr`, by namespace
      or by being all. With `policy.passthrough` an Allow is not named: it still ends passthrough for its sources.
    - an item with destination, `except` and ports of another one of the same tier that comes before it (DECISIONS.md
      section 4), whose sources are all among that one's selectors, and whose attributes that one all has.
    - an item whose `except` leaves no address of its `cidr`.

    Not compared, and so not named: names in list files, a rule that several cover together, and more than MOST_LIKE
    rules of one destination and namespace. The cost is that of a look-up for each item.
    """
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
    sources = _Sources()
    denies = _Denies(rules, sources)
    groups: dict[tuple[str, str], list[Rules]] = {}
    for each in rules:
        groups.setdefault((_home(each), each.tier), []).append(each)
    for (home, tier), members in groups.items():
        first: dict[str, list[One]] = {}
        shadowed = bool(denies) and (tier == "audit" or (tier == "allow" and not config.policy.passthrough))
        for each in members:
            for item in each.items:
                to = item.destination
                if to.cidr and len(to.excepts) > 1 and _is_whole(to.cidr, [text.value for text in to.excepts]):
                    text = f"`except` takes out all of {to.cidr}: this item matches nothing"
                    yield each.place(item), text, "remove the item, or one of its `except`"
                elif shadowed and (deny := denies.over(each, item, home)) is not None:
                    text = f"this item never decides: {_named(*deny)}, denies the same sources, destinations and ports"
                    yield each.place(item), text, "remove one of the two: a deny outranks every allow and audit"
                elif len(members) > 1:  # within one resource it is an error
                    yield from _repeated(each, item, first.setdefault(_destination(item), []), sources)


def _repeated(rules: Rules, item: Item, like: list[One], sources: "_Sources") -> Iterator[tuple[Place, str, str]]:
    """The warning where one of those `like` an item and it are the same; the item is added to them."""
    if (pair := _same(rules, item, like, sources)) is not None:
        (later, own), before = pair
        text = f"this item never decides: {_named(*before)}, is the same and comes first"
        yield later.place(own), text, "remove one of the two"
    if len(like) < MOST_LIKE:
        like.append((rules, item))


def _named(rules: Rules, item: Item) -> str:
    return f"{label_of(rules.kind, rules.namespace, rules.name)}, item {item.index} ({rules.place(item)})"


def _home(rules: Rules) -> str:
    """The namespace that all selectors have, "" where they differ."""
    if rules.namespace:
        return rules.namespace
    found = {selector.namespace for selector in rules.selectors}
    return found.pop() if len(found) == 1 else ""


def _destination(item: Item) -> str:
    to = item.destination
    if to.host is not None:
        return to.host.value
    return to.cidr or (to.hosts_from.value if to.hosts_from is not None else "")


def _same(rules: Rules, item: Item, like: list[One], sources: "_Sources") -> tuple[One, One] | None:
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


class _Sources:
    """Comparisons of whom two resources select, each made once."""

    def __init__(self) -> None:
        self.sets: dict[int, frozenset[Selector]] = {}  # by id(Rules), which live as long as this does
        self.wide: dict[int, list[Selector]] = {}  # selectors with a cidr
        self.covered: dict[tuple[int, int], bool] = {}
        self.contained: dict[tuple[int, int], bool] = {}

    def of(self, rules: Rules) -> frozenset[Selector]:
        found = self.sets.get(id(rules))
        if found is None:
            found = self.sets[id(rules)] = frozenset(rules.selectors)
            self.wide[id(rules)] = [selector for selector in rules.selectors if selector.cidr][:MOST_LIKE]
        return found

    def among(self, rules: Rules, other: Rules) -> bool:
        """Whether the selectors of `rules` are all among those of `other`."""
        if len(rules.selectors) < FEW:
            return all(selector in self.of(other) for selector in rules.selectors)
        key = (id(rules), id(other))
        if key not in self.contained:
            self.contained[key] = self.of(rules) <= self.of(other)
        return self.contained[key]

    def cover(self, deny: Rules, rules: Rules) -> bool:
        """Whether `deny` selects every source that `rules` do."""
        if len(rules.selectors) < FEW:
            return self.compared(deny, rules)
        key = (id(deny), id(rules))
        if key not in self.covered:
            self.covered[key] = self.compared(deny, rules)
        return self.covered[key]

    def compared(self, deny: Rules, rules: Rules) -> bool:
        known = self.of(deny)
        return Selector() in known or all(_is_covered(one, known, self.wide[id(deny)]) for one in rules.selectors)


def _is_covered(selector: Selector, known: frozenset[Selector], wide: list[Selector]) -> bool:
    if any(each in known for each in _wider(selector)):
        return True
    if not selector.cidr or not wide:
        return False
    network = ipaddress.ip_network(selector.cidr)
    bare = set(_wider(selector))
    return any(
        msgspec.structs.replace(each, cidr="") in bare and _lies_in(network, ipaddress.ip_network(each.cidr))
        for each in wide
    )


def _wider(selector: Selector) -> Iterator[Selector]:
    """The selector, and those without a cidr that select all its sources."""
    yield selector
    if selector.cidr:
        yield msgspec.structs.replace(selector, cidr="")
    if selector.service_account or (selector.namespace and not selector.identity and not selector.user):
        yield Selector(namespace=selector.namespace)
    yield Selector()


class _Denies:
    """Items of denies, found by a destination that they hold for."""

    def __init__(self, rules: Iterable[Rules], sources: _Sources) -> None:
        self.sources = sources
        self.items: dict[str, dict[str, list[One]]] = {}  # by namespace and destination
        self.lengths: dict[int, set[int]] = {4: set(), 6: set()}  # prefixes of networks, by IP version
        for each in rules:
            if each.tier in ("deny", "hard_deny"):
                like_it = self.items.setdefault(_home(each), {})
                for item in each.items:
                    like = like_it.setdefault(_destination(item), [])
                    if len(like) < MOST_LIKE:
                        like.append((each, item))
                    if item.destination.cidr:
                        address, _, length = item.destination.cidr.partition("/")
                        self.lengths[6 if ":" in address else 4].add(int(length))

    def __bool__(self) -> bool:
        return bool(self.items)

    def over(self, rules: Rules, item: Item, home: str) -> One | None:
        """A deny that has all of an item, whose sources are of the namespace `home`."""
        for space in (home, "") if home else ("",):
            found = self.items.get(space)
            for destination in self.wider(item) if found else ():
                for deny, own in found.get(destination, ()) if found else ():
                    if (
                        _ports_cover(own.destination.ports, item.destination.ports)
                        and _leaves(own, item)
                        and self.sources.cover(deny, rules)
                    ):
                        return deny, own
        return None

    def wider(self, item: Item) -> Iterator[str]:
        """The destinations that hold all of an item's, as texts."""
        to = item.destination
        if to.cidr:
            network = ipaddress.ip_network(to.cidr)
            lengths = [length for length in self.lengths[network.version] if length <= network.prefixlen]
            yield from (str(network.supernet(new_prefix=length)) for length in lengths)
            return
        yield _destination(item)
        if to.host is not None:
            name = to.host.value.removeprefix("*.")
            while "." in name:
                name = name.partition(".")[2]
                yield f"*.{name}"
        if to.host is None or to.host.value != "*":
            yield "*"


def _ports_cover(wide: tuple[Range, ...], narrow: tuple[Range, ...]) -> bool:
    if not wide or wide == narrow:
        return True
    return all(any(low <= a and b <= high for low, high in wide) for a, b in narrow or EVERY_PORT)


def _leaves(deny: Item, item: Item) -> bool:
    """Whether the `except` of a deny leaves all that an item has."""
    if not deny.destination.excepts:
        return True
    to = item.destination
    own = [text.value for text in to.excepts]
    for text in deny.destination.excepts:
        taken = text.value
        if any(_holds(each, taken) for each in own):
            continue  # the item does not have it either
        if to.hosts_from is not None or _holds(taken, _destination(item)) or _holds(_destination(item), taken):
            return False
    return True


def _holds(wide: str, narrow: str) -> bool:
    """Whether one host pattern, or network, has all of another."""
    if wide == narrow:
        return True
    if "/" in wide:
        return "/" in narrow and _lies_in(ipaddress.ip_network(narrow), ipaddress.ip_network(wide))
    return wide == "*" or (wide.startswith("*.") and narrow.endswith(wide[1:]))


def _lies_in(narrow: Network, wide: Network) -> bool:
    return narrow.version == wide.version and narrow.subnet_of(wide)  # type: ignore[arg-type] # versions are equal


def _is_whole(cidr: str, excepts: list[str]) -> bool:
    """Whether networks inside another one leave nothing."""
    left: list[Network] = list(ipaddress.collapse_addresses(map(ipaddress.ip_network, excepts)))  # type: ignore[type-var]
    return len(left) == 1 and str(left[0]) == cidr
