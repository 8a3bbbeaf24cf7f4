"""Parent gateways: `upstreams` of sluice.yaml, and the passwords that lie in files of their own."""

import contextlib
import os
from typing import Final, Literal, get_args

import msgspec

from gateway.contract import TlsClientSettings, UpstreamSettings
from supervisor.config.later import names_in
from supervisor.config.named import named_once
from supervisor.config.tls import ClientTls, read_client_tls
from supervisor.source.host_port import endpoint
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Place, Problems, quote
from supervisor.source.words import entry_name, file_path, user_name

Type = Literal["http", "socks5", "http2tunnel"]
ProxyProtocol = Literal["off", "v2"]

UPSTREAM: Final = ("name", "type", "addresses", "tls", "user", "passwordFile", "proxyProtocol")
PROTOCOLS: Final[dict[str, tuple[str, ...]]] = {"http": ("http/1.1",), "http2tunnel": ("h2",)}  # offered by ALPN
TYPES: Final[tuple[Type, ...]] = get_args(Type)
MOST_UPSTREAMS: Final = 256
MOST_ADDRESSES: Final = 16
LONGEST_PASSWORD: Final = 255  # RFC 1929


# What a worker cannot serve with: cleartext never stands in for TLS whose files could not be read.
_NO_AUTHORITY: Final = TlsClientSettings(
    server_name=None, sans=[], ca=b"", certificate=None, min_version="1.3", alpn=[]
)


class Upstream(msgspec.Struct, frozen=True):
    """One parent gateway. `addresses`: host and port, in the order to try. The password is not kept here."""

    name: str
    type: Type
    addresses: tuple[tuple[str, int], ...]
    user: str | None = None
    password_file: str | None = None  # absolute
    proxy_protocol: ProxyProtocol = "off"  # the header by which each connection names its client
    tls: ClientTls | None = None  # None: cleartext
    place: Place = Place("")
    password_place: Place = Place("")

    def settings(self, password: bytes | None, tls: TlsClientSettings | None) -> UpstreamSettings:
        """As a worker needs it. `tls`: its files, as they were read."""
        return UpstreamSettings(
            name=self.name,
            type=self.type,
            addresses=list(self.addresses),
            user=self.user.encode() if self.user is not None else None,
            password=password,
            announces=self.proxy_protocol != "off",
            tls=tls or _NO_AUTHORITY if self.tls is not None else None,
        )


def read_upstreams(top: Fields, folder: str, problems: Problems) -> tuple[Upstream, ...]:
    """`upstreams`; paths resolve against `folder`. What is wrong is left out, and reported."""
    return named_once(top, "upstreams", lambda node: _upstream(node, folder, problems), MOST_UPSTREAMS, problems)


def read_passwords(upstreams: tuple[Upstream, ...], problems: Problems) -> dict[str, bytes]:
    """The passwords in the files, by upstream. Errors name files, never their content."""
    return {
        upstream.name: password
        for upstream in upstreams
        if upstream.password_file and (password := _password(upstream.password_file, upstream, problems))
    }


def _upstream(node: Node, folder: str, problems: Problems) -> Upstream:
    fields = node.fields((*UPSTREAM, *names_in("upstreams[]")), problems)
    user, file = fields.get("user"), fields.get("passwordFile")
    if (user is None) != (file is None):
        there, missing = ("user", "passwordFile") if user else ("passwordFile", "user")
        problems.error((user or file or node).place, f"{there} without {missing}")
    kind: Type = fields.need("type", _type, "http")
    announces: ProxyProtocol = fields.read("proxyProtocol", lambda word: word.choice("off", "v2"), "off")
    if announces != "off" and kind == "http2tunnel" and (where := fields.get("proxyProtocol")):
        words = "proxyProtocol is not for an http2tunnel: one connection carries many clients"
        problems.error(where.place, words, "use type http or socks5, or proxyProtocol: off")
    cleartext: ClientTls | None = None
    return Upstream(
        name=fields.need("name", entry_name, ""),
        type=kind,
        addresses=fields.need("addresses", _addresses, ()),
        user=fields.read("user", user_name, None),
        password_file=fields.read("passwordFile", lambda path: file_path(path, folder), None),
        proxy_protocol=announces,
        tls=fields.read("tls", lambda tls: read_client_tls(tls, folder, PROTOCOLS.get(kind, ()), problems), cleartext),
        place=node.place,
        password_place=file.place if file else node.place,
    )


def _type(node: Node) -> Type:
    return "socks5" if node.value == "sock5" else node.choice(*TYPES)


def _addresses(node: Node) -> tuple[tuple[str, int], ...]:
    items = node.filled()
    if len(items) > MOST_ADDRESSES:
        raise node.invalid(f"more than {MOST_ADDRESSES} addresses")
    found = tuple(endpoint(item) for item in items)
    for item, (host, _) in zip(items, found, strict=True):
        if host in ("0.0.0.0", "::"):
            raise item.invalid(f"{host} is not an address to dial")
    return found


def _password(path: str, upstream: Upstream, problems: Problems) -> bytes | None:
    """The first line, and there is no other."""
    where = upstream.password_place
    try:
        with contextlib.closing(os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")) as file:
            text = file.read(LONGEST_PASSWORD + 3)
    except OSError as wrong:
        problems.error(where, f"the password file {quote(path)} cannot be read: {os.strerror(wrong.errno or 0)}")
        return None
    password = text.removesuffix(b"\n").removesuffix(b"\r")
    if not password or b"\n" in password or b"\0" in password or len(password) > LONGEST_PASSWORD:
        words = f"the password file {quote(path)} is not one line of 1 to {LONGEST_PASSWORD} bytes"
        problems.error(where, words)
        return None
    return password
