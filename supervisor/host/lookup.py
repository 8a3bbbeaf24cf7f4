"""Names asked of DNS for `explain --resolve`: by a process with the gateway's own resolver, whose answer this reads.

The supervisor holds no resolver itself. What is asked for is canonical already.
"""

import asyncio
import os
import socket
import time
from typing import Final

import msgspec

from gateway.contract import DnsSettings, LookupAnswer, LookupQuestion
from supervisor.host.process import Reaper, kill_group, python_command, spawn

STARTING: Final = 20.0  # seconds that the process may take beside dns.timeout
MOST_ANSWER: Final = 65536
MOST_AT_ONCE: Final = 4  # of a gateway that is asked with --live


class LookupFailed(Exception):
    """The process did not answer: an internal failure, or no memory."""


def resolve_blocking(name: str, dns: DnsSettings) -> LookupAnswer:
    """For a command: waits. Raises LookupFailed."""
    ours, pid = _start(name, dns)
    until = time.monotonic() + dns["timeout"] + STARTING
    data = b""
    try:
        with ours:
            while len(data) < MOST_ANSWER:
                ours.settimeout(max(0.001, until - time.monotonic()))
                part = ours.recv(MOST_ANSWER)
                if not part:
                    break
                data += part
    except OSError as wrong:
        raise LookupFailed(f"the look-up of {name} failed: {wrong}") from None
    finally:
        kill_group(pid)
        os.waitpid(pid, 0)
    return _read(name, data)


class Lookups:
    """The same within the supervisor's loop, for a few at once: the others wait."""

    def __init__(self, reaper: Reaper) -> None:
        """`reaper` collects the processes."""
        self._reaper = reaper
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    async def resolve(self, name: str, dns: DnsSettings) -> LookupAnswer:
        """Raises LookupFailed."""
        async with self._places:
            ours, pid = _start(name, dns)
            self._reaper.watch(pid, lambda ended: None)
            try:
                with ours:
                    data = await asyncio.wait_for(_receive(ours), dns["timeout"] + STARTING)
            except OSError as wrong:
                raise LookupFailed(f"the look-up of {name} failed: {wrong or 'no answer in time'}") from None
            finally:
                kill_group(pid)
            return _read(name, data)


def _start(name: str, dns: DnsSettings) -> tuple[socket.socket, int]:
    """Our end of what the answer comes by, and the process."""
    question = msgspec.json.encode(LookupQuestion(name=name, dns=dns)).decode()
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            pid = spawn(python_command("gateway.dns.lookup", "--answer-fd", "3", question), [theirs.fileno()])
    except OSError as wrong:
        ours.close()
        raise LookupFailed(f"the look-up of {name} could not be started: {wrong}") from None
    return ours, pid


async def _receive(ours: socket.socket) -> bytes:
    ours.setblocking(False)
    data = b""
    while len(data) < MOST_ANSWER and (part := await asyncio.get_running_loop().sock_recv(ours, MOST_ANSWER)):
        data += part
    return data


def _read(name: str, data: bytes) -> LookupAnswer:
    try:
        return msgspec.json.decode(data, type=LookupAnswer)
    except msgspec.MsgspecError as wrong:
        raise LookupFailed(f"the look-up of {name} gave no answer: {wrong}") from None
