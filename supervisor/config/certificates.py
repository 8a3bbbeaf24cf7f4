"""Certificates, keys, CAs and revocation lists: read, checked, and handed to workers as PEM texts.

pyOpenSSL says here what is wrong, before a worker sees any text; the worker's own library reads the texts again.
Errors name files, never their content.
"""

import datetime
import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL

from gateway.contract import TlsClientSettings, TlsPairSettings, TlsSettings, TrustDomainSettings
from supervisor.config.authorities import system_bundle
from supervisor.config.config import Config, Listener
from supervisor.config.tls import ClientTls, Expiry, Pair, ReadTls, Use
from supervisor.config.trust import NamedFile, Trust, TrustDomain
from supervisor.host.file_marks import marks_of
from supervisor.source.problems import Invalid, Place, Problems, quote
from supervisor.source.yaml_source import read_file

Parsed = TypeVar("Parsed")

MOST_BYTES: Final = 1 << 20  # of one file
SOON: Final = datetime.timedelta(days=7)
BEGIN: Final = b"-----BEGIN "
CERTIFICATE: Final = BEGIN + b"CERTIFICATE-----"
LIST: Final = BEGIN + b"X509 CRL-----"


def read_tls(config: Config, originations: Mapping[str, ClientTls], problems: Problems) -> ReadTls:
    """Every file that TLS of a configuration and of its rules names. What is wrong is left out, and reported."""
    trust = config.identity.trust
    clients = {upstream.name: upstream.tls for upstream in config.upstreams if upstream.tls is not None}
    marks = marks_of(_paths(config, [*clients.values(), *originations.values()]))
    reading = _Reading(problems)
    before = len(problems.errors)
    domains = [reading.domain(domain) for domain in trust.domains]
    broken = len(problems.errors) > before
    found = ReadTls(marks=marks)
    for listener in config.listeners:
        if listener.tls is not None and (settings := reading.listener(listener, trust, domains)) and not broken:
            found.listeners[listener.name] = settings
    for name, tls in clients.items():
        if read := reading.client(tls):
            found.upstreams[name] = read
    for text, tls in originations.items():
        if read := reading.client(tls):
            found.originations[text] = read
    found.system_ca = reading.system_ca
    found.expiries = sorted(reading.expiries.values(), key=lambda each: (each.until, each.use, each.name))
    return found


def _paths(config: Config, clients: Iterable[ClientTls]) -> Iterator[str]:
    for tls in (listener.tls for listener in config.listeners if listener.tls is not None):
        for pair in tls.certificates:
            yield from (pair.certificate.path, pair.key.path)
        yield from (file.path for file in (tls.client_ca, tls.crl) if file is not None)
    yield from (domain.ca.path for domain in config.identity.trust.domains)
    for client in clients:
        if client.certificate is not None:
            yield from (client.certificate.certificate.path, client.certificate.key.path)
        if client.ca is None:
            yield system_bundle() or ""
        elif client.ca.content is None:
            yield client.ca.path


