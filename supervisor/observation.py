"""Observation of the running gateway: its numbers, its live tunnels, and the HTTP endpoints that show them.

It reads running.py's parts and changes nothing; what operators may change goes through operations.py.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from supervisor.admin import metrics
from supervisor.config.config import Config
from supervisor.control.control import Operation
from supervisor.endpoints import Endpoints
from supervisor.logs.log import Log
from supervisor.running import Running
from supervisor.segment.segment import TUNNELS_MAX
from supervisor.tunnels.lines import Lines
from supervisor.tunnels.live import Tunnels
from supervisor.tunnels.view import Viewer

__all__ = ["Observation", "listed_tunnels"]

FEWEST_RECORDS: Final = 1024


def listed_tunnels(nofile: int) -> int:
    """How many live tunnels of one worker its segment has room for: all that its open files allow, whatever the limits
    are set to later. Memory is used only for those that there are."""
    return min(TUNNELS_MAX, max(FEWEST_RECORDS, nofile // 2))


class Observation:
    """Made with the gateway's parts; serve() as it starts, close() before what it reads is gone."""

    def __init__(self, running: Running, loop: asyncio.AbstractEventLoop, log: Log) -> None:
        self._running = running
        self._loop = loop
        self._log = log
        self._keys = metrics.Keys()
        self._rendering: asyncio.Task[bytes] | None = None
        self.endpoints = Endpoints(loop, log)
        self.lines = Lines(loop, lambda: running.slots, running.access_log, running.spans.collect)
        self.tunnels = Tunnels(lambda: running.slots, self.viewer, self._send, running.access_log, self.lines.last_of)

    # Numbers and tunnels.

    def snapshot(self, version: str) -> metrics.Snapshot:
        """All measured values, now."""
        running, slots = self._running, self._running.slots
        current = running.generations.current
        return metrics.snapshot(
            (slot.segment for slot in slots),
            self._keys,
            running.generations.rule_slots,
            log_dropped=running.access_log.dropped_by_event(),
            spans=running.spans.counts(),
            generations={str(slot.number): slot.generation for slot in slots},
            rules=current.counts.get("rules", 0) if current is not None else 0,
            workloads=current.counts.get("workloads", 0) if current is not None else 0,
            reloads=running.generations.reloads,
            restarts=sum(slot.restarts for slot in slots),
            version=version,
            expiries=[(each.use, each.name, each.until - time.time()) for each in current.expiries] if current else (),
            files=["/proc/self/fd", *(slot.files for slot in slots if slot.files is not None)],
        )

    async def text(self, version: str) -> bytes:
        """The metrics for Prometheus. Scrapes that come while one is written share it."""
        from supervisor.admin.exposition import render  # loaded with the pages (endpoints.py)

        if self._rendering is None or self._rendering.done():
            taken = self.snapshot(version)
            self._rendering = self._loop.create_task(asyncio.to_thread(render, taken))
        return await asyncio.shield(self._rendering)

    def not_ready(self) -> str:
        """Why no new request can be served; "" when it can."""
        running = self._running
        if running.draining:
            return "draining"
        return "" if running.pool is not None and running.pool.ready() else "no worker serves"

    async def viewer(self) -> Viewer:
        """The view of the active generation."""
        generations = self._running.generations
        current = generations.current
        if current is None:
            return Viewer(0, [], generations.rule_slots)
        image = await generations.mapped(current)
        listeners = [listener["name"] for listener in current.settings["listeners"]]  # removed ones have tunnels, too
        return Viewer(current.number, listeners, generations.rule_slots, image)

    def _send(self, slot: int, message: Mapping[str, object]) -> bool:
        return self._running.bus is not None and self._running.bus.send(slot, message)

    # HTTP.

    def serve(self, config: Config, operations: Mapping[str, Operation], version: str) -> None:
        """The endpoints answer from now on, what is asked for by `operations`."""

        async def text() -> bytes:
            return await self.text(version)

        self.endpoints.serve(config, operations, text, self.not_ready)

    async def close(self, patience: float) -> None:
        """Answers under way have so many seconds."""
        await self.endpoints.close(patience)
        if self._rendering is not None:
            await asyncio.wait({self._rendering})
