"""What the numbers in labelled counters and tunnel records mean: families, their labels, and the words of each.

csrc/segment.h and csrc/contract.h say the same to C; tests/supervisor/test_labels.py holds them together. A number that
has no word reads as `other`: whoever wrote it may have been a newer worker, or nobody of ours.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from gateway.policy import outcome_names, phase_names, reason_names
from supervisor.segment import FAMILIES

__all__ = [
    "DIRECTIONS",
    "FAMILY",
    "H2_ABUSES",
    "H2_CODES",
    "H2_SIDES",
    "LOG_EVENTS",
    "OTHER",
    "OUTCOMES",
    "PHASES",
    "PROTOCOLS",
    "REASONS",
    "REJUDGED",
    "SCOPES",
    "STATES",
    "VERDICTS",
    "Family",
    "read_key",
    "word",
    "write_key",
]

OTHER: Final = "other"
VERDICTS: Final = ("deny", "allow", "audit")
PHASES: Final[Sequence[str]] = tuple(phase_names())
REASONS: Final[Sequence[str]] = tuple(reason_names())
OUTCOMES: Final[Sequence[str]] = tuple(outcome_names())
PROTOCOLS: Final = ("unknown", "socks5", "socks4", "http", "http2tunnel", "hbone")
DIRECTIONS: Final = ("up", "down")
SCOPES: Final = (
    *("other", "tunnels", "source_tunnels", "source_requests", "source_dns", "source_dials", "source_provisional"),
    *("dns", "credentials", "descriptors", "draining", "source_logins", "ports", "memory", "streams"),
)
LOG_EVENTS: Final = ("decision", "open", "interval", "close", "refused")
REJUDGED: Final = ("allowed", "killed", "draining", "kept")
H2_ABUSES: Final = (
    *("rapid_reset", "continuation", "ping", "settings", "empty_frames", "window_update", "priority", "stream_errors"),
    *("unknown_frames", "refused_streams", "header_list", "unread_answers"),
)
H2_SIDES: Final = ("client", "gateway", "parent")
H2_CODES: Final = (
    *("no_error", "protocol_error", "internal_error", "flow_control_error", "settings_timeout", "stream_closed"),
    *("frame_size_error", "refused_stream", "cancel", "compression_error", "connect_error", "enhance_your_calm"),
    *("inadequate_security", "http_1_1_required", "other"),
)
STATES: Final = ("free", "open", "half_closed", "provisional", "revoked")


class Family(NamedTuple):
    """One metric with labels. `words` are those of the key's a, b and c, in the order of `labels` without `rule`."""

    name: str
    help: str
    labels: tuple[str, ...]
    words: tuple[Sequence[str], ...]

    @property
    def rule_at(self) -> int:
        """Where `rule` stands among the labels; -1 = it is none of them."""
        return self.labels.index("rule") if "rule" in self.labels else -1


_BY_NAME: Final[Mapping[str, Family]] = {
    family.name: family
    for family in (
        Family(
            "decisions_total",
            "Decisions taken, by the rule that decided",
            ("verdict", "phase", "rule", "reason"),
            (VERDICTS, PHASES, REASONS),
        ),
        Family(
            "tunnels_total",
            "Tunnels that ended and requests that failed, by outcome",
            ("protocol", "outcome"),
            (PROTOCOLS, OUTCOMES),
        ),
        Family("tunnels_open", "Tunnels open now", ("protocol",), (PROTOCOLS,)),
        Family(
            "bytes_total",
            "Bytes carried, by the rule that admitted the tunnel",
            ("direction", "rule"),
            (DIRECTIONS,),
        ),
        Family(
            "protocol_errors_total",
            "Requests that broke their protocol, or did not come in time",
            ("protocol", "reason"),
            (PROTOCOLS, OUTCOMES),
        ),
        Family("limited_total", "Requests refused for a limit", ("scope",), (SCOPES,)),
        Family("log_dropped_total", "Access log lines dropped", ("event",), (LOG_EVENTS,)),
        Family("rejudged_total", "Live tunnels judged again after a reload", ("result",), (REJUDGED,)),
        Family("http2_abuse_total", "HTTP/2 connections ended for asking too much", ("reason",), (H2_ABUSES,)),
        Family("http2_resets_total", "HTTP/2 streams that were reset", ("side", "code"), (H2_SIDES, H2_CODES)),
    )
}
FAMILY: Final[Sequence[Family]] = tuple(_BY_NAME[name] for name in FAMILIES)


def word(words: Sequence[str], number: int) -> str:
    """The word of a number."""
    return words[number] if 0 <= number < len(words) else OTHER


def read_key(key: int, rule_label: Callable[[int], str]) -> tuple[int, tuple[str, ...]]:
    """The family of a labelled counter (an index into FAMILY), and its label values. `rule_label` names a rule slot."""
    number = (key >> 56) - 1
    family = FAMILY[number]
    parts = (key >> 48 & 0xFF, key >> 40 & 0xFF, key >> 32 & 0xFF)
    values = [word(words, part) for words, part in zip(family.words, parts, strict=False)]
    if family.rule_at >= 0:
        values.insert(family.rule_at, rule_label(key >> 16 & 0xFFFF))
    return number, tuple(values)


def write_key(name: str, a: int = 0, b: int = 0, c: int = 0, slot: int = 0) -> int:
    """As sl_label_key."""
    return (FAMILIES.index(name) + 1) << 56 | a << 48 | b << 40 | c << 32 | slot << 16
