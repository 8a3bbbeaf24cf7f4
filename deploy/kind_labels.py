"""Label selectors in `from` of our kinds, as deploy/kinds.py describes fields (Kubernetes: meta/v1 LabelSelector)."""

from itertools import combinations, product
from typing import Any, Final

from supervisor.policy.resources import labels

PREFIX: Final = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/"
NAME: Final = "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
KEY: Final = rf"^({PREFIX})?{NAME}$"
VALUE: Final = f"^({NAME})?$"
LONGEST_KEY: Final = 253 + 1 + 63
SELECTORS: Final = ("podSelector", "namespaceSelector")
WITHOUT: Final = ("serviceAccount", "identity", "user")
# Fields that exclude each other.
PAIRS: Final = (*combinations(WITHOUT, 2), *product(WITHOUT, SELECTORS))
VALUED: Final = ("In", "NotIn")
# In CEL, the message where it is broken, and in Python.
ALONE: Final = (
    "!(has(self.podSelector) || has(self.namespaceSelector)) || "
    "!(has(self.serviceAccount) || has(self.identity) || has(self.user))",
    "podSelector and namespaceSelector stand beside namespace and cidr alone; write several items",
    lambda item: not (any(name in item for name in SELECTORS) and any(name in item for name in WITHOUT)),
)
HAS_VALUES: Final = (
    "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
    "In and NotIn need values, Exists and DoesNotExist take none",
    lambda item: (item["operator"] in VALUED) == bool(item.get("values")),
)


def selector(description: str, rule: Any) -> dict[str, Any]:
    """A label selector; {} is every object. `rule` makes a rule of kinds.py."""
    value = {"type": "string", "pattern": VALUE, "maxLength": 63}
    valued = {"properties": {"operator": {"enum": list(VALUED)}}}
    return {
        "description": description,
        "type": "object",
        "properties": {
            "matchLabels": {
                "description": "Labels that it must have, with their values.",
                "type": "object",
                "maxProperties": labels.MOST_REQUIREMENTS,
                "additionalProperties": value,
                "editor": {"propertyNames": {"pattern": KEY}},
                "x-kubernetes-map-type": "atomic",
            },
            "matchExpressions": {
                "description": "Conditions on its labels, all of which must hold.",
                "type": "array",
                "maxItems": labels.MOST_REQUIREMENTS,
                "items": {
                    "description": "One condition.",
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {
                            "description": "The label.",
                            "type": "string",
                            "pattern": KEY,
                            "maxLength": LONGEST_KEY,
                        },
                        "operator": {
                            "description": "In and NotIn compare its value, the others ask whether it is there.",
                            "type": "string",
                            "enum": list(labels.OPERATORS),
                        },
                        "values": {
                            "description": "Values of In and NotIn.",
                            "type": "array",
                            "maxItems": labels.MOST_VALUES,
                            "items": value,
                        },
                    },
                    "rules": [rule(*HAS_VALUES)],
                    "editor": {
                        "if": valued,
                        "then": {"required": ["values"], "properties": {"values": {"minItems": 1}}},
                        "else": {"properties": {"values": {"maxItems": 0}}},
                    },
                },
                "cluster": {"x-kubernetes-list-type": "atomic"},
            },
        },
    }
