"""The worker's end of the bus: one ZeroMQ DEALER, msgpack maps, and batches of log lines (gateway/contract.py).

ZMQ_FD is edge-triggered: it may stay silent while messages wait. So after every wake and after every send ZMQ_EVENTS
is read until nothing is left, and a receive that stopped at its budget asks the loop for another turn.
"""

from collections.abc import Callable
from typing import Any

import msgpack
import zmq

from gateway import contract
from gateway.loop import Loop
from gateway.watch import Clock, Watch

RECEIVE_BUDGET = 64
HIGH_WATER = 10_000
MAX_MESSAGE = 1 << 20
BATCH_BYTES = 128 * 1024
BATCH_DELAY = 0.05
LOG_LEVELS = ("tunnel", "decision", "interval")


class Bus:
    """Sends and receives for one worker.

    `dispatch(message)` gets each map from the supervisor. `dropped` counts the log lines of each level that had no
    room.
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
        self._flush_clock = Clock(loop, self.flush)
        self._lines: dict[str, list[bytes]] = {level: [] for level in LOG_LEVELS}
        self._bytes = 0
        self.dropped = dict.fromkeys(LOG_LEVELS, 0)

    def send(self, op: str, **fields: Any) -> bool:
        """One message; False when the supervisor does not keep up."""
        try:
            self._socket.send(msgpack.packb({"op": op, "slot": self._slot, **fields}), zmq.NOBLOCK)
        except zmq.Again:
            return False
        finally:
            self._watch.again()
        return True

    def verify(self, number: int, user: bytes, password: bytes) -> None:
        """Asks for a password check; the answer comes as VERIFIED."""
        self.send(contract.VERIFY, id=number, user=user, password=password)

    def drained(self) -> None:
        """Says that no connection is left."""
        self.flush()
        self.send(contract.DRAINED)

    def log(self, level: str, line: bytes) -> None:
        """Queues an access log line for the next batch. `level`: interval, decision or tunnel, dropped in this
        order."""
        if not self._bytes:
            self._flush_clock.start(BATCH_DELAY)
        self._lines[level].append(line)
        self._bytes += len(line)
        if self._bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Sends what is queued; lines that find no room are counted, never waited for."""
        self._bytes = 0
        for level, lines in self._lines.items():
            if lines:
                self._lines[level] = []
                if not self.send(contract.LOG, level=level, lines=lines):
                    self.dropped[level] += len(lines)

    def close(self) -> None:
        """Gives what was sent a moment to leave, then ends."""
        self.flush()
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
