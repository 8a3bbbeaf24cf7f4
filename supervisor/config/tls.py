"""`tls` of a listener as typed values: which files, who may come, which version. The files are read elsewhere
(certificates.py)."""

from typing import Final, Literal

import msgspec

from gateway.contract import TlsSettings
from supervisor.config.trust import NamedFile, named_file
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Problems

ClientCertificate = Literal["off", "optional", "required"]
Version = Literal["1.2", "1.3"]
Use = Literal["listener", "client_ca", "trust_domain", "crl"]

TLS: Final = ("certificates", "clientCA", "clientCertificate", "crl", "minVersion")
PAIR: Final = ("certificate", "key")
CLIENTS: Final[tuple[ClientCertificate, ...]] = ("off", "optional", "required")
VERSIONS: Final[tuple[Version, ...]] = ("1.2", "1.3")
MOST_PAIRS: Final = 64  # csrc/tls/tls_server.h


class Pair(msgspec.Struct, frozen=True):
    """A certificate, the intermediate ones behind it, and its key."""

    certificate: NamedFile
    key: NamedFile


class ListenerTls(msgspec.Struct, frozen=True):
    """TLS of one listener. `certificates` are chosen by SNI; the first one is shown for every other name."""

    certificates: tuple[Pair, ...] = ()
    client_ca: NamedFile | None = None
    client_certificate: ClientCertificate = "off"
    crl: NamedFile | None = None
    min_version: Version = "1.2"


class Expiry(msgspec.Struct, frozen=True):
    """The end of one file's time: `until` in Unix seconds, `name` is its path."""

    use: Use
    name: str
    until: int


class ReadTls(msgspec.Struct):
    """Files as certificates.py has read them: TLS of the listeners that have it, by listener, the ends of the files'
    time, the next one first, and the mark of each file before it was read."""

    listeners: dict[str, TlsSettings] = {}
    expiries: list[Expiry] = []
    marks: dict[str, str] = {}


def read_listener_tls(node: Node, folder: str, trusts: bool, problems: Problems) -> ListenerTls:
    """`tls` of a listener; paths resolve against `folder`. `trusts`: there are trust domains, whose CAs do where
    clientCA is missing. Raises Invalid, or reports what is wrong and goes on."""
    fields = node.fields(TLS, problems)
    pairs = tuple(fields.each("certificates", lambda pair: _pair(pair, folder, problems)))
    if not fields.items("certificates"):
        where = fields.get("certificates") or node
        raise where.invalid("there is no certificate", "write certificates: [{certificate: tls.crt, key: tls.key}]")
    if len(pairs) > MOST_PAIRS:
        raise node.invalid(f"more than {MOST_PAIRS} certificates")
    authority = fields.read("clientCA", lambda path: named_file(path, folder), None)
    default: ClientCertificate = "required" if fields.get("clientCA") else "off"
    found = ListenerTls(
        certificates=pairs,
        client_ca=authority,
        client_certificate=fields.read("clientCertificate", lambda word: word.choice(*CLIENTS), default),
        crl=fields.read("crl", lambda path: named_file(path, folder), None),
        min_version=fields.read("minVersion", lambda word: word.choice(*VERSIONS), "1.2"),
    )
    _fit_together(fields, found, trusts, problems)
    return found


def _fit_together(fields: Fields, found: ListenerTls, trusts: bool, problems: Problems) -> None:
    asked = fields.get("clientCertificate")
    signed = fields.get("clientCA") or trusts
    if found.client_certificate != "off" and not signed and asked:
        hint = "set clientCA, or identity.trustDomains"
        problems.error(asked.place, f"clientCertificate is {found.client_certificate} without clientCA", hint)
    if (crl := fields.get("crl")) and (not signed or found.client_certificate == "off"):
        problems.error(crl.place, "crl without clientCA", "it revokes certificates of clients")


def _pair(node: Node, folder: str, problems: Problems) -> Pair:
    fields = node.fields(PAIR, problems)
    nothing = NamedFile("", node.place)
    return Pair(
        certificate=fields.need("certificate", lambda path: named_file(path, folder), nothing),
        key=fields.need("key", lambda path: named_file(path, folder), nothing),
    )
