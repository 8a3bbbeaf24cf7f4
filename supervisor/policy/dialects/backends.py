"""References of routes to Services, resolved for every dialect."""

from typing import NamedTuple

from supervisor.policy.dialects.dialect import Surroundings
from supervisor.policy.resources.routing import Asked, Backend, Invalid

__all__ = ["NOT_FOUND", "NOT_PERMITTED", "Referrer", "backend_of"]

NOT_FOUND = "BackendNotFound"
NOT_PERMITTED = "RefNotPermitted"


class Referrer(NamedTuple):
    """The resource that refers: what a ReferenceGrant names it by. `grpc`: its requests are gRPC."""

    group: str
    kind: str
    namespace: str
    grpc: bool = False


def backend_of(referrer: Referrer, namespace: str, name: str, port: int, surroundings: Surroundings) -> Backend:
    """The Service of that name; `namespace` "" = the referrer's own. This gateway's own Service, without a namespace by
    its name alone, is the destination that was asked for."""
    space = namespace or referrer.namespace
    named = {one.rpartition("/")[2] for one in surroundings.services} if not namespace else ()
    if f"{space}/{name}" in surroundings.services or name in named:
        return Asked()
    if not surroundings.known.grants(referrer.group, referrer.kind, referrer.namespace, (space, name)):
        return Invalid(NOT_PERMITTED)
    return surroundings.known.find(space, name, port, referrer.grpc) or Invalid(NOT_FOUND)
