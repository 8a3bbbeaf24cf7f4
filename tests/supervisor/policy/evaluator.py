"""The slow, obvious evaluator: DECISIONS.md sections 1, 3 and 4 in plain Python over manifests as written.

It shares no matching code with the compiler or with C. Where DECISIONS.md leaves open which of several refusals is
named, it is the first of: own address, addresses.deny, hard deny, guard.
"""

import ipaddress
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.supervisor.policy.address_guard import EMBEDDING, GUARD
from tests.supervisor.policy.matching import (
    EXACT,
    Address,
    Match,
    Request,
    Who,
    World,
    address_depth,
    address_of,
    best_rank,
    by_lower_alone,
    holds,
    inside,
    items_of,
    most_ahead,
    name_depth,
    network_of,
    port_class,
    request_rank,
)

NAMELESS: Final = ("none", "late", "tls", "http", "ssh")  # of what shows: no name will come, and nothing is broken
STRENGTH: Final = ("hard_deny", "deny", "allow", "audit")  # strongest first

Rule = tuple[str, str, str, int]  # (kind, namespace, name, index)
Attribute = tuple[str, object, Rule | None]  # None: a default
Phase = tuple[Any, str]  # how deep an item matches, and what: a name, or the text of an address


@dataclass(frozen=True)
class Question:
    """A question; `host` is a name or an address."""

    host: str
    port: int
    namespace: str = ""
    account: str = ""
    identity: str = ""
    user: str = ""
    token: str = ""  # namespace/account of a token
    forwarded: str = ""  # URI of a workload, from a peer that may speak for others
    source: str = ""
    address: str = ""
    audit: bool = False  # the listener's
    inner: str = "enforce"  # the listener's innerName
    sni: str = ""  # the name shown inside
    shows: str = ""  # instead of a name: none, malformed, too long, late, or the protocol of what has none
    ech: bool = False  # an encrypted ClientHello
    request: Request | None = None  # None: a tunnel


@dataclass(frozen=True)
class Answer:
    """The answer that `explain` must give."""

    verdict: str
    phase: str
    reason: str
    rule: Rule | None = None
    would_deny: bool = False
    attributes: tuple[Attribute, ...] = ()
    tier: str = field(default="", compare=False)  # "" = a default, or the guard


def value_of(item: Any, name: str) -> Any:
    """An attribute as an item's resource sets it; `headers` as workers read them, with what `access` means."""
    said = item.manifest["spec"].get(name)
    if name != "headers":
        return said
    read_only = item.to.get("access") == "read-only"
    if said is None and not read_only:
        return None
    said = said or {}
    changes = {"set": [[key.lower(), value] for key, value in said.get("set", {}).items()]}
    changes |= {key: [each.lower() for each in said.get(key, ())] for key in ("remove", "keep")}
    return {**changes, "read_only": read_only}


