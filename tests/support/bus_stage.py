"""The supervisor's side of one worker process, step by step: channel, bus, segment, listeners.

The worker in it is the real one or the stand-in of the supervisor's tests: what holds for one holds for both
(tests/gateway/worker/test_bus_protocol.py).
"""

import contextlib
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import zmq

from supervisor.config.config import Config, Listener
from supervisor.host.process import kill_group, python_command, spawn
from supervisor.policy import builder
from supervisor.segment.active import ActiveGeneration
from supervisor.segment.limit_table import LimitTable
from supervisor.segment.segment import Segment
from tests.support.eventually import PATIENCE, eventually
from tests.support.stand_in_worker import __file__ as STAND_IN

COMMANDS: Final = {"gateway.worker": python_command("gateway.worker"), "the stand-in": [sys.executable, STAND_IN]}
SLOTS: Final = 2


class BusStage:
    """Worker 0 of two, with one listener each. Use it as a context manager."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.stack = contextlib.ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-"))
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        (self.folder / "run").mkdir()
        self.segment = Segment(0, 16)
        self.limits = LimitTable(SLOTS)
        self.active = ActiveGeneration()
        self.listeners = [self.stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(SLOTS)]
        for listener in self.listeners:
            listener.setblocking(False)
        self.context = zmq.Context()
        self.bus = self.context.socket(zmq.ROUTER)
        self.bus.setsockopt(zmq.LINGER, 0)
        self.bus.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.bus.bind(f"ipc://{self.folder}/run/bus")
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lines = os.eventfd(0)
        self.stack.callback(os.close, lines)
        shared = (theirs.fileno(), self.segment.fd, self.limits.fd, self.active.fd, lines)
        told = ["--slot", "0", "--slots", str(SLOTS), "--listeners", "0", "--bus", f"ipc://{self.folder}/run/bus"]
        self.pid = spawn([*command, *told], [*shared, *(one.fileno() for one in self.listeners)], block=True)
        theirs.close()
        self.status: int | None = None
        self.name = b""
        self.numbers = [0]  # of listeners, as the settings say from the next load on
        self.leaving: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.status is None:
            kill_group(self.pid)
            os.waitpid(self.pid, 0)
        self.channel.close()
        self.bus.close()
        self.context.term()
        self.segment.close()
        self.limits.close()
        self.active.close()
        self.stack.close()

    def next(self) -> dict[str, Any]:
        """The worker's next message, without its slot."""
        assert self.bus.poll(round(PATIENCE * 1000)), "the worker sends nothing"
        self.name, packed = self.bus.recv_multipart()
        message: dict[str, Any] = msgspec.msgpack.decode(packed)
        assert message.pop("slot") == 0
        return message

    def send(self, op: str, **fields: Any) -> None:
        self.bus.send_multipart([self.name, msgspec.msgpack.encode({"op": op, **fields})])

    def give_image(self, generation: int) -> None:
        """An image that allows nothing, over the channel."""
        image = builder.ImageBuilder()
        image.flags(builder.IMAGE_HAS_POLICY)
        descriptor = image.finish_memfd()
        socket.send_fds(self.channel, [msgspec.msgpack.encode({"generation": generation})], [descriptor])
        os.close(descriptor)

    def settings(self) -> Any:
        listeners = tuple(Listener(name=f"listener-{number}") for number in self.numbers)
        settings = Config(path="/s", control="ipc:///c", listeners=listeners).settings()
        for listener, number in zip(settings["listeners"], self.numbers, strict=True):
            listener["sockets"], listener["leaving"] = number, self.leaving
        return settings

    def open_more(self, number: int) -> list[socket.socket]:
        """The sockets of another listener, one for each slot, sent over the channel."""
        opened = [self.stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(SLOTS)]
        for one in opened:
            one.setblocking(False)
        packet = msgspec.msgpack.encode({"sockets": [[number, slot] for slot in range(SLOTS)]})
        socket.send_fds(self.channel, [packet], [one.fileno() for one in opened])
        return opened

    @staticmethod
    def close(listeners: list[socket.socket]) -> None:
        for one in listeners:
            one.close()

    def connect(self, slot: int = 0) -> socket.socket:
        return self.stack.enter_context(socket.create_connection(self.listeners[slot].getsockname(), PATIENCE))

    def accepts(self, slot: int = 0) -> socket.socket:
        """A connection to a slot's socket that the worker has accepted."""
        before = self.segment.counters()["connections_accepted"]
        client = self.connect(slot)
        eventually(lambda: self.segment.counters()["connections_accepted"] > before, f"slot {slot} is accepted from")
        return client

    def ended(self) -> int:
        """The exit code of a worker that ends by itself."""
        status = eventually(self._waited, "the worker ends")[0]
        self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def _waited(self) -> list[int]:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return [status] if pid else []
