"""`sluice user add | list | remove`: edits the users file. It verifies nothing, and prints no hash and no password."""

import contextlib
import fcntl
import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import click

from supervisor.cli.common import PROBLEM, USAGE, fail, fail_with, json_option, print_json
from supervisor.config.config import DEFAULT_PATHS, find_config
from supervisor.config.reader import load_config
from supervisor.identity.passwords import LONGEST_PASSWORD, hash_password, is_password
from supervisor.identity.users import User, load_users
from supervisor.source.escape import escape
from supervisor.source.node import Node
from supervisor.source.problems import Invalid, Problems, quote
from supervisor.source.words import is_user_name, namespace_name, object_name

ACL: Final = "system.posix_acl_access"
Command = TypeVar("Command", bound=Callable[..., Any])


def _file_options(function: Command) -> Command:
    config = click.option("-c", "--config", metavar="PATH", help="The sluice.yaml whose identity.users is edited.")
    file = click.option("--file", metavar="PATH", help="The users file (default: identity.users, else ./users.yaml).")
    return file(config(function))


@click.group()
def user() -> None:
    """Add, list and remove the users who may authenticate by name and password.

    \b
    Examples:
      sluice user add build-bot                     asks for the password twice
      printf %s "$SECRET" | sluice user add ci      reads it from a pipe
      sluice user list
      sluice user remove build-bot
      sluice reload                                 makes the change take effect

    The file holds scrypt hashes, never passwords. Comments in it are not kept.
    """


@user.command()
@click.argument("name")
@_file_options
@click.option("--namespace", help="The namespace this user speaks for.")
@click.option("--service-account", help="The service account this user speaks for; needs --namespace.")
def add(name: str, file: str | None, config: str | None, namespace: str | None, service_account: str | None) -> None:
    """Add a user, or give one that exists a new password.

    The password is asked for twice at a terminal, else read from standard input up to the first newline. An identity
    makes the rules of that namespace and service account hold for the user; without options an existing one stays.

    \b
    Examples:
      sluice user add build-bot
      sluice user add ci --namespace shop --service-account cart --file users.yaml
    """
    if not is_user_name(name):
        fail("a user name is 1 to 255 printable ASCII characters without blanks and ':'", USAGE)
    identity = _identity(namespace, service_account)
    path = _users_path(file, config)
    text = hash_password(_password(name))
    with _locked(path):
        users = {entry.name: entry for entry in _load(path)}
        before = users.get(name)
        kept = (before.namespace, before.service_account) if before and identity is None else identity or ("", "")
        users[name] = User(name, text, *kept)
        _write(path, list(users.values()))
    click.echo(f"{escape(path)}: {name} {'has a new password' if before else 'added'}")


@user.command("list")
@_file_options
@json_option
def list_users(file: str | None, config: str | None, as_json: bool) -> None:
    """List the users and the identities they speak for.

    \b
    Examples:
      sluice user list
      sluice user list --json | jq -r '.items[].name'
    """
    users = _load(_users_path(file, config), must_exist=True)
    if as_json:
        items = [
            {"name": entry.name, "namespace": entry.namespace or None, "serviceAccount": entry.service_account or None}
            for entry in users
        ]
        print_json({"items": items, "next": None})
        return
    for entry in users:
        identity = "/".join(filter(None, (entry.namespace, entry.service_account)))
        click.echo(f"{entry.name}  {identity}".rstrip())


@user.command()
@click.argument("name")
@_file_options
def remove(name: str, file: str | None, config: str | None) -> None:
    """Remove a user. Tunnels that are open are judged again at the next reload.

    \b
    Example:
      sluice user remove build-bot && sluice reload
    """
    path = _users_path(file, config)
    with _locked(path):
        users = _load(path, must_exist=True)
        rest = [entry for entry in users if entry.name != name]
        if len(rest) == len(users):
            fail(f"{escape(path)}: no user {escape(quote(name))}")
        _write(path, rest)
    click.echo(f"{escape(path)}: {name} removed")


