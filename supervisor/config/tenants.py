"""Tenants of a cluster in sluice.yaml: what namespaced objects may use (`grants`), and how much one namespace may hold
(`policy.perNamespace`). DECISIONS.md section 9. Files are the operator's: no grant is asked of them."""

import re
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgspec

from supervisor.config.later import names_in
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Invalid, Problems
from supervisor.source.words import entry_name, namespace_name

__all__ = ["Budget", "Grant", "read_budget", "read_grants"]

GRANT: Final = ("namespaces", "cidrs", "sourceAddresses", "upstreams", "credentials")
BUDGET: Final = ("entries", "bytes", "states")
MOST_GRANTS: Final = 1000
MOST_ENTRIES: Final = 100_000_000
MOST_BYTES: Final = 1 << 40
MOST_STATES: Final = 100_000_000
UNITS: Final = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE: Final = re.compile(r"([0-9]{1,12})(|KiB|MiB|GiB)", re.ASCII)


class Budget(msgspec.Struct, frozen=True):
    """At most so much of all objects of one namespace together: entries of policy, bytes that they take, and states of
    the tables of their regular expressions."""

    entries: int = 100_000
    bytes: int = 16 << 20
    states: int = 100_000


class Grant(msgspec.Struct, frozen=True):
    """Namespaced objects of these namespaces may lift the address guard inside `cidrs`, dial from addresses of
    `source_addresses` (CIDRs), go to `upstreams`, and set `credentials`."""

    namespaces: tuple[str, ...] = ()
    cidrs: tuple[str, ...] = ()
    source_addresses: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()


class Grantable(NamedTuple):
    """Names of sluice.yaml that grants may name."""

    upstreams: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()


def read_budget(node: Node, problems: Problems) -> Budget:
    """`policy.perNamespace`. Raises Invalid where it is not a mapping."""
    fields = node.fields((*BUDGET, *names_in("policy.perNamespace")), problems, null_is_absent=True)
    usual = Budget()
    return Budget(
        entries=fields.read("entries", lambda number: number.integer(1, MOST_ENTRIES), usual.entries),
        bytes=fields.read("bytes", _size, usual.bytes),
        states=fields.read("states", lambda number: number.integer(1, MOST_STATES), usual.states),
    )


def read_grants(node: Node, known: Grantable, problems: Problems) -> tuple[Grant, ...]:
    """`grants`; what they name must be `known`. Raises Invalid where it is not a list."""
    items = node.items()
    if len(items) > MOST_GRANTS:
        raise node.invalid(f"expected at most {MOST_GRANTS} grants, found {len(items)}")
    found = []
    for item in items:
        try:
            found.append(_grant(item, known, problems))
        except Invalid as wrong:
            problems.add(wrong.problem)
    return tuple(found)


def _grant(item: Node, known: Grantable, problems: Problems) -> Grant:
    fields = item.fields((*GRANT, *names_in("grants[]")), problems, null_is_absent=True)
    spaces = _each(fields, "namespaces", namespace_name)
    if not spaces and fields.get("namespaces") is None:
        raise item.invalid("a grant without `namespaces` is for none", "write namespaces: [NAME]")
    return Grant(
        namespaces=spaces,
        cidrs=_each(fields, "cidrs", Node.cidr),
        source_addresses=_each(fields, "sourceAddresses", _block),
        upstreams=_each(fields, "upstreams", partial(_known, key="upstreams", names=known.upstreams)),
        credentials=_each(fields, "credentials", partial(_known, key="credentials", names=known.credentials)),
    )


def _each(fields: Fields, name: str, reader: Callable[[Node], str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(fields.each(name, reader)))


def _known(node: Node, key: str, names: tuple[str, ...]) -> str:
    name = entry_name(node)
    if name not in names:
        raise node.unexpected(f"one of `{key}`: " + (", ".join(names) or "there are none"))
    return name


def _block(node: Node) -> str:
    """An address or a network, as a network."""
    text = node.text()
    return node.cidr() if "/" in text else f"{node.address()}/{128 if ':' in text else 32}"


def _size(node: Node) -> int:
    """Bytes, from a number, or one with KiB, MiB or GiB."""
    found = _SIZE.fullmatch(node.text())
    if found is None:
        raise node.unexpected("a size in bytes", "sizes look like 65536, 64KiB, 16MiB or 1GiB")
    size = int(found[1]) * UNITS[found[2]]
    if not 1 <= size <= MOST_BYTES:
        raise node.invalid("the size is out of range: 1 byte to 1024GiB")
    return size
