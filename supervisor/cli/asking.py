"""How commands reach a running gateway: its control endpoint by its configuration, one question, one answer."""

from collections.abc import Mapping

import yaml

from supervisor.cli.common import fail, need_config
from supervisor.config import load_config
from supervisor.control_client import ControlClient, ControlError
from supervisor.machine import control_endpoint
from supervisor.problems import Problems, escape


def endpoint_of(config: str | None) -> str:
    """The control endpoint that sluice.yaml names; ends with 2 when there is no such file.

    A file that is broken elsewhere must not keep its owner from asking the gateway that runs: then the endpoint alone
    is read, without judging the rest.
    """
    path = need_config(config)
    try:
        return load_config(path).control
    except Problems:
        return _endpoint_alone(path) or control_endpoint()


def ask(endpoint: str, request: Mapping[str, object], timeout: float = 10.0) -> dict[str, object]:
    """The gateway's answer; ends with 1 when there is none or it says no."""
    try:
        with ControlClient(endpoint, timeout) as client:
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
