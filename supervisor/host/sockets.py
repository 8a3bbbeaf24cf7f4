"""One listening socket: bound, or an error that says what is in the way. listening.py keeps the set of them.

Each listener has one for each worker slot. SO_REUSEPORT alone would let a second gateway share the port in silence, so
the first socket of each listener is bound and listens without it, which no other process can do beside it, and sets it
for others later.
"""

import contextlib
import ctypes
import errno
import socket
import struct
from collections.abc import Container, Sequence
from pathlib import Path

from supervisor.host.errors import StartError, errno_text
from supervisor.source.host_port import split

__all__ = [
    *("BACKLOG", "PortInUse", "SocketAddress", "accept_no_new", "in_use", "open_alone", "open_listening"),
    *("parse_address", "port_shared_with_others"),
]

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
    """Another process listens there."""


def parse_address(text: str) -> tuple[int, SocketAddress]:
    """`127.0.0.1:1080`, `[::1]:1080` or `[fe80::1%eth0]:1080` as family and socket address. Raises StartError."""
    found = split(text)
    if found is None or int(found.port) > 65535:  # 0: any port
        raise StartError(f"listener address {text!r} is not IP:PORT", "write 127.0.0.1:1080, 0.0.0.0:1080 or [::]:1080")
    try:
        resolved = socket.getaddrinfo(found.host, int(found.port), type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        raise StartError(
            f"listener address {text!r} is not IP:PORT", "names are not looked up here: write an IP address"
        ) from None
    family, _, _, _, address = resolved[0]
    if len(address) == 4:
        return family, (str(address[0]), address[1], address[2], address[3])
    return family, (str(address[0]), int(found.port))


def accept_no_new(listener: socket.socket) -> None:
    """From here on a first SYN is not answered; handshakes under way still end and are queued. A kernel that takes no
    filter goes on without."""
    code = (ctypes.c_char * len(_NO_NEW_SYN)).from_buffer_copy(_NO_NEW_SYN)
    program = struct.pack("HP", len(_NO_NEW_SYN) // 8, ctypes.addressof(code))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def open_alone(what: str, host: str, port: int, given: Sequence[socket.socket] = ()) -> socket.socket:
    """One listening socket that no process shares; `what` names it in errors (`admin.address`). Raises StartError.
    `given` as in open_listeners."""
    text = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    family, address = parse_address(text)
    for one in given:
        if one.family == family and one.getsockname()[:2] == address[:2]:
            return one.dup()
    return open_listening(what, text, family, address, alone=True, shared=False)


def open_listening(
    what: str, text: str, family: int, address: SocketAddress, alone: bool, shared: bool = True
) -> socket.socket:
    """A listening socket. `alone`: it fails while another process listens there, another Sluice included; there is no
    moment at which two could both succeed, as of two sockets bound so only one can listen. `shared`: own ones
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


def in_use(who: str, text: str, address: SocketAddress) -> PortInUse:
    """The error that names the process which has the port, where /proc shows it."""
    port = address[1]
    holder = _holder(port)
    by = (
        f"held by {holder}"
        if holder
        else f"another process listens there (`ss -ltnp 'sport = :{port}'` as root names it)"
    )
    hint = "give the listener another address" if who.startswith("listener ") else f"set another {who}"
    why = errno_text(OSError(errno.EADDRINUSE, ""))
    return PortInUse(f"{who} cannot use {text}: {why}; {by}", f"stop it, or {hint} in sluice.yaml")


def _bind_error(who: str, text: str, address: SocketAddress, error: OSError) -> StartError:
    what = f"{who} cannot use {text}: {errno_text(error)}"
    if error.errno == errno.EADDRINUSE:
        return in_use(who, text, address)
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


def port_shared_with_others(port: int, own: Container[int]) -> bool:
    """Whether a socket that is not one of these inodes listens on a TCP port."""
    return any(inode not in own for inode in _listening(port))


def _listening(port: int) -> set[int]:
    """The inodes of the sockets that listen on a TCP port, whatever the address."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(int(columns[9]))
    return inodes


def _holder(port: int) -> str:
    """The process that listens on a TCP port, as far as /proc shows it: `nginx (pid 42)`, or an empty text."""
    inodes = {f"socket:[{inode}]" for inode in _listening(port)}
    if not inodes:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return ""
