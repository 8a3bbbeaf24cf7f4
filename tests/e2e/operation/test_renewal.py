"""Certificates, keys, CAs and revocation lists that change on disk take effect without a command; policy does not."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import World, sample_policy
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway
from tests.support.tls import TlsSocket


class Renewing(Gateway):
    """A gateway whose one listener shows `authority`'s certificate from `folder`/live, a symlink as Kubernetes has."""

    def __init__(self, world: World, authority: Authority, **tls: str) -> None:
        self.authority = authority
        self.live = authority.folder / "live"
        self.rounds = 0
        self.world = world
        self.swap()
        pair = {"certificate": str(self.live / "tls.crt"), "key": str(self.live / "tls.key")}
        listener = {"tls": {"certificates": [pair], **tls}}
        super().__init__(sample_policy(world), {"dns": {"servers": [world.names.address]}}, listener=listener)

    def serves(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.errors()
        return True

    def swap(self, broken: bool = False) -> None:
        """A new folder with a new pair, and the symlink on it: both files change at one moment."""
        self.rounds += 1
        folder = self.authority.folder / f"round-{self.rounds}"
        folder.mkdir()
        certificate, key = self.authority.issue("gateway.test", "gateway.test")
        shutil.copy(certificate, folder / "tls.crt")
        shutil.copy(key, folder / "tls.key")
        if broken:
            (folder / "tls.key").write_text("no key")
        made = self.authority.folder / "next"
        made.symlink_to(folder)
        made.rename(self.live)

    def shown(self) -> int:
        """The serial number of the certificate that a client gets now, on a tunnel that works."""
        with self.open() as client:
            return client.certificate().serial_number

    def open(self, pair: tuple[str, str] | None = None) -> TlsSocket:
        client = TlsSocket(socket.create_connection(("127.0.0.1", self.port), timeout=20), self.authority.client(pair))
        wire.open_socks5(client, "open.test", self.world.echo.port)  # type: ignore[arg-type]
        return client


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_swapped_symlink_shows_the_new_certificate(world: World, authority: Authority) -> None:
    with Renewing(world, authority) as gateway, gateway.open() as old:
        first = gateway.shown()
        gateway.swap()
        eventually(lambda: gateway.shown() != first, "the new certificate is shown")
        assert wire.echoes(old)  # type: ignore[arg-type]


def test_files_renamed_one_after_the_other_count_together(world: World, authority: Authority) -> None:
    with Renewing(world, authority) as gateway:
        first = gateway.shown()
        certificate, key = authority.issue("gateway.test", "gateway.test")
        os.rename(certificate, gateway.live / "tls.crt")
        os.rename(key, gateway.live / "tls.key")
        eventually(lambda: gateway.shown() != first, "the new certificate is shown")
        assert "reload_failed" not in gateway.errors()


def test_a_bad_pair_keeps_the_old_one_and_says_so(world: World, authority: Authority) -> None:
    with Renewing(world, authority) as gateway:
        first = gateway.shown()
        gateway.swap(broken=True)
        eventually(lambda: "reload_failed" in gateway.errors(), "it says so")
        assert "tls.key" in gateway.errors()
        assert gateway.shown() == first
        gateway.swap()
        eventually(lambda: gateway.shown() != first, "a good pair takes effect")
        assert gateway.errors().count("reload_failed") == 1, "once, and not with every look"


def test_a_revocation_list_takes_effect_on_live_tunnels(world: World, authority: Authority) -> None:
    pair = authority.issue("client", client=True)
    with Renewing(world, authority, clientCA=str(authority.path), crl=authority.revoke()) as gateway:
        client = gateway.open(pair)
        authority.revoke(pair[0])
        assert gateway.event(event="close", outcome="revoked")["reason"] == "unauthorized"
        client.close()


def test_policy_waits_for_its_reload(world: World, authority: Authority) -> None:
    with Renewing(world, authority) as gateway:
        first = gateway.shown()
        gateway.write_policy([])
        (gateway.folder / "policy.yaml").write_text("half: [written")
        gateway.swap()
        eventually(lambda: gateway.shown() != first, "the new certificate is shown, and the policy stands")
