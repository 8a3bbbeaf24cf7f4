"""EgressNetworks: which one holds for a source and an address, and what its trafficPolicy says there.

A source's own namespace decides; where it has no EgressNetwork, those of the global namespace do. Of several that cover
an address the smallest block wins, then the older (policy-controller/k8s/index/src/outbound/index/egress_network.rs).
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from supervisor.policy.dialects.dialect import Surroundings
from supervisor.policy.dialects.groups import LINKERD
from supervisor.policy.dialects.linkerd.authorizations import Authorizations
from supervisor.policy.dialects.linkerd.order import TRAFFIC_POLICY, UNADMITTED
from supervisor.policy.dialects.linkerd.resources import Block, EgressNetwork
from supervisor.policy.dialects.linkerd.words import Network
from supervisor.policy.resources.conditions import Not
from supervisor.policy.resources.model import Destination, Item, Rules, Selector, Tier
from supervisor.policy.resources.terms import Text
from supervisor.source.problems import Place, Problems, did_you_mean

OVERLAP: Final = "EgressReasonNetworkOverlap"
TIERS: Final[dict[str, Tier]] = {"Allow": "default_allow", "Deny": "default_deny"}
ALL: Final = ("0.0.0.0/0", "::/0")


class Networks:
    """The EgressNetworks of a mesh. Those over the mesh's own networks are not accepted."""

    def __init__(self, parts: Iterable[EgressNetwork], surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.cluster = [ipaddress.ip_network(cidr) for cidr in surroundings.cluster_networks]
        self.known = {(part.namespace, part.name): part for part in parts}
        self.accepted = {key: part for key, part in self.known.items() if not self.overlaps(part)}

    def overlaps(self, part: EgressNetwork) -> list[tuple[Block, Network]]:
        """Its blocks that are not apart from the mesh's own networks, with these."""
        return [(block, own) for block in part.blocks or () for own in self.cluster if overlaps(block, own)]

    def check(self, problems: Problems) -> None:
        """An error for each of these blocks: without its EgressNetwork what it closes would be open."""
        for part in self.known.values():
            for block, own in self.overlaps(part):
                words = (
                    f"{OVERLAP}: {part.title} is not accepted, {block.cidr} lies over {own} of gateway.clusterNetworks"
                )
                hint = f"write except: [{own}], or other blocks"
                problems.error(Place(part.file, block.line, block.column), words, hint)

    def nearest(self, key: tuple[str, str]) -> str:
        """A suggestion for one that does not exist."""
        return did_you_mean(key[1], [name for namespace, name in self.known if namespace == key[0]])

    def selectors(self, namespace: str) -> tuple[Selector, ...]:
        """The sources that EgressNetworks of a namespace are for: of the global one all those without one, its own
        included."""
        if namespace == self.surroundings.global_namespace:
            return (Selector(elsewhere=True),)
        return (Selector(namespace),)

    def rules(self, authorizations: Authorizations) -> Iterator[Rules]:
        """One of each, an item for each block; and one that refuses whom it does not admit, where no route matches."""
        blocks = {key: tuple(self.blocks(part)) for key, part in self.accepted.items()}
        ahead = ranks(block for found in blocks.values() for block in found)
        for (namespace, name), part in self.accepted.items():
            items = tuple(self.items(part, blocks[namespace, name], ahead))
            if not items:
                continue
            rules = Rules(
                kind=part.kind,
                namespace=namespace,
                name=name,
                file=part.file,
                tier=TIERS[part.policy],
                selectors=self.selectors(namespace),
                items=items,
                created=part.created,
                group=LINKERD,
                precedence=TRAFFIC_POLICY,
                network=f"{namespace}/{name}",
            )
            yield rules
            admitted = authorizations.of_network(namespace, name)
            if part.policy == "Allow" and admitted is not None:
                everything = Item(0, part.line, part.column, Destination(anything=True), when=Not(admitted))
                yield msgspec.structs.replace(
                    rules,
                    tier="unauthorized",
                    items=(everything,),
                    precedence=UNADMITTED,
                    by_order=True,
                    network="",
                    in_network=rules.network,
                )

    def items(self, part: EgressNetwork, blocks: Sequence[Block], ahead: dict[tuple[int, int], int]) -> Iterator[Item]:
        if part.blocks is None and not self.cluster:
            yield Item(0, part.line, part.column, Destination(anything=True))
            return
        for index, block in enumerate(blocks):
            to = Destination(cidr=block.cidr, excepts=block.excepts)
            yield Item(index, block.line, block.column, to, ahead=ahead[measure(block)])

    def blocks(self, part: EgressNetwork) -> Iterator[Block]:
        """Its own; else everything but the mesh's own networks."""
        if part.blocks is not None:
            yield from part.blocks
            return
        for cidr in ALL:
            whole = ipaddress.ip_network(cidr)
            own = [one for one in self.cluster if one.version == whole.version]
            if whole not in own:
                excepts = tuple(Text(str(one), part.line, part.column) for one in own)
                yield Block(cidr, excepts, part.line, part.column)


def overlaps(block: Block, own: Network) -> bool:
    """Whether a block holds addresses of a network that none of its exceptions holds whole."""
    cidr = ipaddress.ip_network(block.cidr)
    if cidr.version != own.version or not cidr.overlaps(own):
        return False
    part = own if own.prefixlen >= cidr.prefixlen else cidr
    return not any(part.subnet_of(ipaddress.ip_network(text.value)) for text in block.excepts)  # type: ignore[arg-type]


def measure(block: Block) -> tuple[int, int]:
    """IP version and size: that of the CIDR without those of its exceptions."""
    whole = ipaddress.ip_network(block.cidr)
    parts = (ipaddress.ip_network(text.value) for text in block.excepts)
    return whole.version, whole.num_addresses - sum(part.num_addresses for part in parts)


def ranks(blocks: Iterable[Block]) -> dict[tuple[int, int], int]:
    """The order of sizes: 0 = everything of its version, the smaller the greater."""
    sizes = {measure(block) for block in blocks} | {(4, 1 << 32), (6, 1 << 128)}
    found: dict[tuple[int, int], int] = {}
    for version in (4, 6):
        ordered = sorted((size for own, size in sizes if own == version), reverse=True)
        found |= {(version, size): rank for rank, size in enumerate(ordered)}
    return found
