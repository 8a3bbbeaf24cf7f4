"""`tls` of a listener or an upstream as typed values: which files, who may come, which version. The files are read
elsewhere (certificates.py)."""

from typing import Final, Literal

import msgspec

from gateway.contract import TlsClientSettings, TlsSettings
from supervisor.config.trust import NamedFile, named_file
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Place, Problems
from supervisor.source.words import certificate_name, server_name

ClientCertificate = Literal["off", "optional", "required"]
Version = Literal["1.2", "1.3"]
Use = Literal["listener", "client_ca", "trust_domain", "crl", "upstream", "upstream_ca"]

TLS: Final = ("certificates", "clientCA", "clientCertificate", "crl", "minVersion")
PAIR: Final = ("certificate", "key")
CLIENT: Final = ("serverName", "sans", "ca", *PAIR, "minVersion")
CLIENTS: Final[tuple[ClientCertificate, ...]] = ("off", "optional", "required")
VERSIONS: Final[tuple[Version, ...]] = ("1.2", "1.3")
MOST_PAIRS: Final = 64  # csrc/tls/tls_server.h
MOST_NAMES: Final = 64  # csrc/tls/tls_client.h


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


class ClientTls(msgspec.Struct, frozen=True):
    """TLS towards a parent or an origin. Its certificate has to have one of `sans`, without these `server_name`,
    without that the host or address that is dialed. `ca` None: the CAs of the system."""

    place: Place
    server_name: str | None = None
    sans: tuple[str, ...] = ()
    ca: NamedFile | None = None
    certificate: Pair | None = None
    min_version: Version = "1.2"
    alpn: tuple[str, ...] = ()


class Expiry(msgspec.Struct, frozen=True):
    """The end of one file's time: `until` in Unix seconds, `name` is its path."""

    use: Use
    name: str
    until: int


class ReadTls(msgspec.Struct):
    """Files as certificates.py has read them: TLS of listeners and of upstreams, each by its name, the CAs of the
    system where an upstream trusts them, the ends of the files' time, the next one first, and the mark of each file
    before it was read."""

    listeners: dict[str, TlsSettings] = {}
    upstreams: dict[str, TlsClientSettings] = {}
    originations: dict[str, TlsClientSettings] = {}  # by the text that policy knows them by
    system_ca: bytes | None = None
    expiries: list[Expiry] = []
    marks: dict[str, str] = {}


def read_listener_tls(node: Node, folder: str, trusts: bool, required: bool, problems: Problems) -> ListenerTls:
    """`tls` of a listener; paths resolve against `folder`. `trusts`: there are trust domains, whose CAs do where
    clientCA is missing. `required`: the protocol asks for a certificate. Raises Invalid, or reports what is wrong and
    goes on."""
    fields = node.fields(TLS, problems)
    pairs = tuple(fields.each("certificates", lambda pair: _pair(pair, folder, problems)))
    if not fields.items("certificates"):
        where = fields.get("certificates") or node
        raise where.invalid("there is no certificate", "write certificates: [{certificate: tls.crt, key: tls.key}]")
    if len(pairs) > MOST_PAIRS:
        raise node.invalid(f"more than {MOST_PAIRS} certificates")
    authority = fields.read("clientCA", lambda path: named_file(path, folder), None)
    default: ClientCertificate = "required" if required or fields.get("clientCA") else "off"
    found = ListenerTls(
        certificates=pairs,
        client_ca=authority,
        client_certificate=fields.read("clientCertificate", lambda word: word.choice(*CLIENTS), default),
        crl=fields.read("crl", lambda path: named_file(path, folder), None),
        min_version=fields.read("minVersion", lambda word: word.choice(*VERSIONS), "1.2"),
    )
    _fit_together(fields, found, trusts, problems)
    return found


def check_hbone(fields: Fields, tls: ListenerTls | None, trusts: bool, problems: Problems) -> None:
    """HBONE is HTTP/2 over mTLS between identities: nothing of that can be left out of a listener."""
    auth = fields.get("auth")
    wrong = (
        ("protocol", tls is None, "hbone without tls", "set tls: {certificates: [...]}"),
        ("protocol", not trusts, "hbone without identity.trustDomains", "certificates would name no identity"),
        ("tls", tls and tls.client_certificate != "required", "hbone with clients without a certificate", "remove it"),
        ("auth", auth and auth.value != "required", "hbone implies auth: required", "remove the key"),
    )
    for key, holds, words, hint in wrong:
        if holds and (node := fields.get(key)):
            problems.error(node.place, words, hint)


def read_client_tls(node: Node, folder: str, alpn: tuple[str, ...], problems: Problems) -> ClientTls:
    """`tls` of an upstream; paths resolve against `folder`. What is wrong is reported."""
    fields = node.fields(CLIENT, problems)
    names = fields.get("sans")
    sans = tuple(dict.fromkeys(fields.each("sans", certificate_name)))
    if names is not None and len(sans) > MOST_NAMES:
        problems.error(names.place, f"expected at most {MOST_NAMES} names, found {len(sans)}")
    present = [name for name in PAIR if fields.get(name)]
    if len(present) == 1 and (alone := fields.get(present[0])):
        missing = "key" if present == ["certificate"] else "certificate"
        problems.error(alone.place, f"{present[0]} without {missing}")
    nothing: NamedFile | None = None
    return ClientTls(
        place=node.place,
        server_name=fields.read("serverName", server_name, None),
        sans=sans,
        ca=fields.read("ca", lambda path: None if path.value == "system" else named_file(path, folder), nothing),
        certificate=_pair_of(fields, folder, node.place) if len(present) == 2 else None,
        min_version=fields.read("minVersion", lambda word: word.choice(*VERSIONS), "1.2"),
        alpn=alpn,
    )


def _fit_together(fields: Fields, found: ListenerTls, trusts: bool, problems: Problems) -> None:
    asked = fields.get("clientCertificate")
    signed = fields.get("clientCA") or trusts
    if found.client_certificate != "off" and not signed and asked:
        hint = "set clientCA, or identity.trustDomains"
        problems.error(asked.place, f"clientCertificate is {found.client_certificate} without clientCA", hint)
    if (crl := fields.get("crl")) and (not signed or found.client_certificate == "off"):
        problems.error(crl.place, "crl without clientCA", "it revokes certificates of clients")


def _pair(node: Node, folder: str, problems: Problems) -> Pair:
    return _pair_of(node.fields(PAIR, problems), folder, node.place)


def _pair_of(fields: Fields, folder: str, place: Place) -> Pair:
    nothing = NamedFile("", place)
    return Pair(
        certificate=fields.need("certificate", lambda path: named_file(path, folder), nothing),
        key=fields.need("key", lambda path: named_file(path, folder), nothing),
    )
