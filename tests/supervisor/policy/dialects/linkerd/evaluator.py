"""The slow evaluator of Linkerd's resources: which route, network or Server decides a flow, and how, from manifests as
they are written. It shares nothing with the reader, the compiler or C.

A tunnel shows no request: matches with conditions allow nothing, and refuse whom their route does not admit.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.supervisor.policy.dialects.linkerd.matching import (
    Manifest,
    Reversed,
    Who,
    age,
    depth_of,
    in_networks,
    is_identity,
    is_referred,
    key,
    target,
)

Rule = tuple[str, str, str, int]  # kind, namespace, name, index

NETWORK: Final = "EgressNetwork"
GLOBAL: Final = "linkerd-egress"
GATEWAY: Final = "egress"
LABELS: Final = {"app": "sluice"}
LISTENERS: Final = {"mesh": 1080, "other": 1081}
KINDS: Final = ("TCPRoute", "TLSRoute", "HTTPRoute", "GRPCRoute")  # the weakest first
STRENGTH: Final = ("default_allow", "default_deny", "allow", "deny")


@dataclass(frozen=True)
class Asked:
    """A flow. `host` "" = it is asked for by its address alone, and `sni` shows inside."""

    who: Who
    host: str
    address: str
    port: int
    listener: str
    sni: str = ""


@dataclass(frozen=True)
class Said:
    """Verdict, reason and rule; `tier` None: no word of Linkerd's."""

    tier: str | None
    reason: str
    rule: Rule | None = None

    @property
    def verdict(self) -> str:
        return "allow" if self.tier in ("allow", "default_allow") else "deny"

    @property
    def strength(self) -> int:
        return STRENGTH.index(self.tier) if self.tier else -1


