"""The admin and metrics endpoints: their sockets, and the pages behind them, which the first connection loads.

The HTTP library takes half of what the supervisor loads, and a start does not wait for it. A thread loads it once: when
the first client connects, and LATEST seconds after the start at the latest, as files may change under a gateway that
runs.
"""

import asyncio
import importlib
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from supervisor.config.config import Config
from supervisor.control.control import Operation
from supervisor.host.sockets import open_alone
from supervisor.logs.log import Log
from supervisor.source.host_port import join

if TYPE_CHECKING:
    from aiohttp import web

    from supervisor.admin.http_server import HttpServer

__all__ = ["Endpoints"]

LATEST: Final = 10.0


@dataclass(slots=True)
class _Endpoint:
    """An open socket, then a server."""

    name: str
    listener: socket.socket
    server: "HttpServer | None" = None


class Endpoints:
    """open(), then serve(), then close(), which may come at any time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log) -> None:
        self._loop = loop
        self._log = log
        self._endpoints: list[_Endpoint] = []
        self._make: Callable[[], None] | None = None
        self._latest: asyncio.TimerHandle | None = None
        self._loading: asyncio.Task[None] | None = None

    def open(self, config: Config, given: Sequence[socket.socket] = ()) -> None:
        """Takes the addresses, or sockets of theirs that are `given`. Raises StartError."""
        admin = open_alone("admin.address", config.admin.host, config.admin.port, given)
        self._endpoints.append(_Endpoint("admin", admin))
        if config.metrics is not None:
            self._endpoints.append(_Endpoint("metrics", open_alone("metrics.address", *config.metrics, given)))

    def sockets(self) -> list[tuple[str, str, int]]:
        """Name, address and descriptor of each."""
        return [(each.name, _address(each.listener), each.listener.fileno()) for each in self._endpoints]

    def serve(
        self,
        config: Config,
        operations: Mapping[str, Operation],
        metrics: Callable[[], Awaitable[bytes]],
        ready: Callable[[], str],
    ) -> None:
        """Answers from now on; the arguments are those of admin.Parts."""

        def make() -> None:
            from supervisor.admin.admin import Parts, admin_site, metrics_site
            from supervisor.admin.http_server import HttpServer

            parts = Parts(operations, metrics, ready, self._extend)
            loopback = ip_address(config.admin.host).is_loopback
            sites = {
                "admin": admin_site(parts, config.admin.token, loopback, self._log),
                "metrics": metrics_site(parts, self._log),
            }
            for each in self._endpoints:
                each.server = HttpServer(self._loop, each.listener, sites[each.name].handle, self._log)

        self._make = make
        self._latest = self._loop.call_later(LATEST, self._load)
        for each in self._endpoints:
            self._loop.add_reader(each.listener, self._load)
            page = "" if each.name == "admin" else "metrics"
            self._log.info(each.name, f"http://{_address(each.listener)}/{page}")

    def _load(self) -> None:
        """A connection waits, or it is time."""
        self._rest()
        self._loading = self._loop.create_task(self._answer())

    async def _answer(self) -> None:
        try:
            await asyncio.to_thread(_load_pages)
            assert self._make is not None
            self._make()
        except Exception as error:  # of a module that is not there, or not whole
            self._log.error("admin_failed", "the admin and metrics endpoints do not answer", error=repr(error))

    def _extend(self, request: "web.BaseRequest", seconds: float) -> None:
        for each in self._endpoints:
            if each.name == "admin" and each.server is not None:
                each.server.extend(request, seconds)

    def _rest(self) -> None:
        if self._latest is not None:
            self._latest.cancel()
            self._latest = None
            for each in self._endpoints:
                self._loop.remove_reader(each.listener)

    def ended_early(self) -> int:
        """HTTP connections that were cut."""
        return sum(each.server.ended_early for each in self._endpoints if each.server is not None)

    async def close(self, patience: float) -> None:
        """Answers under way have so many seconds."""
        self._rest()
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait({self._loading})
        for each in self._endpoints:
            if each.server is not None:
                await each.server.close(patience)
            each.listener.close()
        self._endpoints = []


def _load_pages() -> None:
    for module in ("admin", "http_server"):
        importlib.import_module(f"supervisor.admin.{module}")


def _address(listener: socket.socket) -> str:
    """As bound: `127.0.0.1:9901`."""
    return join(*listener.getsockname()[:2])
