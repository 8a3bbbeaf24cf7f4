"""Keys of sluice.yaml whose part is not built yet: each is refused where it stands, never unknown and never ignored.

The table is what CONTRACT.md section 1 has beyond the keys that reader.py reads. A value that says what the
gateway does anyway is accepted: such a file stays valid when the part arrives.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from supervisor.source.node import Node
from supervisor.source.problems import Invalid, Problems, quote

__all__ = ["LATER", "LATER_PROTOCOLS", "UNREAD", "names_in", "take_out", "take_unread"]


class Later(NamedTuple):
    """Where a key arrives: the part it belongs to. `as_now`: words that say what the gateway does without that part;
    `empty`: an empty list or mapping does as well."""

    part: str
    as_now: tuple[str, ...] = ()
    empty: bool = False


_CLUSTER: Final = "the watch of a cluster; policy comes from files alone"

# `a[].b` is the field b of each item of the list a.
LATER: Final[dict[str, Later]] = {
    "grants[].certificates": Later("certificates from Secrets of a cluster; none could be used", empty=True),
    "kubernetes.enabled": Later(_CLUSTER, ("false",)),
    "kubernetes.kubeconfig": Later(_CLUSTER),
    "kubernetes.namespaces": Later(_CLUSTER, empty=True),
    "kubernetes.gatewayClass": Later(_CLUSTER),
    "kubernetes.status": Later(_CLUSTER, ("false",)),
    "kubernetes.without": Later(_CLUSTER, empty=True),
    "kubernetes.workloadStale": Later(_CLUSTER),
    "kubernetes.unknownWait": Later(_CLUSTER),
}
# Keys of sections that are read, by section: each is refused as long as no reader of the section knows it.
UNREAD: Final[dict[str, dict[str, Later]]] = {
    "gateway": {
        "podNetworks": Later(_CLUSTER, empty=True),
        "denyMessage": Later("the body of refusals"),
    },
    "addresses": {"nat64": Later("the operator's own NAT64 prefixes; they are refused", empty=True)},
    "limits": {
        "keepAlive": Later("the time of keepalive; it is fixed"),
    },
    "perSource": {
        name: Later("limits of a source; they are fixed") for name in ("requests", "lookups", "dials", "provisional")
    },
}
# Words of a listener's protocol.
LATER_PROTOCOLS: Final = ("transparent",)


def take_out(document: Node, problems: Problems) -> None:
    """Refuses every key of the table, and takes all of them out of the document: readers see what is built alone."""
    for path, later in LATER.items():
        for owner, name in _owners(document, path.split(".")):
            _, value = owner.mapping().pop(name)
            _refuse(value, path.replace("[]", ""), later, problems)
    for section in sorted({path.rpartition(".")[0] for path in LATER}):
        _drop_section(document, section, problems)


def take_unread(section: Node, name: str, known: tuple[str, ...], problems: Problems) -> None:
    """The same for a section that has other keys: `known` are those that its reader reads."""
    if isinstance(section.value, dict):
        for key, later in UNREAD.get(name, {}).items():
            if key not in known and key in section.value:
                _, value = section.value.pop(key)
                _refuse(value, f"{PARENTS.get(name, name)}.{key}", later, problems)


def _refuse(value: Node, where: str, later: Later, problems: Problems) -> None:
    if not _is_as_now(value, later):
        hint = f"it belongs to {later.part}"
        if later.as_now:
            hint += f"; until then write {later.as_now[0]}, or remove the key"
        problems.error(value.place, f"{quote(where)} is not built yet", hint)


def names_in(section: str) -> tuple[str, ...]:
    """The keys of a section that the table has something about; "" = the document. For hints at misspelt ones."""
    prefix = f"{section}." if section else ""
    rest = (path.removeprefix(prefix).partition(".")[0] for path in LATER if path.startswith(prefix))
    return tuple(dict.fromkeys(name.removesuffix("[]") for name in rest))


def _drop_section(document: Node, section: str, problems: Problems) -> None:
    """A section that has no key but those of the table is known, and what else stands in it is not."""
    if not section or section.endswith("[]") or section in BUILT_SECTIONS:
        return
    for owner, name in _owners(document, section.split(".")):
        _, value = owner.mapping().pop(name)
        try:
            if not value.is_null:
                names = [path.rpartition(".")[2] for path in LATER if path.rpartition(".")[0] == section]
                value.fields(names, problems)
        except Invalid as wrong:
            problems.add(wrong.problem)


PARENTS: Final = {"perSource": "limits.perSource"}
BUILT_SECTIONS: Final = frozenset({"policy.perNamespace", "gateway", "policy", "identity", "limits", "logs"})


def _owners(node: Node, path: list[str]) -> Iterator[tuple[Node, str]]:
    """The mappings that have the field at the end of `path`, and its name."""
    name, *rest = path
    key = name.removesuffix("[]")
    if not isinstance(node.value, dict) or key not in node.value:
        return
    if not rest:
        yield node, key
        return
    _, value = node.value[key]
    if name == key:
        yield from _owners(value, rest)
    elif isinstance(value.value, list):
        for item in value.value:
            yield from _owners(item, rest)


def _is_as_now(value: Node, later: Later) -> bool:
    """Whether the gateway does already what stands here."""
    if value.is_null or (later.empty and value.value in ([], {})):
        return True
    if not isinstance(value.value, str):
        return False
    word = value.value if value.value.lower() != "false" else "false" * value.plain
    return word in later.as_now
