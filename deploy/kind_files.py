"""Writes deploy/crds/*.yaml and the JSON Schemas of our kinds in deploy/schemas: `python -m deploy.kind_files`, or
`make reference`. What they say comes from deploy/kinds.py."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

from deploy import kinds
from deploy.kinds import Schema
from supervisor.policy.dialects import egress_policy as reader
from supervisor.policy.resources.manifest import METADATA

ROOT: Final = Path(__file__).resolve().parents[1]
HEADER: Final = "# By `make reference`, from deploy/kinds.py.\n"
NAMES: Final = {
    reader.NAMESPACED: ("egresspolicies", "egresspolicy", "egp", "Namespaced"),
    reader.CLUSTER: ("clusteregresspolicies", "clusteregresspolicy", "cegp", "Cluster"),
}
OWN: Final = ("rules", "editor", "cluster")
TIME: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
COLUMNS: Final = (
    ("Action", "string", ".spec.action", "What becomes of the connection.", 0),
    ("Hosts", "string", ".spec.to[*].host", "Names of the destinations.", 0),
    ("Networks", "string", ".spec.to[*].cidr", "Networks of the destinations.", 1),
    (
        "Accepted",
        "string",
        '.status.conditions[?(@.type=="Accepted")].status',
        "Whether the gateway uses the policy.",
        0,
    ),
    ("Age", "date", ".metadata.creationTimestamp", "", 0),
)


def structural(schema: Schema) -> Schema:
    """A schema as a CRD has it."""
    found = {name: value for name, value in schema.items() if name not in OWN} | schema.get("cluster", {})
    if rules := schema.get("rules"):
        found["x-kubernetes-validations"] = [{"rule": rule.cel, "message": rule.message} for rule in rules]
    return _inside(found, structural)


def for_editors(schema: Schema) -> Schema:
    """A schema as JSON Schema 2020-12 has it: unknown fields are errors."""
    found = {name: value for name, value in schema.items() if name not in OWN and not name.startswith("x-")}
    found |= schema.get("editor", {})
    if schema.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    if found.pop("nullable", False):
        found["type"] = [found["type"], "null"] if isinstance(found["type"], str) else found["type"]
    if found.get("type") == "object" and "properties" in found:
        found["additionalProperties"] = False
    return _inside(found, for_editors)


def _inside(schema: Schema, render: Any) -> Schema:
    if "properties" in schema:
        schema["properties"] = {name: render(value) for name, value in schema["properties"].items()}
    if "items" in schema:
        schema["items"] = render(schema["items"])
    return schema


def status() -> Schema:
    """As every API of Kubernetes with conditions has it (meta/v1 Condition)."""
    label = {"type": "string", "maxLength": 316}
    condition = {
        "type": "object",
        "required": ["type", "status", "lastTransitionTime", "reason", "message"],
        "properties": {
            "type": label,
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
            "message": {"type": "string", "maxLength": 32768},
        },
    }
    return {
        "description": "The gateway's answer.",
        "type": "object",
        "properties": {
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "conditions": {
                "type": "array",
                "maxItems": 16,
                "items": condition,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        },
    }


def definition(kind: str) -> Schema:
    """The CustomResourceDefinition of a kind."""
    plural, singular, short, scope = NAMES[kind]
    columns = [
        {"name": name, "type": form, "jsonPath": path}
        | ({"description": words} if words else {})
        | ({"priority": priority} if priority else {})
        for name, form, path, words, priority in COLUMNS
    ]
    top = {
        "description": f"{kind}: where workloads may connect to. https://sluice.dev",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(kinds.spec(kind)),
            "status": status(),
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{reader.GROUP}"},
        "spec": {
            "group": reader.GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": singular,
                "shortNames": [short],
                "categories": ["sluice"],
            },
            "scope": scope,
            "versions": [
                {
                    "name": reader.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": top},
                }
            ],
        },
    }


def document(kind: str) -> Schema:
    """The JSON Schema of a manifest of this kind."""
    named = {"type": "string", "pattern": kinds.whole(kinds.SUBDOMAIN), "maxLength": 253}
    metadata: Schema = {
        "type": "object",
        "required": ["name"],
        "properties": {
            **{name: {} for name in METADATA},
            "name": named,
            "creationTimestamp": {"type": ["string", "null"], "pattern": kinds.whole(TIME)},
        },
        "additionalProperties": False,
    }
    if kind == reader.NAMESPACED:
        metadata["properties"]["namespace"] = {"type": "string", "pattern": kinds.whole(kinds.LABEL), "maxLength": 63}
        metadata["required"] = ["name", "namespace"]
    else:
        metadata["properties"]["namespace"] = {"type": "null"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://sluice.dev/schemas/{kind.lower()}-{reader.VERSION}.json",
        "title": f"{kind} {reader.GROUP}/{reader.VERSION}",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": f"{reader.GROUP}/{reader.VERSION}"},
            "kind": {"const": kind},
            "metadata": metadata,
            "spec": for_editors(kinds.spec(kind)),
            "status": {},
        },
        "additionalProperties": False,
    }


class _Dumper(yaml.SafeDumper):
    """Without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def rendered() -> dict[Path, str]:
    """Every file that is made, and its text."""
    files = {}
    for kind, (plural, *_) in NAMES.items():
        text = yaml.dump(definition(kind), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
        files[ROOT / f"deploy/crds/{reader.GROUP}_{plural}.yaml"] = HEADER + text
        path = ROOT / f"deploy/schemas/{kind.lower()}-{reader.VERSION}.json"
        files[path] = json.dumps(document(kind), indent=2, ensure_ascii=False) + "\n"
    return files


def main() -> None:
    for path, text in rendered().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
