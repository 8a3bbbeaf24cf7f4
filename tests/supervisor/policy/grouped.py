"""Rules in groups as the builder takes them, drawn at random, and their slow evaluator: DECISIONS.md sections 3 and 4
where several dialects have a say each. Addresses are public: the guard is evaluator.py's.
"""

from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from tests.supervisor.policy.matching import EXACT, pattern_depth

TIERS: Final = (
    "default_allow",
    "default_audit",
    "default_deny",
    "audit",
    "allow",
    "deny",
    "hard_deny",
)  # weakest first
DENIES: Final = ("default_deny", "deny", "hard_deny")
NEVER_SOFTENED: Final = ("rule_hard_deny", "needs_address", "no_policy")
VERDICT: Final = {tier: "deny" if tier in DENIES else tier.removeprefix("default_") for tier in TIERS}
RANKS: Final = {"mesh": 1, "shop": 3, "bot": 5}
PATTERNS: Final = ("*", "*.test", "*.a.test", "a.test", "x.a.test")
NAMES: Final = ("a.test", "x.a.test", "y.a.test", "b.test", "other.example")
BLOCKS: Final = {"0.0.0.0/0": 0, "8.0.0.0/8": 8, "8.8.0.0/16": 16, "9.0.0.0/8": 8}
ADDRESSES: Final = ("8.8.8.8", "8.9.9.9", "9.9.9.9", "11.1.1.1")
PORTS: Final = (None, None, (443, 443), (400, 500))


@dataclass(frozen=True)
class Grouped:
    """One attachment; its number is its age. `order` is that inside its group."""

    number: int
    group: int
    rank: int  # the class
    order: int
    tier: str
    host: str
    block: str
    ports: tuple[int, int] | None
    who: str

    @property
    def reason(self) -> str:
        return self.tier if self.tier.startswith("default") else f"rule_{self.tier}"


@dataclass(frozen=True)
class Asked:
    """A question; `who` are the source's names, the highest identity first."""

    host: str
    address: str
    sni: str
    port: int
    highest: tuple[str, ...]
    lower: tuple[str, ...]
    audit: bool


@dataclass(frozen=True)
class Said:
    """An answer; `rule` is the number of the attachment."""

    verdict: str
    phase: str
    reason: str
    rule: int | None


@dataclass(frozen=True)
class Found:
    """An attachment that matches, and how well."""

    item: Grouped
    depth: int
    port: int
    source: int

    @property
    def strength(self) -> int:
        return TIERS.index(self.item.tier)


def draw(random: Random) -> list[Grouped]:
    """0 to 14 attachments of groups 0 to 3."""
    count = random.randint(0, 14)
    orders = random.sample(range(100), count)
    return [draw_one(random, number, orders[number]) for number in range(count)]


def draw_one(random: Random, number: int, order: int) -> Grouped:
    group = random.choice((0, 1, 1, 2, 3))
    tier = random.choice(TIERS[3:] if not group else (*TIERS[:6], *TIERS[:3]))
    rank = random.randint(0, 2) if group else 0
    order = order if group else number
    host = random.choice(PATTERNS) if random.random() < 0.75 else ""
    block = random.choice(tuple(BLOCKS)) if not host or random.random() < 0.4 else ""
    who = random.choice(("mesh", "mesh", "shop", "bot"))
    return Grouped(number, group, rank, order, tier, host, block, random.choice(PORTS), who)


def draw_question(random: Random) -> Asked:
    literal = random.random() < 0.4
    who = random.choice((((), ()), (("bot",), ()), (("shop",), ()), ((), ("bot",)), (("shop",), ("bot",))))
    return Asked(
        host="" if literal else random.choice(NAMES),
        address=random.choice(ADDRESSES) if literal or random.random() < 0.7 else "",
        sni=random.choice(NAMES) if literal and random.random() < 0.7 else "",
        port=random.choice((443, 450, 80)),
        highest=("mesh", *who[0]),
        lower=who[1],
        audit=random.random() < 0.15,
    )


