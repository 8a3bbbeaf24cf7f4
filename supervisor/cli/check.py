"""`sluice check`: reads everything that `run` would read, compiles it, and says what is wrong. It opens no socket."""

import os
import sys

import click
import msgspec

from supervisor.cli.common import PROBLEM, common_options, compile_or_exit, need_config, print_json, problem_objects
from supervisor.compilation import CompileResult
from supervisor.curve import keys_folder, load_server
from supervisor.endpoint import ENDPOINT_UNSET
from supervisor.errors import StartError
from supervisor.problems import Problem, escape


@click.command()
@common_options
def check(config: str | None, as_json: bool) -> None:
    """Check the configuration, the users and every policy file, without running anything.

    Problems are printed as file:line:column with what was expected, and what to write instead where that is known.
    Warnings do not fail the check.

    \b
    Examples:
      sluice check                      the ./sluice.yaml, else /etc/sluice/sluice.yaml
      sluice check -c staging.yaml      another one
      sluice check --json | jq .errors  for programs

    Exit codes: 0 sound (also with warnings), 1 errors were found, 2 no configuration found.
    """
    path = need_config(config)
    result = _with_keys(path, compile_or_exit(path))
    if result.image is not None:
        os.close(result.image)
    if as_json:
        print_json(_report(path, result))
    else:
        _print(path, result)
    sys.exit(0 if result.ok else PROBLEM)


def _with_keys(path: str, result: CompileResult) -> CompileResult:
    """A warning where a control endpoint could not be served by this user, or over tcp: its keys may lie elsewhere."""
    if result.config is not None and not result.config.control:
        unset = Problem(path, 0, 0, ENDPOINT_UNSET)
        return msgspec.structs.replace(result, warnings=(*result.warnings, unset))
    if result.config is None or not result.config.control.startswith("tcp://"):
        return result
    try:
        load_server(keys_folder(path))
    except StartError as wrong:
        missing = Problem(path, 0, 0, wrong.text, wrong.suggestion)
        return msgspec.structs.replace(result, warnings=(*result.warnings, missing))
    return result


def _report(path: str, result: CompileResult) -> dict[str, object]:
    return {
        "ok": result.ok,
        "config": escape(path),
        "errors": problem_objects(result.problems),
        "errors_left_out": result.problems_left_out,
        "warnings": problem_objects(result.warnings),
        "warnings_left_out": result.warnings_left_out,
        "counts": result.counts,
        "seconds": round(result.seconds, 3),
    }


def _print(path: str, result: CompileResult) -> None:
    for line in result.warning_lines():
        click.echo(f"warning: {line}", err=True)
    for line in result.problem_lines():
        click.echo(f"error: {line}", err=True)
    if not result.ok:
        count = len(result.problems) + result.problems_left_out
        click.echo(f"{escape(path)}: {_count(count, 'error')}", err=True)
        return
    counts = ", ".join(_count(number, name.removesuffix("s")) for name, number in result.counts.items() if number)
    click.echo(f"{escape(path)}: sound" + (f" ({counts})" if counts else ""))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
