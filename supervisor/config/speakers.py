"""`identity.trusted` and `identity.proxyProtocolFrom`: which peers may speak for others, and how."""

from typing import Final

import msgspec

from supervisor.config.trust import Trust
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Problems, quote
from supervisor.source.words import identity_uri, trust_domain_of

MOST_TRUSTED: Final = 1024
MOST_SOURCES: Final = 1_000_000


class ProxyPeers(msgspec.Struct, frozen=True):
    """Peers that have to send a PROXY header; `identity`: an identity in it counts."""

    cidr: str
    identity: bool = False


class Trusted(msgspec.Struct, frozen=True):
    """The identity of a certificate that may speak for others. Where it names no client its limits are those of so many
    `sources`."""

    identity: str
    sources: int = 1


def read_proxy_peers(identity: Fields, trust: Trust, problems: Problems) -> tuple[ProxyPeers, ...]:
    """`proxyProtocolFrom`: CIDRs, or mappings with one. What is wrong is left out, and reported."""
    found = dict.fromkeys(identity.each("proxyProtocolFrom", lambda node: _proxy_peers(node, problems)))
    node = identity.get("proxyProtocolFrom")
    if node and not trust.domains and any(peers.identity for peers in found):
        problems.error(node.place, "identity: true without identity.trustDomains", "no identity could be of one")
    return tuple(found)


def read_trusted(identity: Fields, trust: Trust, problems: Problems) -> tuple[Trusted, ...]:
    """`trusted`, likewise."""
    found: dict[str, Trusted] = {}
    domains = {domain.name for domain in trust.domains}
    for node in identity.items("trusted"):
        fields = node.fields(("identity", "sources"), problems)
        name = fields.need("identity", identity_uri, "")
        if name in found:
            problems.error(node.place, f"duplicate identity {quote(name)}")
        elif name and trust_domain_of(name) not in domains:
            words = f"no trust domain has the identity {quote(name)}: no client can show it"
            problems.error(node.place, words, "identity.trustDomains in sluice.yaml names them")
        found[name] = Trusted(name, fields.read("sources", lambda number: number.integer(1, MOST_SOURCES), 1))
    if len(found) > MOST_TRUSTED and (node_of_all := identity.get("trusted")):
        problems.error(node_of_all.place, f"more than {MOST_TRUSTED} identities")
    return tuple(found.values())


def _proxy_peers(node: Node, problems: Problems) -> ProxyPeers:
    if not isinstance(node.value, dict):
        return ProxyPeers(node.cidr())
    fields = node.fields(("cidr", "identity"), problems)
    return ProxyPeers(fields.need("cidr", Node.cidr, ""), fields.read("identity", Node.boolean, False))
