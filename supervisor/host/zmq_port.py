"""Joins one ZeroMQ socket to the asyncio loop.

ZMQ_FD is edge-triggered and any call on the socket may consume the edge: after each wake and each send, ZMQ_EVENTS is
read until nothing is ready, and the rest is requeued when a turn's budget ends (DESIGN.md section 3). Sends never wait:
what does not fit under the high-water mark is dropped and counted.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq

__all__ = ["MAX_MESSAGE", "Peer", "ZmqPort"]

MAX_MESSAGE = 1 << 20
BUDGET = 64  # messages a turn
HANDSHAKE = 5000  # ms for a peer to show that it speaks ZMTP


class Peer:
    """The sender of a message: over ipc as the kernel reports it (SO_PEERCRED), over tcp by the key it proved."""

    __slots__ = ("pid", "uid")

    def __init__(self, frame: zmq.Frame) -> None:
        """libzmq appends `:uid:gid:pid` to the address of an ipc peer; -1 where it does not say."""
        self.uid = self.pid = -1
        try:
            uid, _, pid = str(frame.get("Peer-Address")).rsplit(":", 3)[1:]
            self.uid, self.pid = int(uid), int(pid)
        except (zmq.ZMQError, ValueError, KeyError):
            pass

    @staticmethod
    def describe(frame: zmq.Frame) -> dict[str, object]:
        """For a log line: {uid, pid}, or {key, address}."""
        try:
            return {"key": str(frame.get("User-Id")), "address": str(frame.get("Peer-Address"))}
        except (zmq.ZMQError, KeyError):  # no client had to prove anything
            peer = Peer(frame)
            return {"uid": peer.uid, "pid": peer.pid}


class ZmqPort:
    """A bound socket. `on_message` gets the frames of each message and must not block; `prepare` sets further options
    before the socket is bound."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: zmq.Context[zmq.Socket[bytes]],
        kind: int,
        endpoint: str,
        on_message: Callable[[list[zmq.Frame]], None] | None = None,
        high_water: int = 1000,
        prepare: "Callable[[zmq.Socket[bytes]], None] | None" = None,
    ) -> None:
        self._loop = loop
        self._on_message = on_message
        self.dropped = 0  # messages that could not be sent
        self._socket = socket = context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE)
        socket.setsockopt(zmq.SNDHWM, high_water)
        socket.setsockopt(zmq.RCVHWM, high_water)
        if kind == zmq.ROUTER:
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a peer that is gone is an error, not silence
        try:
            if prepare is not None:
                prepare(socket)
            _bind(socket, endpoint)
        except BaseException:
            socket.close()
            raise
        self._fd = int(socket.getsockopt(zmq.FD))
        if on_message is not None:
            loop.add_reader(self._fd, self._wake)
            loop.call_soon(self._wake)

    def send(self, frames: Sequence[bytes]) -> bool:
        """False: dropped, for a full queue or a peer that is gone."""
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError:
            self.dropped += 1
            return False
        finally:
            if (
                self._on_message is not None
                and not self._socket.closed
                and int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN
            ):
                self._loop.call_soon(self._wake)
        return True

    def close(self) -> None:
        if not self._socket.closed:
            if self._on_message is not None:
                self._loop.remove_reader(self._fd)
            self._socket.close()

    def _wake(self) -> None:
        for _ in range(BUDGET):
            if self._socket.closed:
                return
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            except zmq.ZMQError:
                return
            try:
                if self._on_message is not None:
                    self._on_message(frames)
            except BaseException:
                self._loop.call_soon(self._wake)  # the edge is spent: what waits would wait for the next message
                raise
        self._loop.call_soon(self._wake)


def _bind(socket: "zmq.Socket[bytes]", endpoint: str) -> None:
    """The folder of an ipc socket is 0700 already; the socket itself is 0600 from its first moment."""
    if not endpoint.startswith("ipc://"):
        socket.setsockopt(zmq.IPV6, "[" in endpoint)
        socket.bind(endpoint)
        return
    mask = os.umask(0o177)
    try:
        socket.bind(endpoint)
    finally:
        os.umask(mask)
    Path(endpoint.removeprefix("ipc://")).chmod(0o600)
