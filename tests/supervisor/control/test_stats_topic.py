"""Subscribers of the `stats` topic that are slow or stuck: each loses what it does not take; no other notices."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import zmq

from supervisor.control.control import ControlServer
from supervisor.logs.log import Log
from tests.support.eventually import PATIENCE

ROUNDS: Final = 6_000
SIZE: Final = 16_384
NEAR: Final = 500
MIB: Final = 1 << 20


@contextlib.contextmanager
def subscriber(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, room: int) -> Iterator[zmq.Socket[bytes]]:
    """One that has room for so many messages."""
    with context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, room)
        socket.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
        socket.setsockopt(zmq.SUBSCRIBE, b"stats")
        socket.connect(endpoint)
        yield socket


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def number(message: list[bytes]) -> int:
    return int(msgspec.msgpack.decode(message[1])["number"])


async def flood(folder: Path, context: zmq.Context[zmq.Socket[bytes]]) -> tuple[int, int, int]:
    """(memory that the flood took, the last number a reader saw, how many it missed) with a stuck one beside it."""
    published = seen = missed = 0
    read = threading.Condition()

    def stats() -> dict[str, object]:
        """The next one, when the reader is near enough to miss none for its own slowness."""
        nonlocal published
        with read:
            assert read.wait_for(lambda: published - seen < NEAR or not seen, PATIENCE)
        published += 1
        return {"number": published, "padding": "x" * SIZE}

    def drink(socket: zmq.Socket[bytes]) -> int:
        """The reader takes every one; the memory that took, in bytes."""
        nonlocal seen, missed
        before = most = 0
        while seen < ROUNDS:
            got = number(socket.recv_multipart())
            if got % 64 == 0 or not before:
                most = max(most, resident())
            before = before or most
            with read:
                missed += got - seen - 1 if seen else 0
                seen = got
                read.notify()
        return most - before

    control, topic = f"ipc://{folder}/c", f"ipc://{folder}/c.pub"
    loop = asyncio.get_running_loop()
    log = Log(lambda line: None, plain=False)
    server = ControlServer(loop, context, control, topic, {}, stats, log, interval=0.0001)
    try:
        with subscriber(context, topic, 1) as stuck, subscriber(context, topic, 1000) as reader:
            await loop.run_in_executor(None, lambda: stuck.poll(int(PATIENCE * 1000)))
            grown = await loop.run_in_executor(None, drink, reader)
            return grown, seen, missed
    finally:
        server.close()


def test_a_stuck_subscriber_costs_bounded_memory_and_holds_nobody_up(tmp_path: Path) -> None:
    """Messages that it does not take would be 94 MiB; its queue has 1000 messages of 16 KiB."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        grown, seen, missed = asyncio.run(asyncio.wait_for(flood(tmp_path, context), 60))
    finally:
        context.destroy(linger=0)
    assert seen >= ROUNDS and missed == 0
    assert grown < 50 * MIB, grown
