"""Label selectors (meta/v1 LabelSelector) and the workloads that they select: read, matched, said in words."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from supervisor.source.node import Node, each
from supervisor.source.problems import Problems
from supervisor.source.words import MOST_LABELS, label_key, label_value, read_labels

__all__ = [
    "MOST_LABELS",
    "Requirement",
    "Workloads",
    "label_key",
    "label_value",
    "matches",
    "read_labels",
    "read_selector",
]

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]
OPERATORS: Final[tuple[Operator, ...]] = ("In", "NotIn", "Exists", "DoesNotExist")
MOST_REQUIREMENTS: Final = 32
MOST_VALUES: Final = 32


class Requirement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One condition on the labels of an object. `values`, sorted, are those of In and NotIn."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels satisfies it."""
        if self.operator == "Exists":
            return self.key in labels
        if self.operator == "DoesNotExist":
            return self.key not in labels
        return (labels.get(self.key) in self.values) == (self.operator == "In")

    @property
    def text(self) -> str:
        """As kubectl writes it."""
        if self.operator == "Exists":
            return self.key
        if self.operator == "DoesNotExist":
            return f"!{self.key}"
        if len(self.values) == 1:
            return f"{self.key}{'=' if self.operator == 'In' else '!='}{self.values[0]}"
        return f"{self.key} {'in' if self.operator == 'In' else 'notin'} ({','.join(self.values)})"


class Workloads(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Pods: all that is set must hold. Nothing set = every known pod.

    `pods` are conditions on a pod's own labels, `namespaces` on those of its namespace; None = not asked, none at all =
    every one. `name`: of the pod itself, or of its Deployment, StatefulSet, DaemonSet or Job.
    """

    namespace: str = ""
    pods: tuple[Requirement, ...] | None = None
    namespaces: tuple[Requirement, ...] | None = None
    name: str = ""

    @property
    def text(self) -> str:
        """In words."""
        what = f"workload {self.name}" if self.name else "pods"
        if self.pods:
            what += f" with {', '.join(each.text for each in self.pods)}"
        if self.namespaces is None:
            return f"{what} of {self.namespace}" if self.namespace else what
        if not self.namespaces:
            where = f"namespace {self.namespace}" if self.namespace else "every namespace"
        else:
            words = ", ".join(each.text for each in self.namespaces)
            where = f"namespace {self.namespace} with {words}" if self.namespace else f"namespaces with {words}"
        return where if self.pods is None and not self.name else f"{what} of {where}"


def matches(requirements: tuple[Requirement, ...], labels: Mapping[str, str]) -> bool:
    """Whether labels satisfy all of them."""
    return all(requirement.holds(labels) for requirement in requirements)


def read_selector(node: Node, problems: Problems) -> tuple[Requirement, ...]:
    """`matchLabels` and `matchExpressions`, as one list, sorted; {} is every object. Wrong parts are reported and left
    out."""
    fields = node.fields(("matchLabels", "matchExpressions"), problems)
    none: tuple[tuple[str, str], ...] = ()
    found = [Requirement(key, "In", (value,)) for key, value in fields.read("matchLabels", read_labels, none)]
    found += each(fields.items("matchExpressions"), lambda item: _requirement(item, problems), problems)
    if len(found) > MOST_REQUIREMENTS:
        raise node.invalid(f"more than {MOST_REQUIREMENTS} conditions")
    return tuple(sorted(set(found), key=lambda one: (one.key, one.operator, one.values)))


def _requirement(node: Node, problems: Problems) -> Requirement:
    before = len(problems.errors)
    fields = node.fields(("key", "operator", "values"), problems)
    key = fields.need("key", label_key, "", "write key: and the name of a label")
    default: Operator = "Exists"
    operator = fields.need("operator", lambda word: word.choice(*OPERATORS), default, ", ".join(OPERATORS))
    values = tuple(sorted(set(fields.each("values", label_value))))
    takes = operator in ("In", "NotIn")
    if len(problems.errors) == before and takes != bool(values):
        words = "needs `values`" if takes else "takes no `values`"
        raise node.invalid(f"{operator} {words}", "write values: [VALUE]" if takes else "remove them")
    if len(values) > MOST_VALUES:
        raise node.invalid(f"more than {MOST_VALUES} values")
    return Requirement(key, operator, values)