def _users_path(file: str | None, config: str | None) -> str:
    """--file, else identity.users of the configuration, else ./users.yaml. A -c that does not exist ends with 2."""
    if file is not None:
        return os.path.abspath(file)
    found = find_config(config)
    if found is None:
        if config is not None:
            fail(f"no configuration found: {escape(config)} does not exist", USAGE)
        return os.path.abspath("users.yaml")
    try:
        users = load_config(found).identity.users
    except Problems as wrong:
        words = "identity.users is unknown as long as the configuration is wrong"
        fail_with(words, wrong.errors, wrong.errors_left_out, "name the file with --file")
    if users is None and (config is not None or found != os.path.abspath(DEFAULT_PATHS[0])):
        fail(f"{escape(found)} sets no identity.users", PROBLEM, "set it, or name the file with --file")
    return users or os.path.abspath("users.yaml")


def _identity(namespace: str | None, service_account: str | None) -> tuple[str, str] | None:
    """The identity that the options give; None when they give none. Ends with 2 when they cannot be one."""
    if namespace is None and service_account is None:
        return None
    if namespace is None:
        fail("--service-account needs --namespace", USAGE)
    try:
        namespace_name(Node("--namespace", 0, 0, namespace))
        if service_account is not None:
            object_name(Node("--service-account", 0, 0, service_account))
    except Invalid as wrong:
        fail(str(wrong.problem), USAGE)
    return namespace, service_account or ""


def _password(name: str) -> bytes:
    if sys.stdin.isatty():
        typed = click.prompt(f"Password for {name}", hide_input=True, confirmation_prompt=True)
        password = str(typed).encode("utf-8", "surrogateescape")
    else:
        password = sys.stdin.buffer.readline(LONGEST_PASSWORD + 3).removesuffix(b"\n").removesuffix(b"\r")
    if not is_password(password):
        fail(f"a password has 1 to {LONGEST_PASSWORD} bytes, none of them NUL", USAGE)
    return password


def _load(path: str, must_exist: bool = False) -> tuple[User, ...]:
    """The users of the file, none when it does not exist. Ends with 1 when it is wrong: nothing of it must get lost."""
    if not must_exist and not os.path.lexists(path):
        return ()
    problems = Problems()
    users = load_users(path, problems)
    if problems.errors:
        fail_with(f"{escape(path)} is wrong, and stays as it is", problems.errors, problems.errors_left_out)
    return users


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Two commands at once do not lose each other's change: the folder is the lock, as the file is replaced."""
    try:
        folder = os.open(os.path.dirname(os.path.realpath(path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as wrong:
        fail(f"{escape(path)}: {wrong.strerror}")
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(path: str, users: list[User]) -> None:
    """Replaces the file at once and whole. Owner, group, mode and ACL stay, or nothing changes: the gateway must be
    able to read the new file as it did the old one. A file that is new has mode 0600. A symlink stays one."""
    target = os.path.realpath(path)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".users-", dir=os.path.dirname(target))  # mkstemp: 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                _keep_access(path, target, descriptor)
                file.write(_text(users))
                file.flush()
                os.fsync(descriptor)
            os.rename(temporary, target)
        except BaseException:  # fail() among them
            os.unlink(temporary)
            raise
    except OSError as wrong:
        fail(f"{escape(path)} cannot be written: {wrong.strerror}")


def _keep_access(path: str, target: str, descriptor: int) -> None:
    """Gives the new file to those who have the old one. Ends with 1 where this user may not."""
    try:
        before = os.stat(target)
    except FileNotFoundError:
        return
    try:
        now = os.fstat(descriptor)
        if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
            os.fchown(descriptor, before.st_uid, before.st_gid)
        with contextlib.suppress(OSError):  # it has none, or the file system knows none
            os.setxattr(descriptor, ACL, os.getxattr(target, ACL))
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))  # last: a changed owner takes bits away
    except PermissionError:
        access = f"owner {before.st_uid}:{before.st_gid} and mode {before.st_mode & 0o7777:04o}"
        words = f"{escape(path)} stays as it is: its {access} cannot be kept"
        fail(words, PROBLEM, "run the command as its owner or as root")


def _text(users: list[User]) -> str:
    """users.yaml; JSON strings are YAML strings in double quotes."""
    lines = ["# Users of Sluice; `sluice user` edits this file."]
    lines.append("users:" if users else "users: []")
    for entry in users:
        lines.append(f"  - name: {json.dumps(entry.name)}")
        lines.append(f"    hash: {json.dumps(entry.hash)}")
        fields = {"namespace": entry.namespace, "serviceAccount": entry.service_account}
        given = {name: value for name, value in fields.items() if value}
        if given:
            lines.append(f"    identity: {json.dumps(given)}")
    return "\n".join(lines) + "\n"
