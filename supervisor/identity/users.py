"""Users of users.yaml: their names, hashes and identities. What stands in the file is never repeated in a message."""

import os
import stat

import msgspec

from supervisor.identity.passwords import WEAK_N, parse_hash
from supervisor.source.node import Node, SecretNode
from supervisor.source.problems import Invalid, Place, Problems, quote
from supervisor.source.words import namespace_name, object_name, user_name
from supervisor.source.yaml_source import load_document


class User(msgspec.Struct, frozen=True):
    """A user; `namespace` and `service_account` are the identity it speaks for, empty = none."""

    name: str
    hash: str
    namespace: str = ""
    service_account: str = ""


def load_users(path: str, problems: Problems) -> tuple[User, ...]:
    """The users of a file; what is wrong goes to `problems`."""
    try:
        node = load_document(path, problems, SecretNode)
        fields = node.fields(("users",), problems, null_is_absent=True)
        if fields.get("users") is None:
            raise node.invalid("`users` is missing", "write `users: []` when there are none")
    except Invalid as wrong:
        problems.add(wrong.problem)
        return ()
    _warn_of_writers(path, problems)
    seen: dict[str, Node] = {}
    found = fields.each("users", lambda item: _user(item, seen, problems))
    return tuple(user for user in found if user.name)  # what is wrong with the others was reported


def _user(node: Node, seen: dict[str, Node], problems: Problems) -> User:
    fields = node.fields(("name", "hash", "identity"), problems)
    name = fields.need("name", user_name, "")
    if name and name in seen:
        raise node.invalid(f"duplicate user {quote(name)}", f"it is first set in line {seen[name].line}")
    seen[name] = node
    namespace, account = fields.read("identity", lambda here: _identity(here, problems), ("", ""))
    hint = f"`sluice user add {name}` makes one"
    text = fields.need("hash", lambda here: _hash(here, problems), "", hint)
    return User(name=name, hash=text, namespace=namespace, service_account=account)


def _hash(node: Node, problems: Problems) -> str:
    if not isinstance(node.value, str):
        raise node.unexpected("a hash scrypt$N$r$p$salt$key")
    try:
        found = parse_hash(node.value)
    except ValueError as wrong:
        raise node.invalid(str(wrong), "`sluice user add` makes one") from None
    if found.n < WEAK_N:
        problems.warning(node.place, f"the hash is weak: N is below {WEAK_N}", "set the password again")
    return node.value


def _identity(node: Node, problems: Problems) -> tuple[str, str]:
    fields = node.fields(("namespace", "serviceAccount"), problems)
    return fields.need("namespace", namespace_name, ""), fields.read("serviceAccount", object_name, "")


def _warn_of_writers(path: str, problems: Problems) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        problems.warning(Place(path), "others than its owner can write this file", "chmod 600")
