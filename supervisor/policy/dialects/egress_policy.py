"""Sluice's own dialect: EgressPolicy and ClusterEgressPolicy, sluice.dev/v1alpha1 (DECISIONS.md section 6).

An EgressPolicy selects only sources of its own namespace; whatever stands in `from` narrows within it. One without a
namespace is an error: read as a ClusterEgressPolicy, a forgotten line would open the whole mesh.
"""

import ipaddress
import os
from collections.abc import Iterator, Sequence
from typing import Final

from supervisor.policy.dialects.dialect import Dialect, Surroundings
from supervisor.policy.dialects.http_conditions import (
    REQUEST,
    Match,
    read_credentials,
    read_headers,
    read_matches,
    tell_of_closed,
)
from supervisor.policy.dialects.origination import read_origination
from supervisor.policy.resources.host_lists import inside, outside
from supervisor.policy.resources.hosts import host_pattern, read_excepts
from supervisor.policy.resources.labels import Requirement, Workloads, read_selector
from supervisor.policy.resources.manifest import Manifest, Metadata, need_spec, read_frame
from supervisor.policy.resources.model import (
    Destination,
    Ech,
    Inner,
    InnerProtocol,
    Item,
    OnRevoke,
    Origination,
    Range,
    Rules,
    Selector,
    Text,
    Tier,
)
from supervisor.policy.resources.routing import HeaderChanges
from supervisor.source.node import Fields, Node, each
from supervisor.source.problems import Invalid, Place, Problems, did_you_mean, quote
from supervisor.source.words import entry_name, identity_uri, namespace_name, object_name, user_name

GROUP: Final = "sluice.dev"
VERSION: Final = "v1alpha1"
NAMESPACED: Final = "EgressPolicy"
CLUSTER: Final = "ClusterEgressPolicy"
KINDS: Final = (NAMESPACED, CLUSTER)

SPEC: Final = (
    *("from", "to", "action", "hard", "onRevoke", "upstream", "sourceAddress", "tls"),
    *("innerName", "inner", "ech", "headers"),
)
FROM: Final = (
    *("namespace", "serviceAccount", "identity", "user", "cidr"),
    *("podSelector", "namespaceSelector"),
)
TO: Final = ("host", "cidr", "hostsFrom", "ports", "except", "access", "http")
ACTIONS: Final[dict[str, Tier]] = {"Allow": "allow", "Deny": "deny", "Audit": "audit"}
ON_REVOKE: Final[tuple[OnRevoke, ...]] = ("kill", "drain", "keep")
INNERS: Final[tuple[Inner, ...]] = ("enforce", "audit", "off")
INNER: Final = ("protocol",)
PROTOCOLS: Final[tuple[InnerProtocol, ...]] = ("tls", "http", "ssh", "any")
ECHS: Final[tuple[Ech, ...]] = ("allow", "deny")


Found = tuple[Node, Destination | None, tuple[Match, ...]]


def read(manifest: Manifest, roots: tuple[str, ...], problems: Problems) -> Rules:
    """The rules of one resource, one for each item of `to`. Host lists must lie in one of `roots` (real paths)."""
    top, metadata = read_frame(manifest, problems)
    if manifest.kind == CLUSTER and metadata.namespace_node is not None:
        where = metadata.namespace_node.place
        problems.error(where, f"a {CLUSTER} has no namespace", f"remove it, or write kind: {NAMESPACED}")
    elif manifest.kind == NAMESPACED and metadata.namespace_node is None and (node := top.get("metadata")):
        words = f"metadata.namespace is missing; for every workload write kind: {CLUSTER}"
        problems.error(node.place, words)
    spec = need_spec(manifest, top)
    return _Resource(manifest.kind, metadata, roots, problems).rules(spec)


def selects(manifest: Manifest, namespace: str, surroundings: Surroundings) -> tuple[Selector, ...]:
    """The sources of `from`; all of the namespace, or of the mesh, where they cannot be read."""
    problems = Problems()
    try:
        top, metadata = read_frame(manifest, Problems())
        fields = need_spec(manifest, top).fields(SPEC, Problems())
        found = _Resource(manifest.kind, metadata, (), problems).selectors(fields)
        if not problems.errors:
            return found
    except Invalid:
        pass
    return (Selector(namespace=namespace),)


