"""The slow, obvious evaluator: DECISIONS.md sections 1, 3 and 4 in plain Python over manifests as written.

It shares no matching code with the compiler or with C. Where DECISIONS.md leaves open which of several refusals is
named, it is the first of: own address, addresses.deny, hard deny, guard.
"""

import ipaddress
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.supervisor.policy.matching import (
    EXACT,
    Address,
    Match,
    Who,
    World,
    address_depth,
    best_rank,
    holds,
    inside,
    items_of,
    name_depth,
    port_class,
)

STRENGTH: Final = ("hard_deny", "deny", "allow", "audit")  # strongest first

# The address guard (DECISIONS.md section 3), as far as the drawn addresses go. False: no rule ever lifts it.
GUARD: Final[tuple[tuple[str, str, bool], ...]] = (
    ("0.0.0.0/32", "address_unspecified", False),
    ("127.0.0.0/8", "address_loopback", False),
    ("169.254.169.254/32", "address_metadata", False),
    ("100.100.100.200/32", "address_metadata", False),
    ("168.63.129.16/32", "address_metadata", False),
    ("169.254.0.0/16", "address_link_local", False),
    ("224.0.0.0/4", "address_multicast", False),
    ("10.0.0.0/8", "address_special_purpose", True),
    ("100.64.0.0/10", "address_special_purpose", True),
    ("172.16.0.0/12", "address_special_purpose", True),
    ("192.168.0.0/16", "address_special_purpose", True),
    ("203.0.113.0/24", "address_special_purpose", True),
    ("::/128", "address_unspecified", False),
    ("::1/128", "address_loopback", False),
    ("fd00:ec2::254/128", "address_metadata", False),
    ("fe80::/10", "address_link_local", False),
    ("ff00::/8", "address_multicast", False),
    ("fc00::/7", "address_special_purpose", True),
    ("2001:db8::/32", "address_special_purpose", True),
    ("::ffff:0:0/96", "address_embedded_ipv4", True),
    ("64:ff9b::/96", "address_embedded_ipv4", True),
)
EMBEDDING: Final = tuple(ipaddress.ip_network(text) for text in ("::ffff:0:0/96", "64:ff9b::/96"))


@dataclass(frozen=True)
class Question:
    """Who asks for what; `host` is a name or an address."""

    host: str
    port: int
    namespace: str = ""
    account: str = ""
    identity: str = ""
    user: str = ""
    source: str = ""
    address: str = ""
    audit: bool = False  # the listener's
    sni: str = ""  # the name shown inside


@dataclass(frozen=True)
class Answer:
    """What `explain` must say. `rule` is (kind, namespace, name, index)."""

    verdict: str
    phase: str
    reason: str
    rule: tuple[str, str, str, int] | None = None
    would_deny: bool = False
    dialed_from: tuple[str, ...] = ()


