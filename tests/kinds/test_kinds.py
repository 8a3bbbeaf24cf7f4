"""The CRDs and JSON Schemas of our kinds: as made, and of one mind with the reader about thousands of documents."""

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator

from deploy import kind_files, kinds
from deploy.kinds import Schema
from supervisor.config.config import Config, Listener, Policy
from supervisor.config.upstreams import Upstream
from supervisor.policy.compiler import build_image
from supervisor.policy.dialects import egress_policy as reader
from supervisor.policy.dialects import origination
from supervisor.policy.loader import load_policy
from supervisor.source.problems import Place, Problems
from tests.kinds.corpus import KINDS, Document, documents

COUNT: Final = 750
# What the reader alone can say: it compares what was meant, or knows more than the document.
READERS_ALONE: Final = re.compile(
    r"duplicate (port|item in `from`|rule|address|item in `except`)|cannot select sources of|is not below"
    r"|is not a label of an internationalised|whole destination|a list file|outside the policy paths|cannot be read"
    r"|expected an RFC 3339 time|lies outside|there is no upstream"
)
# What CEL says and JSON Schema cannot.
NOT_FOR_EDITORS: Final = re.compile(
    rf"{READERS_ALONE.pattern}|has host bits set|the lower port first|can be dialed from|IPv4-mapped|link-local"
    "|expected a CIDR"
)