class _Resource:
    """Reads one `spec`."""

    def __init__(self, kind: str, metadata: Metadata, roots: tuple[str, ...], problems: Problems) -> None:
        self.metadata = metadata
        self.namespace = (metadata.namespace or "") if kind == NAMESPACED else ""
        self.kind = kind
        self.roots = roots
        self.problems = problems
        self.same_ports: dict[tuple[Range, ...], tuple[Range, ...]] = {}  # equal ones are one object

    def rules(self, spec: Node) -> Rules:
        fields = spec.fields(SPEC, self.problems)
        tier = self.tier(fields)
        on_revoke = fields.read("onRevoke", lambda node: node.choice(*ON_REVOKE), None)
        inner = fields.read("innerName", lambda node: node.choice(*INNERS), None)
        protocol = fields.read("inner", self.protocol, None)
        ech = fields.read("ech", lambda node: node.choice(*ECHS), None)
        none_said: Origination | None = None
        tls = fields.read("tls", lambda node: read_origination(node, self.problems), none_said)
        unchanged: HeaderChanges | None = None
        changes = fields.read("headers", lambda node: read_headers(node, self.problems), unchanged)
        no_credentials: tuple[Text, ...] = ()
        credentials = fields.read("headers", read_credentials, no_credentials) if changes is not None else ()
        for name in ("innerName", "inner", "ech", "tls", "headers") if tier in ("deny", "hard_deny") else ():
            if node := fields.get(name):
                self.problems.warning(node.place, f"{name} has no effect on a rule that denies")
        upstream = fields.read("upstream", lambda node: Text(entry_name(node), node.line, node.column), None)
        if upstream and tier in ("deny", "hard_deny"):
            self.problems.warning(
                Place(spec.file, upstream.line, upstream.column), "upstream has no effect on a rule that denies"
            )
            upstream = None
        none: tuple[str, ...] = ()
        sources = fields.read("sourceAddress", self.source_addresses, none)
        if sources and tier in ("deny", "hard_deny") and (node := fields.get("sourceAddress")):
            self.problems.warning(node.place, "sourceAddress has no effect on a rule that denies")
        selectors = self.selectors(fields)
        found = self.destinations(fields)
        if tier in ("deny", "hard_deny"):
            wanted = [to for _, to, matches in found if matches and to]
            tell_of_closed(f"{self.kind} {self.metadata.name}", spec, wanted, self.problems)
        return Rules(
            kind=self.kind,
            namespace=self.namespace,
            name=self.metadata.name,
            file=spec.file,
            tier=tier,
            selectors=selectors,
            items=tuple(_items(found, changes is not None and tier in ("allow", "audit"))),
            created=self.metadata.created,
            on_revoke=on_revoke,
            inner=inner,
            protocol=protocol,
            ech=ech,
            upstream=upstream,
            source_addresses=sources,
            tls=tls,
            headers=changes if tier in ("allow", "audit") else None,
            credentials=credentials if tier in ("allow", "audit") else (),
            read_only=tuple(index for index, one in enumerate(found) if one[2] and "access" in one[0].mapping()),
        )

    def tier(self, fields: Fields) -> Tier:
        """`action` and `hard`."""
        word = fields.need("action", lambda node: node.choice(*ACTIONS), "Deny", "write action: Allow, Deny or Audit")
        hard = fields.read("hard", Node.boolean, False)
        node = fields.get("hard")
        if not hard or node is None:
            return ACTIONS[word]
        if word != "Deny":
            self.problems.error(node.place, f"only Deny can be hard, not {word}")
        elif self.kind == NAMESPACED:
            self.problems.error(node.place, f"an {NAMESPACED} cannot be hard", f"write a {CLUSTER}")
        return "hard_deny"

    def protocol(self, node: Node) -> InnerProtocol:
        """`inner`: what has to run inside."""
        fields = node.fields(INNER, self.problems)
        return fields.need("protocol", lambda word: word.choice(*PROTOCOLS), "any", f"one of {', '.join(PROTOCOLS)}")

    def source_addresses(self, node: Node) -> tuple[str, ...]:
        """A pool of addresses to dial from, each of them once."""
        found: dict[str, Node] = {}
        for item, text in each(self.filled(node, "leaves no address to dial from"), _source_address, self.problems):
            if text in found:
                self.problems.error(item.place, f"duplicate address, first listed in line {found[text].line}")
            found.setdefault(text, item)
        return tuple(found)

    # from

    def selectors(self, fields: Fields) -> tuple[Selector, ...]:
        """The selected sources; without `from` every workload of the namespace, or of the mesh."""
        node = fields.get("from")
        if node is None:
            return (Selector(namespace=self.namespace),)
        found: dict[Selector, Node] = {}
        for item in self.filled(node, "selects no source"):
            before = len(self.problems.errors)
            try:
                selector = self.selector(item)
            except Invalid as wrong:
                self.problems.add(wrong.problem)
                continue
            if len(self.problems.errors) > before:
                continue  # defaults stand where something is wrong
            if selector in found:
                where = f"it is first listed in line {found[selector].line}"
                self.problems.error(item.place, "duplicate item in `from`", where)
            found.setdefault(selector, item)
        # None is left where all were wrong: no image is made, and `to` can still be judged.
        return tuple(found) or (Selector(namespace=self.namespace),)

    def selector(self, item: Node) -> Selector:
        before = len(self.problems.errors)
        fields = item.fields(FROM, self.problems)
        none: tuple[Requirement, ...] | None = None
        pods = fields.read("podSelector", lambda node: read_selector(node, self.problems), none)
        spaces = fields.read("namespaceSelector", lambda node: read_selector(node, self.problems), none)
        selector = Selector(
            namespace=fields.read("namespace", namespace_name, self.namespace),
            service_account=fields.read("serviceAccount", object_name, ""),
            identity=fields.read("identity", identity_uri, ""),
            user=fields.read("user", user_name, ""),
            cidr=fields.read("cidr", Node.cidr, ""),
        )
        if len(self.problems.errors) > before:
            return selector
        if not item.mapping():
            raise item.invalid("an empty item in `from`", "one of " + ", ".join(FROM))
        if self.namespace and selector.namespace != self.namespace:
            raise item.invalid(
                f"an {NAMESPACED} in {self.namespace} cannot select sources of {selector.namespace}",
                f"move it to that namespace, or write a {CLUSTER}",
            )
        if sum(map(bool, (selector.service_account, selector.identity, selector.user))) > 1:
            raise item.invalid("at most one of serviceAccount, identity and user", "write several items")
        if pods is not None or spaces is not None:
            return self.by_labels(item, selector, pods, spaces)
        if selector.service_account and not selector.namespace:
            if self.kind == NAMESPACED:
                return Selector()  # its namespace is missing: reported, and no image is made
            raise item.invalid("a serviceAccount needs its namespace here", "add namespace: to the item")
        return selector

    def by_labels(
        self,
        item: Node,
        selector: Selector,
        pods: tuple[Requirement, ...] | None,
        spaces: tuple[Requirement, ...] | None,
    ) -> Selector:
        """`podSelector` and `namespaceSelector`, with `namespace` and `cidr` beside them or without."""
        if selector.service_account or selector.identity or selector.user:
            words = "podSelector and namespaceSelector stand beside namespace and cidr alone"
            raise item.invalid(words, "write several items")
        return Selector(cidr=selector.cidr, workloads=Workloads(selector.namespace, pods, spaces))

    # to

    def destinations(self, fields: Fields) -> list[Found]:
        """Every item of `to` with its destination and requests; None where something is wrong with it."""
        node = fields.get("to")
        if node is None:
            self.problems.error(fields.node.place, "`to` is missing", "write to: [{host: NAME, ports: [PORT]}]")
            return []
        results: list[Found] = []
        seen: dict[object, Node] = {}
        for item in self.filled(node, "matches nothing"):
            before = len(self.problems.errors)
            try:
                destination, matches = self.destination(item)
                if len(self.problems.errors) == before:  # else defaults stand where something is wrong
                    self.unique(item, destination, matches, seen)
                results.append((item, destination, matches))
            except Invalid as wrong:
                self.problems.add(wrong.problem)
                results.append((item, None, ()))
        return results

    def unique(
        self, item: Node, destination: Destination, matches: tuple[Match, ...], seen: dict[object, Node]
    ) -> None:
        """The same item twice is a slip: most likely one of the two was meant to be another."""
        ports = destination.ports if len(destination.ports) < 2 else tuple(sorted(destination.ports))
        key: tuple[object, ...]
        if destination.host is not None:
            key = (destination.host.value, ports)
        else:
            key = (destination.cidr, destination.hosts_from and destination.hosts_from.value, ports)
        if destination.excepts:
            key = (*key, frozenset(text.value for text in destination.excepts))
        if matches:
            key = (
                *key,
                frozenset((match.path and (match.path.kind, match.path.value.value), match.when) for match in matches),
            )
        if key in seen:
            where = f"it is first listed in line {seen[key].line}"
            raise item.invalid("duplicate rule: the same item of `to` twice", where)
        seen[key] = item

    def destination(self, item: Node) -> tuple[Destination, tuple[Match, ...]]:
        fields = item.fields(TO, self.problems)
        given = [name for name in ("host", "cidr", "hostsFrom") if fields.get(name) is not None]
        if len(given) != 1:
            names = "host, cidr and hostsFrom"
            if not given:
                raise item.invalid(f"one of {names} is missing", did_you_mean("host", item.mapping()) and "write host:")
            raise item.invalid(f"exactly one of {names} may be set, found {' and '.join(given)}", "write several items")
        host = fields.read("host", host_pattern, None)
        cidr = fields.read("cidr", Node.cidr, "")
        any_port: tuple[Range, ...] = ()
        ports = fields.read("ports", self.ports, any_port)
        ports = self.same_ports.setdefault(ports, ports)
        hosts_from = fields.read("hostsFrom", self.hosts_from, None)
        excepts: tuple[Text, ...] = ()
        if node := fields.get("except"):
            items = self.filled(node, "excepts nothing")
            if host is not None or cidr or hosts_from is not None:
                excepts = read_excepts(items, host, cidr, self.problems)
        matches = read_matches(fields, self.problems)
        return Destination(host=host, cidr=cidr, hosts_from=hosts_from, ports=ports, excepts=excepts), matches

    def ports(self, node: Node) -> tuple[Range, ...]:
        """Numbers and "low-high" ranges; none may lie in another."""
        items = self.filled(node, "matches no port")
        found = each(items, _port_item, self.problems)
        wrong: dict[int, int] = {}  # an item, and one before it that it overlaps
        widest = -1  # of the items with lower ports, the one that reaches highest
        for number in sorted(range(len(found)), key=lambda number: found[number][1]):
            if widest >= 0 and found[number][1][0] <= found[widest][1][1]:
                wrong.setdefault(max(number, widest), min(number, widest))
            if widest < 0 or found[number][1][1] > found[widest][1][1]:
                widest = number
        for number, other in sorted(wrong.items()):
            words = f"duplicate port: {_range_text(found[number][1])} and {_range_text(found[other][1])} overlap"
            self.problems.error(found[number][0].place, words)
        return tuple(ports for _, ports in found)

    def hosts_from(self, node: Node) -> Text:
        """A path, relative to the manifest; inside a policy path once every symlink is followed."""
        text = node.string()
        if not text or "\0" in text:
            raise node.unexpected("a path")
        if os.path.isabs(text):
            raise node.invalid("a hostsFrom path is relative to the manifest", "list files lie beside it")
        path = os.path.join(os.path.dirname(node.file), text)
        if not inside(os.path.realpath(path), self.roots):
            raise node.invalid(*outside(text))
        return Text(path, node.line, node.column)

    def filled(self, node: Node, empty: str) -> list[Node]:
        """The items of a list. An empty one, or nothing at all, is an error: was something commented out?"""
        if node.is_null or node.value == []:
            self.problems.error(node.place, f"the list is empty: it {empty}")
            return []
        return node.items()


