"""Listening sockets on their way to workers, and back: what a reload opened is sent over the channel, and what it
removed is closed once its queue is empty.

    share   a worker gets the sockets it lacks, before the store that makes their generation active
    retire  no new handshake begins; those under way end; CLOSE to every worker, which accepts what is queued for any
            slot and closes its copies. Only then the supervisor does: a queue that no worker has emptied waits for one
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from gateway import contract
from supervisor.host.errors import errno_text
from supervisor.host.listening import ListenerSockets, OpenListener
from supervisor.workers.slot import Slot, Timing

__all__ = ["Sharing"]


class Sharing:
    """Between the set of sockets and the workers. `send(slot, message)` is the bus's."""

    def __init__(
        self,
        sockets: ListenerSockets,
        slots: Sequence[Slot],
        timing: Timing,
        send: Callable[[Slot, Mapping[str, object]], bool],
    ) -> None:
        self._sockets: Final = sockets
        self._slots: Final = slots
        self._timing: Final = timing
        self._send: Final = send
        self._closed: set[int] = set()  # numbers that workers are to close, or have closed
        self._asked: set[int] = set()  # slots that have not answered CLOSE
        self._emptied = False  # a worker has emptied the queues
        self._changed = asyncio.Event()
        self._one = asyncio.Lock()

    def inherited(self, slot: Slot) -> None:
        """A new worker starts with all sockets."""
        slot.sockets = set(self._sockets.numbers())

    def share(self, slot: Slot) -> str:
        """Sends the sockets that a worker lacks. Returned is why that is not possible, or ""."""
        lacking = [each for each in self._sockets.listeners if each.number not in slot.sockets]
        names = [[each.number, number] for each in lacking for number in range(self._sockets.slots)]
        descriptors = [one.fileno() for each in lacking for one in each.sockets]
        try:
            for first in range(0, len(names), contract.CHANNEL_FILES):
                if slot.channel is not None:
                    some = slice(first, first + contract.CHANNEL_FILES)
                    packet = msgspec.msgpack.encode({"sockets": names[some]})
                    socket.send_fds(slot.channel, [packet], descriptors[some])
        except BlockingIOError:
            return "it does not read its channel"
        except OSError as failure:
            return f"its channel is broken: {errno_text(failure)}"
        slot.sockets |= {each.number for each in lacking}
        return ""

    async def retire(self) -> None:
        """Until the sockets that a reload removed are closed, at most a little longer than a worker may take."""
        async with self._one:
            if self._sockets.leaving:
                await self._retire(self._sockets.leaving)

    async def _retire(self, leaving: Sequence[OpenListener]) -> None:
        self._sockets.refuse_new(leaving)
        await asyncio.sleep(self._timing.settle)
        self._closed |= {each.number for each in leaving}
        self._emptied = False
        for slot in self._slots:
            if slot.state == "ready":
                self._ask(slot)
        try:
            async with asyncio.timeout(self._timing.load):
                while self._asked or not self._emptied:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass  # a worker that stands still is killed by those who look at its turns
        self._asked.clear()
        self._sockets.left()

    def on_ready(self, slot: Slot) -> None:
        """A worker that was started before may have sockets that are to be closed."""
        if slot.sockets & self._closed:
            self._ask(slot)

    def on_closed(self, slot: Slot, numbers: Iterable[int]) -> None:
        """A worker has closed sockets."""
        slot.sockets -= set(numbers)
        self._emptied = True
        self._leave(slot)

    def on_exit(self, slot: Slot) -> None:
        """A worker has died, and its copies with it."""
        slot.sockets = set()
        self._leave(slot)

    def ended(self) -> None:
        """No worker is asked any more: all are about to end."""
        self._asked.clear()
        self._emptied = True
        self._changed.set()

    def _ask(self, slot: Slot) -> None:
        numbers = sorted(slot.sockets & self._closed)
        if numbers and self._send(slot, {"op": contract.CLOSE, "sockets": numbers}):
            self._asked.add(slot.number)

    def _leave(self, slot: Slot) -> None:
        self._asked.discard(slot.number)
        self._changed.set()
