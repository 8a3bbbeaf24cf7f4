"""`gateway` and `linkerd`: this gateway as manifests of meshes name it, and what of a mesh they leave unsaid."""

from typing import Final

from supervisor.config import values
from supervisor.config.config import Gateway, Linkerd
from supervisor.source.node import Fields, Node
from supervisor.source.words import namespace_name, object_name, read_labels, server_name, service_name

GATEWAY: Final = (
    *("name", "namespace", "labels", "services", "serviceAddresses", "podNetworks", "clusterNetworks"),
    *("clusterDomain", "denyMessage"),
)
LINKERD: Final = ("globalNamespace",)
DEFAULT: Final = Gateway()


def read_gateway(fields: Fields) -> Gateway:
    """The section `gateway`; what is wrong is reported, and its default stands."""
    return Gateway(
        name=fields.read("name", object_name, DEFAULT.name),
        namespace=fields.read("namespace", namespace_name, DEFAULT.namespace),
        labels=fields.read("labels", read_labels, DEFAULT.labels),
        services=_services(fields),
        service_addresses=tuple(fields.each("serviceAddresses", Node.address)),
        deny_message=fields.read("denyMessage", values.deny_message, None),
        pod_networks=tuple(fields.each("podNetworks", Node.cidr)),
        cluster_networks=tuple(dict.fromkeys(fields.each("clusterNetworks", Node.cidr))),
        cluster_domain=fields.read("clusterDomain", _domain, DEFAULT.cluster_domain),
    )


def _domain(node: Node) -> str:
    """A name without an address in its place."""
    text = server_name(node)
    if ":" in text or text.rpartition(".")[2].isdecimal():
        raise node.unexpected("a domain such as cluster.local")
    return text


def _services(fields: Fields) -> tuple[str, ...]:
    if fields.get("services") is None:
        return DEFAULT.services
    return tuple(dict.fromkeys(fields.each("services", service_name)))


def read_linkerd(fields: Fields) -> Linkerd:
    """The section `linkerd`."""
    return Linkerd(fields.read("globalNamespace", namespace_name, Linkerd().global_namespace))
