"""`sluice user`, called as a shell would call it: what it writes, what it refuses, and what it never shows."""

import errno
import importlib
import json
import os
import struct
import sys
from pathlib import Path
from typing import Final

import click
import pytest

from supervisor.identity.passwords import verify_password
from supervisor.identity.users import load_users
from supervisor.source.problems import Problems
from tests.support.front import CONFIG, HASH, POLICY, sluice, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sound configuration, which is the working directory."""
    write(tmp_path, sluice_yaml=CONFIG, policy_yaml=POLICY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("supervisor.config.config.DEFAULT_PATHS", ("sluice.yaml", str(tmp_path / "etc/sluice.yaml")))
    return tmp_path


def test_a_user_is_added_listed_and_removed(folder: Path) -> None:
    write(folder, sluice_yaml=CONFIG + "identity: {users: users.yaml}\n")
    done = sluice("user", "add", "bot", "--namespace", "shop", "--service-account", "cart", given="hunter2\n")
    assert (done.exit_code, done.stdout) == (0, f"{folder}/users.yaml: bot added\n")
    assert sluice("user", "add", "ann", given="pass word").exit_code == 0
    assert (folder / "users.yaml").stat().st_mode & 0o777 == 0o600
    problems = Problems()
    users = {entry.name: entry for entry in load_users(str(folder / "users.yaml"), problems)}
    assert not problems.errors and not problems.warnings
    assert verify_password(b"hunter2", users["bot"].hash) and verify_password(b"pass word", users["ann"].hash)
    done = sluice("user", "list")
    assert done.stdout == "bot  shop/cart\nann\n"
    items = json.loads(sluice("user", "list", "--json").stdout)["items"]
    assert items == [
        {"name": "bot", "namespace": "shop", "serviceAccount": "cart"},
        {"name": "ann", "namespace": None, "serviceAccount": None},
    ]
    assert sluice("check").exit_code == 0
    done = sluice("user", "remove", "bot")
    assert (done.exit_code, done.stdout) == (0, f"{folder}/users.yaml: bot removed\n")
    assert sluice("user", "list").stdout == "ann\n"
    assert sluice("user", "remove", "ann").exit_code == 0
    assert sluice("user", "list").stdout == ""
    assert [name for name in os.listdir(folder) if name.startswith(".users")] == []


def test_a_new_password_keeps_the_identity(folder: Path) -> None:
    file = ("--file", "u.yaml")
    sluice("user", "add", "bot", *file, "--namespace", "shop", given="old")
    done = sluice("user", "add", "bot", *file, given="new")
    assert done.stdout == f"{folder}/u.yaml: bot has a new password\n"
    (found,) = load_users("u.yaml", Problems())
    assert (found.namespace, verify_password(b"new", found.hash)) == ("shop", True)
    sluice("user", "add", "bot", *file, "--namespace", "pay", "--service-account", "x", given="new")
    assert sluice("user", "list", *file).stdout == "bot  pay/x\n"


BAD_USERS: Final = {
    "a colon": (["a:b"], "x", 2, "a user name is 1 to 255 printable ASCII characters"),
    "a blank": (["a b"], "x", 2, "a user name is 1 to 255 printable ASCII characters"),
    "no password": (["bot"], "", 2, "a password has 1 to 255 bytes"),
    "an empty line": (["bot"], "\nx\n", 2, "a password has 1 to 255 bytes"),
    "a long password": (["bot"], "x" * 256, 2, "a password has 1 to 255 bytes"),
    "a NUL": (["bot"], "a\0b", 2, "none of them NUL"),
    "an account alone": (["bot", "--service-account", "x"], "x", 2, "--service-account needs --namespace"),
    "a namespace in capitals": (["bot", "--namespace", "Shop"], "x", 2, "--namespace: expected a namespace"),
    "no such folder": (["bot", "--file", "none/u.yaml"], "x", 1, "none/u.yaml: No such file or directory"),
    "no such configuration": (["bot", "-c", "none.yaml"], "x", 2, "none.yaml does not exist"),
    "a configuration without users": (["bot", "-c", "sluice.yaml"], "x", 1, "sets no identity.users"),
}


@pytest.mark.parametrize(("arguments", "given", "status", "expected"), BAD_USERS.values(), ids=list(BAD_USERS))
def test_a_user_that_is_refused(folder: Path, arguments: list[str], given: str, status: int, expected: str) -> None:
    before = sorted(os.listdir(folder))
    done = sluice("user", "add", *arguments, given=given)
    assert done.exit_code == status, done.output
    assert expected in done.stderr
    assert sorted(os.listdir(folder)) == before


def test_a_broken_users_file_stays_as_it_is(folder: Path) -> None:
    text = f"users:\n  - name: bot\n    hash: {HASH}x$y\n"
    write(folder, users_yaml=text)
    for arguments in (("add", "ann"), ("remove", "bot"), ("list",)):
        done = sluice("user", *arguments, given="x")
        assert done.exit_code == 1
        assert "users.yaml:3:11: hash: a hash reads scrypt$N$r$p$salt$key" in done.stderr
        assert "AAAA" not in done.output
        assert (folder / "users.yaml").read_text() == text


def test_without_a_users_file_there_is_nobody_to_list_or_remove(folder: Path) -> None:
    for arguments in (("list",), ("remove", "bot")):
        done = sluice("user", *arguments)
        assert done.exit_code == 1
        assert "users.yaml: cannot be read: No such file or directory" in done.stderr


def test_a_link_to_the_users_file_stays_one(folder: Path) -> None:
    (folder / "secret").mkdir()
    (folder / "secret/u.yaml").write_text("users: []\n")
    (folder / "users.yaml").symlink_to("secret/u.yaml")
    sluice("user", "add", "bot", given="x")
    assert (folder / "users.yaml").is_symlink()
    assert "bot" in (folder / "secret/u.yaml").read_text()


@pytest.mark.parametrize("mode", [0o640, 0o400, 0o644, 0o600])
@pytest.mark.parametrize("linked", [False, True], ids=["a file", "a link"])
def test_whoever_could_read_the_users_file_still_can(folder: Path, mode: int, linked: bool) -> None:
    """Owner, group and mode stay over every edit: the gateway may run as another user than the one who edits."""
    (folder / "secret").mkdir()
    name = "secret/u.yaml" if linked else "users.yaml"
    (folder / name).write_text(f"users: [{{name: old, hash: {HASH}}}]\n")
    if linked:
        (folder / "users.yaml").symlink_to(name)
    owner = (4711, 4712) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(folder / name, *owner)
    (folder / name).chmod(mode)
    for arguments in (("add", "bot"), ("add", "bot"), ("remove", "bot"), ("remove", "old")):
        done = sluice("user", *arguments, given="x")
        assert done.exit_code == 0, done.output
        found = (folder / name).lstat()
        assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, *owner), arguments
        assert (folder / "users.yaml").is_symlink() == linked
    assert sorted(os.listdir(folder / name.rpartition("/")[0])) == sorted({"u.yaml"} if linked else {
        "policy.yaml", "secret", "sluice.yaml", "users.yaml"
    })  # fmt: skip


def test_an_access_list_of_the_users_file_stays(folder: Path) -> None:
    """The ACL `user::rw-,user:4711:r--,group::---,mask::r--,other::---`, as acl(5) and the kernel's posix_acl_xattr.h
    lay it out."""
    write(folder, users_yaml="users: []\n")
    entries = [(1, 6, 0xFFFFFFFF), (2, 4, 4711), (4, 0, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)]
    wanted = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(folder / "users.yaml", "system.posix_acl_access", wanted)
    except OSError as wrong:
        assert wrong.errno == errno.EOPNOTSUPP, "the file system of the tests has no ACLs"
        with pytest.raises(OSError, match="not supported"):
            os.getxattr(folder / "users.yaml", "system.posix_acl_access")
        assert sluice("user", "add", "bot", given="x").exit_code == 0
        return
    assert sluice("user", "add", "bot", given="x").exit_code == 0
    assert os.getxattr(folder / "users.yaml", "system.posix_acl_access") == wanted


def test_an_owner_that_cannot_be_kept_leaves_the_file_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who may write to the folder is not always one who may give files away."""
    write(folder, users_yaml="users: []\n")
    before = (folder / "users.yaml").stat()

    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", forbidden)
    done = sluice("user", "add", "bot", given="x")
    assert done.exit_code == 1
    assert "users.yaml stays as it is: its owner" in done.stderr and "run the command as its owner" in done.stderr
    assert (folder / "users.yaml").read_text() == "users: []\n"
    assert (folder / "users.yaml").stat().st_ino == before.st_ino
    assert [name for name in os.listdir(folder) if name.startswith(".users")] == []


def test_a_password_at_a_terminal_is_asked_for_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def prompt(text: str, **options: object) -> str:
        asked.append({"text": text, **options})
        return "hunter2"

    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": staticmethod(lambda: True)}))
    monkeypatch.setattr(click, "prompt", prompt)
    assert importlib.import_module("supervisor.cli.user")._password("bot") == b"hunter2"
    assert asked == [{"text": "Password for bot", "hide_input": True, "confirmation_prompt": True}]
