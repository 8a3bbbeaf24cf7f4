"""The address guard as DECISIONS.md section 3 says it, for the slow evaluator: blocks, in the order they are asked."""

import ipaddress
from typing import Final

# The address guard (DECISIONS.md section 3), as far as the drawn addresses go. False: no rule ever lifts it.
GUARD: Final[tuple[tuple[str, str, bool], ...]] = (
    ("0.0.0.0/32", "address_unspecified", False),
    ("127.0.0.0/8", "address_loopback", False),
    ("169.254.169.254/32", "address_metadata", False),
    ("100.100.100.200/32", "address_metadata", False),
    ("168.63.129.16/32", "address_metadata", False),
    ("169.254.0.0/16", "address_link_local", False),
    ("224.0.0.0/4", "address_multicast", False),
    ("10.0.0.0/8", "address_special_purpose", True),
    ("100.64.0.0/10", "address_special_purpose", True),
    ("172.16.0.0/12", "address_special_purpose", True),
    ("192.168.0.0/16", "address_special_purpose", True),
    ("203.0.113.0/24", "address_special_purpose", True),
    ("::/128", "address_unspecified", False),
    ("::1/128", "address_loopback", False),
    ("fd00:ec2::254/128", "address_metadata", False),
    ("fe80::/10", "address_link_local", False),
    ("ff00::/8", "address_multicast", False),
    ("fc00::/7", "address_special_purpose", True),
    ("2001:db8::/32", "address_special_purpose", True),
    ("::ffff:0:0/96", "address_embedded_ipv4", True),
    ("64:ff9b::/96", "address_embedded_ipv4", True),
)
EMBEDDING: Final = tuple(ipaddress.ip_network(text) for text in ("::ffff:0:0/96", "64:ff9b::/96"))
