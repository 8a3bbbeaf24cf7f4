"""The client side of the tunnel protocols, spoken by hand: exact bytes out, exact bytes expected back."""

import base64
import errno
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

NO_AUTH: Final = 0x00
USER_PASSWORD: Final = 0x02


class HttpAnswer(NamedTuple):
    """The head of an HTTP answer; what follows it is still in the socket."""

    status: int
    headers: dict[str, str]


def connect(port: int, host: str = "127.0.0.1", timeout: float = 20, source: str | None = None) -> socket.socket:
    """A TCP connection to a listener, from the address `source`; every later wait on it is bounded by `timeout`
    seconds."""
    connection = socket.create_connection(
        (host, port), timeout=timeout, source_address=None if source is None else (source, 0)
    )
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def exactly(connection: socket.socket, count: int) -> bytes:
    """`count` bytes, fewer only at the end of the stream."""
    data = b""
    while len(data) < count and (chunk := connection.recv(count - len(data))):
        data += chunk
    return data


def echoes(connection: socket.socket) -> bool:
    """Whether a tunnel to an echo origin carries bytes both ways.

    The bytes cannot begin TLS or HTTP: those are held until the name inside them is known (DECISIONS.md section 3).
    """
    connection.sendall(b"\x00ping")
    return exactly(connection, 5) == b"\x00ping"


def to_the_end(connection: socket.socket) -> bytes:
    """Everything up to the end of the stream; a reset raises ConnectionResetError."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def exchange(port: int, data: bytes, finish: bool = False) -> bytes:
    """The answer to `data` on a connection of its own, until that ends; `finish` ends our side behind the data.

    A reset ends it as well: a server that refuses a request may close before all of it was read or sent.
    """
    answer = b""
    with connect(port) as client:
        try:
            client.sendall(data)
            if finish:
                client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65536):
                answer += chunk
        except OSError as error:
            # ENOTCONN: the end came before our shutdown.
            if not isinstance(error, ConnectionError) and error.errno != errno.ENOTCONN:
                raise
    return answer


def send_split(connection: socket.socket, data: bytes, sizes: Iterable[int]) -> None:
    """Sends `data` in pieces of the given sizes, the rest at once: with TCP_NODELAY, a segment each."""
    for size in sizes:
        if not data:
            return
        connection.sendall(data[:size])
        data = data[size:]
    connection.sendall(data)


def socks5_address(host: str) -> bytes:
    """ATYP and DST.ADDR (RFC 1928 section 5): IPv4, IPv6 or a domain name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode()
        return bytes([3, len(name)]) + name
    return bytes([1 if address.version == 4 else 4]) + address.packed


def socks5_request(host: str, port: int, command: int = 1) -> bytes:
    """A SOCKS5 request (RFC 1928 section 4)."""
    return bytes([5, command, 0]) + socks5_address(host) + struct.pack("!H", port)


def socks5_login(user: str, password: str) -> bytes:
    """The user/password message (RFC 1929 section 2)."""
    return bytes([1, len(user)]) + user.encode() + bytes([len(password)]) + password.encode()


def socks5_reply(connection: socket.socket) -> int:
    """Reads a whole reply (RFC 1928 section 6) and gives REP; -1 when the stream ended before one."""
    head = exactly(connection, 4)
    if len(head) < 4:
        return -1
    assert head[0] == 5 and head[2] == 0, head
    rest = {1: 4, 4: 16}[head[3]] + 2
    assert len(exactly(connection, rest)) == rest
    return head[1]


def socks5(
    connection: socket.socket, host: str, port: int, user: str | None = None, password: str = "", command: int = 1
) -> int:
    """A whole SOCKS5 opening; REP, or 0xFF when no method was acceptable, or 0x100 when the credentials were not."""
    connection.sendall(bytes([5, 1, NO_AUTH if user is None else USER_PASSWORD]))
    method = exactly(connection, 2)
    assert method[:1] == b"\x05", method
    if method[1] == 0xFF:
        return 0xFF
    if method[1] == USER_PASSWORD and user is not None:
        connection.sendall(socks5_login(user, password))
        status = exactly(connection, 2)
        assert status[:1] == b"\x01", status
        if status[1] != 0:
            return 0x100
    connection.sendall(socks5_request(host, port, command))
    return socks5_reply(connection)


def socks4a_request(host: str, port: int, user: bytes = b"") -> bytes:
    """A SOCKS4 CONNECT; a name travels behind the impossible address 0.0.0.1 (SOCKS4a)."""
    try:
        return struct.pack("!BBH", 4, 1, port) + ipaddress.IPv4Address(host).packed + user + b"\x00"
    except ipaddress.AddressValueError:
        return struct.pack("!BBH", 4, 1, port) + bytes([0, 0, 0, 1]) + user + b"\x00" + host.encode() + b"\x00"


def socks4a(connection: socket.socket, host: str, port: int) -> int:
    """A whole SOCKS4a opening; the reply code, 0x5A for success, or -1 when the stream ended before one."""
    connection.sendall(socks4a_request(host, port))
    reply = exactly(connection, 8)
    if len(reply) < 8:
        return -1
    assert reply[0] == 0, reply
    return reply[1]


def basic(user: str, password: str) -> str:
    """A Proxy-Authorization field line (RFC 7617)."""
    return f"Proxy-Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}\r\n"


def connect_request(target: str, fields: str = "", version: str = "HTTP/1.1") -> bytes:
    """An HTTP CONNECT head for `host:port` (RFC 9110 section 9.3.6)."""
    return f"CONNECT {target} {version}\r\nHost: {target}\r\n{fields}\r\n".encode("latin-1")


def http_head(connection: socket.socket) -> HttpAnswer:
    """Reads an answer up to its empty line; status 0 when the stream ended before one."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            return HttpAnswer(0, {})
        head += byte
    lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    version, status, *_ = lines[0].split(" ", 2)
    assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return HttpAnswer(int(status), headers)


def http(connection: socket.socket, target: str, fields: str = "") -> HttpAnswer:
    """A whole CONNECT opening."""
    connection.sendall(connect_request(target, fields))
    return http_head(connection)


def target(host: str, port: int) -> str:
    """`host:port` as HTTP writes it, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_socks5(connection: socket.socket, host: str, port: int) -> None:
    assert socks5(connection, host, port) == 0


def open_socks4a(connection: socket.socket, host: str, port: int) -> None:
    assert socks4a(connection, host, port) == 0x5A


def open_http(connection: socket.socket, host: str, port: int) -> None:
    assert http(connection, target(host, port)).status == 200


# A tunnel is a tunnel, however it was asked for: what must hold for all is tested over each of these.
OPENINGS: Final[dict[str, Callable[[socket.socket, str, int], None]]] = {
    "socks5": open_socks5,
    "socks4a": open_socks4a,
    "http": open_http,
}
