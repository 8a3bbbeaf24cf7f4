"""Listening sockets that a service manager hands over (sd_listen_fds(3)): their queues outlive the gateway. It has
opened them for a .socket unit, or keeps them from the process before (fd_store.py).
"""

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Final

from supervisor.host.errors import StartError
from supervisor.host.fd_store import PREFIX

__all__ = ["Inherited", "inherited_sockets"]

FIRST: Final = 3  # SD_LISTEN_FDS_START


@dataclass(slots=True)
class Inherited:
    """Sockets of .socket units, and those that were stored, with their names."""

    managed: list[socket.socket] = field(default_factory=list)
    stored: list[socket.socket] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    @property
    def sockets(self) -> list[socket.socket]:
        """All of them."""
        return [*self.managed, *self.stored]


def inherited_sockets(environment: MutableMapping[str, str] = os.environ) -> Inherited:
    """The sockets that are for this process; the variables are taken out of the environment. Raises StartError for what
    does not listen for TCP."""
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    found = Inherited()
    if pid != str(os.getpid()) or not count.isdecimal():
        return found
    names += [""] * (int(count) - len(names))
    for descriptor, name in zip(range(FIRST, FIRST + int(count)), names, strict=False):
        try:
            one = socket.socket(fileno=descriptor)
        except OSError:
            raise StartError(f"the service manager passed descriptor {descriptor}, which is not a socket") from None
        one.set_inheritable(False)
        one.setblocking(False)
        if name.startswith(PREFIX):
            found.stored.append(one)
            found.names.add(name)
        else:
            found.managed.append(one)
        tcp = one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM
        if not tcp or not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            words = f"the service manager passed descriptor {descriptor}, which does not listen for TCP"
            raise StartError(words, "write ListenStream=IP:PORT and Accept=no into the .socket unit")
    return found
