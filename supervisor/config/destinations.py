"""`destination` of a listener: where connections go that name none themselves (`protocol: tcp`), and the port of those
that name it by the server name of their TLS (`protocol: tls`)."""

from typing import Final

from supervisor.config.config import Listener
from supervisor.source.host_port import overlap, split
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Problems
from supervisor.source.words import server_name

__all__ = ["HTTPS", "check_own_destinations", "read_destination"]

HTTPS: Final = 443


def read_destination(fields: Fields, protocol: str, problems: Problems) -> tuple[str, int] | None:
    """Host and port for `tcp`, "" and the port for `tls`; None for the protocols whose clients name it. Mistakes are
    reported, among them what these two protocols cannot have: credentials, and TLS of the gateway's own ahead of a
    server name."""
    node = fields.get("destination")
    if protocol not in ("tls", "tcp"):
        if node is not None:
            problems.error(
                node.place, f"protocol {protocol} has no destination", "its clients name one in each request"
            )
        return None
    _check_direct(fields, protocol, problems)
    if protocol == "tls":
        return "", fields.read("destination", _port, HTTPS)
    return fields.need("destination", _host_and_port, ("", 0), 'such as destination: "db.example.com:5432"')


def _check_direct(fields: Fields, protocol: str, problems: Problems) -> None:
    auth, tls = fields.get("auth"), fields.get("tls")
    if auth is not None and auth.value in ("optional", "required"):
        problems.error(auth.place, f"protocol {protocol} carries no credentials", "write off, or remove the key")
    if protocol == "tls" and tls is not None:
        hint = "remove tls, or use protocol: auto for clients that speak TLS to the gateway"
        problems.error(tls.place, "protocol tls passes the client's own TLS on, and has none of the gateway's", hint)


def _port(node: Node) -> int:
    if isinstance(node.value, str) and not node.value.isdecimal():
        raise node.unexpected("a port from 1 to 65535", "the host is the server name that each client shows")
    return node.integer(1, 65535)


def _host_and_port(node: Node) -> tuple[str, int]:
    found = split(node.text())
    if found is None or not found.host or (port := found.number) is None:
        raise node.unexpected("a host and a port such as db.example.com:5432 or [2001:db8::1]:5432")
    host = server_name(Node(node.file, node.line, node.column, found.host))
    if (":" in host) != found.bracketed:
        raise node.unexpected("a host and a port such as db.example.com:5432 or [2001:db8::1]:5432")
    return host, port


def check_own_destinations(listeners: tuple[Listener, ...], places: dict[str, Node], problems: Problems) -> None:
    """A fixed destination that is a listener of this gateway would come back, and is never dialed."""
    for listener in listeners:
        for other in listeners:
            if listener.destination and overlap(listener.destination, (other.host, other.port)):
                words = f"the destination of listener {listener.name} is this gateway itself"
                problems.error(places[listener.name].place, words, f"listener {other.name} has that address")
