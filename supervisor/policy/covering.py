"""Comparisons of rules: whether one has all destinations, ports or sources of another. Conservative: no where it is not
known."""

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import msgspec

from supervisor.policy.resources.model import Item, Range, Rules, Selector

__all__ = [
    "Network",
    "Sources",
    "destination_of",
    "holds",
    "home_of",
    "leaves",
    "lies_in",
    "ports_cover",
    "ports_meet",
    "wider_than",
]

MOST_WIDE: Final = 16  # selectors of a resource with a cidr that are compared
FEW: Final = 4  # selectors that are compared again rather than remembered
EVERY_PORT: Final[tuple[Range, ...]] = ((1, 65535),)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def home_of(rules: Rules) -> str:
    """The namespace that all selectors have, "" where they differ."""
    if rules.namespace:
        return rules.namespace
    found = {selector.namespace for selector in rules.selectors}
    return found.pop() if len(found) == 1 else ""


def destination_of(item: Item) -> str:
    """Host pattern, network or path of an item."""
    to = item.destination
    if to.anything:
        return "*"
    if to.host is not None:
        return to.host.value
    return to.cidr or (to.hosts_from.value if to.hosts_from is not None else "")


def wider_than(item: Item, lengths: Mapping[int, Collection[int]]) -> Iterator[str]:
    """The destinations that hold all of an item's, as texts, itself among them. `lengths`: prefixes that there are, by
    IP version."""
    to = item.destination
    if to.cidr:
        network = ipaddress.ip_network(to.cidr)
        found = [length for length in lengths.get(network.version, ()) if length <= network.prefixlen]
        yield from (str(network.supernet(new_prefix=length)) for length in found)
        return
    yield destination_of(item)
    if to.host is not None:
        name = to.host.value.removeprefix("*.")
        while "." in name:
            name = name.partition(".")[2]
            yield f"*.{name}"
    if to.host is None or to.host.value != "*":
        yield "*"


class Sources:
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
            self.wide[id(rules)] = [selector for selector in rules.selectors if selector.cidr][:MOST_WIDE]
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

    def narrow(self, deny: Rules, rules: Rules) -> bool:
        """Whether `deny` selects a part of the sources that `rules` do."""
        known = self.of(rules)
        return any(_is_covered(one, known, self.wide[id(rules)]) for one in deny.selectors[:MOST_WIDE])

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
        msgspec.structs.replace(each, cidr="") in bare and lies_in(network, ipaddress.ip_network(each.cidr))
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


def ports_cover(wide: tuple[Range, ...], narrow: tuple[Range, ...]) -> bool:
    """Whether every port of `narrow` is in `wide`."""
    if not wide or wide == narrow:
        return True
    return all(any(low <= a and b <= high for low, high in wide) for a, b in narrow or EVERY_PORT)


def leaves(deny: Item, item: Item) -> bool:
    """Whether the `except` of a deny leaves all that an item has."""
    if not deny.destination.excepts:
        return True
    to = item.destination
    own = [text.value for text in to.excepts]
    for text in deny.destination.excepts:
        taken = text.value
        if any(holds(each, taken) for each in own):
            continue  # the item does not have it either
        if to.hosts_from is not None or holds(taken, destination_of(item)) or holds(destination_of(item), taken):
            return False
    return True


def ports_meet(one: tuple[Range, ...], other: tuple[Range, ...]) -> bool:
    """Whether a port is in both."""
    return any(a <= d and c <= b for a, b in one or EVERY_PORT for c, d in other or EVERY_PORT)


def holds(wide: str, narrow: str) -> bool:
    """Whether one host pattern, or network, has all of another."""
    if wide == narrow:
        return True
    if "/" in wide:
        return "/" in narrow and lies_in(ipaddress.ip_network(narrow), ipaddress.ip_network(wide))
    return wide == "*" or (wide.startswith("*.") and narrow.endswith(wide[1:]))


def lies_in(narrow: Network, wide: Network) -> bool:
    """Whether all of a network is in another."""
    return narrow.version == wide.version and narrow.subnet_of(wide)  # type: ignore[arg-type] # versions are equal
