"""Privileges that namespaced objects of a cluster have only by a grant of sluice.yaml (DECISIONS.md section 9): the
lift of the address guard, sourceAddress, upstream, credentials; and files, which they never name."""

import ipaddress
from collections.abc import Iterator, Sequence

from gateway.tables import GUARD_BLOCKS
from supervisor.config.tenants import Grant
from supervisor.policy.covering import Network, lies_in
from supervisor.policy.resources.model import Item, Rules, Text
from supervisor.source.problems import Place, Problem, quote

__all__ = ["Granted"]

LIFTABLE = tuple(ipaddress.ip_network(block) for block, reason, liftable, _ in GUARD_BLOCKS if reason and liftable)


class Granted:
    """The grants of each namespace. `opened`: networks of addresses.allow, for which the guard is lifted anyway."""

    def __init__(self, grants: Sequence[Grant], opened: Sequence[str]) -> None:
        self._grants = grants
        self._opened = [ipaddress.ip_network(cidr) for cidr in opened]

    def violations(self, rules: Rules) -> Iterator[Problem]:
        """All that the rules of one namespaced object use without a grant."""
        grants = [grant for grant in self._grants if rules.namespace in grant.namespaces]
        yield from _files(rules)
        if rules.upstream and not any(rules.upstream.value in grant.upstreams for grant in grants):
            yield _problem(rules, rules.upstream, f"upstream {quote(rules.upstream.value)}", "upstreams")
        for name in rules.credentials:
            if not any(name.value in grant.credentials for grant in grants):
                yield _problem(rules, name, f"credential {quote(name.value)}", "credentials")
        blocks = [ipaddress.ip_network(cidr) for grant in grants for cidr in grant.source_addresses]
        for text in rules.source_addresses:
            address = ipaddress.ip_network(text)
            if not any(lies_in(address, block) for block in blocks):
                yield _problem(rules, rules.items[0], f"sourceAddress {text}", "sourceAddresses")
        if rules.tier == "allow":
            lifted = [ipaddress.ip_network(cidr) for grant in grants for cidr in grant.cidrs]
            yield from self._lifts(rules, lifted)

    def _lifts(self, rules: Rules, granted: list[Network]) -> Iterator[Problem]:
        for item in rules.items:
            if not item.destination.cidr:
                continue
            network = ipaddress.ip_network(item.destination.cidr)
            if any(lies_in(network, block) for block in LIFTABLE) and not any(
                lies_in(network, block) for block in (*granted, *self._opened)
            ):
                yield _problem(rules, item, f"cidr {item.destination.cidr}, which lifts the address guard,", "cidrs")


def _files(rules: Rules) -> Iterator[Problem]:
    """A namespaced object is written by a tenant: paths are the gateway's own."""
    texts = [item.destination.hosts_from for item in rules.items]
    if tls := rules.tls:
        texts += [None if tls.authority is not None else tls.ca, tls.certificate, tls.key]
    for text in filter(None, texts):
        place = rules.place(text)
        words = f"a namespaced object of a cluster names no file, found {quote(text.value)}"
        yield Problem(place.file, place.line, place.column, words, "write it into the object, or a cluster kind")


def _problem(rules: Rules, part: Item | Text, what: str, key: str) -> Problem:
    place: Place = rules.place(part)
    words = f"{what} is not granted to objects of the namespace {rules.namespace}"
    return Problem(place.file, place.line, place.column, words, f"grants[].{key} in sluice.yaml grants it")
