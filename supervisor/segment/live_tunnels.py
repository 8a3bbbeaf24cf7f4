"""Live tunnels as the workers' segments hold them: one record read as a value. What is shown of it is view.py's.

A worker edits a record under a sequence lock (csrc/shared/segment.h): a reader that finds it odd, or changed, looks
again. The record is as little to be trusted as its writer: every length, number and text is checked or escaped here.
"""

import ipaddress
import re
from collections import Counter
from itertools import compress
from typing import Any, Final, NamedTuple

from gateway import tables
from supervisor.segment.labels import STATES, word
from supervisor.segment.segment import RECORD, Segment, layout

__all__ = ["LiveTunnel", "TunnelId", "left_over", "parse", "parse_id", "protocols", "read"]

TRIES: Final = 4
USER_CUT: Final = 1
NAME_CUT: Final = 2
WOULD_DENY: Final = 4
IDENTITY_CUT: Final = 8
TOKEN: Final = 16
FORWARDED: Final = 32
WORKLOAD: Final = 64

_NAMES: Final = tuple(name for name, _, _ in tables.TUNNEL_FIELDS)
_RECORD: Final = layout(tables.TUNNEL_FIELDS)
assert _RECORD.size == RECORD
_ID: Final = re.compile(r"([0-9]{1,5})-([0-9a-f]{1,16})-([0-9]{1,20})")
_STATE_AT, _PROTOCOL_AT = (at for name, at, _ in tables.TUNNEL_FIELDS if name in ("state", "protocol"))


class TunnelId(NamedTuple):
    """`<slot>-<start>-<number>`, unique across restarts (CONTRACT.md section 2). `start` is written in hex."""

    slot: int
    start: int
    number: int

    def __str__(self) -> str:
        return f"{self.slot}-{self.start:x}-{self.number}"


class LiveTunnel(NamedTuple):
    """One record. `user` and `name` are raw bytes, cut where the flags say so; addresses are texts or None."""

    number: int
    opened_ms: int
    generation: int
    bytes_up: int
    bytes_down: int
    rule: int
    rule_slot: int
    listener: int
    peer_port: int
    port: int
    dialed_port: int
    state: str
    verdict: int
    protocol: int
    phase: int
    reason: int
    flags: int
    peer: str | None
    dialed: str | None
    user: bytes | None
    name: bytes | None
    identity: bytes | None = None  # of a certificate, a token or a pod, or forwarded

    @property
    def user_cut(self) -> bool:
        """`user` is only how it begins."""
        return bool(self.flags & USER_CUT)

    @property
    def name_cut(self) -> bool:
        """`name` is only how it begins."""
        return bool(self.flags & NAME_CUT)

    @property
    def identity_cut(self) -> bool:
        """`identity` is only how it begins."""
        return bool(self.flags & IDENTITY_CUT)

    @property
    def proof(self) -> str | None:
        """The source of user and identity, where the record tells; None = the password, or the network map."""
        if self.flags & FORWARDED:
            return "forwarded"
        if self.flags & TOKEN:
            return "token"
        if self.flags & WORKLOAD:
            return "workload"
        return "certificate" if self.identity is not None else None

    @property
    def would_deny(self) -> bool:
        """It passes in audit mode only."""
        return bool(self.flags & WOULD_DENY)


_TEXTS: Final = ("state", "peer", "dialed", "user", "name", "identity")
_NUMBERS: Final = tuple(name for name in LiveTunnel._fields if name not in _TEXTS)


def read(segment: Segment, index: int) -> LiveTunnel | None:
    """The live tunnel of a record; None = there is none, or it did not hold still."""
    at = index * RECORD
    for _ in range(TRIES):
        record = segment.records[at : at + RECORD].tobytes()
        if record[0] & 1 or segment.records[at : at + 8].tobytes() != record[:8]:
            continue
        return parse(record)
    return None


def left_over(segment: Segment) -> bytes:
    """The table as a dead worker left it, up to the last record; parse() takes each RECORD. It does not change
    any more: locks do not count, and a tunnel that was being closed counts as open."""
    used = len(segment.states().rstrip(b"\0"))
    return segment.records[: used * RECORD].tobytes()


def protocols(table: bytes) -> Counter[int]:
    """How many live tunnels of each protocol number a table holds."""
    return Counter(compress(table[_PROTOCOL_AT::RECORD], table[_STATE_AT::RECORD]))


def parse(record: bytes) -> LiveTunnel | None:
    """The value of a record; None = it is free."""
    it: dict[str, Any] = dict(zip(_NAMES, _RECORD.unpack(record), strict=True))
    if not it["state"]:
        return None
    return LiveTunnel(
        state=word(STATES, it["state"]),
        peer=_address(it["peer"]),
        dialed=_address(it["dialed"]),
        user=it["user"][: it["user_length"]] or None,
        name=it["name"][: it["name_length"]] or None,
        identity=it["identity"][: it["identity_length"]] or None,
        **{name: it[name] for name in _NUMBERS},
    )


def parse_id(text: str) -> TunnelId | None:
    """The parts of a tunnel id; None = it is not one."""
    found = _ID.fullmatch(text)
    if not found:
        return None
    wanted = TunnelId(int(found[1]), int(found[2], 16), int(found[3]))
    return wanted if str(wanted) == text else None


def _address(packed: bytes) -> str | None:
    """struct sl_addr: 16 bytes and the family."""
    if packed[16] == 4:
        return str(ipaddress.IPv4Address(packed[:4]))
    return str(ipaddress.IPv6Address(packed[:16])) if packed[16] == 6 else None
