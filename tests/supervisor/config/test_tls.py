"""`tls` of a listener: what is wrong with it, or with a file that it names, is said with its place."""

import datetime
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from supervisor.config.certificates import read_tls
from supervisor.config.reader import load_config
from supervisor.source.problems import Problems
from tests.support.certificates import Authority


def settings(folder: Path, tls: Any) -> tuple[dict[str, Any], list[str], list[str]]:
    """TLS of the listener, errors, warnings; each message with its place."""
    path = folder / "sluice.yaml"
    path.write_text(
        yaml.safe_dump({"listeners": [{"name": "mesh", "tls": tls}], "control": {"endpoint": "ipc:///run/none"}})
    )
    problems = Problems()
    found: dict[str, Any] = {}
    try:
        config = load_config(str(path))
    except Problems as wrong:
        problems = wrong
    else:
        found = dict(read_tls(config, {}, problems).listeners)
    return found, [str(error) for error in problems.errors], [str(warning) for warning in problems.warnings]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def pair(names: tuple[str, str]) -> list[dict[str, str]]:
    return [{"certificate": Path(names[0]).name, "key": Path(names[1]).name}]


def test_all_of_it(tmp_path: Path, authority: Authority) -> None:
    tls = {
        "certificates": pair(authority.issue("one")) + pair(authority.issue("two")),
        "clientCA": "ca.crt",
        "crl": Path(authority.revoke()).name,
        "minVersion": "1.3",
    }
    found, errors, warnings = settings(tmp_path, tls)
    assert (errors, warnings) == ([], [])
    mesh = found["mesh"]
    assert [b"CERTIFICATE" in one["chain"] and b"PRIVATE KEY" in one["key"] for one in mesh["certificates"]] == [
        True
    ] * 2
    assert mesh["client_certificate"] == "required"
    assert mesh["min_version"] == "1.3"
    assert b"X509 CRL" in mesh["crl"]


def test_only_certificates_are_handed_on(tmp_path: Path, authority: Authority) -> None:
    """A file may hold its key as well, and words between the blocks."""
    certificate, key = authority.issue("one")
    joined = tmp_path / "joined.pem"
    joined.write_text(f"words\n{Path(key).read_text()}more words\n{Path(certificate).read_text()}")
    found, errors, _ = settings(tmp_path, {"certificates": [{"certificate": "joined.pem", "key": "joined.pem"}]})
    assert not errors
    assert b"PRIVATE" not in found["mesh"]["certificates"][0]["chain"]


ONE: Final = [{"certificate": "one.crt", "key": "one.key"}]
WRONG: Final[dict[str, tuple[Any, str]]] = {
    "no certificate": ({}, r"there is no certificate \(write certificates:"),
    "an empty list": ({"certificates": []}, r"there is no certificate|expected"),
    "no key": ({"certificates": [{"certificate": "one.crt"}]}, r"key"),
    "no such file": ([("none.crt", "one.key")], r"none\.crt.* cannot be read: No such file"),
    "a folder": ([(".", "one.key")], r"it is not a regular file"),
    "another's key": ([("one.crt", "two.key")], r"two\.key.* is not that of the certificate .*one\.crt"),
    "a key for a certificate": ([("one.key", "one.key")], r"no readable certificate"),
    "a certificate for a key": ([("one.crt", "one.crt")], r"one\.crt.* cannot be read \(expected PEM: PRIVATE KEY"),
    "a key with a password": ([("one.crt", "locked.key")], r"it needs a password"),
    "required without a CA": (
        {"certificates": ONE, "clientCertificate": "required"},
        r"clientCertificate is required without clientCA",
    ),
    "a list without a CA": ({"certificates": ONE, "crl": "crl.pem"}, r"crl without clientCA"),
    "no list": (
        {"certificates": ONE, "clientCA": "ca.crt", "crl": "ca.crt"},
        r"revocation list .* cannot be read \(expected PEM: X509 CRL",
    ),
    "an old version": ({"certificates": ONE, "minVersion": "1.1"}, r"expected one of 1\.2, 1\.3"),
    "another word": ({"certificates": ONE, "clientCertificates": "off"}, r"clientCertificates.*clientCertificate"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake(tmp_path: Path, authority: Authority, what: str) -> None:
    tls, message = WRONG[what]
    authority.issue("one")
    authority.issue("two")
    authority.revoke()
    (tmp_path / "locked.key").write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    if isinstance(tls, list):
        tls = {"certificates": [{"certificate": certificate, "key": key} for certificate, key in tls]}
    found, errors, _ = settings(tmp_path, tls)
    assert not found
    (error,) = errors
    assert re.search(message, error), error
    assert re.search(r"sluice\.yaml:\d+:\d+", error), error
    assert "BEGIN" not in error


@pytest.mark.parametrize(
    ("age", "left", "words"),
    [
        (datetime.timedelta(days=3), datetime.timedelta(days=-1), "expired at"),
        (datetime.timedelta(days=-1), datetime.timedelta(days=3), "is not valid before"),
        (datetime.timedelta(days=1), datetime.timedelta(days=6), "expires at"),
        (datetime.timedelta(days=1), datetime.timedelta(days=8), ""),
    ],
)
def test_lifetimes_are_warnings(
    tmp_path: Path, authority: Authority, age: datetime.timedelta, left: datetime.timedelta, words: str
) -> None:
    found, errors, warnings = settings(tmp_path, {"certificates": pair(authority.issue("one", age=age, left=left))})
    assert found
    assert not errors
    assert len(warnings) == bool(words)
    assert words in "".join(warnings)
