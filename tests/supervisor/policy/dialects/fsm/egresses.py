"""Egresses of FSM, drawn at random, and their slow evaluator: its documentation, resource by resource, with
DECISIONS.md sections 3, 4 and 6 where they differ. It shares nothing with the compiler, and knows of other dialects
denied names alone.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

Manifest = dict[str, Any]
Workload = tuple[str, str]  # namespace, service account
Rule = tuple[str, str, str, int]  # kind, namespace, name, index

NAMES: Final = ("a.test", "x.a.test", "b.test", "other.test")
ADDRESSES: Final = ("8.8.8.8", "8.8.4.4", "8.9.0.1", "9.9.9.9", "11.1.1.1", "2600::1")
CIDRS: Final = ("8.0.0.0/8", "8.8.0.0/16", "8.8.8.0/24", "9.0.0.0/8", "2600::/16")
PORTS: Final = (80, 443, 5432)
PROTOCOLS: Final = ("http", "http", "https", "https", "HTTPS", "tcp", "tcp-server-first")
WORKLOADS: Final[tuple[Workload, ...]] = (("shop", "cart"), ("shop", "web"), ("pay", "cart"))
NAMESPACES: Final = ("mesh", "pay", "shop")
TIMES: Final = ("2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z")
NETWORK: Final = ("10.1.0.0/24", "10.1.0.7", WORKLOADS[0])  # a block, an address in it, and who that is
SHOWN: Final = {"http": "http", "https": "tls"}  # inside, by the port's protocol
ROUTES: Final = {"apiGroup": "specs.smi-spec.io/v1alpha4", "kind": "HTTPRouteGroup", "name": "routes"}


@dataclass(frozen=True)
class World:
    """`denied`: names that a ClusterEgressPolicy denies to all."""

    egresses: tuple[Manifest, ...]
    denied: tuple[str, ...]
    passthrough: bool


@dataclass(frozen=True)
class Asked:
    """`who` by a certificate; `by_network`: from an address that `identity.networks` gives a workload as well."""

    who: Workload | None
    by_network: bool
    host: str
    port: int
    address: str  # of a name, "" = not known
    sni: str


@dataclass(frozen=True)
class Said:
    """`rule` is None for a default and for no rule."""

    verdict: str
    reason: str
    rule: Rule | None = None


@dataclass(frozen=True)
class Way:
    """One destination of one port: a name, blocks that the name has to lie in, or a block."""

    egress: Manifest
    index: int
    port: int
    protocol: str
    host: str = ""
    within: tuple[str, ...] = ()
    block: str = ""
    routed: bool = False  # its requests have conditions, which no tunnel satisfies

    @property
    def rule(self) -> Rule:
        metadata = self.egress["metadata"]
        return "Egress", metadata["namespace"], metadata["name"], self.index

    @property
    def age(self) -> tuple[Any, ...]:
        created = self.egress["metadata"].get("creationTimestamp")
        return created is None, created or "", "/".join(self.rule[1:3]), self.index


def ways_of(egress: Manifest) -> Iterator[Way]:
    spec = egress["spec"]
    hosts, blocks = spec.get("hosts", ()), tuple(spec.get("ipAddresses", ()))
    for number, port in enumerate(spec["ports"]):
        protocol = port["protocol"].lower()
        first = number * max(len(hosts), len(blocks), 2)
        tcp = protocol.startswith("tcp")
        routed = protocol == "http" and "matches" in spec
        if hosts and not tcp:
            for index, host in enumerate(hosts, first):
                yield Way(egress, index, port["number"], protocol, host=host, within=blocks, routed=routed)
        else:
            for index, block in enumerate(blocks or (("0.0.0.0/0", "::/0") if tcp else ()), first):
                yield Way(egress, index, port["number"], protocol, block=block, routed=routed)


def lies_in(address: str, block: str) -> bool:
    one, network = ipaddress.ip_address(address), ipaddress.ip_network(block)
    return one.version == network.version and one in network


def is_address(host: str) -> bool:
    return ":" in host or host[-1].isdigit()


def sources_of(egress: Manifest) -> set[Workload]:
    return {(source["namespace"], source["name"]) for source in egress["spec"]["sources"]}


class Evaluator:
    """Answers questions about one world; counts in `hits` what decided."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hits: Counter[str] = Counter()

    def decide(self, asked: Asked) -> Said:
        said = self.inside(asked, self.outside(asked))
        if said.reason == "no_rule" and self.is_empty():
            said = Said("deny", "no_policy")
        self.hits[f"{said.verdict} {said.reason}"] += 1
        return said

    def is_empty(self) -> bool:
        world = self.world
        return not (world.passthrough or world.denied or any(any(ways_of(egress)) for egress in world.egresses))

    # who, and what is open to it

    def identities(self, asked: Asked) -> list[Workload]:
        """The highest one first."""
        return [*([asked.who] if asked.who else []), *([NETWORK[2]] if asked.by_network else [])]

    def ways(self, asked: Asked) -> list[Way]:
        """Those that are open to the source on this port: allows are for the highest identity alone."""
        who = self.identities(asked)[:1]
        mine = [egress for egress in self.world.egresses if sources_of(egress) & set(who)]
        return [way for egress in mine for way in ways_of(egress) if way.port == asked.port]

    def by_default(self, asked: Asked) -> Said | None:
        """Passthrough: for the source of an Egress on the ports that none of it names; for others, unless a lower
        identity is such a source, on every port."""
        if not self.world.passthrough:
            return None
        first, *lower = self.identities(asked) or [("", "")]
        named = {
            port["number"]
            for egress in self.world.egresses
            if first in sources_of(egress)
            for port in egress["spec"]["ports"]
        }
        if named:
            self.hits["claimed" if asked.port in named else "not claimed"] += 1
            return None if asked.port in named else Said("allow", "default_allow", ("EgressPassthrough", *first, 0))
        closed = any(one in sources_of(egress) for egress in self.world.egresses for one in lower)
        self.hits["passthrough of others"] += not closed
        return None if closed else Said("allow", "passthrough")

    # which of them match

    def by_name(self, asked: Asked, name: str, address: str) -> list[Way]:
        """The best first. Blocks that a name has to lie in count once the address is known."""
        found = []
        for way in self.ways(asked):
            if way.host != name:
                continue
            if way.routed:
                self.hits["routed"] += 1
                continue
            if way.within:
                inside = bool(address) and any(lies_in(address, block) for block in way.within)
                self.hits["within unknown" if not address else "within" if inside else "not within"] += 1
                if not inside:
                    continue
            found.append(way)
        return self.best(sorted(found, key=lambda way: way.age))

    def by_address(self, asked: Asked, address: str) -> list[Way]:
        found = [way for way in self.ways(asked) if way.block and not way.routed and lies_in(address, way.block)]
        return self.best(sorted(found, key=lambda way: (-ipaddress.ip_network(way.block).prefixlen, way.age)))

    def wants_request(self, asked: Asked, name: str, address: str, by_address: bool = True) -> bool:
        """Whether a way would be open to a request that satisfies its matches: to the name, or to the address."""
        for way in self.ways(asked):
            lies = by_address and address and way.block and lies_in(address, way.block)
            named = (
                bool(name)
                and way.host == name
                and (not way.within or (bool(address) and any(lies_in(address, block) for block in way.within)))
            )
            if way.routed and (lies or named):
                self.hits["needs a request"] += 1
                return True
        return False

    def best(self, found: list[Way]) -> list[Way]:
        if len(found) > 1:
            one, other = found[:2]
            if one.block and one.block.partition("/")[2] != other.block.partition("/")[2]:
                self.hits["tie-break longer block"] += 1
            else:
                self.hits[f"tie-break {next(n for n in range(4) if one.age[n] != other.age[n])}"] += 1
        return found

    # phases

    def outside(self, asked: Asked) -> Said:
        """Before anything shows inside."""
        if is_address(asked.host):
            return self.outside_of(asked, asked.host)
        if asked.host in self.world.denied:
            return Said("deny", "rule_deny", self.denial(asked.host))
        if found := self.by_name(asked, asked.host, asked.address):
            return Said("allow", "rule_allow", found[0].rule)
        default = self.by_default(asked)
        closed = "needs_http" if self.wants_request(asked, asked.host, asked.address) else ""
        waits = any(way.block or (way.host == asked.host and way.within) for way in self.ways(asked))
        if not asked.address:
            return default or Said("deny", "needs_address" if waits else closed or "no_rule")
        if found := self.by_address(asked, asked.address):
            return Said("allow", "rule_allow", found[0].rule)
        return default or Said("deny", closed or ("no_cidr_rule" if waits else "no_rule"))

    def outside_of(self, asked: Asked, address: str) -> Said:
        if found := self.by_address(asked, address):
            return Said("allow", "rule_allow", found[0].rule)
        held = any(way.host for way in self.ways(asked))
        closed = "needs_http" if self.wants_request(asked, "", address) else "no_rule"
        return self.by_default(asked) or Said("deny", "inner_name_missing" if held else closed)

    def denial(self, name: str) -> Rule:
        return "ClusterEgressPolicy", "", "denied", self.world.denied.index(name)

    def inside(self, asked: Asked, said: Said) -> Said:
        """With the name of a ClientHello."""
        if not asked.sni:
            return said
        if not is_address(asked.host):
            if said.verdict == "allow" and asked.sni != asked.host:
                return Said("deny", "inner_name_mismatch", said.rule)
            phases = self.by_name(asked, asked.host, asked.address)
            more = self.by_address(asked, asked.address) if asked.address else []
            return self.demanded(said, [*phases, *more])
        if said.reason == "inner_name_missing":
            if asked.sni in self.world.denied:
                return Said("deny", "rule_deny", self.denial(asked.sni))
            found = self.by_name(asked, asked.sni, asked.host)
            self.hits["held"] += 1
            closed = "needs_http" if self.wants_request(asked, asked.sni, asked.host, False) else "no_cidr_rule"
            said = Said("allow", "rule_allow", found[0].rule) if found else Said("deny", closed)
            return self.demanded(said, found)
        if said.verdict == "allow" and asked.sni in self.world.denied:
            return Said("deny", "rule_deny", self.denial(asked.sni))
        return self.demanded(said, self.by_address(asked, asked.host))

    def demanded(self, said: Said, found: list[Way]) -> Said:
        """TLS shows: of the ways that demand something the best one has the word."""
        wanted = next((SHOWN[way.protocol] for way in found if way.protocol in SHOWN), "tls")
        if said.reason != "rule_allow" or wanted == "tls":
            return said
        return Said("deny", "inner_protocol_mismatch", said.rule)


