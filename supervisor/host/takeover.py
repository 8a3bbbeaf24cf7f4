"""A restart without an outage: a running gateway gives its listening sockets and its lock to its successor.

The running one listens on a Unix socket beside the control endpoint, for processes of its own user alone. Packets are
msgpack maps; one takeover at a time, and until `finish` the running one goes on as before:

    successor   {version, op: take}
    running     {version, pid, sockets: [[what, address], ...], managed: [address, ...]}, then {} with descriptors, at
                most FILES at once: the lock, then a socket for each item of `sockets`; a service manager has those of
                `managed` as well
    successor   {op: finish, kept: [address, ...]}       its workers accept from these
    running     {done: true}                             it has left the endpoint, and drains

Either end may close the connection, or die, at any moment: before `finish` nothing has changed.
"""

import array
import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from supervisor.host.errors import StartError, errno_text

__all__ = ["VERSION", "Giver", "Offer", "Taken", "take"]

VERSION: Final = 1
FILES: Final = 200  # descriptors in a packet; the kernel takes 253
MOST_REFUSED: Final = 8  # whose answers wait to be read
PATIENCE: Final = 10.0  # seconds for an answer of the running gateway
_MOST: Final = 1 << 20
_CREDENTIALS: Final = struct.Struct("3i")


class Offer(msgspec.Struct, frozen=True):
    """All that a running gateway gives away: its lock, and sockets with what each is (`listener`, `admin`, `metrics`)
    and the address it is bound to."""

    lock: int
    sockets: Sequence[tuple[str, str, int]]
    managed: Sequence[str] = ()  # addresses whose sockets a service manager has as well


