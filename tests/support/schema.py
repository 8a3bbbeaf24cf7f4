"""The JSON Schema of the access log, and lines that are held against it (JSON Schema 2020-12)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

Schema = dict[str, Any]
SCHEMA: Final[Schema] = json.loads(
    (Path(__file__).parents[2] / "deploy/schemas/access-log-1.json").read_text(encoding="utf-8")
)
SILENT: Final = {"$schema", "$id", "title", "description"}


def words(schema: Schema) -> Iterator[str]:
    """Every word of a schema and of those inside it."""
    for word, value in schema.items():
        yield word
        inside = list(value.values()) if word == "properties" else value if isinstance(value, list) else [value]
        for one in inside:
            if isinstance(one, dict):
                yield from words(one)


Draft202012Validator.check_schema(SCHEMA)
# A word that the validator does not know would go unchecked.
assert set(words(SCHEMA)) <= SILENT | Draft202012Validator.VALIDATORS.keys()
VALIDATOR: Final = Draft202012Validator(SCHEMA)


def check_lines(text: str) -> None:
    """Every whole line of an access log is as published."""
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            found = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(json.loads(line))]
            assert not found, f"{found}\n{line}"
