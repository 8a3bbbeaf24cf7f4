"""Sources, hosts, networks and identities of Linkerd compared, one with one: for the slow evaluator."""

import ipaddress
from dataclasses import dataclass
from typing import Any, Final

Manifest = dict[str, Any]

IDENTITY: Final = "{}.{}.serviceaccount.identity.linkerd.cluster.local"


@dataclass(frozen=True)
class Who:
    """A source; without `namespace` none of the mesh. `uri` is an identity of another trust domain."""

    namespace: str
    account: str
    uri: str
    user: str
    address: str

    @property
    def names(self) -> list[str]:
        """All that a MeshTLSAuthentication may call it."""
        if self.uri:
            return [self.uri]
        if not self.account:
            return []
        spiffe = f"spiffe://cluster.local/ns/{self.namespace}/sa/{self.account}"
        return [IDENTITY.format(self.account, self.namespace), spiffe]


class Reversed:
    """A value of which the lower is the greater."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reversed) and self.value == other.value

    def __lt__(self, other: "Reversed") -> bool:
        return bool(other.value < self.value)

    def __hash__(self) -> int:
        return hash(self.value)


def key(manifest: Manifest) -> tuple[str, str]:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def target(route: Manifest, parent: dict[str, Any]) -> tuple[str, str, int]:
    return parent.get("namespace", route["metadata"]["namespace"]), parent["name"], parent["port"]


def age(manifest: Manifest) -> tuple[bool, str, str]:
    """The older first; those without a date come last."""
    created = manifest["metadata"].get("creationTimestamp")
    return created is None, created or "", "/".join(key(manifest))


def depth_of(pattern: str, host: str) -> tuple[int, int] | None:
    """Exact names, then the longer suffix, then none."""
    if not pattern:
        return 0, 0
    if not host:
        return None
    if pattern.startswith("*."):
        return (1, len(pattern)) if host.endswith(pattern[1:]) and len(host) >= len(pattern) else None
    return (2, len(pattern)) if pattern == host else None


def in_networks(networks: list[dict[str, Any]], address: str) -> bool:
    if not address:
        return False
    ip = ipaddress.ip_address(address)
    return any(
        ip in ipaddress.ip_network(one["cidr"])
        and not any(ip in ipaddress.ip_network(text) for text in one.get("except", ()))
        for one in networks
    )


def is_identity(text: str, who: Who) -> bool:
    """Label by label from the end, as Linkerd compares."""
    if text == "*":
        return bool(who.names)
    if text.startswith("*."):
        wanted = text.split(".")[1:]
        return any(
            not name.startswith("spiffe") and name.split(".")[-len(wanted) :] == wanted and name != ".".join(wanted)
            for name in who.names
        )
    return text in who.names


def is_referred(reference: dict[str, Any], namespace: str, who: Who) -> bool:
    if reference["kind"] == "Namespace":
        return bool(who.account) and who.namespace == reference["name"]
    return (who.namespace, who.account) == (reference.get("namespace", namespace), reference["name"])
