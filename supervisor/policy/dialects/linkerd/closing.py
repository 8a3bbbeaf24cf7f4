"""The sources that a resource closes which cannot be used (DECISIONS.md section 5)."""

from typing import Final

from supervisor.policy.dialects.dialect import Surroundings, sources_of
from supervisor.policy.resources.manifest import Manifest
from supervisor.policy.resources.model import Selector
from supervisor.source.problems import Invalid

# Kinds that say who may ask at a listener, or of whom the gateway's own namespace asks it.
ADMITTING: Final = ("AuthorizationPolicy", "Server", "ServerAuthorization")
ROUTES: Final = ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute")
NARROW: Final = ("EgressNetwork", *ROUTES)  # targets for some flows alone
# Kinds that others refer to: without them those cannot be used, and close what they select.
REFERRED: Final = ("MeshTLSAuthentication", "NetworkAuthentication")


def selects(manifest: Manifest, namespace: str, surroundings: Surroundings) -> tuple[Selector, ...]:
    """All of its namespace; of the global one every source that has its networks, and of the gateway's all that ask,
    where it may be about them all: so is a route under a Gateway there."""
    if manifest.kind in ROUTES and namespace == surroundings.namespace and _is_under_gateway(manifest):
        return (Selector(),)
    if manifest.kind in ADMITTING and namespace == surroundings.namespace and _target(manifest) not in NARROW:
        return (Selector(),)
    if manifest.kind in REFERRED:
        return (Selector(namespace=namespace),)
    return sources_of(namespace, surroundings)


def _is_under_gateway(manifest: Manifest) -> bool:
    """Whether a route may have a Gateway among its `parentRefs`: also where they cannot be read."""
    try:
        parents = manifest.node.mapping()["spec"][1].mapping()["parentRefs"][1].items()
        kinds = [parent.mapping().get("kind") for parent in parents]
        return any(kind is None or kind[1].text() == "Gateway" for kind in kinds)
    except (Invalid, KeyError):
        return True


def _target(manifest: Manifest) -> str:
    """The kind of `targetRef`; "" where there is none, or it cannot be read."""
    try:
        return manifest.node.mapping()["spec"][1].mapping()["targetRef"][1].mapping()["kind"][1].text()
    except (Invalid, KeyError):
        return ""
