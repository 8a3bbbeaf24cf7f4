"""The bus: a ZeroMQ ROUTER that speaks the messages of gateway/contract.py with the workers alone.

It knows shapes and senders. What a message means is the business of its handler (pool.py, verifier.py, ...).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
import zmq

from gateway import contract
from supervisor.host.zmq_port import Peer, ZmqPort

__all__ = [
    *(
        "Active",
        "Bus",
        "Closed",
        "Drained",
        "Full",
        "Handler",
        "Hello",
        "Loaded",
        "Log",
        "Parent",
        "Rejected",
        "Verify",
        "VerifyToken",
    ),
    "routing_id",
]

HIGH_WATER = 10_000


class Hello(msgspec.Struct, tag_field="op", tag=contract.HELLO):
    """A worker is connected and waits for its generation."""

    slot: int
    pid: int


class Loaded(msgspec.Struct, tag_field="op", tag=contract.LOADED):
    """A worker has loaded a generation, which may become active, or reports why it could not."""

    slot: int
    generation: int
    ok: bool
    error: str | None = None


class Active(msgspec.Struct, tag_field="op", tag=contract.ACTIVE):
    """A worker decides by a generation, and has judged its live tunnels by it."""

    slot: int
    generation: int


class Verify(msgspec.Struct, tag_field="op", tag=contract.VERIFY):
    """Credentials to be checked. Never logged: the representation leaves them out."""

    slot: int
    id: int
    source: int
    user: bytes
    password: bytes

    def __repr__(self) -> str:
        return f"Verify(slot={self.slot}, id={self.id})"


class VerifyToken(msgspec.Struct, tag_field="op", tag=contract.VERIFY_TOKEN):
    """A bearer token to be checked. Never logged either."""

    slot: int
    id: int
    source: int
    token: bytes

    def __repr__(self) -> str:
        return f"VerifyToken(slot={self.slot}, id={self.id})"


class Rejected(msgspec.Struct, tag_field="op", tag=contract.REJECTED):
    """A login of a source failed without a check: its password is known to be wrong."""

    slot: int
    source: int


class Full(msgspec.Struct, tag_field="op", tag=contract.FULL):
    """The worker accepts no client, for want of descriptors, or does so again."""

    slot: int
    full: bool


class Closed(msgspec.Struct, tag_field="op", tag=contract.CLOSED):
    """Sockets of a listener that was removed have been emptied and closed."""

    slot: int
    sockets: list[int]


class Drained(msgspec.Struct, tag_field="op", tag=contract.DRAINED):
    """No tunnel is left; the worker exits."""

    slot: int


class Parent(msgspec.Struct, tag_field="op", tag=contract.PARENT):
    """How a shared connection to a parent gateway went."""

    slot: int
    name: str
    ok: bool
    text: str


Message = Hello | Loaded | Active | Verify | VerifyToken | Rejected | Full | Closed | Drained | Parent
Handler = Callable[[int, Message], None]


class Slots(Protocol):
    """The senders that are accepted."""

    def pid_of(self, slot: int) -> int | None:
        """The pid that lives in a slot, or None."""

    def last_pid_of(self, slot: int) -> int | None:
        """The pid that died in a slot last, or None: its messages may still be on their way."""


def routing_id(slot: int, pid: int) -> bytes:
    """The name under which a worker connects."""
    return f"worker-{slot}-{pid}".encode()


class Bus:
    """`handler(slot, message)` is called for each well-formed message of a live worker, in the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        slots: Slots,
        handler: Handler,
    ) -> None:
        self._slots = slots
        self._handler = handler
        self._decoder = msgspec.msgpack.Decoder(Message)
        self._encoder = msgspec.msgpack.Encoder()
        self.endpoint = endpoint
        self.received = 0
        self.malformed = 0  # messages of no known shape
        self.strangers = 0  # messages of a peer that is not a live worker
        self._port = ZmqPort(loop, context, zmq.ROUTER, endpoint, self._receive, HIGH_WATER)

    @property
    def dropped(self) -> int:
        """Messages to workers that could not be sent."""
        return self._port.dropped

    def send(self, slot: int, message: Mapping[str, object]) -> bool:
        """To the worker of a slot. False: it has none, or its queue is full; counted."""
        pid = self._slots.pid_of(slot)
        if pid is None:
            return False
        return self._port.send((routing_id(slot, pid), self._encoder.encode(message)))

    def close(self) -> None:
        self._port.close()

    def _receive(self, frames: list[zmq.Frame]) -> None:
        self.received += 1
        slot, alive = self._sender(frames[0])
        if slot is None:
            self.strangers += 1
            return
        if len(frames) != 2:
            self.malformed += 1
            return
        try:
            message = self._decoder.decode(frames[1].buffer)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self.malformed += 1
            return
        if getattr(message, "slot", slot) != slot:
            self.malformed += 1
        elif alive:
            self._handler(slot, message)

    def _sender(self, identity: zmq.Frame) -> tuple[int | None, bool]:
        """(slot, whether its worker lives). The name must fit a slot and its pid; the kernel must name the same pid, or
        none (another pid namespace), so that no other process of this user can speak for a worker."""
        name, worker, pid = [*identity.bytes.split(b"-", 2), b"", b""][:3]
        if name != b"worker" or not worker.isdigit() or not pid.isdigit() or len(worker) > 9:
            return None, False
        slot = int(worker)
        for known, alive in ((self._slots.pid_of(slot), True), (self._slots.last_pid_of(slot), False)):
            if known is not None and routing_id(slot, known) == identity.bytes and Peer(identity).pid in (known, 0, -1):
                return slot, alive
        return None, False
