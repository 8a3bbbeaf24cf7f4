"""What is seen of the running gateway: its numbers, its live tunnels, and the HTTP endpoints that show them.

It reads the service and changes nothing; what operators may change goes through operations.py.
"""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from aiohttp import web

from supervisor import metrics
from supervisor.admin import Parts, Site, admin_site, metrics_site
from supervisor.config import Config
from supervisor.host_port import join
from supervisor.http_server import HttpServer
from supervisor.log import Log
from supervisor.segment import TUNNELS_MAX
from supervisor.slot import Slot
from supervisor.sockets import open_alone
from supervisor.tunnel_view import Viewer
from supervisor.tunnels import Tunnels

if TYPE_CHECKING:
    from supervisor.operations import Operations
    from supervisor.service import Service

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
    """Made with the service; open() and serve() as it starts, close() before what it reads is gone."""

    def __init__(self, service: "Service", loop: asyncio.AbstractEventLoop, log: Log) -> None:
        self._service = service
        self._loop = loop
        self._log = log
        self._keys = metrics.Keys()
        self._endpoints: list[_Endpoint] = []
        self._rendering: asyncio.Task[bytes] | None = None
        self.tunnels = Tunnels(self._slots, self.viewer, self._send, service.access_log)

    # Numbers and tunnels.

    def snapshot(self, version: str) -> metrics.Snapshot:
        """All measured values, now."""
        service, slots = self._service, self._slots()
        current = service.generations.current
        return metrics.snapshot(
            (slot.segment for slot in slots),
            self._keys,
            service.generations.rule_slots,
            log_dropped=service.access_log.dropped_by_event(),
            generations={str(slot.number): slot.generation for slot in slots},
            rules=current.counts.get("rules", 0) if current is not None else 0,
            reloads=service.generations.reloads,
            restarts=sum(slot.restarts for slot in slots),
            version=version,
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
        service = self._service
        if service.draining:
            return "draining"
        return "" if service.pool is not None and service.pool.ready() else "no worker serves"

    async def viewer(self) -> Viewer:
        """The view of the generation in force."""
        generations = self._service.generations
        current = generations.current
        if current is None:
            return Viewer(0, [], generations.rule_slots)
        image = await generations.mapped(current)
        listeners = [listener.name for listener in current.config.listeners]
        return Viewer(current.number, listeners, generations.rule_slots, image)

    def _slots(self) -> Sequence[Slot]:
        return self._service.pool.slots if self._service.pool is not None else []

    def _send(self, slot: int, message: Mapping[str, object]) -> bool:
        return self._service.bus is not None and self._service.bus.send(slot, message)

    # HTTP.

    def open(self, config: Config) -> None:
        """Takes the addresses. Raises StartError."""
        self._endpoints.append(_Endpoint("admin", open_alone("admin.address", config.admin.host, config.admin.port)))
        if config.metrics is not None:
            self._endpoints.append(_Endpoint("metrics", open_alone("metrics.address", *config.metrics)))

    def serve(self, config: Config, operations: "Operations") -> None:
        """Answers from now on."""

        async def text() -> bytes:
            return await self.text(operations.version)

        def extend(request: web.BaseRequest, seconds: float) -> None:
            for endpoint in self._endpoints:
                if endpoint.name == "admin" and endpoint.server is not None:
                    endpoint.server.extend(request, seconds)

        parts = Parts(operations.table(), text, self.not_ready, extend)
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
        if self._rendering is not None:
            await asyncio.wait({self._rendering})
