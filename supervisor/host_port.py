"""`address:port` as sluice.yaml writes it: reading it, and telling whether two would want the same socket."""

import ipaddress
import re

from supervisor.node import Node
from supervisor.problems import quote


def join(host: str, port: int) -> str:
    """`host:port` with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def endpoint(node: Node) -> tuple[str, int]:
    """`127.0.0.1:1080` or `[::1]:1080` as (canonical host, port). Raises Invalid."""
    expected = "an address such as 127.0.0.1:1080 or [::]:1080"
    text = node.text()
    found = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*)):([0-9]+)", text)
    if not found:
        if text.count(":") > 1:
            raise node.unexpected(expected, "IPv6 addresses stand in brackets: [::1]:1080")
        raise node.unexpected(expected, "a port is missing" if ":" not in text and node.plain else "")
    host, port = found[1] if found[1] is not None else found[2], found[3]
    if not (len(port) <= 5 and not port.startswith("0") and 1 <= int(port) <= 65535):
        raise node.invalid(f"{quote(port)} is no port: 1 to 65535")
    try:
        address = ipaddress.ip_address(host)
        if "%" in host or (address.version == 6) != (found[1] is not None):
            raise ValueError(host)
    except ValueError:
        if host in ("", "*"):
            raise node.unexpected(expected, f"for every address write 0.0.0.0:{port} or [::]:{port}") from None
        hint = "names are not looked up here: write the IP address"
        hint = f"write 127.0.0.1:{port}" if host == "localhost" else hint
        raise node.unexpected(expected, hint) from None
    return str(address), int(port)


def overlap(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether two endpoints would want the same socket; `::` is dual-stack and takes IPv4 too."""
    if one[1] != other[1]:
        return False
    if one[0] == other[0] or "::" in (one[0], other[0]):
        return True
    return "0.0.0.0" in (one[0], other[0]) and ":" not in one[0] + other[0]


def dns_server(node: Node) -> str:
    """The address of a DNS server, with or without a port; canonical. Raises Invalid."""
    text = node.text()
    try:
        return str(ipaddress.ip_address(text)) if "%" not in text else _bad_server(node)
    except ValueError:
        if re.search(r":[0-9]+$", text):
            host, port = endpoint(node)
            return join(host, port)
        return _bad_server(node)


def _bad_server(node: Node) -> str:
    raise node.unexpected("an IP address, with or without a port: 10.0.0.10, 10.0.0.10:53 or [2001:db8::10]:53")
