"""How commands reach a running gateway: its control endpoint by its configuration, one question, one answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import click

from supervisor.cli.common import PROBLEM, Command, fail, fail_with, need_config
from supervisor.config.config import DEFAULT_PATHS, find_config
from supervisor.config.reader import load_config, read_control
from supervisor.control.curve import keys_folder
from supervisor.host.endpoint import ENDPOINT_UNSET
from supervisor.source.escape import escape
from supervisor.source.problems import Problems


class Target(NamedTuple):
    """The gateway to ask. `keys`: the folder for an endpoint over tcp://."""

    endpoint: str
    keys: Path


def endpoint_option(function: Command) -> Command:
    """`--endpoint`, handed over as `endpoint`: what was written, or None."""
    text = "Ask there, and not where sluice.yaml says: for a gateway that was started before control.endpoint changed."
    return click.option("--endpoint", metavar="ENDPOINT", help=text)(function)


def endpoint_of(config: str | None, endpoint: str | None = None) -> Target:
    """The control endpoint that sluice.yaml names; ends with 2 when there is no such file.

    A file that is broken elsewhere must not keep its owner from asking the gateway that runs: the endpoint that it
    names counts. Where it names none the command ends with 1: the default endpoint may be another gateway's. Where
    `endpoint` is given, sluice.yaml only says where keys are.
    """
    if endpoint is not None:
        path = need_config(config) if config is not None else find_config(None)
        return Target(endpoint, keys_folder(path or DEFAULT_PATHS[0]))
    path = need_config(config)
    try:
        control = load_config(path).control
    except Problems as wrong:
        control = read_control(path)
        if not control:
            words = f"{escape(path)} does not say which gateway is to be asked"
            hint = "mend the file, or name the gateway with --endpoint"
            fail_with(words, wrong.errors, wrong.errors_left_out, hint)
    if not control:
        fail(f"{escape(path)}: {ENDPOINT_UNSET}", PROBLEM, "set it, or name the gateway with --endpoint")
    return Target(control, keys_folder(path))


def ask(target: Target, request: Mapping[str, object], timeout: float = 10.0) -> dict[str, object]:
    """The gateway's answer; ends with 1 when none comes or it is a refusal."""
    from supervisor.control.client import ControlClient, ControlError  # ZeroMQ, which no offline question needs

    try:
        with ControlClient(target.endpoint, timeout, target.keys) as client:
            return client.call(request)
    except ControlError as error:
        fail("\n".join(escape(line) for line in str(error).splitlines()))
