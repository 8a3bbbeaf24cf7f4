"""Which pod has an address, and whose it is (DECISIONS.md section 8).

An address belongs to the pod, Pending or Running and not on the host's network, that has it in status.podIPs; of
several to the one that started last.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from supervisor.policy.cluster.objects import Fact, Namespace, Owner, Pod, ReplicaSet

__all__ = ["Workload", "workloads_of"]

LIVE: Final = ("Pending", "Running")
HASH: Final = "pod-template-hash"  # the label that a Deployment gives the pods of one of its ReplicaSets


class Workload(msgspec.Struct, frozen=True):
    """The workload of one address. `pod` is its Pod, `mark` 64 bits that tell this pod from every other, `owner` its
    controller, where a ReplicaSet stands for its Deployment."""

    address: str
    pod: Pod
    owner: Owner
    mark: int
    labels: dict[str, str]
    namespace_labels: dict[str, str]


def workloads_of(facts: Iterable[Fact]) -> list[Workload]:
    """The workload of each address that belongs to one, by address."""
    pods: list[Pod] = []
    owners: dict[tuple[str, str], Owner] = {}
    spaces: dict[str, dict[str, str]] = {}
    for fact in facts:
        if isinstance(fact, Pod):
            pods.append(fact)
        elif isinstance(fact, ReplicaSet):
            owners[fact.namespace, fact.name] = fact.owner
        elif isinstance(fact, Namespace):
            spaces[fact.name] = dict(fact.labels)
    holders: dict[str, Pod] = {}
    for pod in sorted(pods, key=_age):
        if pod.phase in LIVE and not pod.host_network:
            holders.update(dict.fromkeys(pod.addresses, pod))
    return [
        Workload(address, pod, owner_of(pod, owners), mark_of(pod), dict(pod.labels), spaces.get(pod.namespace, {}))
        for address, pod in sorted(holders.items())
    ]


def _age(pod: Pod) -> tuple[int, str, str]:
    """The newest start comes last; one of unknown age before all that have one."""
    started = pod.started if pod.started is not None else pod.created
    return -1 if started is None else started, pod.namespace, pod.name


def owner_of(pod: Pod, replica_sets: dict[tuple[str, str], Owner]) -> Owner:
    """A ReplicaSet's owner is known by its own manifest, else by the hash that its name ends with."""
    owner = pod.owner
    if owner.kind != "ReplicaSet":
        return owner
    above = replica_sets.get((pod.namespace, owner.name))
    if above is not None:
        return above if above.kind else owner
    suffix = dict(pod.labels).get(HASH)
    if suffix and owner.name.endswith(f"-{suffix}") and len(owner.name) > len(suffix) + 1:
        return Owner("Deployment", owner.name[: -len(suffix) - 1])
    return owner


def mark_of(pod: Pod) -> int:
    """Not 0. A pod that is made again under its name is another one: by its uid, else by its start."""
    which = f"uid {pod.uid}" if pod.uid else f"since {pod.started if pod.started is not None else pod.created}"
    digest = hashlib.blake2b("\0".join((pod.namespace, pod.name, which)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) or 1
