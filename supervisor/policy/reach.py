"""The two inverse questions of `explain`: what can a source reach, and who can reach a destination.

The answer is a list of rules with what they do, in order of precedence: hard denies, denies, allows, audits; within
each the better match first (DECISIONS.md section 4). Each allow and audit names the denies that take something out.
Networks are compared within one IP version, although an IPv6 address that carries an IPv4 address is judged by both.
Rules come packed as rule_listing has them; names of list files, and verdicts, are the image's to know.
"""

import ipaddress
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from gateway.policy.image import PolicyImage
from supervisor.config.config import Config
from supervisor.policy.covering import Sources, destination_of, holds, leaves, ports_cover, ports_meet, wider_than
from supervisor.policy.explanation import Question, QuestionError, explain, split_destination
from supervisor.policy.resources.model import Item, Rules, Selector, Tier
from supervisor.policy.rule_listing import MOST_ITEMS, ListingError, described, selector_object, start_of, unpacked
from supervisor.policy.sources import Level, levels_of, rank_of, source_of

__all__ = ["MOST_DENIES", "ends_passthrough", "judged_as", "reach", "rules_at"]

MOST_DENIES: Final = 20  # that an item names; `more` counts the others
MOST_NEAR: Final = 200  # denies that an item is compared with, of each kind
TRAIL: Final = 64  # steps of the longest trail
MOST_SOURCES: Final = 16  # of an item that are judged each; `sources_left_out` counts the others
ORDER: Final[dict[Tier, int]] = {
    "hard_deny": 0,
    "deny": 1,
    "unauthorized": 1,
    "allow": 2,
    "audit": 3,
    "default_deny": 4,
    "default_audit": 5,
    "default_allow": 6,
}
DENIED: Final = frozenset({"deny", "hard_deny", "unauthorized"})
DENIES: Final = DENIED | {"default_deny"}  # these select by lower identities as well
VERDICTS: Final = {"default_deny": "deny", "default_audit": "audit", "default_allow": "allow"}


def networked_in(rules: Sequence[Rules]) -> frozenset[str]:
    """Namespaces with networks of destinations of their own."""
    return frozenset(each.namespace for each in rules if each.is_own_network)


class _Found(NamedTuple):
    """A rule of the answer; the first sorts first."""

    key: tuple[Any, ...]
    rules: Rules
    item: Item


def reach(image: PolicyImage, config: Config, packed: bytes, generation: int, question: Question) -> dict[str, Any]:
    """A page of the answer to a question without `to`, or without any source; every rule is looked at. Raises
    QuestionError."""
    try:
        start = start_of(question.after, generation)
    except ListingError as wrong:
        raise QuestionError(str(wrong)) from None
    asked = _FromSource(image, config, question) if question.to is None else _ToDestination(image, config, question)
    found = sorted(
        (_Found(key, rules, item) for rules, item, key in asked.matching(unpacked(packed))), key=lambda one: one.key
    )
    denies = [one for one in found if one.rules.tier in DENIED]
    page = found[start : start + (question.limit or MOST_ITEMS)]
    end = start + len(page)
    index = _Index(denies)
    items = [described(one.rules, one.item) | asked.effect(one, index) for one in page]
    return {
        **asked.head(found),
        "generation": generation,
        "items": items,
        "next": f"{generation}-{end}" if end < len(found) else None,
    }


def ends_passthrough(image: PolicyImage, config: Config, rules: Sequence[Rules], question: Question) -> bool:
    """Whether an allow selects the source of a question, whatever it allows (DECISIONS.md section 4)."""
    levels = levels_of(image, config, question)
    return any(_ends_passthrough(each, levels, question.source) for each in rules)


def _ends_passthrough(rules: Rules, levels: Sequence[Level], address: str | None) -> bool:
    """Whichever of a source's identities it selects."""
    return rules.ends_passthrough and rank_of(rules.selectors, levels, address) is not None


