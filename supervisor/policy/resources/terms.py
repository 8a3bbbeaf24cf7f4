"""The words that conditions and rules are both made of: a text with its place, a selection of sources."""

import msgspec

from supervisor.policy.resources.labels import Workloads


class Selector(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Sources: all that is set must hold. Nothing set = the whole mesh.

    At most one of `service_account`, `identity`, `user`, `role`, `other_roles`, `identified` and
    `elsewhere`; a service account has a namespace.
    The namespace of `workloads` is its own.
    """

    namespace: str = ""
    service_account: str = ""
    identity: str = ""  # SPIFFE ID
    user: str = ""
    cidr: str = ""
    role: str = ""  # CN or OU of a certificate, else the name of a user
    other_roles: bool = False  # every role that no selector of the policy names
    identified: bool = False  # every source whose service account or identity is known
    elsewhere: bool = False  # every source with a namespace that has no rules with `network` of its own
    workloads: Workloads | None = None  # by labels or by the name of a pod or its owner; alone but for `cidr`


class Text(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A text of a manifest and where it stands in its file, for what can only be judged later."""

    value: str
    line: int
    column: int