class _Reading:
    """Files of one configuration; each file is told of once."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.expiries: dict[tuple[str, str], Expiry] = {}
        self.system_ca: bytes | None = None

    def domain(self, domain: TrustDomain) -> TrustDomainSettings:
        """One whose CAs cannot be read is reported, and has none."""
        text = self.authorities(domain.ca, "trust_domain")
        return TrustDomainSettings(name=domain.name, linkerd=domain.linkerd_namespace, ca=text or b"")

    def listener(self, listener: Listener, trust: Trust, domains: list[TrustDomainSettings]) -> TlsSettings | None:
        tls, problems = listener.tls, self.problems
        assert tls is not None
        before = len(problems.errors)
        pairs = [found for pair in tls.certificates if (found := self.pair(pair))]
        authority = self.authorities(tls.client_ca, "client_ca") if tls.client_ca else None
        crl = self.lists(tls.crl) if tls.crl else None
        if len(problems.errors) > before:
            return None
        settings = TlsSettings(
            certificates=pairs,
            client_ca=authority,
            client_certificate=tls.client_certificate,
            crl=crl,
            min_version=tls.min_version,
            trust_domains=domains,
            role=trust.role,
            scope=b"",
        )
        settings["scope"] = _scope(listener.name, settings)
        return settings

    def note(self, use: Use, file: NamedFile, until: float) -> bool:
        """Whether the file is new for this use. Of several ends in one file the first counts."""
        known = self.expiries.get((use, file.path))
        if known is None or until < known.until:
            self.expiries[(use, file.path)] = Expiry(use, file.path, int(until))
        return known is None

    def client(self, tls: ClientTls) -> TlsClientSettings | None:
        """TLS towards a parent or an origin."""
        before = len(self.problems.errors)
        authority = self.authorities(tls.ca, "upstream_ca") if tls.ca else self.system(tls.place)
        pair = self.pair(tls.certificate, "upstream") if tls.certificate else None
        if len(self.problems.errors) > before or authority is None:
            return None
        return TlsClientSettings(
            server_name=tls.server_name,
            sans=list(tls.sans),
            ca=authority if tls.ca else None,
            certificate=pair,
            min_version=tls.min_version,
            alpn=list(tls.alpn),
        )

    def system(self, place: Place) -> bytes | None:
        """The CAs of the system, read once. Some of them may have expired: they are of no use, and do no harm."""
        if self.system_ca is None:
            path = system_bundle()
            if path is None:
                self.problems.error(place, "this system has no file of trusted CAs", "install them, or name a file: ca")
                return None
            file = NamedFile(path, place)
            text = _read(file, "CA", self.problems)
            with warnings.catch_warnings():  # some of these are older than the rules of today
                warnings.simplefilter("ignore")
                certificates = _certificates(text, file, self.problems) if text is not None else []
            self.system_ca = _text(certificates) or None
        return self.system_ca

    def pair(self, pair: Pair, use: Literal["listener", "upstream"] = "listener") -> TlsPairSettings | None:
        problems = self.problems
        chain, key = _read(pair.certificate, "certificate", problems), _read(pair.key, "key", problems)
        if chain is None or key is None:
            return None
        certificates = _certificates(chain, pair.certificate, problems)
        private = _key(key, pair.key, problems)
        if not certificates or private is None:
            return None
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        try:
            context.use_certificate(certificates[0])
            context.use_privatekey(private)  # type: ignore[arg-type]
            context.check_privatekey()
        except SSL.Error:
            words = f"the key {quote(pair.key.path)} is not that of the certificate {quote(pair.certificate.path)}"
            problems.error(pair.key.place, words)
            return None
        self.note(use, pair.certificate, min(each.not_valid_after_utc.timestamp() for each in certificates))
        _lifetime(certificates[0], pair.certificate, "clients" if use == "listener" else "the peer", problems)
        return TlsPairSettings(chain=_text(certificates), key=key)

    def authorities(self, file: NamedFile, use: Literal["client_ca", "trust_domain", "upstream_ca"]) -> bytes | None:
        text = _read(file, "CA", self.problems)
        certificates = _certificates(text, file, self.problems) if text is not None else []
        if not certificates:
            return None
        until = min(each.not_valid_after_utc for each in certificates)
        if self.note(use, file, until.timestamp()):
            _ending(file, "the CA", until, "certificates that it signed will be refused", self.problems)
        return _text(certificates)

    def lists(self, file: NamedFile) -> bytes | None:
        problems = self.problems
        text = _read(file, "revocation list", problems)
        if text is None:
            return None
        blocks = _blocks(text, LIST)
        found = _parsed(blocks, x509.load_pem_x509_crl)
        if not found:
            words = f"the revocation list {quote(file.path)} cannot be read"
            problems.error(file.place, words, "expected PEM: X509 CRL")
            return None
        ends = [end for each in found if (end := each.next_update_utc)]
        if ends and self.note("crl", file, min(ends).timestamp()):
            _ending(file, "the revocation list", min(ends), "every client certificate will be refused", problems)
        return b"".join(blocks)


def _scope(name: str, settings: TlsSettings) -> bytes:
    """A digest of what a session was begun under: the listener, its certificates, and who may come."""
    found = hashlib.sha256(name.encode())
    parts = [repr((settings["client_certificate"], settings["min_version"], settings["role"])).encode()]
    parts += [pair["chain"] for pair in settings["certificates"]]
    parts += [settings["client_ca"] or b"", settings["crl"] or b""]
    for domain in settings["trust_domains"]:
        parts += [domain["name"].encode(), (domain["linkerd"] or "").encode(), domain["ca"]]
    for part in parts:
        found.update(b"\0%d:" % len(part) + part)
    return found.digest()


def _ending(file: NamedFile, what: str, until: datetime.datetime, then: str, problems: Problems) -> None:
    """A warning about a file whose time is over, or nearly."""
    now = datetime.datetime.now(datetime.UTC)
    words = f"{what} {quote(file.path)}"
    if now >= until:
        problems.warning(file.place, f"{words} expired at {_moment(until)}", then)
    elif until - now < SOON:
        problems.warning(file.place, f"{words} expires at {_moment(until)}", f"that is within 7 days: {then}")


def _lifetime(certificate: x509.Certificate, file: NamedFile, peer: str, problems: Problems) -> None:
    """A certificate that is not valid now would only be refused by its peers: it is used, and a warning says so."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    now = datetime.datetime.now(datetime.UTC)
    words = f"the certificate {quote(file.path)}"
    if now >= ends:
        problems.warning(file.place, f"{words} expired at {_moment(ends)}", f"{peer} will refuse it")
    elif now < begins:
        problems.warning(file.place, f"{words} is not valid before {_moment(begins)}", f"{peer} will refuse it")
    elif ends - now < SOON:
        problems.warning(file.place, f"{words} expires at {_moment(ends)}", "that is within 7 days")