@pytest.mark.parametrize("path", list(kind_files.rendered()), ids=lambda path: path.name)
def test_the_files_are_as_made(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == kind_files.rendered()[path], "run `make reference`"


def properties(schema: Schema, *path: str) -> set[str]:
    for name in path:
        schema = schema["items"] if name == "[]" else schema["properties"][name]
    return set(schema["properties"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_fields_are_those_of_the_reader(kind: str) -> None:
    spec = kinds.spec(kind)
    assert properties(spec) == set(reader.SPEC)
    assert properties(spec, "from", "[]") == set(reader.FROM)
    assert properties(spec, "to", "[]") == set(reader.TO)
    assert properties(spec, "inner") == set(reader.INNER)
    assert properties(spec, "tls") == set(origination.TLS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described(kind: str) -> None:
    def described(schema: Schema, path: str) -> None:
        for name, each in schema.get("properties", {}).items():
            assert each.get("description", "").endswith((".", '"')), f"{path}.{name}"
            described(each, f"{path}.{name}")
        if "items" in schema:
            described(schema["items"], f"{path}[]")

    described(kinds.spec(kind), "spec")


def validator(schema: Schema) -> Draft202012Validator:
    """Patterns as ECMA-262 and RE2 read them: in Python, `$` matches before a final line feed as well."""
    text = json.dumps(schema).replace('$"', '\\\\Z"')
    found = json.loads(text)
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found, format_checker=Draft202012Validator.FORMAT_CHECKER)


def as_an_api_server(schema: Schema) -> Schema:
    """A structural schema in the words of JSON Schema; unknown fields are errors (kubectl's --validate=strict)."""
    found = {name: value for name, value in schema.items() if not name.startswith("x-") and name != "nullable"}
    if schema.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    if schema.get("x-kubernetes-list-type") == "set":
        found["uniqueItems"] = True
    if "properties" in found:
        found["properties"] = {name: as_an_api_server(each) for name, each in found["properties"].items()}
        found["additionalProperties"] = False
    if "items" in found:
        found["items"] = as_an_api_server(found["items"])
    return {"anyOf": [{"type": "null"}, found]} if schema.get("nullable") else found


EDITORS: Final[dict[str, Draft202012Validator]] = {}  # by kind, made when they are asked for
SERVERS: Final[dict[str, Draft202012Validator]] = {}


def editor(kind: str) -> Draft202012Validator:
    if kind not in EDITORS:
        EDITORS[kind] = validator(kind_files.document(kind))
    return EDITORS[kind]


def api_server(kind: str) -> Draft202012Validator:
    if kind not in SERVERS:
        SERVERS[kind] = validator(as_an_api_server(kind_files.structural(kinds.spec(kind))))
    return SERVERS[kind]


def broken_rule(schema: Schema, value: Any) -> str | None:
    """The first rule of CEL that does not hold, by its equal in Python."""
    if value is None:
        return None
    for rule in schema.get("rules", ()):
        if not rule.holds(value):
            return str(rule.message)
    inside = [(schema["items"], each) for each in value] if "items" in schema and isinstance(value, list) else []
    if isinstance(value, dict):
        inside = [(each, value[name]) for name, each in schema.get("properties", {}).items() if name in value]
    return next(filter(None, (broken_rule(*pair) for pair in inside)), None)


def refused_by_api_server(kind: str, spec: Any) -> str | None:
    if error := next(api_server(kind).iter_errors(spec), None):
        return f"{error.json_path}: {error.message}"[:300]
    return broken_rule(kinds.spec(kind), spec)


def refused_by_reader(document: Document, folder: Path) -> list[str]:
    """Errors of reading and compiling."""
    (folder / "policy.json").write_text(json.dumps(document))
    path = str(folder / "policy.json")
    config = Config(
        path=str(folder / "sluice.yaml"),
        control="ipc:///nowhere",
        listeners=(Listener(),),
        policy=Policy(paths=(path,), places=(Place(path),)),
        upstreams=(Upstream("corp", "http", (("192.0.2.9", 1080),)),),
    )
    problems = Problems()
    built = build_image(config, (), load_policy(config.policy.paths, config.policy.places, problems), problems)
    if built is not None:
        os.close(built.descriptor)
    return [str(problem).removeprefix(str(folder)) for problem in problems.errors]


def kind_of(document: Document) -> str | None:
    kind = document.get("kind")
    return kind if isinstance(kind, str) and kind in KINDS else None


@pytest.mark.parametrize("count", [COUNT, pytest.param(8 * COUNT, marks=pytest.mark.full)])
def test_the_reader_and_the_schemas_judge_alike(tmp_path: Path, count: int) -> None:
    judge(tmp_path, count)


def judge(folder: Path, count: int) -> None:
    """The same documents are refused, but for what a schema has no words for."""
    (folder / "list.txt").write_text("a.test\nevil.test\n")
    told: Counter[str] = Counter()
    for drawn in documents(1, count):
        document = drawn.document
        if (kind := kind_of(document)) is None:
            continue
        errors = refused_by_reader(document, folder)
        seen = f"{drawn.change}\n{json.dumps(document)}\n{errors}"
        alone = bool(errors) and all(READERS_ALONE.search(error) for error in errors)
        found = list(editor(kind).iter_errors(document))
        edited = [error.message[:200] for error in found]
        if not alone and not (errors and all(NOT_FOR_EDITORS.search(error) for error in errors)):
            assert bool(edited) == bool(errors), f"{seen}\neditor: {edited}"
        server = refused_by_api_server(kind, document.get("spec"))
        if not alone and all(error.json_path.startswith("$.spec") for error in found):
            assert bool(server) == bool(errors), f"{seen}\nserver: {server}"
        told["refused" if errors else "accepted"] += 1
        told["alone"] += alone
    assert told["refused"] > count / 4 and told["accepted"] > count / 3, told
    assert told["alone"] < told["refused"] / 4, told


SEEDED: Final = {
    "a bound": lambda spec: spec["properties"]["to"]["items"]["properties"]["ports"]["items"].update(maximum=65536),
    "a word of a choice": lambda spec: spec["properties"]["action"]["enum"].append("ALLOW"),
    "a rule": lambda spec: spec["properties"]["to"]["items"]["rules"].pop(0),
    "a required field": lambda spec: spec["required"].remove("action"),
    "a pattern": lambda spec: spec["properties"]["from"]["items"]["properties"]["namespace"].update(pattern="^.*$"),
}


@pytest.mark.parametrize("fault", SEEDED)
def test_a_fault_of_the_description_is_found(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {kind: kinds.spec(kind) for kind in KINDS}
    for spec in made.values():
        SEEDED[fault](spec)
    monkeypatch.setattr(kinds, "spec", lambda kind: made[kind])
    for kind in KINDS:
        monkeypatch.setitem(SERVERS, kind, validator(as_an_api_server(kind_files.structural(made[kind]))))
    with pytest.raises(AssertionError, match="server: None"):
        judge(tmp_path, 8 * COUNT)


def test_every_manifest_of_the_docs_and_of_the_sample_fits() -> None:
    """Those of our kinds, in the folders that users paste from."""
    root = Path(__file__).parents[2]
    texts = [
        text for path in root.glob("docs/*.md") for text in re.findall(r"```yaml\n(.*?)```", path.read_text(), re.S)
    ]
    texts += [
        path.read_text() for path in (*root.glob("supervisor/sample/*.yaml"), *root.glob("deploy/examples/**/*.yaml"))
    ]
    seen = 0
    for text in texts:
        if "sluice.dev/v1alpha1" not in text:
            continue
        for document in yaml.load_all(text, Loader=yaml.BaseLoader):
            del document  # numbers would be texts: only whether it is YAML
        for document in yaml.safe_load_all(text):
            if isinstance(document, dict) and kind_of(document):
                seen += 1
                errors = [error.message for error in editor(document["kind"]).iter_errors(document)]
                assert errors == [], f"{errors}\n{text}"
    assert seen >= 2