def rules_at(image: PolicyImage, config: Config, rules: Sequence[Rules], question: Question) -> list[Rules]:
    """The rules that name the destination of a question, or the name shown inside, each with these items alone; where
    its address is not known, also one network for each selection of sources: it keeps the address open."""
    names = [question.to]
    if question.sni is not None and question.to is not None:
        names.append(f"{question.sni}:{split_destination(question.to)[1]}")
    asked = [_ToDestination(image, config, msgspec.structs.replace(question, to=to, sni=None)) for to in names]
    found = []
    open_to: set[tuple[Tier, tuple[Selector, ...]]] = set()
    for each in rules:
        items = tuple(item for item in each.items if any(one.matches(each, item) for one in asked))
        if asked[0].is_open and (each.tier, each.selectors) not in open_to:
            networks = (item for item in each.items if item.destination.cidr and asked[0].has_port(item))
            if (network := next(networks, None)) is not None:
                open_to.add((each.tier, each.selectors))
                items = (*items, network)
        if items:
            found.append(msgspec.structs.replace(each, items=items))
    return found


class _Index:
    """Denies, found by the destinations that they may have in common with an item."""

    def __init__(self, denies: Sequence[_Found]) -> None:
        self.all = denies
        self.texts: dict[str, list[_Found]] = {}
        self.lengths: dict[int, set[int]] = {}
        self.lists = [one for one in denies if one.item.destination.hosts_from is not None]
        below: list[tuple[tuple[int, Any, int], int]] = []
        for number, one in enumerate(denies):
            self.texts.setdefault(destination_of(one.item), []).append(one)
            if one.item.destination.cidr:
                network = ipaddress.ip_network(one.item.destination.cidr)
                self.lengths.setdefault(network.version, set()).add(network.prefixlen)
                below.append(((network.version, int(network.network_address), network.prefixlen), number))
            elif one.item.destination.host is not None:
                below.append(((0, _reversed(one.item.destination.host.value), 0), number))
        self.below = sorted(below)

    def near(self, item: Item) -> list[_Found]:
        """At most MOST_NEAR of each kind: those of a wider destination, of a narrower one, and those with a list."""
        to = item.destination
        found = [one for text in dict.fromkeys(wider_than(item, self.lengths)) for one in self.texts.get(text, ())]
        found = found[:MOST_NEAR]
        if to.cidr:
            network = ipaddress.ip_network(to.cidr)
            low: tuple[int, Any, int] = (network.version, int(network.network_address), network.prefixlen + 1)
            high: tuple[int, Any, int] = (network.version, int(network.broadcast_address), 129)
        else:
            whole = to.host is None or to.host.value == "*"
            start = "" if whole or to.host is None else _reversed(to.host.value).removesuffix("*")
            low, high = (0, start, 0), (0, start + "\x7f", 0)
            found += self.lists[:MOST_NEAR]
        if to.host is None or to.host.value.startswith("*"):
            first, end = bisect_left(self.below, (low, 0)), bisect_left(self.below, (high, 0))
            found += [self.all[number] for _, number in self.below[first : min(end, first + MOST_NEAR)]]
        return list({id(one): one for one in found}.values())


def _reversed(name: str) -> str:
    """`*.example.com` as `com.example.*`."""
    return ".".join(reversed(name.split(".")))


