"""Metrics slots of rules: a number for each rule name, so that workers count without texts (csrc/shared/segment.h).

A slot is assigned by name and means that name as long as the gateway lives, also when the rule is gone: its counters
would otherwise become another rule's. After MOST names every further one shares slot 0, `other` (CONTRACT.md
section 7).

The compile process proposes (it meets the names first), the supervisor adopts with the generation that uses them: a
refused configuration takes no slot.
"""

from collections.abc import Mapping
from typing import Final

from supervisor.segment.labels import OTHER
from supervisor.segment.segment import SLOT_NONE

__all__ = ["MOST", "NO_RULE", "RuleSlots", "label_of"]

MOST: Final = 1000
NO_RULE: Final = ""  # the label of what no rule decided: a default, or the address guard


def label_of(kind: str, namespace: str | None, name: str) -> str:
    """The name a rule is known by in logs, answers and metrics: `Kind/namespace/name`, `Kind/name` without a
    namespace. Two dialects may have rules of one namespace and name."""
    return f"{kind}/{namespace}/{name}" if namespace else f"{kind}/{name}"


class RuleSlots:
    """Names and their slots."""

    def __init__(self, known: Mapping[str, int] | None = None) -> None:
        """Raises ValueError for what no RuleSlots has given."""
        self._slots: dict[str, int] = dict(known or {})
        self._names: dict[int, str] = {slot: name for name, slot in self._slots.items()}
        if len(self._names) != len(self._slots) or not all(0 < slot <= MOST for slot in self._names):
            raise ValueError("rule slots are not what they were")

    def assign(self, name: str) -> int:
        """The slot of a name, new if need be; 0 when there is none left, or for a rule that is called `other`."""
        slot = self._slots.get(name)
        if slot is None:
            if len(self._slots) >= MOST or name == OTHER:
                return 0
            slot = len(self._slots) + 1
            self._slots[name] = slot
            self._names[slot] = name
        return slot

    def label(self, slot: int) -> str:
        """The value of the label `rule`."""
        return NO_RULE if slot == SLOT_NONE else self._names.get(slot, OTHER)

    def known(self) -> dict[str, int]:
        """All of them, to be handed over."""
        return dict(self._slots)

    def followed_by(self, proposed: Mapping[str, int]) -> "RuleSlots":
        """Accepts a proposal on top of these. Raises ValueError when it gives an assigned slot to another name."""
        found = RuleSlots(proposed)
        if any(found._slots.get(name) != slot for name, slot in self._slots.items()):
            raise ValueError("rule slots were given to other rules")
        return found

    def __len__(self) -> int:
        return len(self._slots)
