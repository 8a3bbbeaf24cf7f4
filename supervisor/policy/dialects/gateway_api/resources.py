"""The resources beside routes, as their documents say them."""

from typing import Final, Literal

import msgspec

from supervisor.policy.dialects.dialect import Part
from supervisor.policy.dialects.routes.parts import Reference
from supervisor.policy.resources.labels import Requirement
from supervisor.policy.resources.model import Text

From = Literal["All", "Same", "Selector", "None"]
Kind = tuple[str, str]  # API group and kind
# A protocol of this gateway's own: whatever its listener carries, so that routes of every kind may attach.
PROXY: Final = "sluice.dev/proxy"


class Listener(msgspec.Struct, frozen=True, array_like=True):
    """One of a Gateway's listeners. `mode` of its `tls` is "" where there is none; `kinds` None = those of the
    protocol; `spaces` are conditions on the labels of namespaces, for Selector alone."""

    name: str
    port: int
    protocol: str
    hostname: str
    mode: str
    kinds: tuple[Kind, ...] | None
    routes_from: From
    spaces: tuple[Requirement, ...]
    line: int
    column: int


class Gateway(Part, frozen=True, kw_only=True):
    """`unused`: fields that have no effect here, as sluice.yaml says what they would."""

    class_name: str
    listeners: tuple[Listener, ...]
    unused: tuple[Text, ...] = ()


class GrantedFrom(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Resources of one kind and namespace."""

    group: str
    kind: str
    namespace: str


class GrantedTo(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Resources of one kind in the grant's namespace; `name` "" = all."""

    group: str
    kind: str
    name: str


class ReferenceGrant(Part, frozen=True, kw_only=True):
    """Those of `sources` may refer to those of `targets`."""

    sources: tuple[GrantedFrom, ...]
    targets: tuple[GrantedTo, ...]


class Target(msgspec.Struct, frozen=True, array_like=True):
    """One of `targetRefs`; `section` "" = the whole resource."""

    reference: Reference
    section: str


class BackendTLSPolicy(Part, frozen=True, kw_only=True):
    """TLS towards a destination whose certificate is checked against the CAs of `authorities`, ConfigMaps of its own
    namespace, or without these against those of the system. `names`, where there are any, have to be in it and not
    `hostname`, which is sent as SNI in any case."""

    targets: tuple[Target, ...]
    hostname: Text
    names: tuple[str, ...]
    authorities: tuple[Reference, ...] = ()
