"""Files of credentials that change while the gateway serves, and what becomes of a value in memory (DECISIONS.md
section 7, "Credentials")."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.h2_origin import Exchange, Server, serving
from tests.support.http_client import Client, Response
from tests.support.names import NameServer
from tests.support.run_gateway import Gateway, policy
from tests.support.secure_origin import SecureOrigin

FIRST: Final = "sk_first_5Jq8Zr2Xw9TkVb3NmLcPyH7dGf4"
SECOND: Final = "sk_second_Qm4Wn7Bx1Lz6Kc0Jv8Hg5Fd2Sa"


class Site(NamedTuple):
    gateway: Gateway
    origin: SecureOrigin
    received: list[dict[str, str]]  # of h2.test

    @property
    def live(self) -> Path:
        """A symlink to the folder that has the file, as Kubernetes mounts Secrets."""
        return self.gateway.folder / "live"

    def get(self, host: str = "api.test") -> Response:
        with Client(self.gateway.port) as client:
            return client.get(f"http://{host}/204")  # it does not tell the request again

    def value(self) -> str:
        """That which the origin gets now; "" where the request is refused."""
        if self.get().status != 204:
            return ""
        return self.origin.requests[-1].values("authorization")[0].removeprefix("Bearer ")

    def swap(self, content: bytes | None) -> None:
        """A new folder with the content (None: without the file), and the symlink on it."""
        folder = self.gateway.folder / f"round-{len(list(self.gateway.folder.glob('round-*')))}"
        folder.mkdir()
        if content is not None:
            (folder / "token").write_bytes(content)
        made = self.gateway.folder / "next"
        made.symlink_to(folder)
        made.rename(self.live)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    authority = Authority(tmp_path)
    received: list[dict[str, str]] = []

    def answer(exchange: Exchange, what: str) -> None:
        if what == "end":
            received.append(dict(exchange.fields))
            exchange.respond(200, b"seen")

    with (
        NameServer({"api.test": ["127.0.0.1"], "h2.test": ["127.0.0.1"]}) as names,
        SecureOrigin(authority, "api.test") as origin,
        Server(authority, serving(answer), "h2.test") as modern,
    ):
        ca = str(authority.path)
        changes = {"set": {"Authorization": "Bearer ${credential:api}"}}
        rules = [
            policy(
                "api", [{"host": "api.test"}], headers=changes, tls={"originate": True, "port": origin.port, "ca": ca}
            ),
            policy(
                "h2", [{"host": "h2.test"}], headers=changes, tls={"originate": True, "port": modern.port, "ca": ca}
            ),
        ]
        credential = {"name": "api", "file": "live/token", "hosts": ["api.test", "h2.test"]}
        config = {"dns": {"servers": [names.address]}, "credentials": [credential], "workers": 2}
        found = Site(Gateway(rules, config), origin, received)
        found.swap(FIRST.encode() + b"\n")
        with found.gateway:
            yield found


def settled(site: Site, value: str) -> None:
    """Every worker sets it: the kernel chooses one for each connection."""
    eventually(lambda: {site.value() for _ in range(8)} == {value}, "all workers have it")


def test_a_swapped_symlink_a_rename_and_a_write_take_effect(site: Site) -> None:
    settled(site, FIRST)
    site.swap(SECOND.encode())
    settled(site, SECOND)
    renamed = site.gateway.folder / "renamed"
    renamed.write_text(FIRST)
    renamed.rename(site.live / "token")
    settled(site, FIRST)
    (site.live / "token").write_text(SECOND + "\r\n")
    settled(site, SECOND)
    said = site.gateway.errors()
    assert "credential_renewed" in said
    assert FIRST not in said and SECOND not in said


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"two\nlines\n", "has more than one line"),
        (b"nul\0byte", "holds a NUL byte"),
        (b"x" * (1 << 20), "is longer than 16384 bytes"),
    ],
)
def test_a_file_that_goes_bad_closes_what_needs_it_until_it_is_mended(
    site: Site, content: bytes | None, fault: str
) -> None:
    settled(site, FIRST)
    site.swap(content)
    settled(site, "")
    found = site.get()
    assert (found.status, "credential_file: ${credential:api}" in found.body.decode()) == (502, True)
    eventually(lambda: fault in site.gateway.errors(), "it says so")
    before = site.gateway.ask({"op": "stats"})["generation"]
    assert site.gateway.sluice("reload").returncode == 1, "a reload takes no such file"
    assert site.gateway.ask({"op": "stats"})["generation"] == before
    site.swap(SECOND.encode())
    settled(site, SECOND)


def test_a_worker_that_is_restarted_gets_the_value_of_today(site: Site) -> None:
    settled(site, FIRST)
    site.swap(SECOND.encode())
    settled(site, SECOND)
    for worker in site.gateway.workers():
        os.kill(worker, 9)
    eventually(lambda: len(site.gateway.workers()) == 2 and site.gateway.serves(), "they are back")
    settled(site, SECOND)
    site.gateway.reload()
    settled(site, SECOND)


# ---- what is left of a value ----


def mappings(pid: int) -> Iterator[tuple[int, int, str, bool]]:
    """Start, end and name of each writable mapping, and whether core files leave it out (`dd` of VmFlags)."""
    text = Path(f"/proc/{pid}/smaps").read_text()
    for head, flags in re.findall(r"^([0-9a-f]+-[0-9a-f]+ .*)\n(?:(?!VmFlags).*\n)*VmFlags:(.*)$", text, re.M):
        places, access, _, _, _, *name = head.split(maxsplit=5)
        start, end = (int(part, 16) for part in places.split("-"))
        if "w" in access:
            yield start, end, name[0] if name else "", "dd" in flags.split()


def places(pid: int, value: bytes) -> list[tuple[str, bool]]:
    """Where a process has a value: the mapping, and whether core files leave it out."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for start, end, name, left_out in mappings(pid):
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except OSError:
                continue
            found += [(name, left_out)] * content.count(value)
    return found


def test_a_value_is_where_no_core_file_and_no_child_has_it(site: Site) -> None:
    settled(site, FIRST)
    for _ in range(20):
        assert site.get().status == 204
        assert site.get("h2.test").status == 200
    assert site.received[-1]["authorization"] == f"Bearer {FIRST}"
    value = FIRST.encode()
    encoder = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
    compressed: bytes = encoder.encode(f"Bearer {FIRST}".encode())[:-1]  # as HPACK has it; the last byte is filled up
    for pid in site.gateway.family():
        assert places(pid, compressed) == [], pid
        for name in ("cmdline", "environ"):
            assert value not in Path(f"/proc/{pid}/{name}").read_bytes()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(link)
            if "memfd:" in target:
                assert value not in link.read_bytes(), target
        where = places(pid, value)
        assert all(left_out for _, left_out in where), (pid, where)
    assert sum(bool(places(pid, value)) for pid in site.gateway.workers()) == 2
    for worker in site.gateway.workers():
        assert len(places(worker, value)) == 1


def test_a_value_that_was_replaced_is_gone(site: Site) -> None:
    settled(site, FIRST)
    site.swap(SECOND.encode())
    settled(site, SECOND)
    for pid in site.gateway.family():
        assert places(pid, FIRST.encode()) == [], pid
    site.swap(None)
    settled(site, "")
    for pid in site.gateway.family():
        assert places(pid, SECOND.encode()) == [], pid
