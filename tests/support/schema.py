"""The JSON Schema of the access log, and lines that are held against it (JSON Schema 2020-12)."""

import json
from collections import Counter
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


WORDS: Final = {"event", "verdict", "phase", "reason", "protocol", "outcome", "inner", "identity_source"}  # closed sets
ALIKE: Final = 20  # lines of one shape that are checked: a load writes many thousands


def check_lines(text: str) -> None:
    """Whole lines of an access log are as published: every shape, and the first lines of each."""
    seen: Counter[object] = Counter()
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            continue
        content = json.loads(line)
        seen[shape := shape_of(content)] += 1
        if seen[shape] <= ALIKE:
            found = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(content)]
            assert not found, f"{found}\n{line}"


def shape_of(value: Any, name: str = "") -> object:
    """The same for lines that differ in numbers and texts alone; words of closed sets are kept."""
    if isinstance(value, dict):
        return tuple((key, shape_of(one, key)) for key, one in value.items())
    if isinstance(value, list):
        return tuple(shape_of(one) for one in value)
    if isinstance(value, str) and name in WORDS:
        return value
    return type(value), isinstance(value, int | float) and value < 0
