"""From rules to the policy image: orders them, numbers them, feeds the builder. It judges no request."""

import ipaddress
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

import supervisor.policy.builder as image
from gateway.tables import GUARD_BLOCKS
from supervisor.config.config import Config
from supervisor.host import machine
from supervisor.identity.users import User, credential_of
from supervisor.policy.loader import Policy
from supervisor.policy.resources.host_lists import likeness, read_list
from supervisor.policy.resources.model import Rule, Selector, Text
from supervisor.segment.rule_slots import RuleSlots, label_of
from supervisor.source.problems import Invalid, Place, Problems, did_you_mean, quote

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
TIERS: Final = {
    "audit": image.TIER_AUDIT,
    "allow": image.TIER_ALLOW,
    "deny": image.TIER_DENY,
    "hard_deny": image.TIER_HARD_DENY,
}
# Refused whatever rules say (DECISIONS.md section 3): a CIDR rule that allows them is a mistake.
NEVER_LIFTED: Final = tuple(
    ipaddress.ip_network(block) for block, reason, liftable, _ in GUARD_BLOCKS if reason and not liftable
)


class Built(msgspec.Struct, frozen=True):
    """A sealed memfd with the image, and what went into it."""

    descriptor: int
    counts: dict[str, int]


def build_image(
    config: Config,
    users: tuple[User, ...],
    policy: Policy,
    problems: Problems,
    serving: Sequence[tuple[str, int]] = (),
    slots: RuleSlots | None = None,
) -> Built | None:
    """The image of one generation; None when `problems` has errors, whether from here or from before. `serving`: host
    and port of what the running gateway listens on, which `config` may no longer name. `slots`: the metrics slots that
    rules have; new ones are added."""
    compiler = _Compiler(users, policy, problems)
    compiler.by_token = any(source.user for source in config.identity.tokens)
    compiler.slots = slots if slots is not None else RuleSlots()
    compiler.upstreams = tuple(upstream.name for upstream in config.upstreams)
    compiler.allowed = tuple(ipaddress.ip_network(cidr) for cidr in config.addresses.allow)
    try:
        for order, rule in enumerate(sorted(policy.rules, key=lambda rule: rule.order)):
            compiler.rule(rule, order)
        compiler.surroundings(config, serving)
        if problems.errors:
            return None
        return Built(compiler.builder.finish_memfd(), compiler.counts)
    except image.BuildError as wrong:
        if not problems.errors:  # else it follows from one that was reported where it is written
            problems.error(Place(config.path), f"the policy cannot be compiled: {wrong}")
        return None


