"""The table of workloads of one generation: each address with the selectors of its image that select it by labels.

Selectors are looked for by one label that a pod must have, or by its namespace, so that thousands of them are not tried
for each of thousands of pods.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from supervisor.policy.cluster.workloads import Workload
from supervisor.policy.resources.labels import Workloads, matches
from supervisor.policy.resources.model import Selector
from supervisor.policy.workload_table import MOST_ADDRESSES, MOST_NETWORKS, MOST_SELECTORS, TableFull, WorkloadTable
from supervisor.source.problems import Place, Problems

__all__ = ["LabelIndex", "record_workloads", "selects"]

OWNERS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
Key = tuple[str, ...]


def selects(wanted: Workloads, workload: Workload) -> bool:
    """Whether a workload is one of those."""
    pod = workload.pod
    if wanted.namespace and pod.namespace != wanted.namespace:
        return False
    owned = workload.owner.kind in OWNERS and workload.owner.name == wanted.name
    if wanted.name and wanted.name != pod.name and not owned:
        return False
    if wanted.pods is not None and not matches(wanted.pods, workload.labels):
        return False
    return wanted.namespaces is None or matches(wanted.namespaces, workload.namespace_labels)


class LabelIndex:
    """Selectors by labels, each with its number in the image."""

    def __init__(self, numbered: Mapping[Selector, int]) -> None:
        self._found: dict[Key, list[tuple[Workloads, str, int]]] = defaultdict(list)
        for selector, number in numbered.items():
            if selector.workloads is not None:
                entry = (selector.workloads, selector.cidr, number)
                for key in _keys(selector.workloads):
                    self._found[key].append(entry)
        self.used: set[int] = set()  # numbers that have selected a workload

    def of(self, workload: Workload) -> list[int]:
        """The numbers of those that select it, ascending."""
        address = ipaddress.ip_address(workload.address)
        found = {
            number
            for key in _keys_of(workload)
            for wanted, cidr, number in self._found.get(key, ())
            if selects(wanted, workload) and (not cidr or address in ipaddress.ip_network(cidr))
        }
        self.used |= found
        return sorted(found)


def _keys(wanted: Workloads) -> Iterator[Key]:
    """The lists that a selection stands in: one of these keys is a key of each workload that it selects."""
    if wanted.name:
        yield "name", wanted.namespace, wanted.name
        return
    for what, requirements in (("pod", wanted.pods), ("namespace", wanted.namespaces)):
        for requirement in requirements or ():
            if requirement.operator == "In":
                for value in requirement.values:
                    yield what, requirement.key, value
                return
    yield ("in", wanted.namespace) if wanted.namespace else ("any",)


def _keys_of(workload: Workload) -> Iterator[Key]:
    pod = workload.pod
    for space in (pod.namespace, ""):
        for name in {pod.name, workload.owner.name}:
            yield "name", space, name
    for key, value in workload.labels.items():
        yield "pod", key, value
    for key, value in workload.namespace_labels.items():
        yield "namespace", key, value
    yield "in", pod.namespace
    yield ("any",)


def record_workloads(
    workloads: Sequence[Workload], numbered: Mapping[Selector, int], networks: Iterable[str], problems: Problems
) -> int | None:
    """The descriptor of the table, None where it is too large, which `problems` gets. `numbered`: selectors by labels;
    `networks`: gateway.podNetworks."""
    index = LabelIndex(numbered)
    blocks = list(networks)
    records = []
    for workload in workloads:
        pod, selectors = workload.pod, index.of(workload)
        if len(selectors) > MOST_SELECTORS:
            words = f"{pod.title} is selected by its labels in {len(selectors)} ways: at most {MOST_SELECTORS}"
            problems.error(pod.place, words, "let fewer rules name several labels, or select its service account")
            continue
        texts = (pod.namespace, pod.service_account, pod.name, workload.owner.kind, workload.owner.name)
        records.append((workload.address, workload.mark, texts, selectors))
    try:
        return int(WorkloadTable(records, blocks).detach()) if not problems.errors else None
    except TableFull:
        place = workloads[0].pod.place if workloads else Place("")
        words = f"more workloads than a table can hold: {MOST_ADDRESSES} addresses, {MOST_NETWORKS} podNetworks"
        problems.error(place, words)
        return None
