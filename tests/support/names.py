"""A DNS server for the tests: names that tests may give addresses, and a record of what was asked.

It answers A and AAAA over UDP (RFC 1035 section 4), one question a message; everything it does not know is NXDOMAIN.
"""

import contextlib
import ipaddress
import socket
import struct
import threading
from typing import Final, Self

TYPE_A: Final = 1
TYPE_AAAA: Final = 28
NXDOMAIN: Final = 3
SO_RCVBUFFORCE: Final = 33  # socket(7); Python has no name for it


class NameServer:
    """`names` maps a lower-case name without trailing dot to its addresses; `silent` names get no answer at all, and
    those in `codes` that RCODE alone."""

    def __init__(
        self,
        names: dict[str, list[str]],
        silent: frozenset[str] = frozenset(),
        codes: dict[str, int] | None = None,
    ) -> None:
        self.names = names
        self.codes = codes or {}
        self.silent = silent
        self.asked: list[str] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Questions that come by thousands find room, also while this thread gets no CPU: one that is dropped is asked
        # again only after dns.timeout.
        for option in (socket.SO_RCVBUF, SO_RCVBUFFORCE):
            with contextlib.suppress(PermissionError):
                self.socket.setsockopt(socket.SOL_SOCKET, option, 16 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.sendto(b"", self.socket.getsockname())  # an empty datagram ends the thread
        self.thread.join(5)
        self.socket.close()

    def _serve(self) -> None:
        while True:
            question, peer = self.socket.recvfrom(512)
            if not question:
                return
            if (answer := self.answer(question)) is not None:
                self.socket.sendto(answer, peer)

    def answer(self, question: bytes) -> bytes | None:
        """The reply to one message, or None for silence."""
        identifier, flags = struct.unpack_from("!HH", question)
        labels, offset = [], 12
        while length := question[offset]:
            labels.append(question[offset + 1 : offset + 1 + length].decode("ascii"))
            offset += 1 + length
        name = ".".join(labels).lower()
        (kind,) = struct.unpack_from("!H", question, offset + 1)
        section = question[12 : offset + 5]
        self.asked.append(name)
        if name in self.silent:
            return None
        known = self.names.get(name)
        found = [ipaddress.ip_address(text) for text in known or []]
        version = {TYPE_A: 4, TYPE_AAAA: 6}.get(kind, 0)
        records = [
            struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(address.packed)) + address.packed
            for address in found
            if address.version == version
        ]
        # QR and RA set, RD copied (RFC 1035 section 4.1.1).
        reply_flags = 0x8080 | (flags & 0x0100) | self.codes.get(name, NXDOMAIN if known is None else 0)
        return struct.pack("!HHHHHH", identifier, reply_flags, 1, len(records), 0, 0) + section + b"".join(records)
