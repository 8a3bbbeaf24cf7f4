"""One worker slot, the times its workers are given, and what each of them gets to load. Data only."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from supervisor.segment.segment import Segment

__all__ = ["TRANSITIONS", "Published", "Slot", "SlotState", "Timing"]


class SlotState(StrEnum):
    """States of a slot, as `stats` shows them."""

    STOPPED = "stopped"  # before the start, and for good behind the end of the last worker
    STARTING = "starting"  # its process has been started: HELLO is awaited
    LOADING = "loading"  # its first generation is on the way
    READY = "ready"  # it serves
    DRAINING = "draining"  # it takes no clients any more, or is to end at once
    BACKOFF = "backoff"  # without a process: the next one starts when the timer fires


# Each state and those that may follow. A worker may die in every state that has one.
TRANSITIONS: Final[Mapping[SlotState, tuple[SlotState, ...]]] = {
    SlotState.STOPPED: (SlotState.STARTING, SlotState.BACKOFF),
    SlotState.STARTING: (SlotState.LOADING, SlotState.DRAINING, SlotState.BACKOFF),
    SlotState.LOADING: (SlotState.READY, SlotState.DRAINING, SlotState.BACKOFF),
    SlotState.READY: (SlotState.DRAINING, SlotState.BACKOFF),
    SlotState.DRAINING: (SlotState.BACKOFF,),
    SlotState.BACKOFF: (SlotState.STARTING, SlotState.STOPPED),
}


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    hello: float = 10.0  # from exec to HELLO
    load: float = 10.0  # from LOAD to LOADED, and from the store to ACTIVE
    reaped: float = 0.5  # from a channel or a bus that has no process at its other end to the death of that process
    backoff_first: float = 0.1
    backoff_most: float = 10.0
    settled: float = 0.5  # of service, after which a death is restarted at once: it had started
    healthy: float = 10.0  # of service, after which earlier deaths are forgotten
    loop: float = 60.0  # in which so many deaths are a crash loop, however long each has served
    stop: float = 2.0  # from STOP to SIGKILL
    settle: float = 0.2  # from the last SYN to DRAIN: handshakes that are under way end in that time
    drain_grace: float = 5.0  # past the drain time, before SIGKILL
    beat: float = 0.5  # between two looks at a worker's turns: a loop that serves turns twice in that time at least
    beats: int = 20  # looks without a new turn before SIGKILL; after the first one siblings accept for it


@dataclass(slots=True)
class Slot:
    """One slot. `pid` is None while it has no process; `failures` are deaths in a row that had hardly served."""

    number: int
    segment: Segment
    _state: SlotState = SlotState.STOPPED
    pid: int | None = None
    last_pid: int | None = None
    channel: socket.socket | None = None
    files: int | None = None  # its /proc/PID/fd, opened before the worker shut it
    timer: asyncio.TimerHandle | None = None
    sockets: set[int] = field(default_factory=set)  # numbers of the listening sockets that its worker has
    held: bool = False  # its new worker waits: a generation is being prepared
    restarts: int = 0
    failures: int = 0
    ready_since: float = 0.0  # of the last worker that served; 0 = none has
    deaths: deque[float] = field(default_factory=deque)  # of late
    crashing: bool = False  # a crash loop, reported
    adopted: bool = False  # siblings accept from its sockets
    full: bool = False  # its worker has no descriptors left for clients
    full_said: float = float("-inf")  # when its being full was logged
    turns: int = 0  # of the worker's loop, when they were last looked at
    still: int = 0  # looks in a row that found no new turn
    last_exit: str = ""
    last_error: str = ""

    @property
    def generation(self) -> int:
        """The active one, as its worker says; 0 = it serves no client yet."""
        return self.segment.header().generation if self.state in ("ready", "draining") else 0

    @property
    def state(self) -> str:
        """The name of its SlotState."""
        return self._state.value

    @state.setter
    def state(self, name: str) -> None:
        """Raises RuntimeError for a transition that the table does not have; a state follows itself without one."""
        state = SlotState(name)
        if state is not self._state and state not in TRANSITIONS[self._state]:
            raise RuntimeError(f"slot {self.number} in state {self._state} may not become {state}")
        self._state = state

    def cancel_timer(self) -> None:
        """There is at most one: for HELLO, ACTIVE, health, the next start, or the end."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@dataclass(frozen=True, slots=True)
class Published:
    """The generation that every new worker is given. `files` are sealed memfds, kept open by their owner: the image
    and, where pods are known, the table of workloads. `credentials` gives the values of credentials as they are now:
    the number and length of each, and a descriptor with the bytes, to be closed; None = there are none."""

    number: int
    files: tuple[int, ...]
    settings: Mapping[str, object]
    credentials: Callable[[], tuple[Sequence[tuple[int, int]], int]] | None = None
