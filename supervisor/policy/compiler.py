"""From rules to the policy image: orders them, numbers them, feeds the builder. It judges no request."""

import ipaddress
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

import supervisor.policy.builder as image
from gateway.tables import GUARD_BLOCKS
from supervisor.config.config import Config
from supervisor.config.credentials import Credential
from supervisor.host import machine
from supervisor.identity.passwords import credential_of
from supervisor.identity.users import User
from supervisor.policy.cluster.objects import Pod
from supervisor.policy.credentials import check_credentials
from supervisor.policy.loader import Policy
from supervisor.policy.programs import Programs
from supervisor.policy.resources.host_lists import likeness, read_list
from supervisor.policy.resources.model import Item, Range, Rules, Selector, Text, origination_text
from supervisor.policy.resources.routing import headers_text, route_text
from supervisor.policy.workload_records import record_workloads
from supervisor.segment.rule_slots import RuleSlots, label_of
from supervisor.source.problems import Invalid, Place, Problems, did_you_mean, quote

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
TIERS: Final = {
    "audit": image.TIER_AUDIT,
    "allow": image.TIER_ALLOW,
    "deny": image.TIER_DENY,
    "hard_deny": image.TIER_HARD_DENY,
    "default_allow": image.TIER_DEFAULT_ALLOW,
    "default_audit": image.TIER_DEFAULT_AUDIT,
    "default_deny": image.TIER_DEFAULT_DENY,
    "unauthorized": image.TIER_DENY,
}
ANYTHING: Final = ("0.0.0.0/0", "::/0")
# Refused whatever rules say (DECISIONS.md section 3): a CIDR rule that allows them is a mistake.
NEVER_LIFTED: Final = tuple(
    ipaddress.ip_network(block) for block, reason, liftable, _ in GUARD_BLOCKS if reason and not liftable
)


