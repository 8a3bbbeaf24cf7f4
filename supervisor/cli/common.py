"""Common parts of the commands: options, finding and compiling the configuration, reporting problems."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

import click

from supervisor.config.config import DEFAULT_PATHS, find_config
from supervisor.generation.compilation import CompileCrashed, CompileResult, compile_blocking
from supervisor.source.escape import escape
from supervisor.source.problems import Problem, render

PROBLEM = 1  # exit codes of CONTRACT.md section 2
USAGE = 2
NEIGHBOUR = "supervisor"

Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(function: Command) -> Command:
    """`-c/--config PATH`, handed over as `config`: what was written, or None."""
    text = "sluice.yaml (default: ./sluice.yaml, then /etc/sluice/sluice.yaml)."
    return click.option("-c", "--config", metavar="PATH", help=text)(function)


def json_option(function: Command) -> Command:
    """`--json`, handed over as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def common_options(function: Command) -> Command:
    """Both."""
    return config_option(json_option(function))


def need_config(path: str | None) -> str:
    """The absolute path of the configuration; ends with 2 when there is none."""
    found = find_config(path)
    if found is None:
        tried = f"{escape(path)} does" if path is not None else f"{' and '.join(DEFAULT_PATHS)} do"
        fail(f"no configuration found: {tried} not exist", USAGE, "name one with -c, or start from the sample")
    return found


def compile_or_exit(
    path: str, manifests: Sequence[str] = (), statuses: bool = False, as_cluster: bool = False
) -> CompileResult:
    """The compiled configuration, refused or not; ends with 1 when compiling crashed. `manifests` take the place of
    policy.paths; with `statuses` it has the conditions of resources; `as_cluster` judges objects one by one."""
    try:
        return compile_blocking(path, manifests, statuses, as_cluster)
    except CompileCrashed as wrong:
        fail(str(wrong), PROBLEM)


def warn_of_neighbour() -> None:
    """The process manager `supervisor` has the import name of Sluice's Python half: in one environment their files lie
    in one folder, and each overwrites the other's."""
    import importlib.metadata

    try:
        found = importlib.metadata.distribution(NEIGHBOUR)
    except importlib.metadata.PackageNotFoundError:
        return
    words = f"the process manager {NEIGHBOUR} {escape(found.version)} is installed in this environment"
    click.echo(f"warning: {words}, with files of the same names: give Sluice an environment of its own", err=True)


def fail(text: str, status: int = PROBLEM, hint: str = "") -> NoReturn:
    """Says why and ends: on stderr, or where the command was given --json in JSON on stdout. `text` is escaped already
    where it repeats input."""
    if in_json():
        print_json({"ok": False, "error": text} | ({"hint": hint} if hint else {}))
    else:
        click.echo(f"sluice: {text}" + (f"\n  {hint}" if hint else ""), err=True)
    sys.exit(status)


def fail_with(text: str, problems: Iterable[Problem], left_out: int = 0, hint: str = "") -> NoReturn:
    """The same for problems in files, each with its place; `text` says what they prevent."""
    problems = list(problems)
    if in_json():
        found = {"errors": problem_objects(problems), "errors_left_out": left_out}
        print_json({"ok": False, "error": text, **found} | ({"hint": hint} if hint else {}))
        sys.exit(PROBLEM)
    print_lines(render(problems, left_out), "error: ")
    fail(text, PROBLEM, hint)


def in_json() -> bool:
    """Whether the command that runs was given --json."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.params.get("as_json"))


def print_lines(lines: Iterable[str], prefix: str = "") -> None:
    """Problems for people, one a line, on stderr."""
    for line in lines:
        click.echo(prefix + line, err=True)


def print_json(value: object) -> None:
    """A value for programs, on stdout: ASCII only, so that no terminal takes what is in it for commands."""
    click.echo(json.dumps(value, ensure_ascii=True, indent=2))


def problem_objects(problems: Iterable[Problem]) -> list[dict[str, object]]:
    """Problems as JSON has them: file, line, column, message, suggestion; in the order of places, texts escaped."""
    return [
        {
            "file": escape(problem.file),
            "line": problem.line,
            "column": problem.column,
            "message": escape(problem.message),
            "suggestion": escape(problem.suggestion),
        }
        for problem in sorted(problems)
    ]
