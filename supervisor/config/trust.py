"""`identity.trustDomains` and `identity.subject`: under which CAs certificates of clients have an identity.
The files are read elsewhere (certificates.py)."""

import re
from typing import Final, Literal

import msgspec

from supervisor.source.node import Fields, Node
from supervisor.source.problems import Place, Problems, quote
from supervisor.source.words import file_path, namespace_name

Role = Literal["CN", "OU"]

DOMAIN: Final = ("name", "ca", "linkerdNamespace")
ROLES: Final[tuple[Role, ...]] = ("CN", "OU")
MOST_DOMAINS: Final = 64  # csrc/tls/tls_peer.h
_NAME: Final = re.compile(r"[a-z0-9._-]{1,255}")  # SPIFFE-ID.md section 2.1


class NamedFile(msgspec.Struct, frozen=True):
    """An absolute path, and where sluice.yaml names it. With `content` there is no such file: `path` names the manifest
    that says it."""

    path: str
    place: Place = Place("")
    content: str | None = None


class TrustDomain(msgspec.Struct, frozen=True):
    """A trust domain with its CAs. `linkerd_namespace`: Linkerd itself runs in it there, None = no Linkerd."""

    name: str
    ca: NamedFile
    linkerd_namespace: str | None = None


class Trust(msgspec.Struct, frozen=True):
    """Whose certificates have an identity. Names of the first domain are namespaces and service accounts."""

    domains: tuple[TrustDomain, ...] = ()
    role: Role | None = None

    @property
    def gives_identities(self) -> bool:
        """Whether any certificate can have one."""
        return bool(self.domains or self.role)


def read_trust(identity: Fields, folder: str, problems: Problems) -> Trust:
    """The two keys of `identity`; paths resolve against `folder`. What is wrong is left out, and reported."""
    found: dict[str, TrustDomain] = {}
    for node in identity.items("trustDomains"):
        domain = _domain(node, folder, problems)
        if domain.name in found:
            problems.error(node.place, f"duplicate trust domain {quote(domain.name)}")
        found.setdefault(domain.name, domain)
    if len(found) > MOST_DOMAINS and (node_of_all := identity.get("trustDomains")):
        problems.error(node_of_all.place, f"more than {MOST_DOMAINS} trust domains")
    role: Role | None = None
    return Trust(tuple(found.values()), identity.read("subject", lambda node: _role(node, problems), role))


def _domain(node: Node, folder: str, problems: Problems) -> TrustDomain:
    fields = node.fields(DOMAIN, problems)
    return TrustDomain(
        name=fields.need("name", _name, ""),
        ca=fields.need("ca", lambda path: named_file(path, folder), NamedFile("", node.place)),
        linkerd_namespace=fields.read("linkerdNamespace", namespace_name, None),
    )


def _name(node: Node) -> str:
    text = node.string()
    if not _NAME.fullmatch(text):
        raise node.unexpected("a trust domain such as cluster.local: at most 255 of a-z, 0-9, '.', '-' and '_'")
    return text


def _role(node: Node, problems: Problems) -> Role | None:
    fields = node.fields(("role",), problems, null_is_absent=True)
    nothing: Role | None = None
    return fields.read("role", lambda word: word.choice(*ROLES), nothing)


def named_file(node: Node, folder: str) -> NamedFile:
    """A path with its place."""
    return NamedFile(file_path(node, folder), node.place)
