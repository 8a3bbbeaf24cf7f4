"""The worker's end of the bus: one ZeroMQ DEALER, msgpack maps (gateway/contract.py).

ZMQ_FD is edge-triggered: it may stay silent while messages wait. So after every wake and after every send ZMQ_EVENTS
is read until nothing is left, and a receive that stopped at its budget asks the loop for another turn.
"""

import socket
from collections.abc import Callable
from typing import Any

import msgpack
import zmq

from gateway import contract
from gateway.io.loop import Loop
from gateway.io.watch import Watch

RECEIVE_BUDGET = 64
HIGH_WATER = 1000  # messages, while the supervisor stands still
MAX_MESSAGE = 1 << 20


def reach(endpoint: str) -> None:
    """Raises OSError where a connection cannot be made now: ZeroMQ would try again for ever, and say nothing."""
    if endpoint.startswith("ipc://"):
        path = endpoint.removeprefix("ipc://")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect("\0" + path[1:] if path.startswith("@") else path)


class Bus:
    """Sends and receives for one worker.

    `dispatch(message)` gets each map from the supervisor.
    """

    def __init__(
        self, loop: Loop, endpoint: str, slot: int, pid: int, dispatch: Callable[[dict[str, Any]], None]
    ) -> None:
        self._slot = slot
        self._dispatch = dispatch
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.ROUTING_ID, f"worker-{slot}-{pid}".encode())
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.SNDHWM, HIGH_WATER)
        self._socket.set(zmq.RCVHWM, HIGH_WATER)
        self._socket.set(zmq.MAXMSGSIZE, MAX_MESSAGE)
        self._socket.connect(endpoint)
        self._watch = Watch(loop, self._socket.get(zmq.FD), self._receive)

    def send(self, op: str, **fields: Any) -> bool:
        """One message; False when the supervisor does not keep up."""
        try:
            self._socket.send(msgpack.packb({"op": op, "slot": self._slot, **fields}), zmq.NOBLOCK)
        except zmq.Again:
            return False
        finally:
            self._watch.again()
        return True

    def verify(self, number: int, source: int, user: bytes, password: bytes) -> bool:
        """Asks for a password check; the answer comes as VERIFIED. False when the supervisor does not keep up."""
        return self.send(contract.VERIFY, id=number, source=source, user=user, password=password)

    def verify_token(self, number: int, source: int, token: bytes) -> bool:
        """The same for a bearer token."""
        return self.send(contract.VERIFY_TOKEN, id=number, source=source, token=token)

    def rejected(self, source: int) -> None:
        """A login failed without a check."""
        self.send(contract.REJECTED, source=source)

    def parent(self, name: str, ok: bool, text: str) -> None:
        """How a connection to a parent gateway went, in words for the log."""
        self.send(contract.PARENT, name=name, ok=ok, text=text)

    def close(self) -> None:
        """Gives what was sent a moment to leave, then ends."""
        self._watch.stop()
        self._socket.close(linger=200)
        self._context.term()

    def _receive(self) -> None:
        for _ in range(RECEIVE_BUDGET):
            if not int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN:
                return
            try:
                message = msgpack.unpackb(self._socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                return
            self._dispatch(message)
        self._watch.again()
