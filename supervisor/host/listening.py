"""The listening sockets of the gateway as a whole: those of the start, and how a reload changes the set.

Workers come and go, the sockets stay: a connection that waits in a queue outlives the worker it was meant for
(DESIGN.md section 3). A listener has one SO_REUSEPORT socket for each worker slot, and together these have a number
that is never another's. An address that a reload leaves as it is keeps its sockets; new ones are opened before anything
changes; those of an address that is gone stay in `leaving` until the workers have emptied their queues.
"""

import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from supervisor.host.errors import StartError
from supervisor.host.sockets import (
    SocketAddress,
    accept_no_new,
    in_use,
    open_listening,
    parse_address,
    port_shared_with_others,
)
from supervisor.source.host_port import overlap

__all__ = ["ListenerSockets", "OpenListener", "Plan", "open_listeners"]


@dataclass(slots=True, eq=False)
class OpenListener:
    """The sockets of one address, by slot. `wanted` is the address as configured (port 0: any), `address` as bound.
    `held`: another process has them as well, so that their queues outlive this one; `managed`: for a .socket unit."""

    number: int
    wanted: str
    address: str
    sockets: list[socket.socket]
    held: bool = False
    managed: bool = False

    def close(self) -> None:
        for one in self.sockets:
            one.close()


@dataclass(frozen=True, slots=True)
class Plan:
    """How a configuration changes the set: `numbers` of its listeners in their order, `added` of them with name and
    address, and `removed`."""

    numbers: tuple[int, ...]
    added: tuple[tuple[int, str, str], ...] = ()
    removed: tuple[int, ...] = ()


class ListenerSockets:
    """All that are open. Everything but open() is called from the event loop."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.listeners: list[OpenListener] = []  # in the order of the configuration of the start, later ones behind
        self.leaving: list[OpenListener] = []  # removed by a reload, with queues that workers are to empty
        self.outlive = False  # they are to be held by another process as soon as the gateway serves
        self._next = 0

    @property
    def all(self) -> list[OpenListener]:
        """Those that are leaving as well."""
        return [*self.listeners, *self.leaving]

    @property
    def shared(self) -> bool:
        """Whether queues outlive this process, now or as soon as it serves."""
        return self.outlive or any(each.held for each in self.listeners)

    def numbers(self) -> list[int]:
        """Of all, in the order of descriptors()."""
        return [each.number for each in self.all]

    def descriptors(self) -> list[int]:
        """Of all, in the order of gateway.contract.listener_fd."""
        return [each.sockets[slot].fileno() for slot in range(self.slots) for each in self.all]

    def bound(self, number: int) -> str:
        """The address of a listener, as bound."""
        return next(each.address for each in self.all if each.number == number)

    def plan(self, wanted: Iterable[tuple[str, str]]) -> Plan:
        """For the listeners of a configuration: (name, address) of each. Raises StartError for a removal that another
        process would not notice: connections would wait in a queue that none empties."""
        known = {each.wanted: each for each in self.listeners}
        numbers: list[int] = []
        added: list[tuple[int, str, str]] = []
        for name, address in wanted:
            if (found := known.pop(address, None)) is not None:
                numbers.append(found.number)
                continue
            numbers.append(self._next)
            added.append((self._next, name, address))
            self._next += 1
        for left in known.values():
            if left.managed:
                raise StartError(
                    f"the listener on {left.address} cannot be removed: the service manager has its socket",
                    "take it out of the .socket unit as well, and restart both",
                )
        return Plan(tuple(numbers), tuple(added), tuple(each.number for each in known.values()))

    def open(self, plan: Plan, given: Sequence[socket.socket] = ()) -> list[OpenListener]:
        """Opens what a plan adds, all or nothing; the set itself changes with commit(). `given`: as in open_listeners.
        Raises StartError. May take a while: it names the process that has a port."""
        opened: list[OpenListener] = []
        try:
            for number, name, text in plan.added:
                opened.append(self._open(number, name, text, given))
        except BaseException:
            for each in opened:
                each.close()
            raise
        return opened

    def commit(self, plan: Plan, opened: Iterable[OpenListener]) -> None:
        """Makes the change."""
        self.leaving += [each for each in self.listeners if each.number in plan.removed]
        self.listeners = [each for each in self.listeners if each.number not in plan.removed]
        self.listeners += opened

    def refuse_new(self, listeners: Iterable[OpenListener] | None = None) -> None:
        """No new handshake begins there, or anywhere, while those under way still end and are queued: what the queues
        hold when that is over is all that any peer may think of as connected. Workers have the same sockets. Without
        `listeners` nothing is changed about those that another process holds."""
        for each in [each for each in self.all if not each.held] if listeners is None else listeners:
            for one in each.sockets:
                accept_no_new(one)

    def left(self) -> None:
        """Closes those that were leaving: their queues are empty."""
        for each in self.leaving:
            each.close()
        self.leaving = []

    def close(self) -> None:
        for each in self.all:
            each.close()
        self.listeners, self.leaving = [], []

    def _open(self, number: int, name: str, text: str, given: Sequence[socket.socket]) -> OpenListener:
        family, address = parse_address(text)
        fitting = [one for one in given if one.family == family and one.getsockname()[:2] == address[:2]]
        if len(fitting) > self.slots:
            words = f"there are {len(fitting)} sockets of {text} and {self.slots} workers: one would have no worker"
            raise StartError(words, f"set workers to {len(fitting)} at least, or start without --takeover")
        if fitting:
            copies = [fitting[slot % len(fitting)].dup() for slot in range(self.slots)]
            return OpenListener(number, text, _bound(text, address[1]), copies, held=True)
        sockets: list[socket.socket] = []
        try:
            what = f"listener {name!r}"
            beside = self._overlaps(address)
            if beside and port_shared_with_others(address[1], self._inodes()):
                raise in_use(what, text, address)
            for _ in range(self.slots):
                one = open_listening(what, text, family, address, alone=not sockets and not beside)
                sockets.append(one)
                address = _with_port(address, one.getsockname()[1])
        except BaseException:
            for one in sockets:
                one.close()
            raise
        return OpenListener(number, text, _bound(text, address[1]), sockets)

    def _overlaps(self, address: SocketAddress) -> bool:
        """Whether own sockets are in the way, on an address that takes this one in or is taken in by it: 0.0.0.0 where
        127.0.0.1 is to be."""
        bound = [each.sockets[0].getsockname() for each in self.all]
        return any(overlap((one[0], one[1]), (address[0], address[1])) for one in bound)

    def _inodes(self) -> set[int]:
        return {os.fstat(one.fileno()).st_ino for each in self.all for one in each.sockets}


def open_listeners(
    listeners: Iterable[tuple[str, str]], slots: int, given: Sequence[socket.socket] = ()
) -> ListenerSockets:
    """Opens `slots` sockets for each (name, address). Raises StartError with nothing left open. `given`: sockets that
    listen already, taken where one has the address; with fewer than slots some share one. They stay the caller's."""
    sockets = ListenerSockets(slots)
    plan = sockets.plan(listeners)
    sockets.commit(plan, sockets.open(plan, given))
    return sockets


def _bound(text: str, port: int) -> str:
    return text.rpartition(":")[0] + f":{port}"


def _with_port(address: SocketAddress, port: int) -> SocketAddress:
    return (address[0], port) if len(address) == 2 else (address[0], port, address[2], address[3])