class _Compiler:
    """Feeds one builder. A rule that cannot be built is reported, and the next one tried."""

    def __init__(self, users: tuple[User, ...], policy: Policy, problems: Problems) -> None:
        self.builder = image.ImageBuilder()
        self.users = users
        self.user_names = {user.name for user in users}
        self.policy = policy
        self.problems = problems
        self.selectors: dict[tuple[Selector, bool], int] = {}
        self.by_token = False  # tokens name users as well
        self.last_who: tuple[Rule | None, int] = (None, 0)
        self.unknown: set[str] = set()  # users that rules select and users.yaml does not have
        self.strange: set[str] = set()  # source addresses that are not this machine's
        self.local: list[Network] | None = None
        self.allowed: tuple[Network, ...] = ()
        self.slots = RuleSlots()
        self.upstreams: tuple[str, ...] = ()
        self.missing: set[Place] = set()  # of upstreams that sluice.yaml has not
        counted = ("files", "resources", "rules", "names", "cidrs", "users", "networks")
        self.counts = dict.fromkeys(counted, 0) | {"files": policy.files, "resources": policy.resources}

    def rule(self, rule: Rule, order: int) -> None:
        """One rule with its destination."""
        number = self.builder.rule(
            rule.kind,
            rule.namespace,
            rule.name,
            rule.index,
            rule.place.file,
            rule.place.line,
            TIERS[rule.tier],
            on_revoke=rule.on_revoke,
            inner=rule.inner,
            protocol=rule.protocol,
            ech=rule.ech,
            upstream=self.upstream(rule),
            attributes=self.attributes(rule),
            slot=self.slots.assign(label_of(rule.kind, rule.namespace, rule.name)),
        )
        ports = self.builder.portset(list(rule.destination.ports))
        attachment = self.builder.attach(number, TIERS[rule.tier], ports, order, self.who(rule))
        self.counts["rules"] += 1
        try:
            self.destination(rule, attachment)
        except Invalid as wrong:
            self.problems.add(wrong.problem)

    def upstream(self, rule: Rule) -> str | None:
        """The parent gateway of a rule; sluice.yaml has to have it."""
        if rule.upstream is None:
            return None
        if rule.upstream.value not in self.upstreams:
            if rule.upstream.place not in self.missing:  # each item of `to` says it again
                self.missing.add(rule.upstream.place)
                words = f"there is no upstream {quote(rule.upstream.value)}"
                hint = did_you_mean(rule.upstream.value, self.upstreams) or "`upstreams` in sluice.yaml names them"
                self.problems.error(rule.upstream.place, words, hint)
            return None
        return rule.upstream.value

    def attributes(self, rule: Rule) -> str | None:
        """A rule's attributes for workers, as JSON."""
        if not rule.source_addresses or rule.tier in ("deny", "hard_deny"):
            return None  # what a denied request does where audit mode lets it pass is not the denying rule's to say
        for text in rule.source_addresses:
            # It may come later, and the policy may be checked elsewhere: dialing fails as long as it is missing.
            if text not in self.strange and not self.is_ours(text):
                self.strange.add(text)
                words = f"{text} is not an address of this machine: connections from it fail"
                self.problems.warning(rule.place, words, "`ip address` lists the machine's addresses")
        return json.dumps({"sourceAddress": rule.source_addresses}, separators=(",", ":"))

    def is_ours(self, text: str) -> bool:
        address = ipaddress.ip_address(text)
        if self.local is None:
            self.local = [ipaddress.ip_network(cidr) for cidr in machine.local_networks()]
        return any(address in network for network in self.local if network.version == address.version)

    def who(self, rule: Rule) -> int:
        """The image's id of the sources of a rule; items of one resource share theirs."""
        last, number = self.last_who
        if last is None or last.selectors is not rule.selectors or last.tier != rule.tier:
            number = self.builder.who([self.selector(selector, rule) for selector in rule.selectors])
            self.last_who = rule, number
        return number

    def selector(self, selector: Selector, rule: Rule) -> int:
        """The image's id of a selector; an allow marks it, as passthrough ends where an allow selects the source."""
        allows = rule.tier == "allow"
        key = (selector, allows)
        if key not in self.selectors:
            kind, second = principal(selector)
            cidr = selector.cidr or None
            self.selectors[key] = self.builder.selector(kind, selector.namespace, second, cidr, allows)
        if selector.user and not self.by_token and selector.user not in self.user_names | self.unknown:
            self.unknown.add(selector.user)
            words = f"{rule.kind} {rule.name} selects the user {quote(selector.user)}, who does not exist"
            self.problems.warning(rule.place, words, "identity.users in sluice.yaml names the users")
        return self.selectors[key]

    def destination(self, rule: Rule, attachment: int) -> None:
        to = rule.destination
        if to.host is not None:
            self.name(self.builder.host, attachment, to.host)
            for text in to.excepts:
                self.name(self.builder.host_except, attachment, text)
            self.counts["names"] += 1
        elif to.cidr:
            self.builder.cidr(attachment, to.cidr)
            for text in to.excepts:
                self.builder.cidr_except(attachment, text.value)
            self.counts["cidrs"] += 1
            if rule.tier in ("allow", "audit"):
                self.warn_never_lifted(rule, to.cidr)
        elif to.hosts_from is not None:
            self.host_list(attachment, to.hosts_from)
            for text in to.excepts:
                self.name(self.builder.host_except, attachment, text)

    def name(self, add: Any, attachment: int, text: Text) -> None:
        """A pattern; what C says of it is reported where it is written."""
        try:
            add(attachment, text.value.encode())
        except image.NameProblem as wrong:
            self.problems.error(text.place, f"{quote(text.value)} is not a host name: {wrong.rule}")

    def host_list(self, attachment: int, path: Text) -> None:
        """All names of a list file. An error names its line and the rule broken, never what stands there."""
        data = read_list(path, self.policy.roots)
        try:
            names = self.builder.host_list(attachment, data)
        except image.NameProblem as wrong:
            column, kind, hint = likeness(data, wrong.line)
            words = f"expected a host name, found {kind}" if kind else "not a host name"
            self.problems.error(Place(path.value, wrong.line, column), f"{words}: {wrong.rule}", hint)
            return
        if not names:
            self.problems.warning(Place(path.value), "the list holds no name: the rule matches nothing")
        self.counts["names"] += names

    def warn_never_lifted(self, rule: Rule, cidr: str) -> None:
        """A mistake, unless addresses.allow lifts the guard."""
        network = ipaddress.ip_network(cidr)
        if any(within(network, allowed) for allowed in self.allowed):
            return
        if any(within(network, block) for block in NEVER_LIFTED):
            words = f"the address guard refuses {cidr} whatever rules say"
            self.problems.warning(rule.place, words, "addresses.allow in sluice.yaml lifts it")

    def surroundings(self, config: Config, serving: Sequence[tuple[str, int]]) -> None:
        """Everything of sluice.yaml that decisions need."""
        for user in self.users:
            self.builder.user(user.name, user.namespace, user.service_account, credential_of(user.hash))
        for network in config.identity.networks:
            self.builder.network(network.cidr, network.namespace, network.service_account)
        for cidr in config.addresses.allow:
            self.builder.guard(cidr, True)
        for cidr in config.addresses.deny:
            self.builder.guard(cidr, False)
        for cidr in config.addresses.nat64:
            self.builder.nat64(cidr)
        for own, port in own_addresses(config, serving):
            self.builder.own(own, port)
        flags = image.IMAGE_HAS_POLICY if self.counts["rules"] or config.policy.passthrough else 0
        flags |= image.IMAGE_PASSTHROUGH if config.policy.passthrough else 0
        flags |= image.IMAGE_AUDIT if config.policy.audit else 0
        flags |= image.IMAGE_STARTING if config.policy.paths and not self.counts["rules"] else 0
        self.builder.flags(flags)
        self.counts |= {"users": len(self.users), "networks": len(config.identity.networks)}


