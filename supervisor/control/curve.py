"""Keys of a control endpoint over tcp://, read from files; authority.py checks them at each connection.

CURVE (ZeroMQ RFC 26) encrypts, and proves who has which key. ZeroMQ is loaded where there are keys: most commands that
load this module read none. The files are those of zmq.auth.create_certificates, in a folder `control-keys` beside
sluice.yaml:

    server.key_secret     the gateway's own
    clients/NAME.key      the public key of each client that may connect; NAME stands for it in the log
    server.key            the gateway's public key, and
    client.key_secret     their own: what `sluice stats` and its like need, here or on another machine
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from supervisor.host.errors import StartError, errno_text
from supervisor.source.escape import escape_unprintable

if TYPE_CHECKING:
    import zmq

__all__ = ["FOLDER", "ClientKeys", "ServerKeys", "keys_folder", "load_client", "load_server"]

FOLDER: Final = "control-keys"
DOMAIN: Final = b"control"
MOST_CLIENTS: Final = 1000
LONGEST_FILE: Final = 4096
HINT: Final = "zmq.auth.create_certificates makes keys: docs/operating.md says where they go"


class ServerKeys(NamedTuple):
    """The keys of a gateway. `clients`: names by public key (32 bytes)."""

    secret: bytes
    clients: Mapping[bytes, str]

    def apply(self, socket: "zmq.Socket[bytes]") -> None:
        """Before the socket is bound."""
        import zmq

        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)


class ClientKeys(NamedTuple):
    """The keys of a client."""

    server: bytes
    public: bytes
    secret: bytes

    def apply(self, socket: "zmq.Socket[bytes]") -> None:
        """Before the socket is connected."""
        import zmq

        socket.setsockopt(zmq.CURVE_SERVERKEY, self.server)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret)


def keys_folder(config_path: str) -> Path:
    """The keys of the gateway that a sluice.yaml describes."""
    return Path(config_path).parent / FOLDER


def load_server(folder: Path) -> ServerKeys:
    """Raises StartError when a file is missing, broken, or a secret that others can read."""
    from zmq.utils import z85

    _, secret = _read(folder / "server.key_secret", secret=True)
    clients: dict[bytes, str] = {}
    try:
        files = sorted((folder / "clients").glob("*.key"))
    except OSError as error:
        raise StartError(f"control keys in {folder / 'clients'} cannot be listed: {errno_text(error)}", HINT) from None
    if not files:
        raise StartError(f"{folder / 'clients'} holds no *.key: no client could reach the control endpoint", HINT)
    if len(files) > MOST_CLIENTS:
        raise StartError(f"{folder / 'clients'} holds more than {MOST_CLIENTS} keys")
    for file in files:
        public, _ = _read(file, secret=False)
        clients[z85.decode(public)] = escape_unprintable(file.stem)
    return ServerKeys(secret, clients)


def load_client(folder: Path) -> ClientKeys:
    """Raises StartError as load_server does."""
    public, secret = _read(folder / "client.key_secret", secret=True)
    server, _ = _read(folder / "server.key", secret=False)
    return ClientKeys(server, public, secret)


def _read(file: Path, secret: bool) -> tuple[bytes, bytes]:
    """(public, secret) as text in Z85; the secret is empty where none is asked for."""
    import zmq.auth
    from zmq.utils import z85

    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > LONGEST_FILE:
            raise StartError(f"control key {file} is not a key file", HINT)
        if secret and stat.S_IMODE(found.st_mode) & 0o007:
            raise StartError(f"control key {file} can be read by every user", f"chmod 0600 {file}")
        public, private = zmq.auth.load_certificate(os.fspath(file))
        for key in (public, private) if secret else (public,):
            if key is None or len(key) != 40 or len(z85.decode(key)) != 32:
                raise ValueError("not 40 characters of Z85")
    except OSError as error:
        raise StartError(f"control key {file} cannot be read: {errno_text(error)}", HINT) from None
    except (ValueError, KeyError):
        raise StartError(f"control key {file} holds no {'secret' if secret else 'public'} key", HINT) from None
    return public, (private or b"") if secret else b""
