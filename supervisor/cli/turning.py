"""Every change that turns a denial, one after the other until it passes: rules taken out, settings, the policy to add.

Each is tried: an image of the rules that name the destination alone is made again after each change, and asked again.
"""

import ipaddress
import os
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gateway.policy.image import PolicyImage
from supervisor.cli.allowing import TURNED, allowing_policy
from supervisor.config.config import Config
from supervisor.identity.users import User
from supervisor.policy.compiler import build_image
from supervisor.policy.explanation import Question, explain
from supervisor.policy.loader import Policy, read
from supervisor.policy.reach import ends_passthrough, judged_as, rules_at
from supervisor.policy.resources.host_lists import list_roots
from supervisor.policy.resources.model import Destination, Item, Rules, Selector, Text
from supervisor.policy.rule_listing import unpacked
from supervisor.segment.rule_slots import label_of
from supervisor.source.problems import Problems

__all__ = ["from_trail", "turning"]

MOST_CHANGES: Final = 32
LIFTED: Final = frozenset(
    f"address_{name}"
    for name in (
        *("unspecified", "loopback", "link_local", "multicast", "metadata", "special_purpose", "embedded_ipv4"),
    )
)
BY_RULE: Final = frozenset({"rule_deny", "rule_hard_deny"})

# It stands for rules about other destinations: a policy without any rule is denied in audit mode as well.
OTHERS: Final = Rules(
    kind="EgressPolicy",
    namespace="",
    name="others",
    file="",
    tier="audit",
    selectors=(Selector(identity="of no source"),),
    items=(Item(0, 1, 1, Destination(host=Text("others.invalid", 1, 1))),),
)

Answer = dict[str, Any]


def turning(
    image: PolicyImage, config: Config, users: tuple[User, ...], packed: bytes, question: Question, answer: Answer
) -> Answer:
    """{changes: [{change, rule, policy}], flips, remains}: what to do in this order; whether that lets it pass, and
    else the reason that no change of policy or settings turns."""
    every = unpacked(packed)
    passthrough = config.policy.passthrough and not ends_passthrough(image, config, every, question)
    settings = msgspec.structs.replace(config.policy, passthrough=passthrough)
    rules = rules_at(image, config, every, question)
    if any(selector.other_roles for each in rules for selector in each.selectors):
        return from_trail(answer, question)  # these depend on roles that rules for other destinations name
    if every:
        rules.append(OTHERS)
    trial = _Trial(msgspec.structs.replace(config, policy=settings), users, rules)
    found = trial.asked(question)
    if found is None or not _is_same(found, answer):
        return from_trail(answer, question)
    found = answer
    changes: list[Answer] = []
    while found is not None and found["verdict"] == "deny" and len(changes) < MOST_CHANGES:
        change = trial.change(found, question)
        if change is None or change in changes:
            break
        changes.append(change)
        found = trial.asked(question)
    flips = found is not None and found["verdict"] != "deny"
    return {"changes": changes, "flips": flips, "remains": None if flips or found is None else found["reason"]}


def _is_same(found: Answer, answer: Answer) -> bool:
    """Whether fewer rules give the same decision; without other rules a denial by default may have another reason."""
    if any(found[name] != answer[name] for name in ("verdict", "rule")):
        return False
    return found["reason"] == answer["reason"] or {found["reason"], answer["reason"]} <= TURNED.keys()


def from_trail(answer: Answer, question: Question | None = None) -> Answer:
    """The same as far as one decision tells: every deny that matched, and the policy that would allow."""
    request = (question.method, question.path) if question is not None else (None, None)
    denies = [step["rule"] for step in answer["trail"] if step["tier"] in ("deny", "hard_deny") and step["rule"]]
    changes = [_taken_out(rule) for rule in denies]
    if policy := allowing_policy(answer, *request):
        changes.append(_added(policy))
    return {"changes": changes, "flips": None, "remains": None if changes else answer["reason"]}


