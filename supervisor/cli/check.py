"""`sluice check`: reads everything that `run` would read, compiles it, and says what is wrong. It opens no socket."""

import os
import sys
from typing import Final, NamedTuple

import click
import msgspec

from supervisor.cli.common import (
    PROBLEM,
    USAGE,
    common_options,
    compile_or_exit,
    fail,
    need_config,
    print_json,
    problem_objects,
    warn_of_neighbour,
)
from supervisor.cli.reports import FORMS, condition_lines, condition_object
from supervisor.config.config import DEFAULT_PATHS, find_config
from supervisor.config.effective import as_yaml, effective
from supervisor.control.curve import keys_folder, load_server
from supervisor.generation.compilation import CompileResult
from supervisor.host.endpoint import ENDPOINT_UNSET
from supervisor.host.errors import StartError
from supervisor.source.escape import escape
from supervisor.source.problems import Invalid, Problem, Problems
from supervisor.source.yaml_source import load_documents

NAMES: Final = ("sluice.yaml", "sluice.yml", "sluice.json")


class Asked(NamedTuple):
    """Files to check: a sluice.yaml, "" = every default, and manifests in place of its policy.paths."""

    path: str
    manifests: list[str]

    @property
    def name(self) -> str:
        """For messages."""
        return " ".join(map(escape, self.manifests or [self.path]))


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--print", "printing", is_flag=True, help="Print the configuration in effect, defaults written out.")
@click.option("--format", "form", type=click.Choice(sorted(FORMS)), help="Problems as a build service reads them.")
@click.option("--as-cluster", is_flag=True, help="Judge each object as if it came from a cluster: grants, budgets.")
@common_options
def check(
    config: str | None, as_json: bool, files: tuple[str, ...], printing: bool, form: str | None, as_cluster: bool
) -> None:
    """Check the configuration, the users and every policy file, without running anything.

    A FILE is a sluice.yaml (or the folder it lies in), a manifest, or a folder of manifests. Manifests are read in
    place of policy.paths, with the users, networks and parents of the sluice.yaml that is named or found; where there
    is none, with every default.

    Problems are printed as file:line:column with what was expected, and what to write instead where that is known.
    Warnings do not fail the check. Of kinds that have a status the conditions are printed that their own system would
    set; one that is not as hoped for is a warning as well.

    With --as-cluster the objects of all manifests are judged one by one, as those of a cluster are: what needs a grant
    or is over the budget of its namespace is not used, nor what is invalid, and closes the sources that it selects.

    \b
    Examples:
      sluice check                      the ./sluice.yaml, else /etc/sluice/sluice.yaml
      sluice check staging.yaml         another one; so does -c staging.yaml
      sluice check policies/shop.yaml   manifests that are not in use yet
      sluice check --as-cluster shop/   what a tenant's objects may do
      sluice check --print              what is in effect, with every default
      sluice check --json | jq .errors  for programs
      sluice check --format github      annotations at the lines of a pull request
      sluice check --format sarif       SARIF 2.1.0, for code scanning

    Exit codes: 0 sound (also with warnings), 1 errors were found, 2 bad arguments or no configuration found.
    """
    if form is not None and (as_json or printing):
        fail("--format is a form of its own", USAGE, "leave out --json and --print")
    warn_of_neighbour()
    asked = _sort(config, files)
    path = asked.path or os.path.abspath(DEFAULT_PATHS[0])
    result = _with_keys(asked, compile_or_exit(path, asked.manifests, form is None, as_cluster))
    result.close()
    if result.refused:
        result = msgspec.structs.replace(result, ok=False, problems=(*result.problems, *result.refused))
    if form is not None:
        click.echo(FORMS[form](result.problems, result.warnings))
    elif as_json:
        print_json(_report(asked, result, printing))
    else:
        _print(asked, result, printing)
    sys.exit(0 if result.ok else PROBLEM)


def _sort(config: str | None, files: tuple[str, ...]) -> Asked:
    """Tells a sluice.yaml from manifests. Ends with 2 for two of the former."""
    manifests = []
    for file in files:
        name = file
        if not os.path.lexists(name):
            fail(f"{escape(name)} does not exist", USAGE, "name a sluice.yaml, a manifest or a folder of manifests")
        inside = os.path.join(name, NAMES[0])
        if os.path.isdir(name) and os.path.isfile(inside):
            name = inside  # the folder of a gateway
        if os.path.isdir(name) or not _is_config(name):
            manifests.append(os.path.abspath(name))
        elif config is not None:
            words = f"{escape(config)} and {escape(name)} are both a configuration"
            fail(words, USAGE, "name one; manifests have apiVersion and kind")
        else:
            config = name
    if not manifests or config is not None:
        return Asked(need_config(config), manifests)
    return Asked(find_config(None) or "", manifests)


def _is_config(name: str) -> bool:
    """Whether a file is a sluice.yaml: by its name, else by what it holds. One that cannot be read is a manifest."""
    if os.path.basename(name) in NAMES:
        return True
    try:
        documents = load_documents(name, Problems())
    except Invalid:
        return False
    keys = [set(document.value) for document in documents if isinstance(document.value, dict)]
    return bool(keys) and not any(found & {"apiVersion", "kind", "items"} for found in keys)


def _with_keys(asked: Asked, result: CompileResult) -> CompileResult:
    """A warning where a control endpoint could not be served by this user, or over tcp: its keys may lie elsewhere."""
    if result.config is None or asked.manifests:
        return result
    if not result.config.control:
        unset = Problem(asked.path, 0, 0, ENDPOINT_UNSET)
        return msgspec.structs.replace(result, warnings=(*result.warnings, unset))
    if not result.config.control.startswith("tcp://"):
        return result
    try:
        load_server(keys_folder(asked.path))
    except StartError as wrong:
        missing = Problem(asked.path, 0, 0, wrong.text, wrong.suggestion)
        return msgspec.structs.replace(result, warnings=(*result.warnings, missing))
    return result


def _report(asked: Asked, result: CompileResult, printing: bool) -> dict[str, object]:
    found: dict[str, object] = {
        "ok": result.ok,
        "config": escape(asked.path) or None,
        "manifests": list(map(escape, asked.manifests)),
        "errors": problem_objects(result.problems),
        "errors_left_out": result.problems_left_out,
        "warnings": problem_objects(result.warnings),
        "warnings_left_out": result.warnings_left_out,
        "conditions": [condition_object(status) for status in result.statuses],
        "counts": result.counts,
        "seconds": round(result.seconds, 3),
    }
    if printing:
        found["configuration"] = effective(result.config) if result.config is not None else None
    return found


def _print(asked: Asked, result: CompileResult, printing: bool) -> None:
    for line in result.warning_lines():
        click.echo(f"warning: {line}", err=True)
    for line in result.problem_lines():
        click.echo(f"error: {line}", err=True)
    if not result.ok:
        for line in condition_lines(result.statuses if result.refused else ()):
            click.echo(line)
        count = len(result.problems) + result.problems_left_out
        click.echo(f"{asked.name}: {_count(count, 'error')}", err=True)
        return
    counts = ", ".join(_count(number, name.removesuffix("s")) for name, number in result.counts.items() if number)
    if printing and result.config is not None:
        click.echo(as_yaml(result.config), nl=False)
        return
    for line in condition_lines(result.statuses):
        click.echo(line)
    click.echo(f"{asked.name}: sound" + (f" ({counts})" if counts else ""))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
