"""Observation of the running gateway: its numbers, its live tunnels, and the HTTP endpoints that show them.

It reads running.py's parts and changes nothing; what operators may change goes through operations.py.
"""

import asyncio
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from aiohttp import web

from supervisor.admin import metrics
from supervisor.admin.admin import Parts, Site, admin_site, metrics_site
from supervisor.admin.http_server import HttpServer
from supervisor.config.config import Config
from supervisor.control.control import Operation
from supervisor.host.sockets import open_alone
from supervisor.logs.log import Log
from supervisor.running import Running
from supervisor.segment.segment import TUNNELS_MAX
from supervisor.source.host_port import join
from supervisor.tunnels.lines import Lines
from supervisor.tunnels.live import Tunnels
from supervisor.tunnels.view import Viewer

__all__ = ["Observation", "listed_tunnels"]

FEWEST_RECORDS: Final = 1024


def listed_tunnels(nofile: int) -> int:
    """How many live tunnels of one worker its segment has room for: all that its open files allow, whatever the limits
    are set to later. Memory is used only for those that there are."""
    return min(TUNNELS_MAX, max(FEWEST_RECORDS, nofile // 2))


@dataclass(slots=True)
class _Endpoint:
    """An open socket, then a server."""

    name: str
    listener: socket.socket
    server: HttpServer | None = None


class Observation:
    """Made with the gateway's parts; open() and serve() as it starts, close() before what it reads is gone."""

    def __init__(self, running: Running, loop: asyncio.AbstractEventLoop, log: Log) -> None:
        self._running = running
        self._loop = loop
        self._log = log
        self._keys = metrics.Keys()
        self._endpoints: list[_Endpoint] = []
        self._rendering: asyncio.Task[bytes] | None = None
        self.lines = Lines(loop, lambda: running.slots, running.access_log)
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
            generations={str(slot.number): slot.generation for slot in slots},
            rules=current.counts.get("rules", 0) if current is not None else 0,
            reloads=running.generations.reloads,
            restarts=sum(slot.restarts for slot in slots),
            version=version,
            expiries=[(each.use, each.name, each.until - time.time()) for each in current.expiries] if current else (),
            files=["/proc/self/fd", *(slot.files for slot in slots if slot.files is not None)],
        )

    async def text(self, version: str) -> bytes:
        """The metrics for Prometheus. Scrapes that come while one is written share it."""
        if self._rendering is None or self._rendering.done():
            taken = self.snapshot(version)
            self._rendering = self._loop.create_task(asyncio.to_thread(metrics.render, taken))
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

    def open(self, config: Config, given: Sequence[socket.socket] = ()) -> None:
        """Takes the addresses, or sockets of theirs that are `given`. Raises StartError."""
        admin = open_alone("admin.address", config.admin.host, config.admin.port, given)
        self._endpoints.append(_Endpoint("admin", admin))
        if config.metrics is not None:
            self._endpoints.append(_Endpoint("metrics", open_alone("metrics.address", *config.metrics, given)))

    def sockets(self) -> list[tuple[str, str, int]]:
        """Name, address and descriptor of each."""
        found = [(endpoint.name, endpoint.listener) for endpoint in self._endpoints]
        return [(name, join(*listener.getsockname()[:2]), listener.fileno()) for name, listener in found]

    def serve(self, config: Config, operations: Mapping[str, Operation], version: str) -> None:
        """Answers from now on, what is asked for by `operations`."""

        async def text() -> bytes:
            return await self.text(version)

        def extend(request: web.BaseRequest, seconds: float) -> None:
            for endpoint in self._endpoints:
                if endpoint.name == "admin" and endpoint.server is not None:
                    endpoint.server.extend(request, seconds)

        parts = Parts(operations, text, self.not_ready, extend)
        loopback = ip_address(config.admin.host).is_loopback
        sites: dict[str, Site] = {
            "admin": admin_site(parts, config.admin.token, loopback, self._log),
            "metrics": metrics_site(parts, self._log),
        }
        for endpoint in self._endpoints:
            endpoint.server = HttpServer(self._loop, endpoint.listener, sites[endpoint.name].handle, self._log)
            address = join(*endpoint.server.address)
            self._log.info(endpoint.name, f"http://{address}/{'' if endpoint.name == 'admin' else 'metrics'}")

    def ended_early(self) -> int:
        """HTTP connections that were cut."""
        return sum(endpoint.server.ended_early for endpoint in self._endpoints if endpoint.server is not None)

    async def close(self, patience: float) -> None:
        """Answers under way have so many seconds."""
        for endpoint in self._endpoints:
            if endpoint.server is not None:
                await endpoint.server.close(patience)
            endpoint.listener.close()
        self._endpoints = []
        if self._rendering is not None:
            await asyncio.wait({self._rendering})