def _moment(time: datetime.datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _parsed(blocks: Iterable[bytes], load: Callable[[bytes], Parsed]) -> list[Parsed]:
    """Contents of PEM blocks; none where one of them cannot be read."""
    try:
        return [load(block) for block in blocks]
    except ValueError:
        return []


def _certificates(text: bytes, file: NamedFile, problems: Problems) -> list[x509.Certificate]:
    found = _parsed(_blocks(text, CERTIFICATE), x509.load_pem_x509_certificate)
    if not found:
        where = f"the file {quote(file.path)}" if file.content is None else file.path
        words = f"{where} has no readable certificate"
        problems.error(file.place, words, "expected PEM: CERTIFICATE")
    return found


def _text(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def _key(text: bytes, file: NamedFile, problems: Problems) -> PrivateKeyTypes | None:
    try:
        return load_pem_private_key(text, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        hint = "expected PEM: PRIVATE KEY"
        if b"ENCRYPTED" in text:
            hint = "it needs a password; keys are read without one"
        problems.error(file.place, f"the key {quote(file.path)} cannot be read", hint)
        return None


def _blocks(text: bytes, begin: bytes) -> list[bytes]:
    """The PEM blocks of one kind (RFC 7468); other text between them is allowed."""
    found = []
    for part in text.split(begin)[1:]:
        end = begin.replace(b"BEGIN", b"END")
        content, mark, _ = part.partition(end)
        if mark:
            found.append(begin + content + end + b"\n")
    return found


def _read(file: NamedFile, what: str, problems: Problems) -> bytes | None:
    """A regular file of at most MOST_BYTES."""
    if file.content is not None:
        return file.content.encode()
    try:
        return read_file(file.path, MOST_BYTES)
    except Invalid as wrong:
        reason = wrong.problem.message.removeprefix("cannot be read: ")
        reason = reason if reason != wrong.problem.message else f"it {reason}"
        problems.error(file.place, f"the {what} {quote(file.path)} cannot be read: {reason}")
        return None