def dialed_port(question: Question, tls: Any) -> int | None:
    """Of `tls` in a manifest; None where bytes leave as they come."""
    if not tls["originate"]:
        return None
    return int(tls.get("port", 443 if question.port == 80 else question.port))


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
        said = inside = outside = self.outside(question, who)
        if question.request is not None and said.verdict != "deny":
            said = inside = self.demanded(question, who, said, said, "http")
        if question.shows and is_address(question.host):
            inside = self.nameless(question, who, said)
        elif question.sni and is_address(question.host):
            inside = self.behind_address(question, who, said)
        elif question.sni or question.shows:
            inside = self.inner_name(question, who, said)
        named = inside
        if (question.sni or question.shows) and inside.verdict != "deny":
            inside = self.demanded(question, who, outside, inside, "tls" if question.sni else question.shows)
        return replace(inside, attributes=self.attributes(question, who, outside, named, inside.verdict))

    def outside(self, question: Question, who: Who) -> Answer:
        """The decision before anything shows inside."""
        try:
            literal = address_of(question.host)
        except ValueError:
            pass
        else:
            return self.address_phase(question, who, literal, None, "")
        named, tier, pending = self.name_phase(question, who)
        if named.phase == "delegated" or not question.address or (named.verdict == "deny" and not pending):
            return named
        address = address_of(question.address)
        return self.address_phase(question, who, address, None if pending else named, tier, by_name=True)

    # who asks

    def source(self, question: Question) -> Who:
        """Section 1: forwarded > certificate > credentials > network map. The first that holds is the source's
        identity, those after it are lower. A user without an identity has no namespace."""
        address = address_of(question.source) if question.source else None
        given = (question.namespace, question.account)
        found: list[Who] = []
        if question.forwarded:
            _, _, _, _, space, _, account = question.forwarded.split("/")
            found.append(Who(space, account, question.forwarded, "", address))
        certified = bool(question.identity)
        if question.identity or (question.namespace and not question.user):
            found.append(Who(*given, question.identity, "", address))
        if question.user:
            own = self.world.users.get(question.user, ("", ""))
            found.append(Who(*(given if question.namespace and not certified else own), "", question.user, address))
        if question.token:
            space, _, account = question.token.partition("/")
            found.append(Who(space, account, "", "", address))
        if network := self.network(address):
            found.append(Who(*network, "", "", address))
        if not found:
            return Who("", "", "", "", address)
        self.hits[f"lower identities {len(found) - 1}"] += 1
        return replace(found[0], lower=tuple(found[1:]))

    def network(self, address: Address | None) -> tuple[str, str] | None:
        """The identity of an address by the network map: the longest block wins."""
        mapped = [
            (network_of(cidr).prefixlen, (space, account))
            for cidr, space, account in self.world.networks
            if address is not None and holds(network_of(cidr), address)
        ]
        return max(mapped)[1] if mapped else None

    # the phases

    def name_phase(self, question: Question, who: Who) -> tuple[Answer, str, bool]:
        """The answer, the tier that gave it ("" = a default), and whether only an address can decide."""
        by_name: list[Phase] = [(name_depth, question.host)]
        for tier in STRENGTH:
            if match := self.best(question, who, tier, name_depth, question.host):
                # A name that passes by a rule with a parent is the parent's to resolve and to judge (section 3).
                parent = self.setting(question, who, tier, [(name_depth, question.host)], "upstream")
                phase = "delegated" if parent else "name"
                return self.soften(question, by_rule(match, tier, phase), who, by_name), tier, False
        default = self.default("name", who, "no_rule")
        if default.reason == "no_rule" and self.reaches(question, who, "cidr"):
            return Answer("deny", "name", "needs_address"), "", True
        if default.reason == "no_rule" and self.waits(question, who, name_depth, question.host):
            default = replace(default, reason="needs_http")
        return self.soften(question, default, who, by_name), "", False

    def address_phase(
        self, question: Question, who: Who, address: Address, named: Answer | None, tier: str, by_name: bool = False
    ) -> Answer:
        """The gateway's own ports are judged by the one that is dialed, which the answer says: `tls` has its own."""
        said = self.elsewhere(question, who, address, named, tier, by_name)
        port = question.port
        phases = self.phases(replace(question, address=str(address)), who, said)
        if said.verdict != "deny" and (tls := self.setting(question, who, said.tier, phases, "tls")):
            port = dialed_port(question, tls[0]) or port
        if self.is_own(self.subjects(question, who, address), port):
            return Answer("deny", "address", "own_address")
        return said

    def is_own(self, subjects: list[Address], port: int) -> bool:
        """By its port, 0: whatever that is."""
        return any(
            own == port and any(holds(network_of(cidr), address) for address in subjects)
            for cidr, own in self.world.own
        )

    def elsewhere(
        self, question: Question, who: Who, address: Address, named: Answer | None, tier: str, by_name: bool
    ) -> Answer:
        subjects = self.subjects(question, who, address)
        self.hits["embedded"] += len(subjects) > 1
        refused = self.refusal(question, who, subjects)
        if refused:
            return refused
        by_address: list[Phase] = [(address_depth, str(subject)) for subject in subjects]
        if named and tier in ("hard_deny", "deny"):
            return named  # audit mode let it through
        for candidate in ("deny", "allow", "audit"):
            weaker = (candidate == "allow" and tier == "allow") or (candidate == "audit" and tier in ("allow", "audit"))
            match = None if weaker else self.first(question, who, candidate, subjects)
            if match:
                return self.soften(question, by_rule(match, candidate, "address"), who, by_address)
        if named:
            return named
        default = self.default("address", who, "no_cidr_rule" if by_name else "no_rule")
        if not by_name and default.reason == "no_rule" and self.reaches(question, who, "host"):
            default = Answer("deny", "address", "inner_name_missing")
        elif default.reason in ("no_rule", "no_cidr_rule") and (
            (by_name and self.waits(question, who, name_depth, question.host))
            or self.waits(question, who, address_depth, *map(str, subjects))
        ):
            default = replace(default, reason="needs_http")
        return self.soften(question, default, who, by_address)

    def subjects(self, question: Question, who: Who, address: Address) -> list[Address]:
        """The address, and the IPv4 address that a lifted form of it carries."""
        forms = (*EMBEDDING, *(network_of(text) for text in self.world.nat64))
        if self.guard(question, who, address) is None and any(holds(block, address) for block in forms):
            return [address, ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
        return [address]

    def refusal(self, question: Question, who: Who, subjects: list[Address]) -> Answer | None:
        """Denials that no allow overrides."""
        if self.is_own(subjects, 0):
            return Answer("deny", "address", "own_address")
        for cidr in self.world.deny:
            if any(holds(network_of(cidr), address) for address in subjects):
                return Answer("deny", "address", "address_denied")
        if match := self.first(question, who, "hard_deny", subjects):
            return by_rule(match, "hard_deny", "address")
        for address in subjects:
            if reason := self.guard(question, who, address):
                return Answer("deny", "address", reason)
        return None

    def guard(self, question: Question, who: Who, address: Address) -> str | None:
        """Why the guard refuses an address; None when it does not, or is lifted."""
        if any(holds(network_of(cidr), address) for cidr in (*self.world.allow, *self.world.nat64)):
            return None
        for cidr, reason, liftable in GUARD:
            if holds(network_of(cidr), address):
                return None if liftable and self.lifted(question, who, address) else reason
        return None

    def lifted(self, question: Question, who: Who, address: Address) -> bool:
        """A CIDR allow that lies wholly inside one special-purpose block."""
        for match in self.matches(question, who, "allow", address_depth, str(address)):
            prefix = network_of(match.item.to["cidr"])
            if any(liftable and inside(prefix, network_of(cidr)) for cidr, _, liftable in GUARD):
                return True
        return False

    # what shows inside

    def inner_name(self, question: Question, who: Who, said: Answer) -> Answer:
        """Asked by name: what shows must be what was asked for, as far as innerName says. What shows no name passes."""
        if said.verdict == "deny" or question.sni == question.host or question.shows in NAMELESS:
            return said
        phases = self.phases(question, who, said)
        mode, _ = self.setting(question, who, said.tier, phases, "innerName") or (question.inner, 0)
        if mode == "off":
            return said
        self.hits[f"inner of a name {question.shows or 'mismatch'}"] += 1
        reason = "inner_too_long" if question.shows == "too long" else "inner_name_mismatch"
        denied = Answer("deny", "inner", reason, said.rule, tier=said.tier)
        return self.soften(replace(question, audit=question.audit or mode == "audit"), denied, who)

    def nameless(self, question: Question, who: Who, said: Answer) -> Answer:
        """Asked by IP, and no name shows. Held for one: denied. Passed: looked into as a named target is, where any
        rule about names could have turned the answer; what shows no name passes."""
        if said.reason == "inner_name_missing":
            self.hits["inner nameless provisional"] += 1
            reason = "inner_too_long" if question.shows == "too long" else "inner_name_missing"
            return self.soften(question, Answer("deny", "inner", reason), who)
        looked_into = self.reaches(question, who, "host", ("hard_deny", "deny", "audit"))
        if said.verdict == "deny" or not looked_into or question.shows in NAMELESS:
            return said
        self.hits[f"inner nameless {question.shows}"] += 1
        reason = "inner_too_long" if question.shows == "too long" else "inner_name_mismatch"
        return self.soften(question, Answer("deny", "inner", reason, said.rule, tier=said.tier), who)

    def behind_address(self, question: Question, who: Who, said: Answer) -> Answer:
        """Asked by IP. Undecided so far: the name shown is judged as if it had been asked for. Passed: every verdict of
        rules about that name counts, over phases as well, and what is not stronger than what passed changes nothing.
        """
        matches = {tier: self.best(question, who, tier, name_depth, question.sni) for tier in STRENGTH}
        inside: list[Phase] = [(name_depth, question.sni)]
        if said.reason == "inner_name_missing":
            self.hits["inner provisional"] += 1
            for tier, match in matches.items():
                if match is None:
                    continue
                tls = self.setting(question, who, tier, inside, "tls")
                if self.setting(question, who, tier, inside, "upstream") or (tls and dialed_port(question, tls[0])):
                    return Answer("deny", "inner", "other_way", match.item.rule, tier=tier)
                return self.soften(question, by_rule(match, tier, "inner"), who, inside)
            reason = "needs_http" if self.waits(question, who, name_depth, question.sni) else "no_cidr_rule"
            return self.soften(question, Answer("deny", "inner", reason), who, inside)
        if said.verdict == "deny":
            return said
        passed = STRENGTH.index(said.tier) if said.tier in STRENGTH else len(STRENGTH)
        for strength, (tier, match) in enumerate(matches.items()):
            if match is None or strength >= passed or tier == "allow":
                continue
            if tier == "audit" and said.verdict == "audit":
                continue  # of two verdicts that say the same the earlier phase is named
            self.hits[f"inner {tier} behind {said.reason}"] += 1
            return self.soften(question, by_rule(match, tier, "inner"), who, inside)
        return said

    def demanded(self, question: Question, who: Who, said: Answer, inside: Answer, speaks: str) -> Answer:
        """The protocol that `inner` demands has to show, and an encrypted ClientHello passes as `ech` says."""
        tier, phases = self.admitting(question, said, inside) or (inside.tier, self.phases(question, who, said))
        wanted, _ = self.setting(question, who, tier, phases, "inner") or ({"protocol": "any"}, 0)
        ech, _ = self.setting(question, who, tier, phases, "ech") or ("allow", 0)
        assert isinstance(wanted, dict)
        if wanted["protocol"] not in ("any", speaks):
            reason = "inner_protocol_missing" if speaks == "late" else "inner_protocol_mismatch"
        elif ech == "deny" and question.ech:
            reason = "inner_ech"
        else:
            return inside
        self.hits[f"demand {reason}"] += 1
        return self.soften(question, Answer("deny", "inner", reason, inside.rule, tier=inside.tier), who)

    def admitting(self, question: Question, said: Answer, inside: Answer) -> tuple[str, list[Phase]] | None:
        """The tier and the phase of the rule about the name inside, where that decides of an address."""
        if not (is_address(question.host) and inside.phase == "inner" and question.sni):
            return None
        reports = inside.tier == "audit" and said.reason != "inner_name_missing"
        return "" if reports else inside.tier, [(name_depth, question.sni)]

    # attributes

    def phases(self, question: Question, who: Who, said: Answer) -> list[Phase]:
        """Rules looked up before `said`, before anything showed inside."""
        if is_address(question.host):
            address = question.host
        elif not question.address or said.phase == "delegated" or (said.phase == "name" and said.verdict == "deny"):
            return [(name_depth, question.host)]
        else:
            address = question.address
        subjects = self.subjects(question, who, address_of(address))
        by_address: list[Phase] = [(address_depth, str(subject)) for subject in subjects]
        return by_address if is_address(question.host) else [(name_depth, question.host), *by_address]

    def setting(
        self, question: Question, who: Who, tier: str, phases: list[Phase], name: str
    ) -> tuple[object, Rule] | None:
        """Section 4, Attributes: the value of the best rule of the tier that sets it, the earlier phase's first. What
        denies sets onRevoke alone, and a hard deny nothing: it always kills."""
        if tier == "hard_deny" or (tier == "deny" and name != "onRevoke"):
            return None
        for depth_of, target in phases:
            found = self.matches(question, who, tier, depth_of, target)
            found.sort(key=lambda match: match.item.order)
            found.sort(key=lambda match: match.key, reverse=True)
            for match in found:
                if (value := value_of(match.item, name)) is not None:
                    return value, match.item.rule
        return None

    def attributes(
        self, question: Question, who: Who, said: Answer, inside: Answer, verdict: str
    ) -> tuple[Attribute, ...]:
        """`said` is the answer before anything showed inside, `inside` that by the name, `verdict` the last word. What
        passed by its address was dialed by that; a rule about the name inside that only reports it brings nothing
        along."""
        before = dialed = self.phases(question, who, said)
        tier = way = inside.tier
        if by_name := self.admitting(question, said, inside):
            tier, before = by_name
            if said.reason == "inner_name_missing":
                dialed = before
            else:
                way = said.tier
        found: list[Attribute] = []
        if setting := self.setting(question, who, tier, before, "onRevoke"):
            found.append(("onRevoke", *setting))
        if verdict == "deny":
            return tuple(found)
        found = found or [("onRevoke", "kill", None)]
        if not is_address(question.host):
            mode = self.setting(question, who, tier, before, "innerName")
            found.append(("innerName", *(mode or (question.inner, None))))
        for name in ("inner", "ech", "headers"):
            if setting := self.setting(question, who, tier, before, name):
                value = setting[0]["protocol"] if name == "inner" else setting[0]  # type: ignore[index]
                found.append((name, value, setting[1]))
        for name in ("upstream", "sourceAddress", "tls"):
            if setting := self.setting(question, who, way, dialed, name):
                value = dialed_port(question, setting[0]) if name == "tls" else setting[0]
                found.append((name, value, setting[1]))
        for name, _, rule in found:
            if rule and rule != inside.rule:
                self.hits[f"attribute {name} of another rule"] += 1
        return tuple(sorted(found, key=lambda each: each[0]))

    # what matches

    def matches(self, question: Question, who: Who, tier: str, depth_of: Any, target: str) -> list[Match]:
        found = []
        for item in self.items:
            if item.tier != tier:
                continue
            if (depth := depth_of(item, target, self.world)) is None:
                continue
            port = port_class(item.to.get("ports"), question.port)
            rank = best_rank(item, who)
            if port is None or rank is None:
                continue
            match = Match(item, depth, port, rank)
            if not (item.to.keys() & {"http", "access"}):
                found.append(match)
            elif question.request is None:
                # A tunnel never satisfies a condition: an Allow or Audit does not match, a Deny holds (section 3).
                held = replace(match, unknown=True, ahead=most_ahead(item.to))
                found += [held] if tier in ("deny", "hard_deny") else []
            elif (rank_of := request_rank(item.to, question.request)) is not None:
                found.append(replace(match, path=rank_of[0], ahead=rank_of[1]))
        return found

    def waits(self, question: Question, who: Who, depth_of: Any, *targets: str) -> bool:
        """Whether rules that let pass wait for a request, which a tunnel has not."""
        return question.request is None and any(
            item.tier in ("allow", "audit")
            and item.to.keys() & {"http", "access"}
            and depth_of(item, target, self.world) is not None
            and port_class(item.to.get("ports"), question.port) is not None
            and best_rank(item, who) is not None
            for item in self.items
            for target in targets
        )

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

    def reaches(self, question: Question, who: Who, key: str, tiers: tuple[str, ...] = ("allow", "audit")) -> bool:
        """Whether rules by address (or by name) of these tiers could hold for this source at this port."""
        keys = ("cidr",) if key == "cidr" else ("host", "hostsFrom")
        return any(
            item.tier in tiers
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

    def soften(self, question: Question, answer: Answer, who: Who, phases: Sequence[Phase] = ()) -> Answer:
        """Audit mode of the listener, the source's namespace or the mesh; "no policy at all" is softened by the mesh's
        alone. A deny that a lower identity meets in these phases is softened by the namespaces of all lower ones."""
        audits = who.namespace in self.world.audit_namespaces
        audits = audits and (not self.meets_lower(question, who, phases) or self.lower_audit(who))
        audit = self.world.audit or ((question.audit or audits) and answer.reason != "no_policy")
        if not audit or answer.verdict != "deny" or answer.tier == "hard_deny":
            return answer
        self.hits["softened"] += 1
        self.hits["softened by the namespace"] += audits and not question.audit and not self.world.audit
        return replace(answer, verdict="audit", would_deny=True)

    def lower_audit(self, who: Who) -> bool:
        return all(identity.namespace in self.world.audit_namespaces for identity in who.lower)

    def meets_lower(self, question: Question, who: Who, phases: Sequence[Phase]) -> bool:
        """Whether a rule that denies matches by a selector of a lower identity alone."""
        return any(
            by_lower_alone(match.item, who)
            for tier in ("hard_deny", "deny")
            for depth_of, target in phases
            for match in self.matches(question, who, tier, depth_of, target)
        )


def is_address(text: str) -> bool:
    try:
        address_of(text)
    except ValueError:
        return False
    return True


def by_rule(match: Match, tier: str, phase: str) -> Answer:
    verdict = {"allow": "allow", "audit": "audit"}.get(tier, "deny")
    reason = "needs_http" if match.unknown else f"rule_{tier}"
    return Answer(verdict, phase, reason, match.item.rule, tier == "audit", tier=tier)


def distinction(winner: Match, second: Match, by_name: bool) -> str:
    """The reason why the winner stands before the second."""
    if winner.depth != second.depth:
        if not by_name:
            return "longer CIDR"
        return "exact host" if winner.depth == EXACT else "longer suffix"
    if winner.path != second.path:
        return "path"
    if winner.port != second.port:
        return "narrower port"
    if winner.rank != second.rank:
        return "narrower source"
    if winner.ahead != second.ahead:
        return "conditions"
    for index, name in enumerate(("creationTimestamp", "kind", "namespace/name", "index")):
        if winner.item.order[index] != second.item.order[index]:
            return name
    raise AssertionError("two items are the same")
