"""The live tunnels of all workers: listed in pages, killed by id, and accounted for when their worker dies.

Everything is read from the slots' segments, without asking the workers. There may be a hundred thousand records: they
are read in slices, so that the loop never stands still, and one list is made at a time.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

from gateway import contract
from supervisor.logs.access_log import AccessLog
from supervisor.segment.labels import OUTCOMES, write_key
from supervisor.segment.live_tunnels import TunnelId, left_over, parse, parse_id, protocols, read
from supervisor.segment.segment import RECORD, Segment
from supervisor.tunnels.filter import Match
from supervisor.tunnels.view import Now, Viewer
from supervisor.workers.slot import Slot

__all__ = ["MOST_ITEMS", "NoSuchTunnel", "Page", "Tunnels"]

MOST_ITEMS: Final = 1000  # in one page
SLICE: Final = 200  # records at a time: a few milliseconds
KILL_PATIENCE: Final = 2.0
KILL_LOOK: Final = 0.01
_CLOSED: Final = re.compile(rb'"event":"close","id":"[0-9]+-[0-9a-f]+-([0-9]+)"')


class NoSuchTunnel(Exception):
    """No live tunnel has that id; the text says so."""


class Page(NamedTuple):
    """Items, and where the next page begins; None = that was all."""

    items: list[dict[str, object]]
    next: str | None


class Tunnels:
    """`slots` gives the worker slots, `viewer` the view of the active generation, `send` a message to a slot's
    worker; `last_lines` hands on what a dead worker has left for the access log, and returns its last lines about
    tunnels."""

    def __init__(
        self,
        slots: Callable[[], Sequence[Slot]],
        viewer: Callable[[], Awaitable[Viewer]],
        send: Callable[[int, Mapping[str, object]], bool],
        access_log: AccessLog,
        last_lines: Callable[[Segment], bytes],
    ) -> None:
        self._slots = slots
        self._viewer = viewer
        self._send = send
        self._access_log = access_log
        self._last_lines = last_lines
        self._one = asyncio.Semaphore(1)
        self._writing: set[asyncio.Task[None]] = set()
        self.lost = 0  # tunnels that died with their workers

    async def page(self, match: Match, limit: int = MOST_ITEMS, after: str | None = None) -> Page:
        """At most `limit` tunnels that match, in the order of slots and records. `after`: the `next` of the page
        before. Raises ValueError for one that no page gave."""
        slot, index = _position(after)
        items: list[dict[str, object]] = []
        async with self._one:
            viewer, now = await self._viewer(), Now.read()
            while slot < len(slots := self._slots()):
                segment = slots[slot].segment
                start = segment.header().start
                for number in segment.in_use(index, SLICE):
                    tunnel = read(segment, number)
                    if tunnel is not None and match(viewer, tunnel):
                        if len(items) >= limit:
                            return Page(items, f"{slot}.{number}")
                        items.append(viewer.item(TunnelId(slot, start, tunnel.number), tunnel, now))
                index += SLICE
                if index >= segment.tunnels_high():
                    slot, index = slot + 1, 0
                await asyncio.sleep(0)
        return Page(items, None)

    async def kill(self, text: str) -> bool:
        """Has the worker reset a tunnel; True once it is gone, False when it still is there after a moment. Raises
        NoSuchTunnel."""
        wanted = parse_id(text)
        slots = self._slots()
        if wanted is None or wanted.slot >= len(slots):
            raise NoSuchTunnel("no tunnel has that id: `sluice tunnels` lists them")
        slot = slots[wanted.slot]
        if not self._alive(slot, wanted):
            raise NoSuchTunnel(f"no tunnel {wanted} is open")
        if not self._send(wanted.slot, {"op": contract.KILL, "sequence": wanted.number}):
            return False
        deadline = asyncio.get_running_loop().time() + KILL_PATIENCE
        while self._alive(slot, wanted):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(KILL_LOOK)
        return True

    @staticmethod
    def _alive(slot: Slot, wanted: TunnelId) -> bool:
        segment = slot.segment
        return segment.header().start == wanted.start and segment.find(wanted.number) is not None

    def worker_died(self, slot: Slot) -> None:
        """Before the slot is reaped: what its tunnels had carried stays in the sums, each gets its close line, and the
        lines that it had not sent are written. A tunnel whose close line is among these was about to leave the table:
        it gets no second one, which would count its bytes twice."""
        segment = slot.segment
        closed = set(map(int, _CLOSED.findall(self._last_lines(segment))))
        start, table, now = segment.header().start, left_over(segment), Now.read()
        for protocol, count in protocols(table).items():
            segment.add(write_key("tunnels_total", protocol, OUTCOMES.index("worker_lost")), count)
            self.lost += count
        if table:
            task = asyncio.get_running_loop().create_task(self._write_lines(slot.number, start, table, now, closed))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _write_lines(self, slot: int, start: int, table: bytes, now: Now, closed: set[int]) -> None:
        viewer = await self._viewer()
        for first in range(0, len(table), SLICE * RECORD):
            records = (table[at : at + RECORD] for at in range(first, min(first + SLICE * RECORD, len(table)), RECORD))
            lines = [
                viewer.close_line(TunnelId(slot, start, tunnel.number), tunnel, now)
                for tunnel in map(parse, records)
                if tunnel is not None and tunnel.number not in closed
            ]
            self._access_log.write(lines, "tunnel")
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Until every close line that is owed has been handed to the access log."""
        if self._writing:
            await asyncio.wait(self._writing)


def _position(after: str | None) -> tuple[int, int]:
    """Slot and record of a page's `next`."""
    if after is None:
        return 0, 0
    slot, dot, index = after.partition(".")
    if not (dot and after.isascii() and slot.isdigit() and index.isdigit()) or len(after) > 32:
        raise ValueError("`after` is not the `next` of a page")
    return int(slot), int(index)