class Evaluator:
    """Answers questions about one world; counts in `hits` which tiers, phases and tie-breaks decided."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hits: Counter[str] = Counter()
        self.items = [item for manifest in world.manifests for item in items_of(manifest)]

    def decide(self, question: Question) -> Answer:
        """The answer. Each one is counted."""
        answer = self.answer(question)
        self.hits[f"verdict {answer.verdict}"] += 1
        self.hits[f"phase {answer.phase}"] += 1
        self.hits[f"reason {answer.reason}"] += 1
        return answer

    def answer(self, question: Question) -> Answer:
        who = self.source(question)
        said = self.outside(question, who)
        if not question.sni:
            return said
        if is_address(question.host):
            return self.behind_address(question, who, said)
        return self.inner_name(question, said)

    def outside(self, question: Question, who: Who) -> Answer:
        """What is known before anything shows inside."""
        try:
            literal = ipaddress.ip_address(question.host)
        except ValueError:
            pass
        else:
            return self.address_phase(question, who, literal, None, "")
        named, tier, pending = self.name_phase(question, who)
        if named.phase == "delegated" or not question.address or (named.verdict == "deny" and not pending):
            return named
        address = ipaddress.ip_address(question.address)
        return self.address_phase(question, who, address, None if pending else named, tier, by_name=True)

    # who asks

    def source(self, question: Question) -> Who:
        """Section 1: certificate > credentials > network map. The first that holds is the source's identity, those
        after it are lower. A user without an identity has no namespace."""
        address = ipaddress.ip_address(question.source) if question.source else None
        given = (question.namespace, question.account)
        found: list[Who] = []
        if question.identity or (question.namespace and not question.user):
            found.append(Who(*given, question.identity, "", address))
        if question.user:
            own = self.world.users.get(question.user, ("", ""))
            found.append(Who(*(given if question.namespace and not found else own), "", question.user, address))
        if network := self.network(address):
            found.append(Who(*network, "", "", address))
        if not found:
            return Who("", "", "", "", address)
        self.hits[f"lower identities {len(found) - 1}"] += 1
        return replace(found[0], lower=tuple(found[1:]))

    def network(self, address: Address | None) -> tuple[str, str] | None:
        """What the network map says of an address: the longest block wins."""
        mapped = [
            (ipaddress.ip_network(cidr).prefixlen, (space, account))
            for cidr, space, account in self.world.networks
            if address is not None and holds(ipaddress.ip_network(cidr), address)
        ]
        return max(mapped)[1] if mapped else None

    # the phases

    def name_phase(self, question: Question, who: Who) -> tuple[Answer, str, bool]:
        """The answer, the tier that gave it ("" = a default), and whether only an address can decide."""
        for tier in STRENGTH:
            if match := self.best(question, who, tier, name_depth, question.host):
                # What passes by a rule with a parent gateway is the parent's to resolve and to judge (section 3).
                phase = "delegated" if match.item.upstream and tier in ("allow", "audit") else "name"
                return self.soften(question, by_rule(match, tier, phase)), tier, False
        default = self.default("name", who, "no_rule")
        if default.reason == "no_rule" and self.reaches(question, who, "cidr"):
            return Answer("deny", "name", "needs_address"), "", True
        return self.soften(question, default), "", False

    def address_phase(
        self, question: Question, who: Who, address: Address, named: Answer | None, tier: str, by_name: bool = False
    ) -> Answer:
        subjects = [address]
        forms = (*EMBEDDING, *(ipaddress.ip_network(text) for text in self.world.nat64))
        if self.guard(question, who, address) is None and any(holds(block, address) for block in forms):
            self.hits["embedded"] += 1
            subjects.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        refused = self.refusal(question, who, subjects)
        if refused:
            return refused
        if named and tier in ("hard_deny", "deny"):
            return named  # audit mode let it through
        for candidate in ("deny", "allow", "audit"):
            weaker = (candidate == "allow" and tier == "allow") or (candidate == "audit" and tier in ("allow", "audit"))
            match = None if weaker else self.first(question, who, candidate, subjects)
            if match:
                return self.soften(question, by_rule(match, candidate, "address"))
        if named:
            return named
        default = self.default("address", who, "no_cidr_rule" if by_name else "no_rule")
        if not by_name and default.reason == "no_rule" and self.reaches(question, who, "host"):
            default = Answer("deny", "address", "inner_name_missing")
        return self.soften(question, default)

    def refusal(self, question: Question, who: Who, subjects: list[Address]) -> Answer | None:
        """What no allow overrides."""
        for cidr, port in self.world.own:
            if port in (0, question.port) and any(holds(ipaddress.ip_network(cidr), address) for address in subjects):
                return Answer("deny", "address", "own_address")
        for cidr in self.world.deny:
            if any(holds(ipaddress.ip_network(cidr), address) for address in subjects):
                return Answer("deny", "address", "address_denied")
        if match := self.first(question, who, "hard_deny", subjects):
            return by_rule(match, "hard_deny", "address")
        for address in subjects:
            if reason := self.guard(question, who, address):
                return Answer("deny", "address", reason)
        return None

    def guard(self, question: Question, who: Who, address: Address) -> str | None:
        """Why the guard refuses an address; None when it does not, or is lifted."""
        if any(holds(ipaddress.ip_network(cidr), address) for cidr in (*self.world.allow, *self.world.nat64)):
            return None
        for cidr, reason, liftable in GUARD:
            if holds(ipaddress.ip_network(cidr), address):
                return None if liftable and self.lifted(question, who, address) else reason
        return None

    def lifted(self, question: Question, who: Who, address: Address) -> bool:
        """A CIDR allow that lies wholly inside one special-purpose block."""
        for match in self.matches(question, who, "allow", address_depth, str(address)):
            prefix = ipaddress.ip_network(match.item.to["cidr"])
            if any(liftable and inside(prefix, ipaddress.ip_network(cidr)) for cidr, _, liftable in GUARD):
                return True
        return False

    # what shows inside

    def inner_name(self, question: Question, said: Answer) -> Answer:
        """Asked by name: what shows must be what was asked for, as far as innerName says."""
        if said.verdict == "deny" or question.sni == question.host:
            return said
        mode = next((item.inner_name for item in self.items if item.rule == said.rule), "enforce")
        if mode == "off":
            return said
        denied = Answer("deny", "inner", "inner_name_mismatch", said.rule)
        softened = self.soften(replace(question, audit=question.audit or mode == "audit"), denied)
        return replace(softened, dialed_from=said.dialed_from) if softened.verdict == "audit" else denied

    def behind_address(self, question: Question, who: Who, said: Answer) -> Answer:
        """Asked by IP. Undecided so far: the name shown is judged as if it had been asked for. Passed: every verdict of
        rules about that name has its say, over phases too, and what is not stronger than what passed changes nothing.
        """
        matches = {tier: self.best(question, who, tier, name_depth, question.sni) for tier in STRENGTH}
        if said.reason == "inner_name_missing":
            self.hits["inner provisional"] += 1
            for tier, match in matches.items():
                if match is None:
                    continue
                if match.item.upstream and tier in ("allow", "audit"):
                    return Answer("deny", "inner", "other_way", match.item.rule)
                return self.soften(question, by_rule(match, tier, "inner"))
            return self.soften(question, Answer("deny", "inner", "no_cidr_rule"))
        if said.verdict == "deny":
            return said
        passed = STRENGTH.index(tier) if (tier := said.reason.removeprefix("rule_")) in STRENGTH else len(STRENGTH)
        for strength, (tier, match) in enumerate(matches.items()):
            if match is None or strength >= passed or tier == "allow":
                continue
            if tier == "audit" and said.verdict == "audit":
                continue  # of two verdicts that say the same the earlier phase is named
            self.hits[f"inner {tier} behind {said.reason}"] += 1
            turned = self.soften(question, by_rule(match, tier, "inner"))
            return replace(turned, dialed_from=() if turned.verdict == "deny" else said.dialed_from)
        return said

    # what matches

    def matches(self, question: Question, who: Who, tier: str, depth_of: Any, target: str) -> list[Match]:
        found = []
        for item in self.items:
            if item.tier != tier:
                continue
            depth = depth_of(item, target, self.world)
            port = port_class(item.to.get("ports"), question.port)
            rank = best_rank(item, who)
            if depth is not None and port is not None and rank is not None:
                found.append(Match(item, depth, port, rank))
        return found

    def best(self, question: Question, who: Who, tier: str, depth_of: Any, target: str) -> Match | None:
        """The winner inside a tier (section 4), counting what made it the winner."""
        found = self.matches(question, who, tier, depth_of, target)
        if not found:
            return None
        found.sort(key=lambda match: match.item.order)
        found.sort(key=lambda match: match.key, reverse=True)  # stable: order stays among equals
        self.hits[f"tier {tier}"] += 1
        if len(found) > 1:
            self.hits[f"tie-break {distinction(found[0], found[1], depth_of is name_depth)}"] += 1
        return found[0]

    def first(self, question: Question, who: Who, tier: str, subjects: list[Address]) -> Match | None:
        for address in subjects:
            if match := self.best(question, who, tier, address_depth, str(address)):
                return match
        return None

    def reaches(self, question: Question, who: Who, key: str) -> bool:
        """Whether rules by address (or by name) could let this source through at this port."""
        keys = ("cidr",) if key == "cidr" else ("host", "hostsFrom")
        return any(
            item.tier in ("allow", "audit")
            and any(key in item.to for key in keys)
            and port_class(item.to.get("ports"), question.port) is not None
            and best_rank(item, who) is not None
            for item in self.items
        )

    # defaults and modes

    def default(self, phase: str, who: Who, reason: str) -> Answer:
        self.hits["tier default"] += 1
        if not self.items and not self.world.passthrough:
            return Answer("deny", phase, "no_policy")
        # An allow for any of its identities: no log-in opens what that closed.
        allows = [item for item in self.items if item.tier == "allow"]
        selected = any(best_rank(item, identity) is not None for item in allows for identity in (who, *who.lower))
        if self.world.passthrough and not selected:
            return Answer("allow", phase, "passthrough")
        return Answer("deny", phase, reason)

    def soften(self, question: Question, answer: Answer) -> Answer:
        """Audit mode of the listener or the mesh; "no policy at all" is softened by the mesh's alone."""
        audit = self.world.audit or (question.audit and answer.reason != "no_policy")
        if not audit or answer.verdict != "deny" or answer.reason == "rule_hard_deny":
            return answer
        self.hits["softened"] += 1
        return Answer("audit", answer.phase, answer.reason, answer.rule, True)


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def by_rule(match: Match, tier: str, phase: str) -> Answer:
    verdict = {"allow": "allow", "audit": "audit"}.get(tier, "deny")
    dialed_from = () if verdict == "deny" else tuple(match.item.manifest["spec"].get("sourceAddress", ()))
    return Answer(verdict, phase, f"rule_{tier}", match.item.rule, tier == "audit", dialed_from)


def distinction(winner: Match, second: Match, by_name: bool) -> str:
    """What put the winner before the second."""
    if winner.depth != second.depth:
        if not by_name:
            return "longer CIDR"
        return "exact host" if winner.depth == EXACT else "longer suffix"
    if winner.port != second.port:
        return "narrower port"
    if winner.rank != second.rank:
        return "narrower source"
    for index, name in enumerate(("creationTimestamp", "kind", "namespace/name", "index")):
        if winner.item.order[index] != second.item.order[index]:
            return name
    raise AssertionError("two items are the same")
