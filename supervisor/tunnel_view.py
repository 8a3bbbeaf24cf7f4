"""Live tunnels as operators see them: items of lists, the filters over them, and the close lines of lost ones.

The values come from segments that a worker may have spoiled, and texts from clients: all texts are escaped here.
"""

import datetime
import ipaddress
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import orjson

from gateway.policy import PolicyImage
from supervisor.labels import OTHER, PHASES, PROTOCOLS, REASONS, VERDICTS, word
from supervisor.live_tunnels import LiveTunnel, TunnelId
from supervisor.log import escape
from supervisor.rule_slots import RuleSlots
from supervisor.segment import SLOT_NONE

__all__ = ["FilterError", "Match", "TunnelFilter", "Viewer", "make_filter", "now_ms"]

_NAME_ROOM: Final = 120  # bytes of a name that a record holds
_LATEST: Final = 253402300799000  # the last millisecond that RFC 3339 can write


class Viewer:
    """Shows tunnels by one generation's names. `image` is that generation's; without it identities and the names of
    rules without a slot are not known."""

    def __init__(
        self, generation: int, listeners: list[str], slots: RuleSlots, image: PolicyImage | None = None
    ) -> None:
        self._generation = generation
        self._listeners = listeners
        self._slots = slots
        self._image = image

    def rule(self, tunnel: LiveTunnel) -> str | None:
        """The label of the rule that decided; None = a default."""
        if tunnel.rule_slot == SLOT_NONE:
            return None
        label = self._slots.label(tunnel.rule_slot)
        if label == OTHER and self._image is not None and tunnel.generation == self._generation:
            label = self._image.rule_label(tunnel.rule) or OTHER
        return label

    def identity(self, tunnel: LiveTunnel) -> tuple[str | None, str | None]:
        """(`namespace/serviceAccount`, where it came from), each None when not known."""
        if self._image is None or tunnel.user_cut or (tunnel.user is not None and b"\0" in tunnel.user):
            return None, "credentials" if tunnel.user is not None else None
        found: tuple[str | None, str | None] = self._image.identity_of(tunnel.peer, tunnel.user)
        return found

    def item(self, tunnel_id: TunnelId, tunnel: LiveTunnel) -> dict[str, Any]:
        """One item of a list: the keys of an access log line, as far as a record has them, and `state`."""
        return {
            "id": str(tunnel_id),
            "opened": _timestamp(tunnel.opened_ms),
            "state": tunnel.state,
            **self._facts(tunnel_id, tunnel),
            "bytes_up": tunnel.bytes_up,
            "bytes_down": tunnel.bytes_down,
        }

    def close_line(self, tunnel_id: TunnelId, tunnel: LiveTunnel, now_ms: int) -> bytes:
        """The `close` line of a tunnel whose worker died (CONTRACT.md section 6)."""
        return orjson.dumps(
            {
                "ts": _timestamp(now_ms),
                "event": "close",
                "id": str(tunnel_id),
                **self._facts(tunnel_id, tunnel),
                "inner": None,
                "dns_ms": None,
                "dial_ms": None,
                "outcome": "worker_lost",
                "bytes_up": tunnel.bytes_up,
                "bytes_down": tunnel.bytes_down,
                "duration_ms": max(0, now_ms - tunnel.opened_ms),
            }
        )

    def _facts(self, tunnel_id: TunnelId, tunnel: LiveTunnel) -> dict[str, Any]:
        identity, origin = self.identity(tunnel)
        listeners = self._listeners
        return {
            "generation": tunnel.generation,
            "worker": tunnel_id.slot,
            "listener": listeners[tunnel.listener] if tunnel.listener < len(listeners) else None,
            "protocol": word(PROTOCOLS, tunnel.protocol),
            "source": {
                "ip": tunnel.peer,
                "port": tunnel.peer_port,
                "identity": escape(identity) if identity else None,
                "identity_source": origin,
                "user": _text(tunnel.user, tunnel.user_cut),
            },
            "destination": {
                "host": _text(tunnel.name, tunnel.name_cut) or tunnel.dialed,
                "port": tunnel.port,
                "address": tunnel.dialed,
            },
            "verdict": word(VERDICTS, tunnel.verdict),
            "rule": escape(rule) if (rule := self.rule(tunnel)) is not None else None,
            "phase": word(PHASES, tunnel.phase),
            "reason": word(REASONS, tunnel.reason),
            "would_deny": tunnel.would_deny,
        }


class FilterError(ValueError):
    """A filter that makes no sense; the text says why."""


class TunnelFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"workload": "from"}):
    """Which tunnels are meant; None = any. They combine.

    `from`: an IP address or CIDR, `namespace/serviceAccount`, or else a namespace or user. `to`: a host, `*.suffix`,
    IP address or CIDR, each with or without `:port`. `rule`: the label of a rule, "" = none.
    """

    workload: str | None = None
    to: str | None = None
    rule: str | None = None


Match = Callable[[Viewer, LiveTunnel], bool]
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
    return lambda viewer, tunnel: (
        (tunnel.user == user and not tunnel.user_cut)
        or (tunnel.user_cut and tunnel.user == user[: len(tunnel.user or b"")])
        or (viewer.identity(tunnel)[0] or "").startswith(prefix)
    )


def _to(text: str) -> Match:
    host, port = _host_and_port(text)
    network = _network(host)
    if network is not None:
        return lambda viewer, tunnel: port in (None, tunnel.port) and _inside(tunnel.dialed, network)
    name = host.lower().rstrip(".").encode("utf-8", "replace")
    suffix = name[1:] if name.startswith(b"*.") else None
    if not name or b"*" in (suffix or name):
        raise FilterError("`to` is a host, *.suffix, IP address or CIDR, with or without :port")

    def match(_: Viewer, tunnel: LiveTunnel) -> bool:
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
        raise FilterError("the port in `to` is no port: 1 to 65535")
    return int(text)


def _network(text: str) -> Network | None:
    """An address or CIDR, None for another text; host bits may be set."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _inside(address: str | None, network: Network) -> bool:
    return address is not None and ipaddress.ip_address(address) in network


def _text(raw: bytes | None, cut: bool) -> str | None:
    """Escaped; `...` marks a text that goes on."""
    return None if raw is None else escape(raw) + ("..." if cut else "")


def _timestamp(milliseconds: int) -> str:
    """RFC 3339 in UTC."""
    moment = datetime.datetime.fromtimestamp(min(milliseconds, _LATEST) / 1000, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000
