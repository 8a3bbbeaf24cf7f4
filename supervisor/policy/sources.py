"""The identities of a source in a question, and how well a selector takes it: as csrc/policy/source.c has it, for lists
of rules. A decision is never taken here."""

import ipaddress
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from gateway.policy.image import PolicyImage
from supervisor.config.config import Config, Network
from supervisor.policy.explanation import Question, is_at_home, pod_of, split_workload
from supervisor.policy.resources.model import Selector
from supervisor.source.words import is_role, workload_of

__all__ = ["Level", "levels_of", "rank_of", "source_of"]


OTHER_ROLE: Final = "any other role"  # no user can be called that


class Level(NamedTuple):
    """One identity of a source: a namespace and what narrows it."""

    namespace: str = ""
    account: str = ""
    identity: str = ""
    user: str = ""
    role: str = ""


def levels_of(image: PolicyImage, config: Config, question: Question) -> tuple[Level, ...]:
    """The identities that hold for the source of a question, the highest first (DECISIONS.md section 1)."""
    space, account = split_workload(question.workload)
    if not space and question.identity and is_at_home(config, question.identity):
        space, account = workload_of(question.identity)
    found: list[Level] = []
    role = question.identity.partition("=")[2] if question.identity and is_role(question.identity) else ""
    if question.identity or (space and not question.user and not question.token):
        found.append(Level(space, account, question.identity or "", role=role))
    if question.user:
        own = image.explain(host="sluice.invalid", port=1, user=question.user)["source"]
        role = "" if role else question.user
        found.append(Level(own["namespace"] or "", own["service_account"] or "", user=question.user, role=role))
    if (question.user and space and not question.identity) or (question.token and space):
        found.append(Level(space, account))  # of a token, or the workload that a user logs in from
    unknown = False  # an address of podNetworks without a pod has no identity by a network
    if image.workloads is not None and question.source is not None:
        placed = not question.workload or question.token
        if placed and (pod := pod_of(image, question)) is not None:
            found.append(Level(pod["namespace"], pod["service_account"]))
        unknown = placed and image.workloads.is_unknown(question.source)
    network = None if unknown else _network(config, question.source)
    if network is not None:
        found.append(Level(network.namespace, network.service_account))
    return tuple(found) or (Level(),)


def _network(config: Config, address: str | None) -> Network | None:
    """The longest network of identity.networks that has an address."""
    if address is None:
        return None
    peer = plain(address)
    found = [one for one in config.identity.networks if peer in ipaddress.ip_network(one.cidr)]
    return max(found, key=lambda one: ipaddress.ip_network(one.cidr).prefixlen, default=None)


def plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address; a dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2)."""
    found = ipaddress.ip_address(address)
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def rank_of(
    selectors: Sequence[Selector],
    levels: Sequence[Level],
    address: str | None,
    roles: Collection[str] = (),
    networked: Collection[str] = (),
) -> tuple[int, int] | None:
    """How narrowly the best selector takes a source by one of its identities: user, identity and role 4, service
    account 3, namespace 2, cidr 1, mesh 0; and the length of its cidr. None: not at all. `roles`: those that selectors
    of the policy name; `networked`: namespaces with networks of destinations of their own."""
    found: tuple[int, int] | None = None
    for selector in selectors:
        if selector.workloads is not None:
            continue  # who is selected by labels, records of addresses say: no list has them
        length = 0
        if selector.cidr:
            network = ipaddress.ip_network(selector.cidr)
            if address is None or plain(address) not in network:
                continue
            length = 1 + network.prefixlen
        kind = (
            4
            if selector.identity or selector.user or selector.role or selector.other_roles
            else 3
            if selector.service_account
            else 2
            if selector.namespace
            else 0
        )
        kind = kind or (1 if selector.cidr else 0)
        if (found is None or (kind, length) > found) and any(
            _takes(selector, level, roles, networked) for level in levels
        ):
            found = kind, length
    return found


def _takes(selector: Selector, level: Level, roles: Collection[str], networked: Collection[str]) -> bool:
    if selector.identified and not (level.account or level.identity or level.user):
        return False
    if selector.elsewhere and (not level.namespace or level.namespace in networked):
        return False
    if selector.other_roles and (not level.role or level.role in roles):
        return False
    return (
        selector.namespace in ("", level.namespace)
        and selector.service_account in ("", level.account)
        and selector.identity in ("", level.identity)
        and selector.user in ("", level.user)
        and selector.role in ("", level.role)
    )


def source_of(selector: Selector) -> dict[str, str | None]:
    """The options of a question for a source that has what a selector says, and nothing else."""
    workload = "/".join(filter(None, (selector.namespace, selector.service_account)))
    address = str(ipaddress.ip_network(selector.cidr).network_address) if selector.cidr else None
    by_user = selector.user and not selector.identity
    user = selector.user or selector.role or (OTHER_ROLE if selector.other_roles else None)
    return {
        "workload": None if by_user else workload or None,
        "identity": selector.identity or None,
        "user": user,
        "source": address,
    }