class _FromSource:
    """Rules for one source."""

    def __init__(self, image: PolicyImage, config: Config, question: Question) -> None:
        self.config = config
        probe = msgspec.structs.replace(question, to="sluice.invalid:1")
        self.probed = explain(image, config, probe)
        self.source = self.probed["source"]
        self.levels: tuple[Level, ...] = levels_of(image, config, question)
        self.address = question.source
        self.ended = False  # passthrough, as an allow selects this source

    def matching(self, rules: Sequence[Rules]) -> Iterator[tuple[Rules, Item, tuple[Any, ...]]]:
        self.ended = any(_ends_passthrough(each, self.levels, self.address) for each in rules)
        networked = networked_in(rules)
        roles = {selector.role for each in rules for selector in each.selectors if selector.role}
        for each in rules:
            levels = self.levels if each.tier in DENIES else self.levels[:1]
            rank = rank_of(each.selectors, levels, self.address, roles, networked)
            if rank is not None:
                for item in each.items:
                    yield each, item, _key(each, item, rank)

    def head(self, found: Sequence[_Found]) -> dict[str, Any]:
        opened = self.config.policy.passthrough and not self.ended
        if self.probed["rule"] is None:  # the image knows of labels as well
            opened = self.probed["reason"] == "passthrough"
        default = {"verdict": "allow" if opened else "deny", "reason": "passthrough" if opened else "no_rule"}
        for one in found:  # in the order of precedence
            if one.rules.tier in VERDICTS and one.item.destination.anything:
                default = {"verdict": VERDICTS[one.rules.tier], "reason": one.rules.tier}
                break
        return {"question": "from", "source": self.source, "default": default}

    def effect(self, one: _Found, denies: "_Index") -> dict[str, Any]:
        """The denies that take something out of an allow or audit: all of it, or a part."""
        if one.rules.tier in DENIED:
            return {"denied": None, "by": [], "more": 0}
        whole: list[_Found] = []
        parts: list[_Found] = []
        for deny in denies.near(one.item):
            if _meet(deny.item, one.item) and _outranks(deny.rules, one.rules):
                (whole if _has_all(deny.item, one.item) else parts).append(deny)
        by = [_named(deny) for deny in [*whole, *parts]]
        denied = "all" if whole else "part" if parts else None
        return {"denied": denied, "by": by[:MOST_DENIES], "more": max(0, len(by) - MOST_DENIES)}


class _ToDestination:
    """Rules for one destination."""

    def __init__(self, image: PolicyImage, config: Config, question: Question) -> None:
        self.image, self.config, self.question = image, config, question
        host, self.port = split_destination(str(question.to))
        self.probed = explain(image, config, question)
        self.host = self.probed["destination"]["host"] or host
        literal = self.probed["destination"]["address"] == self.host
        self.name = None if literal else self.host
        addresses = (question.address,) if isinstance(question.address, str) else question.address or ()
        self.addresses = [each for text in ([self.host] if literal else addresses) for each in judged_as(text)]
        self.sources = Sources()

    def matching(self, rules: Sequence[Rules]) -> Iterator[tuple[Rules, Item, tuple[Any, ...]]]:
        for each in rules:
            for item in each.items:
                if self.matches(each, item):
                    yield each, item, _key(each, item, (0, 0))

    @property
    def is_open(self) -> bool:
        """A name whose addresses are not known."""
        return self.name is not None and not self.addresses

    def has_port(self, item: Item) -> bool:
        return ports_meet(item.destination.ports, ((self.port, self.port),))

    def matches(self, rules: Rules, item: Item) -> bool:
        to = item.destination
        if not self.has_port(item):
            return False
        if to.anything:
            return True
        if to.cidr:
            return any(
                address in ipaddress.ip_network(to.cidr)
                and not any(address in ipaddress.ip_network(text.value) for text in to.excepts)
                for address in self.addresses
            )
        if self.name is None or any(holds(text.value, self.name) for text in to.excepts):
            return False
        return holds(to.host.value, self.name) if to.host is not None else self.listed(rules, item)

    def listed(self, rules: Rules, item: Item) -> bool:
        """Whether the image has the name in this item's list: asked as a source that the rule selects. Where no
        question names one, and where more rules match than a trail has steps, it counts as listed."""
        askable = (self.asked_as(selector, rules) for selector in rules.selectors[:MOST_SOURCES])
        question = next(filter(None, askable), None)
        if question is None:
            return True
        answer = explain(self.image, self.config, question)
        mine = (rules.kind, rules.namespace or None, rules.name, item.index)
        rules_seen = [step["rule"] for step in answer["trail"] if step["rule"] is not None]
        if len(answer["trail"]) >= TRAIL:
            return True
        return any((rule["kind"], rule["namespace"], rule["name"], rule["index"]) == mine for rule in rules_seen)

    def asked_as(self, selector: Selector, rules: Rules) -> Question | None:
        """The question of a source that has just what a selector of rules says. None where that is not one that it
        selects: no question names labels, and a user or an identity may be of another namespace."""
        if selector.workloads is not None:
            return None
        question = msgspec.structs.replace(self.question, **source_of(selector))
        levels = levels_of(self.image, self.config, question)
        if rules.tier not in DENIES:
            levels = levels[:1]
        return question if rank_of((selector,), levels, question.source) is not None else None

    def head(self, found: Sequence[_Found]) -> dict[str, Any]:
        del found
        stranger = {name: self.probed[name] for name in ("verdict", "reason", "rule")}
        unlisted = ["networks"] if self.is_open else []
        return {
            "question": "to",
            "destination": self.probed["destination"],
            "default": stranger,
            "unlisted": unlisted,
        }

    def narrows(self, deny: _Found, one: _Found) -> bool:
        return self.sources.narrow(deny.rules, one.rules) or self.sources.cover(deny.rules, one.rules)

    def effect(self, one: _Found, denies: "_Index") -> dict[str, Any]:
        """The verdict for each selected source, and denies for fewer sources than that."""
        sources = []
        for selector in one.rules.selectors[:MOST_SOURCES]:
            question = self.asked_as(selector, one.rules)
            if question is None:
                continue
            answer = explain(self.image, self.config, question)
            sources.append(
                {name: answer[name] for name in ("verdict", "reason", "rule")} | {"from": selector_object(selector)}
            )
        by: list[dict[str, Any]] = []
        if one.rules.tier not in DENIED:
            near = (deny for deny in denies.all[:MOST_NEAR] if _outranks(deny.rules, one.rules))
            by = [_named(deny) for deny in near if self.narrows(deny, one)]
        states = {source["verdict"] == "deny" for source in sources}
        denied = None if states <= {False} and not by else "all" if states == {True} else "part"
        return {
            "sources": sources,
            "sources_left_out": max(0, len(one.rules.selectors) - MOST_SOURCES),
            "denied": None if one.rules.tier in DENIED else denied,
            "by": by[:MOST_DENIES],
            "more": max(0, len(by) - MOST_DENIES),
        }