class Built(msgspec.Struct, frozen=True):
    """A sealed memfd with the image, and what went into it. `workloads`: one with the table of workloads; None: no Pod
    is known."""

    descriptor: int
    counts: dict[str, int]
    workloads: int | None = None


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
    compiler.credentials = config.credentials
    compiler.allowed = tuple(ipaddress.ip_network(cidr) for cidr in config.addresses.allow)
    try:
        ordered = sorted(policy.rules, key=lambda rules: rules.order)
        for rules, orders in zip(ordered, orders_of(ordered), strict=True):
            compiler.rules(rules, orders)
        compiler.surroundings(config, serving)
        if problems.errors:
            return None
        workloads = compiler.workloads(config)
        if problems.errors:
            return None
        return Built(compiler.builder.finish_memfd(), compiler.counts, workloads)
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
        self.programs = Programs(self.builder, self.asked)
        self.by_token = False  # tokens name users as well
        self.portsets: dict[tuple[Range, ...], int] = {}
        self.unknown: set[str] = set()  # users that rules select and users.yaml does not have
        self.strange: set[str] = set()  # source addresses that are not this machine's
        self.local: list[Network] | None = None
        self.allowed: tuple[Network, ...] = ()
        self.slots = RuleSlots()
        self.upstreams: tuple[str, ...] = ()
        self.credentials: tuple[Credential, ...] = ()
        counted = ("files", "resources", "rules", "names", "cidrs", "users", "networks", "workloads")
        self.counts = dict.fromkeys(counted, 0) | {"files": policy.files, "resources": policy.resources}

    def rules(self, rules: Rules, orders: Sequence[int]) -> None:
        """The rules of one resource and their destinations; each has its place in `orders`."""
        who = self.builder.who([self.selector(selector, rules) for selector in rules.selectors])
        tier, add = TIERS[rules.tier], self.builder.rule
        shared = {
            "on_revoke": rules.on_revoke,
            "inner": rules.inner,
            "protocol": rules.protocol,
            "ech": rules.ech,
            "upstream": self.upstream(rules),
            "tls": origination_text(rules.tls) if rules.tls and rules.tier in ("allow", "audit") else None,
            "tls_port": rules.tls.port if rules.tls else 0,
            "invalid": rules.invalid,
            "slot": self.slots.assign(label_of(rules.kind, rules.namespace, rules.name)),
            "settings": self.settings(rules),
        }
        if rules.credentials:
            check_credentials(rules, self.credentials, self.policy.roots, self.problems)
        reads = {**shared, "settings": self.settings(rules, True)} if rules.read_only else shared
        if rules.is_own_network:
            self.builder.networked(rules.namespace)
        conditional = any((rules.by_order, rules.admit, rules.network, rules.in_network, rules.no_route))
        conditional = conditional or rules.tier == "unauthorized"
        for number, item in zip(orders, rules.items, strict=True):
            said = reads if rules.read_only and item.index in rules.read_only else shared
            rule = add(rules.kind, rules.namespace, rules.name, item.index, rules.file, item.line, tier, **said)
            ports = self.portset(item.destination.ports)
            try:
                at = self.builder.attach(rule, tier, ports, number, who, rules.group, rules.precedence)
                if conditional or item.path or item.when:
                    self.conditions(rules, item, at)
                self.destination(rules, item, at)
            except Invalid as wrong:
                self.problems.add(wrong.problem)
        self.counts["rules"] += len(rules.items)

    def conditions(self, rules: Rules, item: Item, attachment: int) -> None:
        """When it counts, and whom it admits."""
        place = rules.place(item)
        self.builder.condition(
            attachment,
            when=self.programs.program(place, item.when, in_network=rules.in_network),
            path=self.programs.path(place, item.path),
            admit=self.programs.program(place, rules.admit),
            network=self.programs.network(rules.network),
            unauthorized=rules.tier == "unauthorized",
            no_route=rules.no_route,
            by_order=rules.by_order,
        )

    def asked(self, selectors: tuple[Selector, ...]) -> int:
        """The image's id of the sources that a condition asks for. They end no passthrough."""
        who: int = self.builder.who([self.source(selector) for selector in selectors])
        return who

    def source(self, selector: Selector, allows: bool = False) -> int:
        """The image's id of a selector."""
        key = (selector, allows)
        if key not in self.selectors:
            kind, second = principal(selector)
            cidr = selector.cidr or None
            self.selectors[key] = self.builder.selector(kind, selector.namespace, second, cidr, allows)
        return self.selectors[key]

    def portset(self, ports: tuple[Range, ...]) -> int:
        """The image's id of a set of ports; most items have one that another has."""
        number = self.portsets.get(ports)
        if number is None:
            number = self.portsets[ports] = self.builder.portset(ports)
        return number

    def upstream(self, rule: Rules) -> str | None:
        """The parent gateway of a rule; sluice.yaml has to have it."""
        if rule.upstream is None:
            return None
        if rule.upstream.value not in self.upstreams:
            words = f"there is no upstream {quote(rule.upstream.value)}"
            hint = did_you_mean(rule.upstream.value, self.upstreams) or "`upstreams` in sluice.yaml names them"
            self.problems.error(rule.place(rule.upstream), words, hint)
            return None
        return rule.upstream.value

    def settings(self, rule: Rules, read_only: bool = False) -> int:
        """The image's id of what few rules set."""
        sources = self.sources(rule)
        if sources is None and rule.route is None and rule.headers is None and not read_only:
            return 0
        route = route_text(rule.route) if rule.route is not None else None
        number: int = self.builder.settings(sources, route, headers_text(rule.headers, read_only))
        return number

    def sources(self, rule: Rules) -> str | None:
        """A rule's source addresses for workers, as JSON."""
        if not rule.source_addresses or rule.tier in ("deny", "hard_deny"):
            return None  # what a denied request does where audit mode lets it pass is not the denying rule's to say
        for text in rule.source_addresses:
            # It may come later, and the policy may be checked elsewhere: dialing fails as long as it is missing.
            if text not in self.strange and not self.is_ours(text):
                self.strange.add(text)
                words = f"{text} is not an address of this machine: connections from it fail"
                self.problems.warning(rule.place(rule.items[0]), words, "`ip address` lists the machine's addresses")
        return json.dumps({"sourceAddress": rule.source_addresses}, separators=(",", ":"))

    def is_ours(self, text: str) -> bool:
        address = ipaddress.ip_address(text)
        if self.local is None:
            self.local = [ipaddress.ip_network(cidr) for cidr in machine.local_networks()]
        return any(address in network for network in self.local if network.version == address.version)

    def selector(self, selector: Selector, rule: Rules) -> int:
        """The image's id of a selector; an allow of group 0 marks it, as that ends passthrough for the source."""
        number = self.source(selector, rule.ends_passthrough)
        if selector.user and not (self.by_token or selector.user in self.user_names or selector.user in self.unknown):
            self.unknown.add(selector.user)
            words = f"{rule.kind} {rule.name} selects the user {quote(selector.user)}, who does not exist"
            self.problems.warning(rule.place(rule.items[0]), words, "identity.users in sluice.yaml names the users")
        return number

    def workloads(self, config: Config) -> int | None:
        """The table of workloads, where any Pod is known; its selectors are those of this image."""
        if not any(isinstance(fact, Pod) for fact in self.policy.facts):
            return None
        found = self.policy.workloads
        self.counts["workloads"] = len({workload.mark for workload in found})
        numbered = {selector: number for (selector, _), number in self.selectors.items() if selector.workloads}
        return record_workloads(found, numbered, config.gateway.pod_networks, self.problems)

    def destination(self, rules: Rules, item: Item, attachment: int) -> None:
        to = item.destination
        if to.host is not None:
            self.name(self.builder.host, attachment, rules, to.host)
            self.counts["names"] += 1
        elif to.cidr:
            self.builder.cidr(attachment, to.cidr)
            for text in to.excepts:
                self.builder.cidr_except(attachment, text.value)
            self.counts["cidrs"] += 1
            if rules.tier in ("allow", "audit"):
                self.warn_never_lifted(rules.place(item), to.cidr)
            return
        elif to.hosts_from is not None:
            self.host_list(attachment, rules, to.hosts_from)
        elif to.anything:
            self.builder.host(attachment, b"*")
            for cidr in ANYTHING:
                self.builder.cidr(attachment, cidr)
        for text in to.excepts:
            self.name(self.builder.host_except, attachment, rules, text)

    def name(self, add: Any, attachment: int, rules: Rules, text: Text) -> None:
        """A pattern; what C says of it is reported where it is written."""
        try:
            add(attachment, text.value.encode())
        except image.NameProblem as wrong:
            self.problems.error(rules.place(text), f"{quote(text.value)} is not a host name: {wrong.rule}")

    def host_list(self, attachment: int, rules: Rules, path: Text) -> None:
        """All names of a list file. An error names its line and the rule broken, never what stands there."""
        data = read_list(path.value, rules.place(path), self.policy.roots)
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

    def warn_never_lifted(self, place: Place, cidr: str) -> None:
        """A mistake, unless addresses.allow lifts the guard."""
        network = ipaddress.ip_network(cidr)
        if any(within(network, allowed) for allowed in self.allowed):
            return
        if any(within(network, block) for block in NEVER_LIFTED):
            words = f"the address guard refuses {cidr} whatever rules say"
            self.problems.warning(place, words, "addresses.allow in sluice.yaml lifts it")

    def surroundings(self, config: Config, serving: Sequence[tuple[str, int]]) -> None:
        """Everything of sluice.yaml that decisions need."""
        for user in self.users:
            self.builder.user(user.name, user.namespace, user.service_account, credential_of(user.hash))
        for space in config.policy.audit_namespaces:
            self.builder.selector(image.PRINCIPAL_NAMESPACE, space, "", None, False, True)
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


