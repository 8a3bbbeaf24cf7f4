"""What the commands share: options, finding and compiling the configuration, saying what is wrong."""

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

import click

from supervisor.compilation import CompileCrashed, CompileResult, compile_blocking
from supervisor.config import DEFAULT_PATHS, find_config
from supervisor.problems import Problem, escape

PROBLEM = 1  # exit codes of CONTRACT.md section 2
USAGE = 2

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


def compile_or_exit(path: str) -> CompileResult:
    """The compiled configuration, refused or not; ends with 1 when compiling crashed."""
    try:
        return compile_blocking(path)
    except CompileCrashed as wrong:
        fail(str(wrong), PROBLEM)


def fail(text: str, status: int = PROBLEM, hint: str = "") -> NoReturn:
    """Says why on stderr, and ends. `text` is escaped already where it repeats input."""
    click.echo(f"sluice: {text}" + (f"\n  {hint}" if hint else ""), err=True)
    sys.exit(status)


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
