"""Names asked of DNS for `explain --resolve`: by a process with the gateway's own resolver, whose answer this reads.

The supervisor holds no resolver itself. What is asked for is canonical already.
"""

import os
import socket
import time
from typing import Final

import msgspec

from gateway.contract import DnsSettings, LookupAnswer, LookupQuestion
from supervisor.host.process import kill_group, python_command, spawn

STARTING: Final = 20.0  # seconds that the process may take beside dns.timeout
MOST_ANSWER: Final = 65536


class LookupFailed(Exception):
    """The process did not answer: an internal failure, or no memory."""


def resolve_blocking(name: str, dns: DnsSettings) -> LookupAnswer:
    """For a command: waits. Raises LookupFailed."""
    ours, pid = begin(name, dns)
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
    return read(name, data)


def begin(name: str, dns: DnsSettings) -> tuple[socket.socket, int]:
    """Our end of what the answer comes by, and the process. Raises LookupFailed."""
    question = msgspec.json.encode(LookupQuestion(name=name, dns=dns)).decode()
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            pid = spawn(python_command("gateway.dns.lookup", "--answer-fd", "3", question), [theirs.fileno()])
    except OSError as wrong:
        ours.close()
        raise LookupFailed(f"the look-up of {name} could not be started: {wrong}") from None
    return ours, pid


def read(name: str, data: bytes) -> LookupAnswer:
    """The answer. Raises LookupFailed."""
    try:
        return msgspec.json.decode(data, type=LookupAnswer)
    except msgspec.MsgspecError as wrong:
        raise LookupFailed(f"the look-up of {name} gave no answer: {wrong}") from None
