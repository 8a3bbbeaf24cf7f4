"""A small HTTP server in the supervisor's loop, bounded in connections, rate, time and size. admin.py writes the pages.

aiohttp reads requests and writes answers; accepting is done here, so that a client that floods the port, opens
connections and sends nothing, or does not read, costs a bounded share of the loop and keeps no others out for long:

* each connection carries one request; its head must come within HEAD seconds, the answer be read within ANSWER;
* at most CONNECTIONS are open; a new one takes the place of the oldest that has not asked yet;
* at most RATE connections a second are accepted, after a burst; the others wait in the kernel's queue.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from supervisor.logs.log import Log

__all__ = ["ANSWER", "Handler", "HttpServer"]

CONNECTIONS: Final = 64
RATE: Final = 300.0
BURST: Final = 300.0
HEAD: Final = 5.0
ANSWER: Final = 30.0
LINE: Final = 8190  # bytes of a request line or a header field
HEADERS: Final = 64
PAUSE: Final = 0.05  # seconds without accepting, when the rate is used up
OUT_OF_FILES: Final = 1.0
SWEEP: Final = 0.5
AT_ONCE: Final = 16  # connections accepted in one turn

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class HttpServer:
    """Serves one listening socket, which it owns. `extend` is for handlers that take longer than ANSWER."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: socket.socket, handler: Handler, log: Log) -> None:
        """Serves from now on."""
        self._loop = loop
        self._listener = listener
        self._handler = handler
        self._log = log
        self._tokens = BURST
        self._filled_at = loop.time()
        self._asked: set[asyncio.BaseTransport] = set()
        self._deadlines: dict[asyncio.BaseTransport, float] = {}  # in the order in which they connected
        self._opening: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None
        self.ended_early = 0  # connections that were cut: too slow, or too many
        quiet = logging.getLogger("supervisor.admin.http_server")
        quiet.disabled = True  # a malformed request is the client's affair, and not worth a traceback
        self._server = web.Server(
            self._handle,
            loop=loop,
            logger=quiet,
            access_log=None,
            tcp_keepalive=False,
            lingering_time=0,
            max_line_size=LINE,
            max_field_size=LINE,
            max_headers=HEADERS,
            auto_decompress=False,
        )
        loop.add_reader(listener, self._accept)
        self._sweeper = loop.call_later(SWEEP, self._sweep)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port as bound."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def extend(self, request: web.BaseRequest, seconds: float) -> None:
        """The answer to this request may take so long from now on."""
        if request.transport is not None:
            self._deadlines[request.transport] = self._loop.time() + seconds

    async def close(self, patience: float) -> None:
        """Accepts nothing more; answers under way have so many seconds."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        for timer in (self._sweeper, self._resume):
            if timer is not None:
                timer.cancel()
        for task in self._opening:
            task.cancel()
        await self._server.shutdown(patience)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            self._asked.add(request.transport)
        self.extend(request, ANSWER)
        response = await self._handler(request)
        response.force_close()
        return response

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            if not self._may_accept():
                self._pause(PAUSE)
                return
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no files left: the queue is looked at again later
                self._log.warning("http_accept", "a connection to the admin endpoint waits", error=str(error))
                self._pause(OUT_OF_FILES)
                return
            connection.setblocking(False)
            self._make_room()
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _may_accept(self) -> bool:
        now = self._loop.time()
        self._tokens = min(BURST, self._tokens + (now - self._filled_at) * RATE)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._resume = self._loop.call_later(seconds, self._loop.add_reader, self._listener, self._accept)

    def _make_room(self) -> None:
        """The oldest connection that has not asked goes first, and if all have, the oldest."""
        self._forget_closed()
        if len(self._deadlines) + len(self._opening) >= CONNECTIONS and self._deadlines:
            idle = (transport for transport in self._deadlines if transport not in self._asked)
            self._cut(next(idle, next(iter(self._deadlines))))

    async def _open(self, connection: socket.socket) -> None:
        try:
            transport, _ = await self._loop.connect_accepted_socket(self._server, connection)
        except (OSError, asyncio.CancelledError):
            connection.close()
            return
        self._deadlines.setdefault(transport, self._loop.time() + HEAD)  # it may have asked already

    def _sweep(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP, self._sweep)
        self._forget_closed()
        now = self._loop.time()
        for transport in [transport for transport, deadline in self._deadlines.items() if deadline < now]:
            self._cut(transport)

    def _forget_closed(self) -> None:
        for transport in [transport for transport in self._deadlines if transport.is_closing()]:
            # Closing may wait for a peer that does not read: only what has nothing left to send is forgotten.
            if not isinstance(transport, asyncio.WriteTransport) or not transport.get_write_buffer_size():
                self._forget(transport)

    def _forget(self, transport: asyncio.BaseTransport) -> None:
        self._deadlines.pop(transport, None)
        self._asked.discard(transport)

    def _cut(self, transport: asyncio.BaseTransport) -> None:
        self.ended_early += 1
        self._forget(transport)
        with contextlib.suppress(AttributeError):
            transport.abort()  # type: ignore[attr-defined]