class GroupedEvaluator:
    """Answers questions; counts in `hits` what decided."""

    def __init__(self, items: list[Grouped], passthrough: bool) -> None:
        self.items = items
        self.passthrough = passthrough
        self.hits: Counter[str] = Counter()

    def decide(self, asked: Asked) -> Said:
        said = self.by_name(asked) if asked.host else self.by_address(asked)
        if asked.audit and said.verdict == "deny" and said.reason not in NEVER_SOFTENED:
            said = replace(said, verdict="audit")
        self.hits[f"{said.phase} {said.reason}"] += 1
        return said

    # phases

    def by_name(self, asked: Asked) -> Said:
        named = self.winner(asked, asked.host)
        strength = named.strength if named else -1
        undecided = strength == TIERS.index("default_deny") or (not named and not self.passthrough)
        waits = undecided and bool(self.items) and self.covered(asked, "block", strength)
        if named and named.item.tier == "hard_deny":
            return says(named, "name")
        if not waits and not asked.audit and (undecided or VERDICT[named.item.tier if named else "allow"] == "deny"):
            return says(named, "name") if named else self.nothing("name", "no_rule")
        if not asked.address:
            if waits:
                return Said("deny", "name", "needs_address", named.item.number if named else None)
            return says(named, "name") if named else self.nothing("name", "no_rule")
        found = self.winner(asked, asked.address)
        if named and named.item.tier == "deny":  # softened: nothing but a hard deny outranks it
            found = found if found and found.item.tier == "hard_deny" else None
        if found and found.strength > strength:
            self.hits[f"{found.item.tier} over {named.item.tier if named else 'nothing'}"] += 1
            return says(found, "address")
        if named:
            return says(named, "name")
        return self.nothing("address" if waits else "name", "no_cidr_rule" if waits else "no_rule")

    def by_address(self, asked: Asked) -> Said:
        found = self.winner(asked, asked.address)
        passed = says(found, "address") if found else self.nothing("address", "no_rule")
        strength = found.strength if found else -1
        inside = self.winner(asked, asked.sni) if asked.sni else None
        if passed.reason in ("no_rule", "default_deny") and self.covered(asked, "host", strength):
            return self.held(asked, found, inside, passed)
        if (passed.verdict == "deny" and not asked.audit) or not inside or inside.strength <= strength:
            return passed
        turns = inside.item.tier in DENIES
        reports = VERDICT[inside.item.tier] == "audit" and passed.verdict == "allow"
        if passed.reason == "rule_hard_deny" or not (turns or reports):
            return passed
        self.hits[f"{inside.item.tier} behind {passed.reason}"] += 1
        return says(inside, "inner")

    def held(self, asked: Asked, found: Found | None, inside: Found | None, passed: Said) -> Said:
        if not asked.sni:
            return Said("deny", "address", "inner_name_missing", passed.rule)
        self.hits["held"] += 1
        if inside and inside.strength >= (found.strength if found else -1):
            return says(inside, "inner")
        return says(found, "inner") if found else Said("deny", "inner", "no_cidr_rule", None)

    def nothing(self, phase: str, reason: str) -> Said:
        if self.passthrough:
            return Said("allow", phase, "passthrough", None)
        return Said("deny", phase, reason if self.items else "no_policy", None)

    # the maximum

    def winner(self, asked: Asked, target: str) -> Found | None:
        """Each group's own, then the strongest of them."""
        groups: dict[tuple[int, str], list[Found]] = {}
        for found in self.matches(asked, target):
            group = found.item.group
            groups.setdefault((group, "" if group else found.item.tier), []).append(found)
        winners = []
        for (group, _), members in groups.items():
            members.sort(key=lambda one: (one.item.rank, one.depth, one.port, one.source, -one.item.order))
            winners.append(members[-1])
            if group and len(members) > 1 and members[-1].item.rank > members[-2].item.rank:
                self.hits["class"] += 1
        winners.sort(key=lambda one: (one.strength, one.depth, one.port, one.source, -one.item.number))
        if len(winners) > 1:
            self.hits["between tiers" if winners[-1].strength > winners[-2].strength else "between equals"] += 1
        return winners[-1] if winners else None

    def matches(self, asked: Asked, target: str) -> list[Found]:
        found = []
        for item in self.items:
            depth = self.depth(item, target)
            source, port = source_rank(item, asked), port_rank(item, asked.port)
            if depth is not None and source is not None and port is not None:
                found.append(Found(item, depth, port, source))
        return found

    def depth(self, item: Grouped, target: str) -> int | None:
        if not target[0].isdigit():
            return pattern_depth(item.host, target) if item.host else None
        if not item.block:
            return None
        length = BLOCKS[item.block]
        return length if target.split(".")[: length // 8] == item.block.split(".")[: length // 8] else None

    def covered(self, asked: Asked, part: str, strength: int) -> bool:
        """Whether what lets pass is there for this source and port, a default above `strength` alone."""
        return any(
            getattr(item, part)
            and VERDICT[item.tier] != "deny"
            and (not item.tier.startswith("default") or TIERS.index(item.tier) > strength)
            and source_rank(item, asked) is not None
            and port_rank(item, asked.port) is not None
            for item in self.items
        )


def source_rank(item: Grouped, asked: Asked) -> int | None:
    """A lower identity counts for what denies alone."""
    return RANKS[item.who] if item.who in asked.highest + (asked.lower if item.tier in DENIES else ()) else None


def port_rank(item: Grouped, port: int) -> int | None:
    if item.ports is None:
        return 0
    low, high = item.ports
    return (2 if low == high else 1) if low <= port <= high else None


def says(found: Found, phase: str) -> Said:
    return Said(VERDICT[found.item.tier], phase, found.item.reason, found.item.number)


assert max(BLOCKS.values()) < EXACT