def draw_world(random: Random) -> World:
    names = random.sample(range(12), random.randint(1, 8))
    return World(
        egresses=tuple(draw_egress(random, f"e{number}") for number in names),
        denied=tuple(random.sample(NAMES, random.choice((0, 0, 1)))),
        passthrough=random.random() < 0.5,
    )


def draw_egress(random: Random, name: str) -> Manifest:
    metadata = {"name": name, "namespace": random.choice(NAMESPACES)}
    if random.random() < 0.65:
        metadata["creationTimestamp"] = random.choice(TIMES)
    sources = random.sample(WORKLOADS, random.choice((1, 1, 2)))
    ports = random.sample(PORTS, random.choice((1, 1, 2)))
    spec: Manifest = {
        "sources": [{"kind": "ServiceAccount", "namespace": space, "name": account} for space, account in sources],
        "ports": [{"number": port, "protocol": random.choice(PROTOCOLS)} for port in ports],
    }
    if random.random() < 0.75:
        spec["hosts"] = random.sample(NAMES, random.choice((1, 2)))
    if random.random() < 0.55:
        spec["ipAddresses"] = random.sample(CIDRS, random.choice((1, 2)))
    if random.random() < 0.15:
        spec["matches"] = [ROUTES]
    return {"apiVersion": "policy.flomesh.io/v1alpha1", "kind": "Egress", "metadata": metadata, "spec": spec}


def draw_asked(random: Random) -> Asked:
    literal = random.random() < 0.35
    host = random.choice(ADDRESSES if literal else NAMES)
    sni = random.choice(NAMES) if literal else host if random.random() < 0.8 else random.choice(NAMES)
    return Asked(
        who=random.choice((*WORKLOADS, *WORKLOADS, None, ("pay", "other"))),
        by_network=random.random() < 0.25,
        host=host,
        port=random.choice(PORTS),
        address="" if literal or random.random() < 0.35 else random.choice(ADDRESSES),
        sni=sni if random.random() < 0.5 else "",
    )
