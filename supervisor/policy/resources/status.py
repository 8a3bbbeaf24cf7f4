"""Status conditions: what a resource's own system would write into its `status`, printed by `sluice check`.

Not conditions of requests (conditions.py), and no verdict: a condition says what became of a resource.
"""

from typing import Final

import msgspec

from supervisor.source.problems import Place, Problem

__all__ = ["Status", "as_problem"]

# Conditions that are bad news where they are true.
BAD: Final = frozenset({"PartiallyInvalid", "Conflicted", "Shadowed"})


class Status(msgspec.Struct, frozen=True, order=True):
    """One condition (meta/v1 Condition). `parent`, such as `Gateway egress/outside` with `#section` and `:port`, is the
    one that it holds under, "" = the resource itself. `reason` is a word of its own system, `message` one sentence.
    The place is that of the resource, or of the part that the condition speaks of."""

    kind: str
    namespace: str  # "" for kinds without one
    name: str
    parent: str
    type: str
    status: bool
    reason: str
    message: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def fine(self) -> bool:
        """Whether it says what the resource's author hopes for."""
        return self.status != (self.type in BAD)

    @property
    def title(self) -> str:
        """The resource, and its parent, as people name them."""
        resource = f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"
        return f"{resource} under {self.parent}" if self.parent else resource

    @property
    def text(self) -> str:
        """`Accepted=False, NoMatchingParent: there is no such Gateway`."""
        words = (
            f"{self.type}={self.status}, {self.reason}" if self.reason != self.type else f"{self.type}={self.status}"
        )
        return f"{words}: {self.message}" if self.message else words

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.file, self.line, self.column)


def as_problem(status: Status) -> Problem:
    """A warning of a condition that is not fine."""
    return Problem(status.file, status.line, status.column, f"{status.title}: {status.text}")
