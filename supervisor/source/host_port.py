"""`host:port` as sluice.yaml, questions and endpoints write it: split, read, joined, and compared."""

import ipaddress
import re
from typing import NamedTuple

from supervisor.source.node import Node
from supervisor.source.problems import quote


class HostPort(NamedTuple):
    """The parts of a text, as they stand there: no name or address is looked at. `port` is digits."""

    host: str
    port: str
    bracketed: bool

    @property
    def number(self) -> int | None:
        """The port; None where it is none: not 1 to 65535, or with a leading zero."""
        return int(self.port) if re.fullmatch(r"[1-9][0-9]{0,4}", self.port) and int(self.port) <= 65535 else None


def split(text: str) -> HostPort | None:
    """`a.example:443`, `127.0.0.1:1080` or `[::1]:1080`; None for a text of another form."""
    found = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*)):([0-9]+)", text)
    if found is None:
        return None
    return HostPort(found[2] if found[1] is None else found[1], found[3], found[1] is not None)


def join(host: str, port: int) -> str:
    """`host:port` with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def endpoint(node: Node) -> tuple[str, int]:
    """`127.0.0.1:1080` or `[::1]:1080` as (canonical host, port). Raises Invalid."""
    expected = "an address such as 127.0.0.1:1080 or [::]:1080"
    if isinstance(node.value, list):  # [::1] without quotes
        items = [item.value for item in node.value]
        inside = items[0] if len(items) == 1 and isinstance(items[0], str) else ""
        hint = f'put it in quotes, with a port: "[{inside}]:1080"' if ":" in inside else ""
        raise node.unexpected(expected, hint)
    text = node.text()
    found = split(text)
    if not found:
        raise node.unexpected(expected, _endpoint_hint(text))
    host, port, bracketed = found
    if (number := found.number) is None:
        raise node.invalid(f"{quote(port)} is not a port: 1 to 65535")
    try:
        address = ipaddress.ip_address(host)
        if "%" in host or (address.version == 6) != bracketed:
            raise ValueError(host)
    except ValueError:
        if host in ("", "*"):
            raise node.unexpected(expected, f"for every address write 0.0.0.0:{port} or [::]:{port}") from None
        hint = "names are not looked up here: write the IP address"
        hint = f"write 127.0.0.1:{port}" if host == "localhost" else hint
        raise node.unexpected(expected, hint) from None
    return str(address), number


def _endpoint_hint(text: str) -> str:
    """The suggestion for a text that is not `host:port`."""
    if url := re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)(?:[/?#].*)?", text):
        hint = f": write {url[1]}" if re.search(r":[0-9]+$", url[1]) else ""
        return f"an address is not a URL{hint}"
    if re.fullmatch(r"[0-9]{1,5}", text):
        return f"an IP address is missing before the port: write 127.0.0.1:{text}, or 0.0.0.0:{text} for every address"
    bare = text.removeprefix("[").removesuffix("]").removesuffix(":")
    try:
        version = ipaddress.ip_address(bare).version
    except ValueError:
        if text.count(":") > 1 and not text.startswith("["):
            return "IPv6 addresses stand in brackets: [::1]:1080"
        return "" if ":" in text else "a port is missing: names are not looked up here, write an IP address and a port"
    if version == 6 and not text.startswith("["):
        return "IPv6 addresses stand in brackets: [::1]:1080"
    return f"a port is missing: write {f'[{bare}]' if version == 6 else bare}:1080"


def overlap(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether two endpoints would want the same socket; `::` is dual-stack and takes IPv4 as well."""
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
