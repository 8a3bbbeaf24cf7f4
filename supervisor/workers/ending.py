"""How all workers end: by a drain, by leaving their sockets to another gateway, or now. No worker is replaced from
there on, but for one that has to empty queues which no other is there to empty.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway import contract
from supervisor.host.listening import ListenerSockets
from supervisor.workers.slot import Slot, Timing

__all__ = ["Ending"]

LEAVING: Final = 1.0  # seconds that workers have to leave their sockets


class Ending:
    """`send(slot, message)` is the bus's; `kill(slot, why)`, `tell_siblings(slot, op)` and `changed()` are the
    pool's."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        slots: Sequence[Slot],
        timing: Timing,
        sockets: ListenerSockets,
        *,
        send: Callable[[Slot, Mapping[str, object]], bool],
        kill: Callable[[Slot, str], None],
        tell_siblings: Callable[[Slot, str], None],
        changed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._slots = slots
        self._timing = timing
        self._sockets = sockets
        self._send = send
        self._kill = kill
        self._tell_siblings = tell_siblings
        self._changed = changed
        self.begun = False  # draining or stopping: no worker is replaced
        self.settling: asyncio.TimerHandle | None = None  # between drain() and DRAIN
        self.drain_seconds: float | None = None  # once DRAIN was sent
        self._stopped = asyncio.Event()

    def drain(self, seconds: float) -> None:
        """No new connections; workers end with their last tunnel, at the latest after `seconds`.

        Every connection in the kernel's queues is served: first no new handshake begins, next open ones end in the
        queues, then the workers empty these. No worker is replaced from now on; only one that is still starting is
        waited for where no other is there to empty the queues."""
        if self.begun:
            return
        self.begun = True
        self._sockets.refuse_new()
        left = max(0.0, seconds - self._timing.settle)
        self.settling = self._loop.call_later(self._timing.settle, self._drain_workers, left)

    def hand_over(self, seconds: float, patience: float) -> None:
        """As drain(), where another gateway accepts from the same sockets from here on: workers leave the queues to it,
        serve what they have accepted for `patience` seconds, and drain."""
        if self.begun:
            return
        self.begun = True
        for slot in self._slots:
            if slot.state == "starting":
                self._kill(slot, "")  # it can be told nothing before its HELLO, and serves no client yet
            elif slot.pid is not None:
                slot.adopted = True  # its siblings leave the sockets as well
                if not self._send(slot, {"op": contract.LEAVE}):
                    self._kill(slot, "it does not read the bus")
            else:
                slot.cancel_timer()
                slot.state = "stopped"
        self._sockets.close()
        # Not looked at before every worker has left: one that accepts has clients in the next moment.
        until = self._loop.time() + patience
        self.settling = self._loop.call_later(min(patience, LEAVING), self._serve_accepted, seconds, until)
        self.check()

    def _serve_accepted(self, seconds: float, until: float) -> None:
        """DRAIN comes at `until`, or as soon as no client is connected."""
        self.settling = None
        clients = any(self._has_clients(slot) for slot in self._slots)
        if clients and self._loop.time() < until:
            self.settling = self._loop.call_later(self._timing.settle, self._serve_accepted, seconds, until)
        else:
            self._drain_workers(seconds + max(0.0, until - self._loop.time()))

    def _drain_workers(self, seconds: float) -> None:
        self.settling = None
        self.drain_seconds = seconds
        serving = any(slot.state == "ready" for slot in self._slots)
        for slot in self._slots:
            if slot.state != "ready" and not slot.adopted:
                slot.adopted = True
                self._tell_siblings(slot, contract.ADOPT)
        for slot in self._slots:
            if slot.state == "ready" or self._has_clients(slot):
                self.drain_worker(slot, seconds)
            elif slot.state == "loading" and serving:
                self._send(slot, {"op": contract.LEAVE})  # it may take clients at this moment: its siblings do it
                self.drain_worker(slot, seconds)
            elif slot.pid is not None and serving:
                slot.cancel_timer()
                self._kill(slot, "")  # it serves no client yet
            elif slot.pid is None:
                slot.cancel_timer()
                slot.state = "stopped"
        # The workers hold copies and accept what is queued; the supervisor's would only keep a queue that none empties.
        self._sockets.close()
        self.check()

    @staticmethod
    def _has_clients(slot: Slot) -> bool:
        """Also before it is known to be ready: it serves from the store on that makes its generation active."""
        return slot.pid is not None and slot.segment.counters()["connections_open"] > 0

    def drain_worker(self, slot: Slot, seconds: float) -> None:
        """One worker takes no clients any more, and ends with its last one."""
        slot.cancel_timer()
        if not self._send(slot, {"op": contract.DRAIN, "seconds": seconds}):
            self._kill(slot, "it does not read the bus")
            return
        slot.state = "draining"
        slot.timer = self._loop.call_later(
            seconds + self._timing.drain_grace, self._kill, slot, "it did not drain in time"
        )

    def stop(self) -> None:
        """Ends every worker now: STOP, and SIGKILL for each that does not."""
        self.begun = True
        if self.settling is not None:
            self.settling.cancel()
            self.settling = None
        for slot in self._slots:
            slot.cancel_timer()
            if slot.pid is None:
                slot.state = "stopped"
            elif self._send(slot, {"op": contract.STOP}):
                slot.state = "draining"
                slot.timer = self._loop.call_later(self._timing.stop, self._kill, slot, "it did not stop in time")
            else:
                self._kill(slot, "")
        self._sockets.close()
        self.check()

    async def wait_stopped(self) -> None:
        """After drain() or stop(): until the last worker has been reaped."""
        await self._stopped.wait()

    def check(self) -> None:
        """After each step: whether the last worker has gone."""
        self._changed()
        if self.begun and all(slot.pid is None for slot in self._slots):
            self._stopped.set()

    def close(self) -> None:
        """No step follows."""
        if self.settling is not None:
            self.settling.cancel()
