"""Objects of the cluster, as far as egress depends on them: each a part that is remembered with its file."""

import msgspec

from supervisor.policy.dialects.dialect import Part

__all__ = [
    "Configuration",
    "Controller",
    "EndpointSlice",
    "Fact",
    "Namespace",
    "Owner",
    "Pod",
    "ReplicaSet",
    "Service",
    "ServiceAccount",
]

Labels = tuple[tuple[str, str], ...]


class Owner(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The controller that made an object; `kind` is "" for none."""

    kind: str = ""
    name: str = ""


class Pod(Part, frozen=True, kw_only=True):
    """`started` in microseconds since 1970; None = it does not say. Addresses are texts in canonical form."""

    uid: str
    service_account: str
    labels: Labels
    owner: Owner
    phase: str
    host_network: bool
    addresses: tuple[str, ...]
    started: int | None


class Namespace(Part, frozen=True, kw_only=True):
    """`namespace` is "", as it lies in none."""

    labels: Labels


class ReplicaSet(Part, frozen=True, kw_only=True):
    """Only its owner matters: the Deployment."""

    owner: Owner


class ServiceAccount(Part, frozen=True, kw_only=True):
    """It exists."""


class Controller(Part, frozen=True, kw_only=True):
    """A Deployment, StatefulSet, DaemonSet, Job or CronJob: it exists."""


class Port(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Of a Service or of an EndpointSlice; `number` 0 = any. `protocol` is its appProtocol, "" = it does not say."""

    name: str
    number: int
    protocol: str = ""


class Service(Part, frozen=True, kw_only=True):
    """`addresses` are its cluster IPs; `external_name` is "" but for a Service of that type."""

    addresses: tuple[str, ...]
    external_name: str
    selector: Labels
    ports: tuple[Port, ...]


class Endpoint(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`pod` is "" where it is no pod."""

    addresses: tuple[str, ...]
    ready: bool
    pod: str


class EndpointSlice(Part, frozen=True, kw_only=True):
    """`service` is "" where no label names one."""

    service: str
    ports: tuple[Port, ...]
    endpoints: tuple[Endpoint, ...]


class Configuration(Part, frozen=True, kw_only=True):
    """A ConfigMap or a Secret: the names of its keys, never their values, but for certificates of CAs that a ConfigMap
    has as `ca.crt`."""

    keys: tuple[str, ...]
    authority: str = ""


Fact = Pod | Namespace | ReplicaSet | ServiceAccount | Controller | Service | EndpointSlice | Configuration
