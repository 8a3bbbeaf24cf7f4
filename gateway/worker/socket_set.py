"""The listening sockets that a worker has: its own slot's, and its siblings', which it accepts from in their place.

A listener's sockets have a number and one socket for each slot. A generation says which numbers serve, and at which
place of the settings their listener stands; numbers that leave are accepted from until they are emptied.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.downstream.listener import Listener
from gateway.state.parts import WorkerParts


class SocketSet:
    """`slot`: the worker's own."""

    def __init__(self, parts: WorkerParts, slot: int) -> None:
        self._parts = parts
        self._own = slot
        self._sockets: dict[int, dict[int, Listener]] = {}  # by number, by slot
        self._serving: set[int] = set()  # slots whose queues are accepted from
        self._active: set[int] = set()  # numbers of the active generation, leaving ones included
        self._leaving: set[int] = set()

    def add(self, number: int, slot: int, descriptor: int) -> None:
        """A socket that was inherited, or came over the channel. It is accepted from once a generation names it."""
        self._sockets.setdefault(number, {})[slot] = Listener(self._parts, descriptor, 0)
        self._parts.files.keep(1)

    def check_room(self, listeners: Iterable[Mapping[str, Any]], slots: int) -> None:
        """Raises OSError where the sockets of new listeners would take the descriptors of what is served."""
        new = [each for each in listeners if each["sockets"] is not None and each["sockets"] not in self._sockets]
        if self._serving and not self._parts.files.has_room_apart(len(new) * slots):
            raise OSError(f"too few open files are allowed for {len(new) * slots} more listening sockets")

    def serve(self) -> None:
        """Begins with the own slot, as soon as a generation is arranged."""
        self._serving.add(self._own)

    def arrange(self, listeners: Iterable[Mapping[str, Any]]) -> None:
        """A generation is active: its sockets get their places, and options that clients inherit."""
        self._active.clear()
        self._leaving.clear()
        for place, each in enumerate(listeners):
            for number in (each["sockets"], *each["leaving"]):
                for socket in self._sockets.get(number, {}).values():
                    socket.index = place
            self._active.update(each["leaving"], () if each["sockets"] is None else (each["sockets"],))
            self._leaving.update(each["leaving"])
        for slot in self._serving:
            self.adopt(slot)
        for sockets in self._sockets.values():
            for socket in sockets.values():
                socket.set_options()

    def adopt(self, slot: int) -> None:
        """Accepts from a slot's sockets."""
        self._serving.add(slot)
        for number in self._active:
            if (socket := self._sockets.get(number, {}).get(slot)) is not None:
                socket.open()

    def release(self, slot: int) -> None:
        """Leaves a slot's sockets to its worker."""
        self._serving.discard(slot)
        for sockets in self._sockets.values():
            if slot in sockets:
                sockets[slot].shut()

    def empty(self, numbers: Iterable[int]) -> None:
        """Accepts what waits in these queues, of all slots, and closes the sockets."""
        for number in numbers:
            self._active.discard(number)
            for socket in self._sockets.pop(number, {}).values():
                socket.open()
                self._close(socket, emptying=True)

    def leave(self) -> None:
        """Closes everything. The queues are another gateway's, but for those of listeners that are gone."""
        if self._serving:
            self.empty(self._leaving)
        for sockets in self._sockets.values():
            for socket in sockets.values():
                self._close(socket, emptying=False)
        self._sockets.clear()

    def drain(self) -> None:
        """Accepts what waits in the queues that it serves, and closes everything."""
        for sockets in self._sockets.values():
            for socket in sockets.values():
                self._close(socket, emptying=True)
        self._sockets.clear()

    def _close(self, socket: Listener, emptying: bool) -> None:
        if emptying:
            socket.drain_queue()
        socket.shut()
        os.close(socket.fd)
        self._parts.files.keep(-1)
