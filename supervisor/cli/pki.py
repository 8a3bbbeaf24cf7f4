"""`sluice pki dev`: a throw-away CA, and certificates for a first look at mTLS. It is no CA for anything that lasts."""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from supervisor.cli.common import USAGE, fail
from supervisor.policy.explanation import QuestionError, split_workload
from supervisor.source.escape import escape
from supervisor.source.problems import quote
from supervisor.source.words import is_identity

MOST_DAYS: Final = 365
HOSTS: Final = ("localhost", "127.0.0.1", "::1")


@click.group()
def pki() -> None:
    """Make certificates for trying mTLS out.

    \b
    Example:
      sluice pki dev --workload shop/cart
    """


@pki.command()
@click.option("--out", "folder", metavar="DIR", default="pki", help="Where the files go (default: ./pki).")
@click.option("--trust-domain", "domain", metavar="NAME", default="cluster.local", help="Default: cluster.local.")
@click.option("--workload", "workloads", metavar="NS/SA", multiple=True, help="A client certificate for it; repeat.")
@click.option("--host", "hosts", metavar="NAME", multiple=True, help="A further name or IP of the gateway; repeatable.")
@click.option("--days", metavar="N", default=7, type=click.IntRange(1, MOST_DAYS), help="How long they are valid (7).")
def dev(folder: str, domain: str, workloads: Sequence[str], hosts: Sequence[str], days: int) -> None:
    """Make a throw-away CA, a certificate of the gateway, and one with a SPIFFE ID for each workload.

    A CA that the folder has already signs the new ones: so a further workload is added later. A reader of the
    folder can pose as every workload in it: it is for a try-out, not for a mesh.

    \b
    Examples:
      sluice pki dev
      sluice pki dev --workload shop/cart --workload shop/till
      sluice pki dev --out /tmp/pki --trust-domain mesh.example --host gateway.example --days 1
    """
    place = Path(folder)
    identities = {}
    for workload in workloads or ("shop/cart",):
        try:
            namespace, account = split_workload(workload)
        except QuestionError as wrong:
            fail(escape(str(wrong)), USAGE)
        identity = f"spiffe://{domain}/ns/{namespace}/sa/{account}"
        if not account or not is_identity(identity):
            fail(f"{escape(quote(workload))} in {escape(quote(domain))} is not a workload such as shop/cart", USAGE)
        identities[f"{namespace}-{account}"] = identity
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _Authority(place, days)
        gateway = [_host(name) for name in (*HOSTS, *hosts)]
        authority.issue("gateway", gateway, ExtendedKeyUsageOID.SERVER_AUTH)
        for name, identity in identities.items():
            authority.issue(name, [x509.UniformResourceIdentifier(identity)], ExtendedKeyUsageOID.CLIENT_AUTH)
            click.echo(f"{escape(str(place / name))}.crt and .key: {identity}")
    except OSError as wrong:
        fail(f"{escape(folder)}: {wrong.strerror}")
    except (ValueError, TypeError, UnsupportedAlgorithm) as wrong:
        fail(f"{escape(folder)}: {escape(str(wrong))}")
    click.echo(f"{escape(str(place / 'gateway'))}.crt and .key: the gateway")
    click.echo(f"{escape(str(place / 'ca'))}.crt: the CA of all")


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class _Authority:
    """The CA in a folder: the one that is there, else a new one."""

    def __init__(self, folder: Path, days: int) -> None:
        self._folder = folder
        self._lifetime = datetime.timedelta(days=days)
        certificate, key = folder / "ca.crt", folder / "ca.key"
        if certificate.exists() and key.exists():
            self._certificate = x509.load_pem_x509_certificate(certificate.read_bytes())
            known = load_pem_private_key(key.read_bytes(), None)
            if not isinstance(known, ec.EllipticCurvePrivateKey):
                raise ValueError("its CA was not made by this command")
            self._key = known
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sluice pki dev, not for production")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = self._builder(subject, subject, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
        own = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = builder.add_extension(own, critical=False).add_extension(usage, critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self._write("ca", self._certificate, self._key)

    def issue(self, name: str, names: Sequence[x509.GeneralName], purpose: x509.ObjectIdentifier) -> None:
        """NAME.crt and NAME.key, in place of those that are there."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, self._certificate.subject, key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)  # RFC 5280 section 4.2.1.1
        self._write(name, builder.sign(self._key, hashes.SHA256()), key)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + self._lifetime)

    def _write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _replace(self._folder / f"{name}.key", private, 0o600)
        _replace(self._folder / f"{name}.crt", certificate.public_bytes(Encoding.PEM), 0o644)


def _replace(path: Path, data: bytes, mode: int) -> None:
    """By rename, so that a running gateway never reads half a file."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
