"""From one gateway process to the next: listening sockets that are taken, kept with a service manager, and left.

They come from the gateway before it (`--takeover`), from a service manager (.socket units, or its store of file
descriptors), or are opened here. Where another process has them as well their queues are left to it in the end; the
others are emptied.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Final

from supervisor.config.config import Config
from supervisor.host.endpoint import ControlLock, takeover_path
from supervisor.host.errors import StartError
from supervisor.host.fd_store import FileStore
from supervisor.host.inherited import Inherited
from supervisor.host.listening import ListenerSockets, open_listeners
from supervisor.host.notify import Notifier
from supervisor.host.sockets import PortInUse
from supervisor.host.takeover import Taken, take
from supervisor.logs.log import Log
from supervisor.source.host_port import join
from supervisor.workers.pool import Pool

__all__ = ["Succession"]

# Workers of a gateway that was killed close their sockets as soon as they notice: their ports are waited for so long.
PATIENCE: Final = 2.0


class Succession:
    """One life of the set of listening sockets."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log, notifier: Notifier | None) -> None:
        self._loop = loop
        self._log = log
        self._store = FileStore(notifier or Notifier({}), lambda words: log.warning("fd_store", words))
        self.taken: Taken | None = None  # from the gateway before this one, until it has left
        self.sockets: ListenerSockets | None = None
        self._leaving: asyncio.Task[None] | None = None

    # The beginning.

    async def take(self, config: Config) -> None:
        """All that the gateway with this endpoint gives, if there is one. Raises StartError."""
        self.taken = await asyncio.to_thread(take, takeover_path(config.control))

    async def open(self, config: Config, lock: ControlLock, inherited: Inherited) -> ListenerSockets:
        """One set for all listeners. Raises StartError with nothing left open."""
        stored = self._store.found(inherited.stored, config.workers)
        given = [*inherited.managed, *stored] or (self.taken.named("listener") if self.taken is not None else [])
        opened = self.sockets = await self._open(config, lock, given)
        managed = {join(*one.getsockname()[:2]) for one in inherited.managed}
        managed.update(self.taken.managed if self.taken is not None and not managed else ())
        for each in opened.listeners:
            each.managed = each.held and each.address in managed
        strange = managed - {each.address for each in opened.listeners} if inherited.managed else set()
        for one in [*inherited.managed, *stored]:
            one.close()
        if strange:
            opened.close()
            words = f"the service manager passed a socket of {', '.join(sorted(strange))}"
            raise StartError(f"{words}, and no listener has that address", "change `listeners` or the .socket unit")
        opened.outlive = self._store.room > 0
        return opened

    async def _open(self, config: Config, lock: ControlLock, given: Sequence[socket.socket]) -> ListenerSockets:
        wanted = [(listener.name, listener.address) for listener in config.listeners]
        deadline = self._loop.time() + (PATIENCE if lock.found_stale else 0)
        while True:
            try:
                return open_listeners(wanted, config.workers, given)
            except PortInUse:
                if self._loop.time() >= deadline:
                    raise
            await asyncio.sleep(0.05)

    async def finish(self, lock: ControlLock) -> None:
        """Workers serve here: the gateway before leaves, and the endpoint is ours."""
        taken, self.taken = self.taken, None
        if taken is None or self.sockets is None:
            return
        try:
            await asyncio.to_thread(taken.finish, [each.address for each in self.sockets.listeners])
            for each in self.sockets.listeners:
                each.held = each.managed
            lock.own()
        finally:
            taken.close()
        self._log.info("took_over", "the gateway before this one drains", predecessor=taken.pid)

    def keep(self) -> None:
        """The service manager keeps the sockets of now."""
        if self.sockets is not None:
            self._store.update(self.sockets.listeners)

    # The end.

    def offered(self) -> tuple[list[tuple[str, str, int]], list[str]]:
        """Everything for a successor: sockets, and the addresses that a service manager has as well."""
        listeners = self.sockets.listeners if self.sockets is not None else []
        found = [("listener", each.address, one.fileno()) for each in listeners for one in each.sockets]
        return found, [each.address for each in listeners if each.held]

    def drain(self, pool: Pool, config: Config) -> None:
        """No client is accepted any more. Queues are emptied, but for those that another process has as well."""
        if self.sockets is not None and any(each.held for each in self.sockets.listeners):
            self._leave(pool, config)
        else:
            pool.ending.drain(config.drain)

    def hand_over(self, pool: Pool, config: Config, kept: Sequence[str] | None) -> None:
        """A successor accepts at the addresses `kept`, or at all."""
        for each in self.sockets.listeners if self.sockets is not None else []:
            each.held = each.held or kept is None or each.address in kept
        self._leave(pool, config)

    def close(self) -> None:
        """Gives back what was taken: the gateway before goes on."""
        if self._leaving is not None:
            self._leaving.cancel()
        if self.taken is not None:
            self.taken.close()

    def _leave(self, pool: Pool, config: Config) -> None:
        limits = config.limits
        patience = min(limits.request_timeout + limits.dial_timeout, config.drain / 2)
        if self.sockets is not None and all(each.held for each in self.sockets.listeners):
            pool.ending.hand_over(config.drain - patience, patience)
        else:
            self._leaving = self._loop.create_task(self._empty_and_leave(pool, config.drain - patience, patience))

    async def _empty_and_leave(self, pool: Pool, seconds: float, patience: float) -> None:
        await pool.keep_only([each.number for each in pool.sockets.listeners if each.held])
        pool.ending.hand_over(seconds, patience)
