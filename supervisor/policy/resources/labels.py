"""Label selectors (meta/v1 LabelSelector) and the workloads that they select: read, matched, said in words."""

import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from supervisor.source.node import Node, each
from supervisor.source.problems import Problems

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
MOST_LABELS: Final = 1000
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_PREFIX: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


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


def label_key(node: Node) -> str:
    """The key of a label: `name` or `prefix/name`."""
    text = node.text()
    prefix, slash, name = text.rpartition("/")
    if not _NAME.fullmatch(name) or (slash and (len(prefix) > 253 or not _PREFIX.fullmatch(prefix))):
        raise node.unexpected("a label such as app or app.kubernetes.io/name")
    return text


def label_value(node: Node) -> str:
    """The value of a label, which may be empty."""
    text = node.string() if not node.is_null or node.value == "" else ""
    if text and not _NAME.fullmatch(text):
        raise node.unexpected("the value of a label: at most 63 letters, digits, '.', '_' and '-'")
    return text


def read_labels(node: Node) -> tuple[tuple[str, str], ...]:
    """A mapping of labels, sorted."""
    found = node.mapping()
    if len(found) > MOST_LABELS:
        raise node.invalid(f"more than {MOST_LABELS} labels")
    return tuple(sorted((label_key(key), label_value(value)) for key, value in found.values()))


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
