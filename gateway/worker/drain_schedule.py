"""When a draining worker ends the tunnels that do not end by themselves: a plan by time, which does nothing itself.

Clients are notified at once, and have the first four fifths of a drain to end. The rest is ended over the last fifth:
were it a single moment, all of them would come back in the next one, to the workers that are left.
"""

from typing import Final, NamedTuple

SPREAD: Final = 0.2  # the share of a drain's time over which tunnels are ended
STEP: Final = 0.05  # seconds


class Step(NamedTuple):
    """`ends`: connections to end now. `wait`: seconds until the next step; None: the time is over, all are ended."""

    ends: int
    wait: float | None


class DrainSchedule:
    """One drain of `seconds` that begins at `now`, in seconds of any clock. The first step is due after `quiet`."""

    def __init__(self, now: float, seconds: float) -> None:
        self.until = now + seconds
        self.quiet = seconds * (1 - SPREAD)
        self._spread: tuple[int, float] | None = None  # connections, and seconds left, when their end began

    def step(self, now: float, connections: int) -> Step:
        """The step at `now`, when so many connections are open."""
        left = self.until - now
        if left <= 0:
            return Step(connections, None)
        if self._spread is None:
            self._spread = (connections, left)
        count, span = self._spread
        keep = int(count * left / span)  # connections that may be open now; some may have ended by themselves
        return Step(max(0, connections - keep), min(left, STEP))