def _items(found: Sequence[Found], changes: bool) -> Iterator[Item]:
    """The rules of the items of `to`, one for each kind of requests. A rule that changes requests wants one."""
    for index, (node, to, matches) in enumerate(found):
        for match in matches or (Match(None, None),):
            if to is not None:
                when = match.when if match.when or match.path or not changes else REQUEST
                yield Item(index, node.line, node.column, to, match.path, when, match.ahead)


def _source_address(node: Node) -> tuple[Node, str]:
    """An address of its own that a socket can be bound to, as RFC 5952 writes it."""
    text = node.text()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        hint = "a pool lists single addresses" if "/" in text else ""
        raise node.unexpected("an IP address", hint) from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None or address.is_link_local:
            raise node.invalid("a link-local address reaches no further than its link", "write a global one")
        if address.ipv4_mapped is not None:
            raise node.invalid("an IPv4-mapped address stands for an IPv4 address", f"write {address.ipv4_mapped}")
    if address.is_unspecified or address.is_multicast or text == "255.255.255.255":
        raise node.invalid("nothing can be dialed from this address", "write an address of this machine")
    return node, str(address)


def _port_item(node: Node) -> tuple[Node, Range]:
    expected = 'a port (443) or a range ("8000-8100")'
    if isinstance(node.value, str) and not node.is_null:
        low, dash, high = node.value.partition("-")
        if node.plain and not dash:
            port = node.integer(1, 65535)
            return node, (port, port)
        if dash and _is_number(low) and _is_number(high):
            if not 1 <= int(low) <= int(high) <= 65535:
                raise node.invalid(f"{quote(node.value)} is not a port range", "the lower port first, 1 to 65535")
            return node, (int(low), int(high))
        if _is_number(node.value):
            raise node.unexpected(expected, f"remove the quotes: {node.value}")
    raise node.unexpected(expected)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and not (len(text) > 1 and text[0] == "0")


def _range_text(ports: Range) -> str:
    return str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"


DIALECT: Final = Dialect({(GROUP, kind): (VERSION,) for kind in KINDS}, read, selects=selects)