def principal(selector: Selector) -> tuple[int, str]:
    """The principal kind of a selector, and its second text."""
    if selector.service_account:
        return image.PRINCIPAL_SERVICE_ACCOUNT, selector.service_account
    if selector.identity:
        kind = image.PRINCIPAL_NAMESPACE_IDENTITY if selector.namespace else image.PRINCIPAL_IDENTITY
        return kind, selector.identity
    if selector.user:
        kind = image.PRINCIPAL_NAMESPACE_USER if selector.namespace else image.PRINCIPAL_USER
        return kind, selector.user
    return image.PRINCIPAL_NAMESPACE if selector.namespace else image.PRINCIPAL_MESH, ""


def own_addresses(config: Config, serving: Sequence[tuple[str, int]] = ()) -> Iterator[tuple[str | None, int]]:
    """Destinations that are this gateway's own and refused always: None and each port it listens on, where workers ask
    the kernel whether an address is local; CIDR and port 0 for gateway.serviceAddresses. Where what it listens on waits
    for a restart, that is both what it has and what it will have."""
    for port in sorted({port for _, port in [*config.endpoints(), *serving]}):
        yield None, port
    for address in config.gateway.service_addresses:
        network = ipaddress.ip_network(address)
        yield str(network), 0
        if network.version == 4:
            yield f"::ffff:{network.network_address}/{96 + network.prefixlen}", 0


def within(inner: Network, outer: Network) -> bool:
    """Whether all of `inner` lies in `outer`."""
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)
