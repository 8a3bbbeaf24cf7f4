"""`sluice pki dev`: what it makes is what a gateway and its clients need, and nothing that others could read."""

import stat
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.front import sluice


def names(path: Path) -> x509.SubjectAlternativeName:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_a_ca_a_gateway_and_workloads(tmp_path: Path) -> None:
    place = tmp_path / "pki"
    done = sluice(
        "pki", "dev", "--out", str(place), "--workload", "shop/cart", "--workload", "pay/till", "--host", "gw.test"
    )
    assert done.exit_code == 0, done.output
    assert "spiffe://cluster.local/ns/shop/sa/cart" in done.stdout
    authority = x509.load_pem_x509_certificate((place / "ca.crt").read_bytes())
    for name in ("gateway", "shop-cart", "pay-till"):
        certificate = x509.load_pem_x509_certificate((place / f"{name}.crt").read_bytes())
        certificate.verify_directly_issued_by(authority)
        assert stat.S_IMODE((place / f"{name}.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert "gw.test" in names(place / "gateway.crt").get_values_for_type(x509.DNSName)
    uris = names(place / "pay-till.crt").get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["spiffe://cluster.local/ns/pay/sa/till"]


def test_the_ca_stays(tmp_path: Path) -> None:
    assert sluice("pki", "dev", "--out", str(tmp_path)).exit_code == 0
    before = (tmp_path / "ca.crt").read_bytes()
    assert sluice("pki", "dev", "--out", str(tmp_path), "--workload", "shop/till").exit_code == 0
    assert (tmp_path / "ca.crt").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {
        *("ca.crt", "ca.key", "gateway.crt", "gateway.key", "shop-cart.crt", "shop-cart.key"),
        *("shop-till.crt", "shop-till.key"),
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--workload", "shop"), 2, "is not a workload such as shop/cart"),
        (("--workload", "Shop/cart"), 2, "is not namespace/service-account"),
        (("--trust-domain", "Not A Domain"), 2, "is not a workload"),
        (("--days", "0"), 2, "0"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = sluice("pki", "dev", "--out", str(tmp_path / "pki"), *arguments)
    assert done.exit_code == code
    assert words in done.output
    assert not (tmp_path / "pki").exists()


def test_another_ca_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("mine")
    (tmp_path / "ca.key").write_text("mine")
    done = sluice("pki", "dev", "--out", str(tmp_path))
    assert done.exit_code == 1
    assert (tmp_path / "ca.key").read_text() == "mine"
