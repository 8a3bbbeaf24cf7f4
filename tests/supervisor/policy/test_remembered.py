"""Files that were read before: what is read again, and that the result is that of a cold compilation."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from supervisor.generation.compilation import Report
from supervisor.generation.compile import compile_config
from supervisor.policy import remembered
from supervisor.policy.remembered import Reading, Remembered
from tests.support.front import manifest, write

CONFIG: Final = "policy: {paths: [policies]}\n"
SPEC: Final = "to: [{host: %s.test}]\naction: Allow"
OLD: Final = 1_700_000_000  # Unix seconds


class Folder:
    """Policies that are compiled again and again with what is remembered, and each time without."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "policies").mkdir()
        write(path, sluice_yaml=CONFIG)
        self.remembered = Remembered()

    def file(self, name: str, host: str | None = None) -> Path:
        """Writes a policy; its file is `name`."""
        path = self.path / "policies" / name
        path.write_text(manifest(SPEC % (host or path.stem), path.stem))
        return path

    def compile(self) -> tuple[int, int]:
        """Files opened and parsed. Warm and cold give the same report and the same image."""
        reading = Reading(self.remembered)
        warm = compiled(self.path, reading)
        assert warm == compiled(self.path, None)
        if warm[0].ok:
            # As the compile process hands it over.
            delta = msgspec.msgpack.encode(reading.delta())
            self.remembered.apply(msgspec.msgpack.decode(delta, type=remembered.Delta))
            sizes = sum(kept.size for kept in self.remembered.files.values())
            assert self.remembered.bytes == sizes
        return reading.opened, reading.parsed