def judged_as(address: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """An address, and the IPv4 address that an IPv6 one may carry at its end, by which it is judged as well."""
    found = ipaddress.ip_address(address)
    carries = found.version == 6 and int(found) & 0xFFFFFFFF
    return [found, ipaddress.IPv4Address(carries)] if carries else [found]


def _key(rules: Rules, item: Item, rank: tuple[int, int]) -> tuple[Any, ...]:
    """The order of precedence; names before networks, which are judged after them."""
    to = item.destination
    if to.host is not None:
        name = to.host.value
        depth = 0 if name == "*" else name.count(".") if name.startswith("*.") else 1000
    else:
        depth = int(to.cidr.rpartition("/")[2]) if to.cidr else 999  # most lines of lists are names
    ports = 0 if not to.ports else 2 if any(low == high for low, high in to.ports) else 1
    return ORDER[rules.tier], bool(to.cidr), -depth, -ports, -rank[0], -rank[1], rules.order, item.index


def _named(one: _Found) -> dict[str, Any]:
    found: dict[str, Any] = described(one.rules, one.item)["rule"]
    return found


def _meet(deny: Item, item: Item) -> bool:
    """Whether a deny and an item have a destination in common; a list file may have any name."""
    one, other = deny.destination, item.destination
    if not ports_meet(one.ports, other.ports) or bool(one.cidr) != bool(other.cidr):
        return False
    if one.hosts_from is not None or other.hosts_from is not None:
        return True
    mine, its = destination_of(deny), destination_of(item)
    if holds(mine, its):
        return not any(holds(text.value, its) for text in one.excepts)
    return holds(its, mine) and not any(holds(text.value, mine) for text in other.excepts)


def _outranks(deny: Rules, rules: Rules) -> bool:
    """Whether a deny comes before a rule that lets the same pass; inside a group the dialect's precedence says so."""
    return not deny.group or deny.group != rules.group or deny.precedence >= rules.precedence


def _has_all(deny: Item, item: Item) -> bool:
    """Whether a deny has all destinations of an item, whatever else it asks for."""
    return (
        not (deny.path or deny.when)
        and ports_cover(deny.destination.ports, item.destination.ports)
        and (
            destination_of(deny) == destination_of(item)
            or (deny.destination.hosts_from is None and holds(destination_of(deny), destination_of(item)))
        )
        and leaves(deny, item)
    )
