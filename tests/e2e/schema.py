"""The JSON Schema of the access log, and a validator of the words it uses (JSON Schema 2020-12). A word that the
validator does not know is an error: nothing of the schema goes unchecked."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

Schema = dict[str, Any]
SCHEMA: Final[Schema] = json.loads(
    (Path(__file__).parents[2] / "deploy/schemas/access-log-1.json").read_text(encoding="utf-8")
)
TYPES: Final[dict[str, type]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "null": type(None),
}


def is_of(value: object, names: str | list[str]) -> bool:
    """A boolean is no integer."""
    wanted = [names] if isinstance(names, str) else names
    return any(isinstance(value, TYPES[name]) and (name != "integer" or type(value) is int) for name in wanted)


def fits(value: Any, schema: Schema) -> bool:
    return not problems(value, schema)


# word: whether a value is as its argument says; words bind values of their own type alone
WORDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "type": is_of,
    "enum": lambda value, wanted: value in wanted,
    "const": lambda value, wanted: value == wanted,
    "pattern": lambda value, wanted: not isinstance(value, str) or re.search(wanted, value) is not None,
    "minimum": lambda value, wanted: not is_of(value, "integer") or value >= wanted,
    "maximum": lambda value, wanted: not is_of(value, "integer") or value <= wanted,
    "minItems": lambda value, wanted: not isinstance(value, list) or len(value) >= wanted,
    "maxItems": lambda value, wanted: not isinstance(value, list) or len(value) <= wanted,
    "required": lambda value, wanted: set(wanted) <= value.keys(),
    "oneOf": lambda value, wanted: sum(fits(value, each) for each in wanted) == 1,
    "anyOf": lambda value, wanted: any(fits(value, each) for each in wanted),
    "not": lambda value, wanted: not fits(value, wanted),
}
SILENT: Final = {"$schema", "$id", "title", "description"}


def problems(value: Any, schema: Schema, at: str = "line") -> list[str]:
    """What is wrong with `value`, each with its place."""
    found: list[str] = []
    for word, wanted in schema.items():
        if word == "properties":
            for key in wanted.keys() & value.keys():
                found += problems(value[key], wanted[key], f"{at}.{key}")
        elif word == "items":
            for number, item in enumerate(value or ()):
                found += problems(item, wanted, f"{at}[{number}]")
        elif word == "additionalProperties":
            assert wanted is False
            found += [f"{at} has {key}" for key in value.keys() - schema["properties"].keys()]
        elif word not in SILENT and not WORDS[word](value, wanted):
            found.append(f"{at} breaks {word}: {wanted}")
    return found


def check_lines(text: str) -> None:
    """Every whole line of an access log is as published."""
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            assert not (found := problems(json.loads(line), SCHEMA)), f"{found}\n{line}"