def compiled(folder: Path, reading: Reading | None) -> tuple[Report, bytes]:
    """The report without what differs by itself, and the image."""
    report, image = compile_config(str(folder / "sluice.yaml"), reading=reading)
    data = b""
    if image is not None:
        data = os.pread(image, os.fstat(image).st_size, 0)
        os.close(image)
    return msgspec.structs.replace(report, seconds=0.0, files_opened=0, files_parsed=0), data


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are settled at once: these tests need not wait until they are."""
    monkeypatch.setattr(remembered, "GRAIN", -1)


@pytest.mark.usefixtures("settled")
def test_unchanged_files_are_not_opened(folder: Folder) -> None:
    for name in ("a.yaml", "b.yaml", "c.json"):
        folder.file(name) if name != "c.json" else folder.file("c.yaml")
    assert folder.compile() == (3, 3)
    assert folder.compile() == (0, 0)
    folder.file("b.yaml", "other")
    assert folder.compile() == (1, 1)
    folder.file("d.yaml")
    assert folder.compile() == (1, 1)
    (folder.path / "policies/a.yaml").unlink()
    assert folder.compile() == (0, 0)
    assert len(folder.remembered.files) == 3


@pytest.mark.usefixtures("settled")
def test_a_renamed_file_is_read(folder: Folder) -> None:
    folder.file("a.yaml")
    folder.file("b.yaml")
    folder.compile()
    (folder.path / "policies/a.yaml").rename(folder.path / "policies/c.yaml")
    assert folder.compile() == (1, 1), "its name stands in each of its places"
    (folder.path / "policies/c.yaml").rename(folder.path / "policies/b.yaml")
    assert folder.compile() == (1, 1)


@pytest.mark.usefixtures("settled")
def test_a_file_of_the_same_size_and_mtime_is_read(folder: Folder) -> None:
    path = folder.file("a.yaml", "one")
    os.utime(path, (OLD, OLD))
    folder.compile()
    folder.file("a.yaml", "two")
    os.utime(path, (OLD, OLD))
    assert folder.compile() == (1, 1)
    other = folder.file("other.txt", "six")
    os.utime(other, (OLD, OLD))
    other.rename(path)
    assert folder.compile() == (1, 1)


def test_a_young_file_is_compared_until_it_is_settled(folder: Folder) -> None:
    folder.file("a.yaml")
    assert folder.compile() == (1, 1)
    assert folder.compile() == (1, 0), "it may have been written in the same tick of the clock"
    path = str(folder.path / "policies/a.yaml")
    kept = folder.remembered.files[path]
    # As if the change had left no trace in the inode.
    folder.file("a.yaml", "z")
    found = remembered.identity(os.stat(path))
    folder.remembered.files[path] = msgspec.structs.replace(kept, identity=found)
    assert folder.compile() == (1, 1)


@pytest.mark.usefixtures("settled")
def test_a_touched_file_is_compared_and_not_parsed(folder: Folder) -> None:
    path = folder.file("a.yaml")
    folder.compile()
    os.utime(path, (OLD, OLD))
    assert folder.compile() == (1, 0)
    assert folder.compile() == (0, 0)


@pytest.mark.usefixtures("settled")
def test_links_are_followed_as_a_volume_of_kubernetes_swaps_them(folder: Folder) -> None:
    """Each file is a link into `..data`, a link to a folder that is replaced as a whole."""
    policies = folder.path / "policies"

    def version(number: int, hosts: dict[str, str]) -> None:
        (policies / f"..v{number}").mkdir()
        for name, host in hosts.items():
            (policies / f"..v{number}" / name).write_text(manifest(SPEC % host, name.partition(".")[0]))
        (policies / "..new").symlink_to(f"..v{number}")
        (policies / "..new").rename(policies / "..data")

    version(1, {"a.yaml": "a", "b.yaml": "b"})
    for name in ("a.yaml", "b.yaml"):
        (policies / name).symlink_to(f"..data/{name}")
    assert folder.compile() == (2, 2)
    assert folder.compile() == (0, 0)
    version(2, {"a.yaml": "a", "b.yaml": "changed"})
    shutil.rmtree(policies / "..v1")
    assert folder.compile() == (2, 1)
    assert folder.compile() == (0, 0)


@pytest.mark.usefixtures("settled")
def test_a_host_list_that_leads_outside_is_refused_though_its_policy_is_unchanged(folder: Folder) -> None:
    (folder.path / "policies/names.txt").write_text("a.test\n")
    (folder.path / "policies/list.txt").symlink_to("names.txt")
    spec = "to: [{hostsFrom: list.txt}]\naction: Allow"
    (folder.path / "policies/a.yaml").write_text(manifest(spec, "a"))
    assert folder.compile() == (1, 1)
    (folder.path / "policies/names.txt").write_text("b.test\n")
    assert folder.compile() == (0, 0), "the image has the new name"
    (folder.path / "outside.txt").write_text("a.test\n")
    (folder.path / "policies/list.txt").unlink()
    (folder.path / "policies/list.txt").symlink_to("../outside.txt")
    assert folder.compile() == (1, 1), "refused as by a cold compilation"


def test_what_is_remembered_is_bounded(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        folder.file(f"p{number}.yaml")
    monkeypatch.setattr(remembered, "MOST_BYTES", 1500)
    assert folder.compile() == (10, 10)
    assert 0 < len(folder.remembered.files) < 10
    assert folder.remembered.bytes <= 1500
    assert folder.compile()[1] == 10 - len(folder.remembered.files)


WARNED: Final = "---\napiVersion: v1\nkind: Service\nmetadata: {name: x}\n"


class Edits:
    """Random edits of a folder, from good to broken and back."""

    def __init__(self, folder: Folder, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.policies = folder.path / "policies"
        (self.policies / "sub").mkdir()
        (self.policies / "list.txt").write_text("l.test\n")

    def pick(self) -> Path | None:
        found = sorted(path for path in self.policies.rglob("*.yaml") if path.is_file())
        return self.random.choice(found) if found else None

    def some_text(self) -> str:
        name = f"n{self.random.randrange(200)}"
        host = f"h{self.random.randrange(4)}"
        texts = [
            manifest(SPEC % host, name),
            manifest(SPEC % host, name, namespace="shop"),
            manifest(SPEC % host, name) + WARNED,
            manifest("to: [{hostsFrom: list.txt}]\naction: Deny", name),
            manifest("from: [{user: stranger}]\nto: [{cidr: 10.0.0.0/8}]\naction: Audit", name),
            manifest(SPEC % host, name) + "---\n" + manifest(SPEC % host, name + "-too"),
            "nonsense: [",
            "",
            manifest("to: []", name),
        ]
        return self.random.choices(texts, [8, 8, 6, 4, 4, 6, 1, 1, 1])[0]

    def write(self) -> None:
        where = self.random.choice([self.policies, self.policies / "sub"])
        (where / f"f{self.random.randrange(8)}.yaml").write_text(self.some_text())

    def remove(self) -> None:
        if path := self.pick():
            path.unlink()

    def rename(self) -> None:
        if path := self.pick():
            path.rename(path.with_name(f"f{self.random.randrange(8)}.yaml"))

    def link(self) -> None:
        path = self.pick()
        link = self.policies / f"link{self.random.randrange(3)}.yaml"
        if path and path != link and not path.is_symlink():
            link.unlink(missing_ok=True)
            link.symlink_to(path)

    def mend(self) -> None:
        """Takes away what a compilation refuses."""
        for problem in compiled(self.folder.path, None)[0].problems:
            if Path(problem.file).is_relative_to(self.policies):
                Path(problem.file).unlink(missing_ok=True)
        (self.policies / "list.txt").write_text("l.test\n")

    def touch(self) -> None:
        if path := self.pick():
            os.utime(path, (OLD, OLD))

    def list(self) -> None:
        (self.policies / "list.txt").write_text(self.random.choice(["l.test\n", "m.test\n*.n.test\n", "not a name\n"]))

    def settings(self) -> None:
        texts = [
            CONFIG,
            CONFIG,
            "policy: {paths: [policies/sub, policies]}\n",
            "policy: {paths: [policies], audit: true}\n",
        ]
        write(self.folder.path, sluice_yaml=self.random.choice(texts))

    def one(self) -> None:
        edits: list[Callable[[], Any]] = [self.write, self.remove, self.rename, self.link, self.touch, self.list]
        self.random.choices([*edits, self.settings], [8, 3, 2, 2, 1, 1, 1])[0]()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.usefixtures("settled")
def test_any_edits_give_what_a_cold_compilation_gives(tmp_path: Path, seed: int) -> None:
    folder = Folder(tmp_path)
    edits = Edits(folder, seed)
    refused = fewer = 0
    for _ in range(60):
        for _ in range(edits.random.randrange(1, 4)):
            edits.one()
        before = len(folder.remembered.files)
        _, parsed = folder.compile()
        fewer += parsed < before
        refused += not compiled(tmp_path, None)[0].ok
        if edits.random.random() < 0.3:
            edits.mend()
    assert refused > 3 and fewer > 10, "some of the edits are mistakes, and not all"
