"""Conditions on requests, and what is changed in them, in our kinds, as deploy/kinds.py describes fields."""

from typing import Any, Final

from supervisor.policy.dialects import http_conditions as reader

MOST: Final = 64  # items of a list, in a cluster
FIELDS: Final = {"minProperties": 1, "cluster": {"maxProperties": MOST}}
PATH: Final = r"^/(([^*?]*/)?\*|[^*?]*)$"
NAME: Final = {"propertyNames": {"pattern": f"^{reader.TOKEN}$"}}


def _value(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "type": "string",
        "pattern": f"^{reader.VALUE}$",
        "maxLength": reader.MOST_VALUE,
    }


def _names(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "type": "array",
        "items": {"type": "string", "pattern": f"^{reader.TOKEN}$", "maxLength": 256},
        "editor": {"uniqueItems": True},
        "cluster": {"maxItems": MOST, "x-kubernetes-list-type": "set"},
    }


def _words(description: str, pattern: str, most: int) -> dict[str, Any]:
    return {
        "description": description,
        "type": "array",
        "minItems": 1,
        "items": {"type": "string", "pattern": pattern, "maxLength": most},
        "editor": {"uniqueItems": True},
        "cluster": {"maxItems": MOST, "x-kubernetes-list-type": "set"},
    }


def of_destinations() -> dict[str, Any]:
    """Fields of an item of `to`."""
    item = {
        "description": "Requests: all that is set must hold.",
        "type": "object",
        "minProperties": 1,
        "properties": {
            "methods": _words("Methods, one of which is the request's.", f"^{reader.METHOD}$", 64),
            "paths": _words('Paths: exactly this, or `"/v1/*"` for /v1 and what is below it.', PATH, reader.MOST_PATH),
            "headers": {
                "description": "Headers with their values; the first of a name counts.",
                "type": "object",
                "additionalProperties": _value("The whole value."),
                **FIELDS,
                "editor": NAME,
            },
        },
        "cluster": {"x-kubernetes-map-type": "atomic"},
    }
    return {
        "access": {
            "description": "read-only: GET, HEAD and OPTIONS.",
            "type": "string",
            "enum": list(reader.ACCESSES),
        },
        "http": {
            "description": "Requests that the item means, any of these. A tunnel is none of them.",
            "type": "array",
            "minItems": 1,
            "items": item,
            "editor": {"uniqueItems": True},
            "cluster": {"maxItems": MOST, "x-kubernetes-list-type": "set"},
        },
    }


def headers() -> dict[str, Any]:
    """`headers` of a rule."""
    return {
        "description": "Headers of requests that are changed on the way out. A tunnel cannot be.",
        "type": "object",
        "minProperties": 1,
        "properties": {
            "set": {
                "description": "Headers that are set.",
                "type": "object",
                "additionalProperties": _value("The value."),
                "cluster": {"maxProperties": MOST},
                "editor": NAME,
            },
            "remove": _names("Headers that are removed."),
            "keep": _names("Headers that would be removed, and are not."),
        },
    }