class Giver:
    """The running gateway's side. `offer()` raises StartError when there is nothing to give; `finish(pid, kept)` leaves
    the endpoint to that process, which accepts at these addresses (None: at all); `say(event, words, pid)` is for the
    log."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        path: Path,
        offer: Callable[[], Offer],
        finish: Callable[[int, Sequence[str] | None], Coroutine[None, None, None]],
        say: Callable[[str, str, int], None],
    ) -> None:
        self._loop = loop
        self._offer = offer
        self._finish = finish
        self._say = say
        self._peer: socket.socket | None = None
        self._pid = 0
        self._refused: list[socket.socket] = []
        self._leaving: asyncio.Task[None] | None = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._listener.bind(str(path))
            path.chmod(0o600)
            self._listener.listen(4)
            self._listener.setblocking(False)
        except OSError as error:
            self._listener.close()
            raise StartError(f"{path} cannot be opened: {errno_text(error)}") from None
        loop.add_reader(self._listener, self._on_connection)

    def close(self) -> None:
        """No takeover from here on."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        for peer in list(self._refused):
            self._let_go(peer)
        self._drop()

    def _on_connection(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(data)
        peer.setblocking(False)
        refusal = ""
        if uid != os.geteuid():
            refusal = f"only processes of the user {os.geteuid()} may take over, not of {uid}"
        elif self._peer is not None:
            refusal = f"process {self._pid} is taking over already"
        if refusal:
            self._say("takeover_refused", refusal, pid)
            _send(peer, {"version": VERSION, "error": refusal})
            self._refused.append(peer)  # closed with a question unread, it would lose the answer
            self._loop.add_reader(peer, self._let_go, peer)
            if len(self._refused) > MOST_REFUSED:
                self._let_go(self._refused[0])
            return
        self._peer, self._pid = peer, pid
        self._loop.add_reader(peer, self._on_packet)

    def _let_go(self, peer: socket.socket) -> None:
        self._loop.remove_reader(peer)
        with contextlib.suppress(OSError):
            peer.recv(_MOST)
        peer.close()
        self._refused.remove(peer)

    def _on_packet(self) -> None:
        assert self._peer is not None
        try:
            packet = self._peer.recv(_MOST)
            request = msgspec.msgpack.decode(packet, type=dict[str, Any]) if packet else {}
        except BlockingIOError:
            return
        except (OSError, msgspec.MsgspecError):
            request = {}
        op = request.get("op")
        if op == "take":
            self._give(request)
        elif op == "finish":
            self._loop.remove_reader(self._peer)
            self._leaving = self._loop.create_task(self._leave(self._peer, _addresses(request.get("kept"))))
        else:
            self._say("takeover_failed", "the process that was to take over is gone: nothing has changed", self._pid)
            self._drop()

    def _give(self, request: Mapping[str, Any]) -> None:
        assert self._peer is not None
        error = ""
        if request.get("version") != VERSION:
            error = f"this gateway speaks version {VERSION} of the takeover, not {request.get('version')}"
        try:
            offer = self._offer()
        except StartError as refused:
            error = error or str(refused)
        if error:
            self._say("takeover_refused", error, self._pid)
            _send(self._peer, {"version": VERSION, "error": error})
            self._drop()
            return
        names = [(what, address) for what, address, _ in offer.sockets]
        descriptors = [offer.lock, *(descriptor for _, _, descriptor in offer.sockets)]
        try:
            found = {"version": VERSION, "pid": os.getpid(), "sockets": names, "managed": list(offer.managed)}
            self._peer.send(msgspec.msgpack.encode(found))
            for first in range(0, len(descriptors), FILES):
                socket.send_fds(self._peer, [msgspec.msgpack.encode({})], descriptors[first : first + FILES])
        except OSError as failure:
            self._say("takeover_failed", f"the sockets cannot be sent: {errno_text(failure)}", self._pid)
            self._drop()
            return
        self._say("takeover", "another process takes over", self._pid)

    async def _leave(self, peer: socket.socket, kept: Sequence[str] | None) -> None:
        await self._finish(self._pid, kept)
        _send(peer, {"done": True})
        self.close()

    def _drop(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            self._loop.remove_reader(peer)
            peer.close()


def _send(peer: socket.socket, message: Mapping[str, object]) -> None:
    with contextlib.suppress(OSError):
        peer.send(msgspec.msgpack.encode(message))


class Taken:
    """The successor's side, with everything received: `lock` and `sockets` are its own to close or to keep."""

    def __init__(
        self,
        peer: socket.socket,
        pid: int,
        lock: int,
        sockets: list[tuple[str, str, socket.socket]],
        managed: Sequence[str] = (),
    ) -> None:
        self.pid = pid
        self.managed = managed
        self.lock = lock
        self.sockets = sockets
        self._peer = peer

    def named(self, *kinds: str) -> list[socket.socket]:
        """Sockets of these kinds."""
        return [one for what, _, one in self.sockets if what in kinds]

    def finish(self, kept: Sequence[str]) -> None:
        """Waits until the running gateway has left the endpoint. One that has died has left it as well. `kept`: the
        addresses where this process accepts; the other one empties the queues of the rest."""
        with contextlib.suppress(OSError), self._peer:
            self._peer.send(msgspec.msgpack.encode({"op": "finish", "kept": list(kept)}))
            self._peer.recv(_MOST)

    def close(self) -> None:
        """Gives everything back: the running gateway goes on."""
        self._peer.close()
        for _, _, one in self.sockets:
            one.close()
        with contextlib.suppress(OSError):
            os.close(self.lock)


def take(path: Path) -> Taken | None:
    """All that the gateway at `path` gives; None where none runs. Blocks, at most PATIENCE for an answer. Raises
    StartError."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer.settimeout(PATIENCE)
    received: list[int] = []
    try:
        peer.connect(str(path))
        peer.send(msgspec.msgpack.encode({"version": VERSION, "op": "take"}))
        offer = _packet(peer, received)
        names = [(str(what), str(address)) for what, address in offer["sockets"]]
        while len(received) < len(names) + 1:
            before = len(received)
            _packet(peer, received)
            if len(received) == before:
                raise ValueError("descriptors are missing")
        lock, *rest = received
        sockets = [(what, address, socket.socket(fileno=fd)) for (what, address), fd in zip(names, rest, strict=True)]
        for _, _, one in sockets:
            one.setblocking(False)  # as it is: its dup() would make it block for both gateways
        return Taken(peer, int(offer["pid"]), lock, sockets, [str(one) for one in offer.get("managed", ())])
    except (FileNotFoundError, ConnectionRefusedError):
        peer.close()
        return None
    except BaseException as error:
        peer.close()
        for descriptor in received:
            os.close(descriptor)
        if isinstance(error, OSError):
            raise StartError(f"the running gateway does not hand over: {errno_text(error)}") from None
        if isinstance(error, (ValueError, KeyError, TypeError, msgspec.MsgspecError)):
            raise StartError(f"the running gateway does not hand over: its answer is malformed ({error})") from None
        raise


def _addresses(value: object) -> list[str] | None:
    return list(map(str, value)) if isinstance(value, list) else None


def _packet(peer: socket.socket, received: list[int]) -> dict[str, Any]:
    descriptors = array.array("i")
    data, messages, _, _ = peer.recvmsg(_MOST, socket.CMSG_SPACE(FILES * 4), socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in messages:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    received.extend(descriptors)
    if not data:
        raise StartError("the running gateway closed the takeover", "its log says why; it goes on")
    message = msgspec.msgpack.decode(data, type=dict[str, Any])
    if error := message.get("error"):
        raise StartError(f"the running gateway does not hand over: {error}")
    return message
