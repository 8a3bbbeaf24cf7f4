"""`credentials` of sluice.yaml: values that the gateway sets in requests, and where they may go (DECISIONS.md section
7). The files are read elsewhere (generation/credentials.py), and no value is ever part of a configuration."""

from collections.abc import Callable
from typing import Final

import msgspec

from supervisor.config.named import named_once
from supervisor.config.trust import NamedFile, named_file
from supervisor.source.node import Fields, Node, each
from supervisor.source.problems import Place, Problems, quote
from supervisor.source.words import entry_name, namespace_name, server_name

__all__ = ["Credential", "read_credentials"]

CREDENTIAL: Final = ("name", "file", "hosts", "namespaces", "insecure")
MOST_CREDENTIALS: Final = 256
MOST_HOSTS: Final = 256


class Credential(msgspec.Struct, frozen=True):
    """One credential. `hosts`: names, and `*.name`, that it may go to. Rules of `namespaces` alone may set it, None =
    of any, and those of the mesh. `insecure`: it may go over clear text, and to peers with other names."""

    name: str
    file: NamedFile
    hosts: tuple[str, ...]
    namespaces: tuple[str, ...] | None = None
    insecure: bool = False
    place: Place = Place("")

    def covers(self, pattern: str) -> bool:
        """Whether every name that a host pattern means is one of the hosts."""
        if pattern in self.hosts:
            return True
        name = pattern.removeprefix("*")
        return any(host.startswith("*") and name.endswith(host[1:]) and name != host[1:] for host in self.hosts)


def read_credentials(top: Fields, folder: str, problems: Problems) -> tuple[Credential, ...]:
    """The key `credentials`; paths resolve against `folder`. What is wrong is left out, and reported."""
    return named_once(top, "credentials", lambda node: _credential(node, folder, problems), MOST_CREDENTIALS, problems)


def _credential(node: Node, folder: str, problems: Problems) -> Credential:
    fields = node.fields(CREDENTIAL, problems)
    anywhere: tuple[str, ...] | None = None
    return Credential(
        name=fields.need("name", entry_name, ""),
        file=fields.need("file", lambda path: named_file(path, folder), NamedFile("", node.place)),
        hosts=fields.need("hosts", lambda hosts: _once(hosts, _host, problems), (), "write hosts: [api.example.com]"),
        namespaces=fields.read("namespaces", lambda names: _once(names, namespace_name, problems), anywhere),
        insecure=fields.read("insecure", Node.boolean, False),
        place=node.place,
    )


def _once(node: Node, reader: Callable[[Node], str], problems: Problems) -> tuple[str, ...]:
    items = node.items()
    if not items:
        raise node.invalid("the list is empty: no rule could set the credential", "name one, or leave the key out")
    if len(items) > MOST_HOSTS:
        raise node.invalid(f"more than {MOST_HOSTS} items")
    found: dict[str, Node] = {}
    for item, text in each(items, lambda one: (one, reader(one)), problems):
        if text in found:
            problems.error(
                item.place, f"duplicate item {quote(text)}", f"it is first listed in line {found[text].line}"
            )
        found.setdefault(text, item)
    return tuple(found)


def _host(node: Node) -> str:
    """A name, or `*.name` for every name below it."""
    text = node.string()
    wildcard = text.startswith("*.")
    if text.startswith("*") and not wildcard:
        raise node.invalid(f"{quote(text)} is not a host", "name the hosts, or write *.example.com")
    name = server_name(Node(node.file, node.line, node.column, text.removeprefix("*.")))
    if ":" in name or name.replace(".", "").isdecimal():
        raise node.invalid(f"{quote(text)} is an address", "a credential goes to names: certificates have to have them")
    return f"*.{name}" if wildcard else name
