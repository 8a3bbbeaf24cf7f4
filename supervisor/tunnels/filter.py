"""Which live tunnels an operator means: `from`, `to` and `rule` of `sluice tunnels`, as one test of a tunnel.

A record holds the beginning of a name or user that is too long for it: then the beginning has to match.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from supervisor.segment.labels import OTHER

if TYPE_CHECKING:
    from supervisor.segment.live_tunnels import LiveTunnel
    from supervisor.tunnels.view import Viewer

__all__ = ["FilterError", "Match", "TunnelFilter", "make_filter"]

_RULE: Final = re.compile(r"[A-Z][A-Za-z0-9]*(/[^/]+){1,2}")
_NAME_ROOM: Final = 120  # bytes of a name that a record holds


class FilterError(ValueError):
    """A filter that makes no sense; the text says why."""


class TunnelFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"workload": "from"}):
    """Which tunnels are meant; None = any. They combine.

    `from`: an IP address or CIDR, `namespace/serviceAccount`, or else a namespace or user. `to`: a host, `*.suffix`,
    IP address or CIDR, each with or without `:port`. `rule`: `Kind/namespace/name` or `Kind/name`, "" = none.
    """

    workload: str | None = None
    to: str | None = None
    rule: str | None = None


Match = Callable[["Viewer", "LiveTunnel"], bool]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def make_filter(wanted: TunnelFilter) -> Match:
    """The test for one tunnel. Raises FilterError."""
    parts: list[Match] = []
    if wanted.workload is not None:
        parts.append(_from(wanted.workload))
    if wanted.to is not None:
        parts.append(_to(wanted.to))
    if wanted.rule is not None:
        rule = wanted.rule or None
        if rule is not None and rule != OTHER and not _RULE.fullmatch(rule):
            raise FilterError("`rule` is Kind/namespace/name, such as EgressPolicy/shop/cart, or Kind/name")
        parts.append(lambda viewer, tunnel: viewer.rule(tunnel) == rule)
    return lambda viewer, tunnel: all(part(viewer, tunnel) for part in parts)


def _from(text: str) -> Match:
    if not text:
        raise FilterError("`from` is empty")
    network = _network(text)
    if network is not None:
        return lambda viewer, tunnel: _inside(tunnel.peer, network)
    if "/" in text:
        return lambda viewer, tunnel: viewer.identity(tunnel)[0] == text
    user, prefix = text.encode(), text + "/"

    def match(viewer: "Viewer", tunnel: "LiveTunnel") -> bool:
        if tunnel.user is not None and (user.startswith(tunnel.user) if tunnel.user_cut else user == tunnel.user):
            return True
        return (viewer.identity(tunnel)[0] or "").startswith(prefix)

    return match


def _to(text: str) -> Match:
    host, port = _host_and_port(text)
    network = _network(host)
    if network is not None:
        return lambda viewer, tunnel: port in (None, tunnel.port) and _inside(tunnel.dialed, network)
    name = host.lower().rstrip(".").encode("utf-8", "replace")
    suffix = name[1:] if name.startswith(b"*.") else None
    if not name or b"*" in (suffix or name):
        raise FilterError("`to` is a host, *.suffix, IP address or CIDR, with or without :port")

    def match(_: "Viewer", tunnel: "LiveTunnel") -> bool:
        if tunnel.name is None or port not in (None, tunnel.port):
            return False
        if suffix is not None:
            return tunnel.name.endswith(suffix) and not tunnel.name_cut
        return tunnel.name == (name[:_NAME_ROOM] if tunnel.name_cut else name)

    return match


def _host_and_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:443`, `10.0.0.0/8:443`, `2001:db8::1`, `[2001:db8::/32]:443`."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise FilterError("`to` has a [ that is not closed")
        return host, _port(rest[1:]) if rest else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, _port(port)
    return text, None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535):
        raise FilterError("the port in `to` is not a port: 1 to 65535")
    return int(text)


def _network(text: str) -> Network | None:
    """An address or CIDR, None for another text; host bits may be set."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _inside(address: str | None, network: Network) -> bool:
    return address is not None and ipaddress.ip_address(address) in network
