"""Checks the keys of those that connect to a control endpoint over tcp://: ZAP (ZeroMQ RFC 27) is how libzmq asks
whether the holder of a key may come in.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import zmq

from supervisor.host.zmq_port import ZmqPort

__all__ = ["Authority"]

ZAP: Final = "inproc://zeromq.zap.01"


class Authority:
    """Answers libzmq whether the holder of a public key may come in. `clients` may be replaced at any time: one that is
    connected stays so, and the next handshake is judged by the new ones."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: "zmq.Context[zmq.Socket[bytes]]",
        clients: Mapping[bytes, str],
    ) -> None:
        """To be made before the sockets it answers for are bound."""
        self.clients = clients
        self.refused = 0
        self._port = ZmqPort(loop, context, zmq.REP, ZAP, self._receive)

    def close(self) -> None:
        self._port.close()

    def _receive(self, frames: list[zmq.Frame]) -> None:
        """Version, request id, domain, address, identity, mechanism, then the key (RFC 27)."""
        parts = [frame.bytes for frame in frames]
        number = parts[1] if len(parts) > 1 else b""
        name = self.clients.get(parts[6]) if len(parts) == 7 and parts[5] == b"CURVE" else None
        if name is None:
            self.refused += 1
            self._port.send((b"1.0", number, b"400", b"this key may not ask here", b"", b""))
        else:
            self._port.send((b"1.0", number, b"200", b"OK", name.encode(), b""))
