"""Values of sluice.yaml that have a form of their own, each read from its node. Raises Invalid with its place."""

import ipaddress
import re
from typing import Final, Literal, get_args

from gateway.tables import GUARD_BLOCKS
from supervisor.config.config import Protocol
from supervisor.config.later import LATER_PROTOCOLS
from supervisor.source.node import Node
from supervisor.source.problems import quote

MOST_WORKERS: Final = 256
PROTOCOLS: Final[tuple[Protocol, ...]] = get_args(Protocol)
# No translator stands behind these: the guard refuses them for what they are, or they carry IPv4 in a way of their own.
NEVER_TRANSLATED: Final = tuple(
    network
    for block, reason, liftable, translated in GUARD_BLOCKS
    if (network := ipaddress.ip_network(block)).version == 6
    if not translated and ((reason and not liftable) or reason == "address_embedded_ipv4")
)


def worker_count(node: Node) -> int:
    """0 stands for `auto`."""
    if node.value == "auto":
        return 0
    if node.plain and isinstance(node.value, str) and not node.value.isdecimal():
        raise node.unexpected(f"`auto` or a number from 1 to {MOST_WORKERS}")
    return node.integer(1, MOST_WORKERS)


def passthrough(node: Node) -> bool | Literal["mesh"]:
    """A boolean, or `mesh`: the mesh's own settings, among the manifests, say which."""
    return "mesh" if node.value == "mesh" else node.boolean()


def listener_protocol(node: Node) -> Protocol:
    if node.value in LATER_PROTOCOLS:
        built = f"{', '.join(PROTOCOLS[:-1])} and {PROTOCOLS[-1]} are"
        raise node.invalid(f"protocol {quote(str(node.value))} is not built yet", built)
    return "socks5" if node.value == "sock5" else node.choice(*PROTOCOLS)


def nat64_prefix(node: Node) -> str:
    """A prefix that can hold IPv4 addresses (RFC 6052 section 2.2)."""
    text = node.cidr()
    network = ipaddress.ip_network(text)
    lengths = "32, 40, 48, 56, 64 or 96"
    if network.version != 6 or network.prefixlen not in (32, 40, 48, 56, 64, 96):
        raise node.unexpected(f"an IPv6 prefix of {lengths} bits", "such as 64:ff9b:1::/96")
    if network.network_address.packed[8]:
        raise node.invalid(f"bits 64 to 71 of {text} are not zero", "RFC 6052 section 2.2 keeps them zero")
    block = next((block for block in NEVER_TRANSLATED if network.overlaps(block)), None)
    if block is not None:
        raise node.invalid(f"{text} overlaps with {block}, which leads to no translator")
    return text


def deny_message(node: Node) -> str:
    """It goes into answers of every protocol that has a body, so it is what all of them can carry."""
    text = node.text()
    if not re.fullmatch(r"[\x20-\x7e]{1,300}", text):
        raise node.unexpected("one line of 1 to 300 printable ASCII characters")
    return text


def token(node: Node) -> str:
    """Never quoted in a message."""
    if not isinstance(node.value, str) or node.is_null or not re.fullmatch(r"[\x21-\x7e]{16,1024}", node.value):
        raise node.invalid("expected a token of 16 to 1024 printable ASCII characters without blanks")
    return node.value
