"""The protocol of sd_notify(3): tells a service manager that the gateway serves, and that it stops. No libsystemd."""

import os
import socket
from collections.abc import MutableMapping, Sequence
from typing import Final

__all__ = ["Notifier"]

FILES: Final = 200  # descriptors in a message; the kernel takes 253


class Notifier:
    """Sends states to $NOTIFY_SOCKET; without one it sends nothing. Children do not inherit the variable."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Takes the variables out of the environment. `room`: descriptors that the manager keeps ($FDSTORE)."""
        path = environment.pop("NOTIFY_SOCKET", "")
        room = environment.pop("FDSTORE", "")
        self.room = int(room) if path and room.isdecimal() and len(room) < 9 else 0
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def send(self, *states: str) -> bool:
        """`READY=1`, `STOPPING=1`, `STATUS=...`; False where no manager took them. Never waits, never raises."""
        return self._send(states, ())

    def store(self, name: str, descriptors: Sequence[int]) -> bool:
        """Gives copies of descriptors to the manager, to be kept under a name. False: it does not take them."""
        pieces = [descriptors[first : first + FILES] for first in range(0, len(descriptors), FILES)]
        return all(self._send(("FDSTORE=1", f"FDNAME={name}"), piece) for piece in pieces)

    def forget(self, name: str) -> bool:
        """Has the manager close what it keeps under a name."""
        return self._send(("FDSTOREREMOVE=1", f"FDNAME={name}"), ())

    def _send(self, states: Sequence[str], descriptors: Sequence[int]) -> bool:
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.connect(self._address)
                socket.send_fds(sender, ["\n".join(states).encode("utf-8", "replace")], descriptors)
        except (OSError, ValueError):
            return False
        return True
