"""Certificates of a throw-away CA, and contexts for TLS origins and their clients."""

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY: Final = datetime.timedelta(days=1)
# The key of a CA signs certificates and revocation lists alone (RFC 5280 section 4.2.1.3).
SIGNS: Final = x509.KeyUsage(False, False, False, False, False, True, True, False, False)


class Authority:
    """A CA of one test; everything lies in `folder` as NAME.crt and NAME.key."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} of tests")])
        builder = self._builder(self.subject, self.key.public_key(), DAY, 30 * DAY)
        own = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        builder = builder.add_extension(own, critical=False).add_extension(SIGNS, critical=True)
        self.certificate = builder.sign(self.key, hashes.SHA256())
        self.path = folder / f"{name}.crt"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str,
        *hosts: str,
        client: bool = False,
        age: datetime.timedelta = DAY,
        left: datetime.timedelta = 30 * DAY,
        linked: bool = False,
    ) -> tuple[str, str]:
        """The paths of a certificate and its key. `hosts`: DNS names, IP addresses and URIs. `linked`: it names the key
        of this CA, as browsers ask of certificates."""
        return self.issue_names(name, list(map(_name, hosts)), client=client, age=age, left=left, linked=linked)

    def issue_names(
        self,
        name: str,
        names: Sequence[x509.GeneralName],
        *,
        client: bool = True,
        age: datetime.timedelta = DAY,
        left: datetime.timedelta = 30 * DAY,
        linked: bool = False,
    ) -> tuple[str, str]:
        """The same, with names of any kind."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = self._builder(subject, key.public_key(), age, left).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if linked:
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            builder = builder.add_extension(issuer, critical=False)
        pem = serialization.Encoding.PEM
        certificate, private = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certificate.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(pem))
        plain = serialization.NoEncryption()
        private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        return str(certificate), str(private)

    def revoke(self, *certificates: str, left: datetime.timedelta = 30 * DAY) -> str:
        """The path of a list that revokes the certificates at these paths, current as long as something is left."""
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.subject)
        builder = builder.last_update(now - DAY).next_update(now + left)
        for path in certificates:
            serial = x509.load_pem_x509_certificate(Path(path).read_bytes()).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - DAY).build()
            builder = builder.add_revoked_certificate(revoked)
        made = self.folder / "crl.pem"
        made.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return str(made)

    def client(self, pair: tuple[str, str] | None = None, *protocols: str) -> ssl.SSLContext:
        """A client that trusts this CA alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.path)
        if pair:
            context.load_cert_chain(*pair)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, age: datetime.timedelta, left: datetime.timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.subject).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - age).not_valid_after(now + left)


def _name(host: str) -> x509.GeneralName:
    if "://" in host:
        return x509.UniformResourceIdentifier(host)
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def server_context(folder: Path) -> ssl.SSLContext:
    """A TLS server whose certificate no client has to trust; the key lies in `folder`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(folder).issue("origin.test"))
    return context


def client_context() -> ssl.SSLContext:
    """A client that trusts every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
