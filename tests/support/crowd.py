"""Many short visits to a gateway, some at once, by one thread and one epoll: some thousand a second.

A visit sends bytes, may wait for an answer, and ends. Sources of 127.1.0.0/16 take turns, so that no limit of one
source and no shortage of its ports stands in the way.
"""

import errno
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

SOURCES: Final = 40
RESET: Final = struct.pack("ii", 1, 0)
PATIENCE: Final = 60.0


class Step(NamedTuple):
    """Bytes to send, and what has to come before the next step: so many bytes, or the end of the stream."""

    send: bytes
    awaited: int = 0
    to_the_end: bool = False
    half: bool = False  # our direction ends with it


class Visit(NamedTuple):
    """Steps, then a close, or a reset. `answer` is how what comes back begins; None: anything may come back."""

    steps: tuple[Step, ...]
    answer: bytes | None = None
    reset: bool = False


class _Guest:
    """One visit under way."""

    __slots__ = ("connection", "heard", "missing", "number")

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.number = -1  # of the step; before the connection is there -1
        self.heard = b""
        self.missing = 0


class Crowd:
    """`ends` counts how visits ended: `done`, `reset` (by the other side), or what was unexpected, with its bytes."""

    def __init__(self, port: int, visit: Visit, at_once: int) -> None:
        self.port = port
        self.visit = visit
        self.at_once = at_once
        self.ends: Counter[str] = Counter()
        self.epoll = select.epoll()
        self.guests: dict[int, _Guest] = {}
        self.begun = 0

    def run(self, count: int, between: Callable[[], object] | None = None) -> Counter[str]:
        """`count` visits; `between` is called from time to time. Raises TimeoutError when nothing moves any more."""
        moved = time.monotonic()
        while self.begun < count or self.guests:
            while self.begun < count and len(self.guests) < self.at_once:
                self._begin()
            events = self.epoll.poll(1.0)
            for descriptor, mask in events:
                self._event(self.guests[descriptor], mask)
            if events:
                moved = time.monotonic()
            elif time.monotonic() - moved > PATIENCE:
                raise TimeoutError(f"{len(self.guests)} visits never end; so far {dict(self.ends)}")
            if between is not None:
                between()
        self.epoll.close()
        return self.ends

    def _begin(self) -> None:
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        connection.bind((f"127.1.0.{1 + self.begun % SOURCES}", 0))
        self.begun += 1
        code = connection.connect_ex(("127.0.0.1", self.port))
        assert code in (0, errno.EINPROGRESS), code
        self.guests[connection.fileno()] = _Guest(connection)
        self.epoll.register(connection, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)

    def _event(self, guest: _Guest, mask: int) -> None:
        try:
            if guest.number < 0 and mask & select.EPOLLOUT:
                self._next(guest)
            while guest.number >= 0 and mask & (select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP):
                data = guest.connection.recv(65536)
                guest.heard += data
                guest.missing -= len(data)
                step = self.visit.steps[guest.number]
                if not data:
                    self._leave(guest, "done" if step.to_the_end else "ended early")
                    return
                if guest.missing <= 0 and not step.to_the_end:
                    self._next(guest)
        except BlockingIOError:
            pass
        except OSError as error:
            self._leave(guest, "reset" if error.errno == errno.ECONNRESET else str(error))

    def _next(self, guest: _Guest) -> None:
        """Takes steps until one has something to wait for."""
        while guest.connection.fileno() >= 0:
            guest.number += 1
            if guest.number == len(self.visit.steps):
                self._leave(guest, "done")
                raise BlockingIOError
            step = self.visit.steps[guest.number]
            if step.send:
                guest.connection.send(step.send)
            if step.half:
                guest.connection.shutdown(socket.SHUT_WR)
            guest.missing += step.awaited
            if guest.missing > 0 or step.to_the_end:
                return

    def _leave(self, guest: _Guest, end: str) -> None:
        if self.visit.answer is not None and not guest.heard.startswith(self.visit.answer):
            end = f"{end}: {guest.heard[:60]!r}"
        self.ends[end] += 1
        del self.guests[guest.connection.fileno()]
        if self.visit.reset:
            guest.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        guest.connection.close()