def _taken_out(rule: Answer) -> Answer:
    name = label_of(rule["kind"], rule["namespace"], rule["name"])
    words = f"take item {rule['index']} of `to` out of {name} ({rule['file']}:{rule['line']})"
    return {"change": words, "rule": rule, "policy": None}


def _mended(change: Answer) -> Answer:
    rule = change["rule"]
    name = label_of(rule["kind"], rule["namespace"], rule["name"])
    return {**change, "change": f"mend or delete {name} ({rule['file']}:{rule['line']}): `sluice check` says why"}


def _added(policy: Sequence[str]) -> Answer:
    return {"change": "add this policy", "rule": None, "policy": "\n".join(policy) + "\n"}


class _Trial:
    """A few rules and settings that are changed, and asked again."""

    def __init__(self, config: Config, users: tuple[User, ...], rules: list[Rules]) -> None:
        self.config = config
        self.users = users
        self.rules = rules
        self.roots = list_roots(config.policy.paths)
        self.added: list[list[str]] = []

    def asked(self, question: Question) -> Answer | None:
        """The decision as things are now; None where no image can be made of them."""
        policy = Policy(tuple(each for each in self.rules if each.items), 1, len(self.rules), self.roots)
        built = build_image(self.config, self.users, policy, Problems())
        if built is None:
            return None
        try:
            return explain(PolicyImage.from_fd(built.descriptor), self.config, question)
        finally:
            os.close(built.descriptor)

    def change(self, answer: Answer, question: Question) -> Answer | None:
        """Makes the change that a denial needs first; None where there is none."""
        reason, address = answer["reason"], answer["destination"]["address"]
        if reason in BY_RULE or (reason == "needs_http" and answer["rule"]):
            return self.take_out(answer["rule"])
        if reason == "policy_invalid":
            return _mended(self.take_out(answer["rule"]))
        policy = allowing_policy(answer, question.method, question.path) if reason in TURNED else []
        if policy and policy not in self.added:
            self.added.append(policy)
            self.rules += read("\n".join(policy).encode(), "policy.yaml", self.roots).rules
            return _added(policy)
        if address is None:
            return None
        if reason == "address_denied":
            return self.open(address)
        return self.lift(address) if reason in LIFTED else None

    def take_out(self, rule: Answer) -> Answer:
        for number, each in enumerate(self.rules):
            if (each.kind, each.namespace or None, each.name) == (rule["kind"], rule["namespace"], rule["name"]):
                kept = tuple(item for item in each.items if item.index != rule["index"])
                self.rules[number] = msgspec.structs.replace(each, items=kept)
        return _taken_out(rule)

    def open(self, address: str) -> Answer | None:
        """`addresses.deny` without the networks that have an address."""
        addresses = self.config.addresses
        closed = [
            cidr for cidr in addresses.deny if any(each in ipaddress.ip_network(cidr) for each in judged_as(address))
        ]
        if not closed:
            return None
        self.set_addresses(deny=tuple(cidr for cidr in addresses.deny if cidr not in closed))
        words = f"take {', '.join(closed)} out of addresses.deny in sluice.yaml"
        return {"change": words, "rule": None, "policy": None}

    def lift(self, address: str) -> Answer | None:
        """`addresses.allow` with the address, else with the IPv4 address inside."""
        allowed = self.config.addresses.allow
        networks = [str(ipaddress.ip_network(each)) for each in judged_as(address)]
        new = [network for network in networks if network not in allowed]
        if not new:
            return None
        self.set_addresses(allow=(*allowed, new[0]))
        return {"change": f"add {new[0]} to addresses.allow in sluice.yaml", "rule": None, "policy": None}

    def set_addresses(self, **values: tuple[str, ...]) -> None:
        addresses = msgspec.structs.replace(self.config.addresses, **values)
        self.config = msgspec.structs.replace(self.config, addresses=addresses)