def orders_of(ordered: Sequence[Rules]) -> Iterator[Sequence[int]]:
    """The orders of the items of each resource, unique and the lower the better: as the resources come, unless what its
    dialect says of an item goes before age."""
    counts = [len(rules.items) for rules in ordered]
    starts = [0, *itertools.accumulate(counts)]
    if not any(item.ahead for rules in ordered for item in rules.items):
        yield from (range(start, start + count) for start, count in zip(starts, counts, strict=False))
        return
    items = [item for rules in ordered for item in rules.items]
    ranks = [0] * len(items)
    for rank, number in enumerate(sorted(range(len(items)), key=lambda number: -items[number].ahead)):
        ranks[number] = rank
    yield from (ranks[start : start + count] for start, count in zip(starts, counts, strict=False))


def principal(selector: Selector) -> tuple[int, str]:
    """The principal kind of a selector, and its second text."""
    if (wanted := selector.workloads) is not None:
        only_spaces = wanted.pods is None and not wanted.name
        return image.PRINCIPAL_NAMESPACES if only_spaces else image.PRINCIPAL_PODS, wanted.text
    if selector.service_account:
        return image.PRINCIPAL_SERVICE_ACCOUNT, selector.service_account
    if selector.identity:
        kind = image.PRINCIPAL_NAMESPACE_IDENTITY if selector.namespace else image.PRINCIPAL_IDENTITY
        return kind, selector.identity
    if selector.user:
        kind = image.PRINCIPAL_NAMESPACE_USER if selector.namespace else image.PRINCIPAL_USER
        return kind, selector.user
    if selector.identified or selector.elsewhere:
        return (image.PRINCIPAL_IDENTIFIED if selector.identified else image.PRINCIPAL_ELSEWHERE), ""
    if selector.role or selector.other_roles:
        return (image.PRINCIPAL_ROLE if selector.role else image.PRINCIPAL_ROLE_OTHER), selector.role
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