@dataclass
class Evaluator:
    """Answers questions about manifests; counts in `hits` what decided."""

    manifests: list[Manifest]
    cluster: tuple[str, ...] = ()
    hits: Counter[str] = field(default_factory=Counter)

    def of(self, *kinds: str) -> Iterator[Manifest]:
        return (one for one in self.manifests if one["kind"] in kinds)

    def decide(self, asked: Asked) -> Said:
        said = self.by_name(asked, asked.host) if asked.host else self.by_address(asked)
        if asked.sni and said.tier == "allow" and said.rule and said.rule[0] in ("HTTPRoute", "GRPCRoute"):
            said = Said("deny", "inner_protocol_mismatch", said.rule)  # what shows is TLS
        self.hits[f"{said.verdict} {said.reason}"] += 1
        return said

    def by_name(self, asked: Asked, host: str) -> Said:
        """Asked by name, with the address it leads to."""
        if refused := self.refused(asked):
            return refused
        network = self.network(asked)
        if network is None:
            return Said(None, "no_rule")
        return self.routed(asked, network, host) or self.by_policy(asked, network)

    def by_address(self, asked: Asked) -> Said:
        """Asked by address: routes without hosts count; one of another host only once its name shows."""
        if refused := self.refused(asked):
            return refused
        network = self.network(asked)
        said = Said(None, "no_rule")
        if network:
            said = self.routed(asked, network, "") or self.by_policy(asked, network)
        inside = Said(None, "no_rule")
        if network and asked.sni:
            inside = self.routed(asked, network, asked.sni) or inside
        if said.tier in (None, "default_deny") and self.hosts_reached(asked, said):
            if not asked.sni:
                return Said(said.tier, "inner_name_missing", said.rule)
            self.hits["held"] += 1
            return inside if inside.tier else said
        if said.verdict == "allow" and inside.tier == "deny" and inside.strength > said.strength:
            self.hits["denied inside"] += 1
            return inside
        return said

    def hosts_reached(self, asked: Asked, said: Said) -> bool:
        """Whether any rule about a host may let this source pass on this port, whatever else it asks."""
        for route in self.of(*KINDS):
            for parent in route["spec"]["parentRefs"]:
                conflicted = self.conflicted(route, parent)
                if parent["port"] == asked.port and not conflicted and self.selects(route, parent, asked.who):
                    return True
        networks = (one for one in self.of(NETWORK) if one["spec"]["trafficPolicy"] == "Allow")
        return said.tier is None and any(self.covers_all(one, asked) for one in networks)

    def covers_all(self, network: Manifest, asked: Asked) -> bool:
        return "networks" not in network["spec"] and not self.cluster and self.for_source(network, asked.who)

    # networks

    def for_source(self, network: Manifest, who: Who) -> bool:
        own = {one["metadata"]["namespace"] for one in self.of(NETWORK)}
        namespace = network["metadata"]["namespace"]
        if not who.namespace:
            return False
        return bool(namespace == (who.namespace if who.namespace in own else GLOBAL))

    def network(self, asked: Asked) -> Manifest | None:
        """The one of the smallest block, then the oldest."""
        found = []
        for network in self.of(NETWORK):
            sizes = list(self.sizes(network, asked.address))
            if sizes and self.for_source(network, asked.who):
                found.append((min(sizes), age(network), network))
        found.sort(key=lambda one: one[:2])
        if len(found) > 1:
            self.hits["smaller block" if found[0][0] < found[1][0] else "older network"] += 1
        if found:
            own = found[0][2]["metadata"]["namespace"] == asked.who.namespace
            self.hits["own network" if own else "global network"] += 1
        elif asked.who.namespace in {one["metadata"]["namespace"] for one in self.of(NETWORK)}:
            self.hits["own networks hide the global ones"] += 1
        return found[0][2] if found else None

    def sizes(self, network: Manifest, address: str) -> Iterator[int]:
        """Sizes of its blocks that cover an address."""
        for block in self.blocks(network):
            cidr = ipaddress.ip_network(block["cidr"])
            excepts = [ipaddress.ip_network(text) for text in block.get("except", ())]
            ip = ipaddress.ip_address(address)
            if ip in cidr and not any(ip in one for one in excepts):
                yield cidr.num_addresses - sum(one.num_addresses for one in excepts)

    def blocks(self, network: Manifest) -> list[dict[str, Any]]:
        if "networks" in network["spec"]:
            return list(network["spec"]["networks"])
        return [
            {"cidr": cidr, "except": [one for one in self.cluster if (":" in one) == (":" in cidr)]}
            for cidr in ("0.0.0.0/0", "::/0")
        ]

    def by_policy(self, asked: Asked, network: Manifest) -> Said:
        """No route: the network's own word."""
        rule = ("EgressNetwork", network["metadata"]["namespace"], network["metadata"]["name"])
        if network["spec"]["trafficPolicy"] == "Deny":
            return Said("default_deny", "default_deny", (*rule, self.block_index(network, asked.address)))
        if not self.admits(None, network, asked.who):
            self.hits["network does not admit"] += 1
            return Said("deny", "unauthorized", (*rule, 0))
        return Said("default_allow", "default_allow", (*rule, self.block_index(network, asked.address)))

    def block_index(self, network: Manifest, address: str) -> int:
        """The longest block that covers it, of equals the smaller one: that of the rule named."""
        if "networks" not in network["spec"] and not self.cluster:
            return 0
        found = [
            (-ipaddress.ip_network(block["cidr"]).prefixlen, size, index)
            for index, block in enumerate(self.blocks(network))
            for size in self.sizes({**network, "spec": {"networks": [block]}}, address)
        ]
        return min(found)[2]

    # routes

    def conflicted(self, route: Manifest, parent: dict[str, Any]) -> bool:
        """Whether one of a stronger kind has the same port of the network."""
        for other in self.of(*KINDS):
            same = any(target(other, one) == target(route, parent) for one in other["spec"]["parentRefs"])
            if same and KINDS.index(other["kind"]) > KINDS.index(route["kind"]):
                return True
        return False

    def selects(self, route: Manifest, parent: dict[str, Any], who: Who) -> bool:
        """A route of the network's namespace is for all its sources; of another, for its own."""
        (network,) = [one for one in self.of(NETWORK) if key(one) == target(route, parent)[:2]]
        own = route["metadata"]["namespace"]
        return self.for_source(network, who) if own == key(network)[0] else who.namespace == own

    def routed(self, asked: Asked, network: Manifest, host: str) -> Said | None:
        """The best route of a network for a host; "" = none is asked for. None: no route has a word."""
        found = []
        for route in self.of(*KINDS):
            for parent in route["spec"]["parentRefs"]:
                if target(route, parent) != (*key(network), asked.port) or not self.selects(route, parent, asked.who):
                    continue
                if self.conflicted(route, parent):
                    self.hits["conflicted"] += 1
                    continue
                found += [(one, route) for one in self.matches(route, network, host, asked.who)]
        if not found:
            return None
        found.sort(key=lambda one: one[0], reverse=True)
        (_, _, refuses, _, index), route = found[0]
        if len(found) > 1:
            self.count_ties(found[0][0], found[1][0])
        self.hits[f"decides {route['kind']}"] += 1
        rule = (route["kind"], *key(route), -index)
        if refuses:
            return Said("deny", "needs_http", rule)
        if self.admits(route, network, asked.who):
            return Said("allow", "rule_allow", rule)
        self.hits["route does not admit"] += 1
        return Said("deny", "unauthorized", rule)

    def count_ties(self, first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
        for place, name in enumerate(("host", "host length", "conditional", "age", "index")):
            if first[place] != second[place]:
                self.hits[f"tie-break {name}"] += 1
                return

    def matches(
        self, route: Manifest, network: Manifest, host: str, who: Who
    ) -> Iterator[tuple[int, int, bool, Any, int]]:
        """Host, its length, whether it refuses, age and index of each match, the greater the better. A match with
        conditions is one that refuses, or none."""
        hosts = route["spec"].get("hostnames") or [""]
        index = 0
        refused: set[str] = set()
        for rule in route["spec"]["rules"]:
            for match in rule.get("matches", [{}]) or [{}]:
                for pattern in hosts:
                    number, index = index, index + 1
                    depth = depth_of(pattern, host)
                    conditional = bool(match) or "filters" in rule
                    if depth is None or (conditional and (pattern in refused or self.admits(route, network, who))):
                        continue
                    if conditional:
                        refused.add(pattern)
                    yield (*depth, conditional, Reversed(age(route)), -number)

    # who is admitted

    def admits(self, route: Manifest | None, network: Manifest, who: Who) -> bool:
        """The authorizations of the most specific target, and those of the gateway's namespace."""
        namespace, name = key(network)
        levels = [self.policies(NETWORK, namespace, name), self.policies("Namespace", namespace, namespace)]
        if route:
            levels.insert(0, self.policies(route["kind"], *key(route), group=route["apiVersion"].partition("/")[0]))
        decisive = next((level for level in levels if level), None)
        if decisive is not None and not any(self.satisfies(policy, who) for policy in decisive):
            return False
        above = self.policies("Namespace", GATEWAY, GATEWAY)
        if above and not any(self.satisfies(policy, who) for policy in above):
            self.hits["gateway's namespace does not admit"] += 1
            return False
        return True

    def policies(self, kind: str, namespace: str, name: str, group: str = "") -> list[Manifest]:
        return [
            policy
            for policy in self.of("AuthorizationPolicy")
            if policy["metadata"]["namespace"] == namespace
            and (policy["spec"]["targetRef"]["kind"], policy["spec"]["targetRef"]["name"]) == (kind, name)
            and group in ("", policy["spec"]["targetRef"].get("group"))
        ]

    def satisfies(self, policy: Manifest, who: Who) -> bool:
        return all(self.authenticated(policy, one, who) for one in policy["spec"]["requiredAuthenticationRefs"])

    def authenticated(self, policy: Manifest, reference: dict[str, Any], who: Who) -> bool:
        namespace = reference.get("namespace", policy["metadata"]["namespace"])
        if reference["kind"] == "ServiceAccount":
            return (who.namespace, who.account) == (namespace, reference["name"])
        (found,) = [one for one in self.of(reference["kind"]) if key(one) == (namespace, reference["name"])]
        if reference["kind"] == "NetworkAuthentication":
            return in_networks(found["spec"]["networks"], who.address)
        if "identities" in found["spec"]:
            return any(is_identity(text, who) for text in found["spec"]["identities"])
        return any(is_referred(one, namespace, who) for one in found["spec"]["identityRefs"])

    # Servers

    def refused(self, asked: Asked) -> Said | None:
        """By the Server that stands for the listener."""
        for server in self.of("Server"):
            spec = server["spec"]
            wanted = spec["podSelector"].get("matchLabels", {})
            of_gateway = server["metadata"]["namespace"] == GATEWAY
            is_port = spec["port"] in (asked.listener, LISTENERS.get(asked.listener))
            if of_gateway and is_port and all(LABELS.get(name) == value for name, value in wanted.items()):
                if self.enters(server, asked.who):
                    self.hits["Server admits"] += 1
                    return None
                return Said("deny", "unauthorized", ("Server", *key(server), 0))
        return None

    def enters(self, server: Manifest, who: Who) -> bool:
        policies = self.policies("Server", *key(server)) + self.policies("Namespace", GATEWAY, GATEWAY)
        return (
            any(self.satisfies(policy, who) for policy in policies)
            or any(self.authorized(one, server, who) for one in self.of("ServerAuthorization"))
            or self.by_default(server["spec"].get("accessPolicy", "deny"), who)
        )

    def authorized(self, authorization: Manifest, server: Manifest, who: Who) -> bool:
        spec, client = authorization["spec"], authorization["spec"]["client"]
        if "name" in spec["server"]:
            chosen = spec["server"]["name"] == server["metadata"]["name"]
        else:
            labels = server["metadata"].get("labels", {})
            chosen = all(labels.get(name) == value for name, value in spec["server"]["selector"]["matchLabels"].items())
        if not chosen or authorization["metadata"]["namespace"] != GATEWAY:
            return False
        if "networks" in client and not in_networks(client["networks"], who.address):
            return False
        if client.get("unauthenticated"):
            return True
        mesh = client["meshTLS"]
        if mesh.get("unauthenticatedTLS"):
            return bool(who.names)
        accounts = [(one.get("namespace", GATEWAY), one["name"]) for one in mesh.get("serviceAccounts", ())]
        return (who.namespace, who.account) in accounts or any(
            is_identity(text, who) for text in mesh.get("identities", ())
        )

    def by_default(self, access: str, who: Who) -> bool:
        if access in ("deny", "audit", "all-unauthenticated"):
            return access != "deny"
        if access.startswith("cluster") and not in_networks([{"cidr": one} for one in self.cluster], who.address):
            return False
        return access.endswith("unauthenticated") or bool(who.names)
