"""Live tunnels as operators see them: items of lists, and the close lines of lost ones.

The values come from segments that a worker may have spoiled, and texts from clients: all texts are escaped here.
"""

import datetime
import time
from typing import Any, Final, NamedTuple

import orjson

from gateway.policy.image import PolicyImage
from supervisor.segment.labels import OTHER, PHASES, PROTOCOLS, REASONS, VERDICTS, word
from supervisor.segment.live_tunnels import LiveTunnel, TunnelId
from supervisor.segment.rule_slots import RuleSlots
from supervisor.segment.segment import SLOT_NONE
from supervisor.source.escape import escape_unprintable

__all__ = ["Now", "Viewer"]

_LATEST: Final = 253402300799000  # the last millisecond that RFC 3339 can write


class Now(NamedTuple):
    """One moment by both clocks, milliseconds. Ages are of the monotonic one: the other may be set at any time."""

    unix_ms: int
    monotonic_ms: int

    @classmethod
    def read(cls) -> "Now":
        """The present."""
        return cls(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)

    def age(self, tunnel: LiveTunnel) -> int:
        """How long a tunnel has been open."""
        return max(0, self.monotonic_ms - tunnel.opened_ms)


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

    def rule_place(self, tunnel: LiveTunnel) -> tuple[int | None, int | None]:
        """(item of the rule, line of its host list), each None when not known or not there."""
        if self._image is None or tunnel.generation != self._generation:
            return None, None
        found: tuple[int | None, int | None] = self._image.rule_place(tunnel.rule, tunnel.name)
        return found if not tunnel.name_cut else (found[0], None)

    def identity(self, tunnel: LiveTunnel) -> tuple[str | None, str | None]:
        """(`namespace/serviceAccount`, or another identity of a certificate; where it came from), each None when not
        known."""
        if tunnel.identity is not None:
            return _text(tunnel.identity, tunnel.identity_cut), tunnel.proof
        if self._image is None or tunnel.user_cut or (tunnel.user is not None and b"\0" in tunnel.user):
            return None, tunnel.proof or ("password" if tunnel.user is not None else None)
        found: tuple[str | None, str | None] = self._image.identity_of(tunnel.peer, tunnel.user)
        return found[0], tunnel.proof or found[1]

    def item(self, tunnel_id: TunnelId, tunnel: LiveTunnel, now: Now) -> dict[str, Any]:
        """One item of a list: the keys of an access log line, as far as a record has them, `opened` and `state`."""
        age = now.age(tunnel)
        return {
            "id": str(tunnel_id),
            "opened": _timestamp(now.unix_ms - age),
            "duration_ms": age,
            "state": tunnel.state,
            **self._facts(tunnel_id, tunnel),
            "bytes_up": tunnel.bytes_up,
            "bytes_down": tunnel.bytes_down,
        }

    def close_line(self, tunnel_id: TunnelId, tunnel: LiveTunnel, now: Now) -> bytes:
        """The `close` line of a tunnel whose worker died (CONTRACT.md section 6)."""
        return orjson.dumps(
            {
                "ts": _timestamp(now.unix_ms),
                "event": "close",
                "id": str(tunnel_id),
                **self._facts(tunnel_id, tunnel),
                "inner": None,
                "dns_ms": None,
                "dial_ms": None,
                "source_address": None,
                "tls": None,
                "outcome": "worker_lost",
                "bytes_up": tunnel.bytes_up,
                "bytes_down": tunnel.bytes_down,
                "duration_ms": now.age(tunnel),
            }
        )

    def _facts(self, tunnel_id: TunnelId, tunnel: LiveTunnel) -> dict[str, Any]:
        identity, origin = self.identity(tunnel)
        item, line = self.rule_place(tunnel)
        listeners = self._listeners
        return {
            "generation": tunnel.generation,
            "worker": tunnel_id.slot,
            "listener": listeners[tunnel.listener] if tunnel.listener < len(listeners) else None,
            "protocol": word(PROTOCOLS, tunnel.protocol),
            "source": {
                "ip": tunnel.peer,
                "port": tunnel.peer_port,
                "identity": identity if tunnel.identity or not identity else escape_unprintable(identity),
                "identity_source": origin,
                "user": _text(tunnel.user, tunnel.user_cut),
            },
            "destination": {
                "host": _text(tunnel.name, tunnel.name_cut) or tunnel.dialed,
                "port": tunnel.port,
                "address": tunnel.dialed,
            },
            "verdict": word(VERDICTS, tunnel.verdict),
            "rule": escape_unprintable(rule) if (rule := self.rule(tunnel)) is not None else None,
            "rule_item": item,
            "list_line": line,
            "phase": word(PHASES, tunnel.phase),
            "reason": word(REASONS, tunnel.reason),
            "would_deny": tunnel.would_deny,
            "addresses_refused": None,
        }


def _text(raw: bytes | None, cut: bool) -> str | None:
    """Escaped; `...` marks a text that goes on."""
    return None if raw is None else escape_unprintable(raw) + ("..." if cut else "")


def _timestamp(milliseconds: int) -> str:
    """RFC 3339 in UTC."""
    moment = datetime.datetime.fromtimestamp(min(milliseconds, _LATEST) / 1000, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
