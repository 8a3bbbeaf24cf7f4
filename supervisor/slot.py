"""What is known of one worker slot, the times its workers are given, and what each of them gets to load. Data only."""

import asyncio
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from supervisor.segment import Segment

__all__ = ["Published", "Slot", "Timing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    hello: float = 10.0  # from exec to HELLO
    load: float = 10.0  # from LOAD to LOADED
    reaped: float = 0.5  # from a channel or a bus that has nobody at its other end to the death of who was there
    backoff_first: float = 0.1
    backoff_most: float = 10.0
    settled: float = 0.5  # of service, after which a death is restarted at once: it was no failure to start
    healthy: float = 10.0  # of service, after which earlier deaths are forgotten
    loop: float = 60.0  # in which so many deaths are a crash loop, however long each has served
    stop: float = 2.0  # from STOP to SIGKILL
    settle: float = 0.2  # from the last SYN to DRAIN: handshakes that are under way end meanwhile
    drain_grace: float = 5.0  # past the drain time, before SIGKILL
    beat: float = 0.5  # between two looks at a worker's turns: a loop that serves turns twice in that time at least
    beats: int = 20  # looks without a new turn before SIGKILL; after the first one siblings accept for it


@dataclass(slots=True)
class Slot:
    """One slot. `pid` is None while it has no process; `failures` are deaths in a row that had hardly served."""

    number: int
    segment: Segment
    state: str = "stopped"
    pid: int | None = None
    last_pid: int | None = None
    channel: socket.socket | None = None
    files: int | None = None  # its /proc/PID/fd, opened before the worker shut it
    timer: asyncio.TimerHandle | None = None
    generation: int = 0
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
    waiting: dict[int, asyncio.Future[str]] = field(default_factory=dict)  # by generation; the answer is an error or ""

    def cancel_timer(self) -> None:
        """There is at most one: for HELLO, LOADED, health, the next start, or the end."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@dataclass(frozen=True, slots=True)
class Published:
    """What every new worker is given: one generation. `image` is the sealed memfd, kept open by its owner."""

    number: int
    image: int
    settings: Mapping[str, object]
