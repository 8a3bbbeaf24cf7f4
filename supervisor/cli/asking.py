"""How commands reach a running gateway: its control endpoint by its configuration, one question, one answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import click
import yaml

from supervisor.cli.common import Command, fail, need_config
from supervisor.config import find_config, load_config
from supervisor.control_client import ControlClient, ControlError
from supervisor.curve import keys_folder
from supervisor.machine import control_endpoint
from supervisor.problems import Problems, escape


class Target(NamedTuple):
    """Whom to ask. `keys`: the folder for an endpoint over tcp://."""

    endpoint: str
    keys: Path


def endpoint_option(function: Command) -> Command:
    """`--endpoint`, handed over as `endpoint`: what was written, or None."""
    text = "Ask there, and not where sluice.yaml says: for a gateway that was started before control.endpoint changed."
    return click.option("--endpoint", metavar="ENDPOINT", help=text)(function)


def endpoint_of(config: str | None, endpoint: str | None = None) -> Target:
    """The control endpoint that sluice.yaml names; ends with 2 when there is no such file.

    A file that is broken elsewhere must not keep its owner from asking the gateway that runs: then the endpoint alone
    is read, without judging the rest. Where `endpoint` is given, sluice.yaml only says where keys are.
    """
    if endpoint is not None:
        return Target(endpoint, keys_folder(find_config(config) or config or "sluice.yaml"))
    path = need_config(config)
    try:
        return Target(load_config(path).control, keys_folder(path))
    except Problems:
        return Target(_endpoint_alone(path) or control_endpoint(), keys_folder(path))


def ask(target: Target, request: Mapping[str, object], timeout: float = 10.0) -> dict[str, object]:
    """The gateway's answer; ends with 1 when there is none or it says no."""
    try:
        with ControlClient(target.endpoint, timeout, target.keys) as client:
            return client.call(request)
    except ControlError as error:
        fail("\n".join(escape(line) for line in str(error).splitlines()))


def _endpoint_alone(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            found = yaml.load(file, yaml.CSafeLoader)
        endpoint = found["control"]["endpoint"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, RecursionError):
        return ""
    return endpoint if isinstance(endpoint, str) else ""
