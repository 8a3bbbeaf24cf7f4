"""The listening sockets: one SO_REUSEPORT socket for each worker slot and listener, opened once and kept for life.

Workers come and go, the sockets stay: a connection that waits in a queue outlives the worker it was meant for
(DESIGN.md section 3). SO_REUSEPORT alone would let a second gateway share the port in silence, so the first socket of
each listener is bound and listens without it, which nobody can do beside us, and takes it on for the others after that.
"""

import contextlib
import ctypes
import errno
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from supervisor.errors import StartError, errno_text

__all__ = ["BACKLOG", "ListenerSockets", "PortInUse", "open_alone", "open_listeners", "parse_address"]

BACKLOG = 4096

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; the module socket has no name for it
# Classic BPF over the TCP header: a segment with SYN and without ACK is dropped (Documentation/networking/filter.rst).
_NO_NEW_SYN = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # ldb [13]: the flags
        (0x45, 1, 0, 0x10),  # jset ACK: accept
        (0x45, 1, 0, 0x02),  # jset SYN: drop
        (0x06, 0, 0, 0xFFFFFFFF),  # accept
        (0x06, 0, 0, 0),  # drop
    )
)

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class PortInUse(StartError):
    """Somebody else listens there."""


@dataclass(slots=True)
class ListenerSockets:
    """sockets[slot][listener]; `addresses` as bound, one for each listener."""

    addresses: list[str]
    sockets: list[list[socket.socket]] = field(default_factory=list)

    def descriptors(self) -> list[int]:
        """In the order of gateway.contract.listener_fd."""
        return [listener.fileno() for slot in self.sockets for listener in slot]

    def refuse_new(self) -> None:
        """From here on a first SYN is not answered, while handshakes under way still end and are queued: what the
        queues hold when it is over is all that any peer may think of as connected. The sockets of the workers are
        these, so it holds for them too. A kernel that takes no filter goes on without."""
        code = (ctypes.c_char * len(_NO_NEW_SYN)).from_buffer_copy(_NO_NEW_SYN)
        program = struct.pack("HP", len(_NO_NEW_SYN) // 8, ctypes.addressof(code))
        for slot in self.sockets:
            for listener in slot:
                with contextlib.suppress(OSError):
                    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def close(self) -> None:
        for slot in self.sockets:
            for listener in slot:
                listener.close()
        self.sockets = []


def parse_address(text: str) -> tuple[int, SocketAddress]:
    """`127.0.0.1:1080`, `[::1]:1080` or `[fe80::1%eth0]:1080` as family and socket address. Raises StartError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise StartError(f"listener address {text!r} is not IP:PORT", "write 127.0.0.1:1080, 0.0.0.0:1080 or [::]:1080")
    try:
        found = socket.getaddrinfo(
            host[1:-1] if bracketed else host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except (socket.gaierror, UnicodeError):
        raise StartError(
            f"listener address {text!r} is not IP:PORT", "names are not looked up here: write an IP address"
        ) from None
    family, _, _, _, address = found[0]
    if len(address) == 4:
        return family, (str(address[0]), address[1], address[2], address[3])
    return family, (str(address[0]), int(port))


def open_listeners(listeners: Sequence[tuple[str, str]], slots: int) -> ListenerSockets:
    """Opens `slots` sockets for each (name, address). Raises StartError with nothing left open."""
    opened = ListenerSockets([], [[] for _ in range(slots)])
    try:
        for name, text in listeners:
            family, address = parse_address(text)
            for slot in opened.sockets:
                listener = _open(f"listener {name!r}", text, family, address, alone=slot is opened.sockets[0])
                slot.append(listener)
                address = _with_port(address, listener.getsockname()[1])
            opened.addresses.append(text.rpartition(":")[0] + f":{address[1]}")
    except BaseException:
        opened.close()
        raise
    return opened


def open_alone(what: str, host: str, port: int) -> socket.socket:
    """One listening socket that nobody shares; `what` names it in errors (`admin.address`). Raises StartError."""
    text = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    family, address = parse_address(text)
    return _open(what, text, family, address, alone=True, shared=False)


def _with_port(address: SocketAddress, port: int) -> SocketAddress:
    return (address[0], port) if len(address) == 2 else (address[0], port, address[2], address[3])


def _open(what: str, text: str, family: int, address: SocketAddress, alone: bool, shared: bool = True) -> socket.socket:
    """A listening socket. `alone`: it fails while anybody else listens there, a gateway of ours included; there is no
    moment at which two could both succeed, as of two sockets bound so only one can listen. `shared`: others of ours
    may join it.

    SO_REUSEADDR only lets it pass connections in TIME_WAIT, which a restart would otherwise have to wait out."""
    try:
        listener = _socket(family, address)
    except OSError as error:
        raise _bind_error(what, text, address, error) from None
    try:
        if not alone:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _bind_error(what, text, address, error) from None
    return listener


def _socket(family: int, address: SocketAddress) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # The wildcard serves both families; a given IPv6 address serves itself.
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1)
    except BaseException:
        opened.close()
        raise
    return opened


def _bind_error(who: str, text: str, address: SocketAddress, error: OSError) -> StartError:
    port = address[1]
    what = f"{who} cannot use {text}: {errno_text(error)}"
    if error.errno == errno.EADDRINUSE:
        holder = _holder(port)
        by = (
            f"held by {holder}"
            if holder
            else f"another process listens there (`ss -ltnp 'sport = :{port}'` as root names it)"
        )
        hint = "give the listener another address" if who.startswith("listener ") else f"set another {who}"
        return PortInUse(f"{what}; {by}", f"stop it, or {hint} in sluice.yaml")
    if error.errno in (errno.EACCES, errno.EPERM):
        return StartError(
            what,
            "ports below 1024 need root, CAP_NET_BIND_SERVICE or a lower sysctl net.ipv4.ip_unprivileged_port_start",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return StartError(
            what, "no interface of this machine has that address (`ip addr` lists them); 0.0.0.0 means all"
        )
    if error.errno == errno.EAFNOSUPPORT:
        return StartError(what, "IPv6 is switched off on this machine: use an IPv4 address")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return StartError(
            what, "raise the limit of open files (`ulimit -n`, LimitNOFILE=), or use fewer workers or listeners"
        )
    return StartError(what)


def _holder(port: int) -> str:
    """Who listens on a TCP port, as far as /proc tells this user: `nginx (pid 42)`, or an empty text."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{columns[9]}]")
    if not inodes:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return ""
