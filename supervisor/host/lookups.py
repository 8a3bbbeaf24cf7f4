"""Look-ups of lookup.py within the supervisor's loop, a few at once."""

import asyncio
import socket
from typing import Final

from gateway.contract import DnsSettings, LookupAnswer
from supervisor.host.lookup import MOST_ANSWER, STARTING, LookupFailed, begin, read
from supervisor.host.process import kill_group
from supervisor.host.reaper import Reaper

MOST_AT_ONCE: Final = 4


class Lookups:
    """The others wait."""

    def __init__(self, reaper: Reaper) -> None:
        """`reaper` collects the processes."""
        self._reaper = reaper
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    async def resolve(self, name: str, dns: DnsSettings) -> LookupAnswer:
        """Raises LookupFailed."""
        async with self._places:
            ours, pid = begin(name, dns)
            self._reaper.watch(pid, lambda ended: None)
            try:
                with ours:
                    data = await asyncio.wait_for(_receive(ours), dns["timeout"] + STARTING)
            except OSError as wrong:
                raise LookupFailed(f"the look-up of {name} failed: {wrong or 'no answer in time'}") from None
            finally:
                kill_group(pid)
            return read(name, data)


async def _receive(ours: socket.socket) -> bytes:
    ours.setblocking(False)
    data = b""
    while len(data) < MOST_ANSWER and (part := await asyncio.get_running_loop().sock_recv(ours, MOST_ANSWER)):
        data += part
    return data
