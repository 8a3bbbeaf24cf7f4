"""Listening sockets that a service manager keeps while the gateway is down: systemd's store of file descriptors.

The gateway sends copies once it serves and whenever a reload changes them (FDSTORE=1, sd_notify(3)); the next process
finds them among those it inherits, by their names. So a crash or a restart makes connections wait, without a .socket
unit. `$FDSTORE` says how many the manager takes: systemd sets it from 254 on, deploy/sluice.service for all.
"""

import socket
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from supervisor.host.listening import OpenListener
from supervisor.host.notify import Notifier
from supervisor.source.host_port import join

__all__ = ["PREFIX", "FileStore"]

PREFIX: Final = "listener_"  # of the names of what is stored; those of a .socket unit are its own


def stored_name(address: str) -> str:
    """A name that the manager takes: printable, without colons."""
    return PREFIX + address.replace(":", "_")


class FileStore:
    """`say(words)` is for the log."""

    def __init__(self, notifier: Notifier, say: Callable[[str], None]) -> None:
        self._notifier = notifier
        self._say = say
        self._names: set[str] = set()

    @property
    def room(self) -> int:
        """How many descriptors the manager takes; 0 = it takes none."""
        return self._notifier.room

    def found(self, stored: Iterable[socket.socket], most: int) -> list[socket.socket]:
        """The manager has these from the process before. Returned are at most so many of each address: with fewer
        workers the rest would have none, and is stored no longer."""
        kept: list[socket.socket] = []
        counts: Counter[str] = Counter()
        for one in stored:
            address = join(*one.getsockname()[:2])
            counts[address] += 1
            self._names.add(stored_name(address))
            if counts[address] <= most:
                kept.append(one)
            else:
                one.close()
        for address in [address for address, count in counts.items() if count > most]:
            words = f"{counts[address]} sockets of {address} were kept, and there are {most} workers"
            self._say(f"{words}: the rest is closed")
            self._names.discard(stored_name(address))
            self._notifier.forget(stored_name(address))
        return kept

    def update(self, listeners: Sequence[OpenListener]) -> None:
        """Makes the manager keep these, but for those that it has by a .socket unit, and no others."""
        wanted = {stored_name(each.address): each for each in listeners if not each.managed}
        count = sum(len(each.sockets) for each in wanted.values())
        if count > self.room:
            if self.room:
                self._say(f"the service manager keeps {self.room} descriptors, and there are {count}: none is kept")
            wanted = {}
        for name in self._names - wanted.keys():
            self._notifier.forget(name)
        self._names &= wanted.keys()
        for name, each in wanted.items():
            if name not in self._names:
                if self._notifier.store(name, [one.fileno() for one in each.sockets]):
                    self._names.add(name)
                else:
                    self._say(f"the service manager does not take the sockets of {each.address}")
        for each in listeners:
            each.held = each.managed or stored_name(each.address) in self._names
