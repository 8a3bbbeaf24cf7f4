"""Answers to questions about policy: from files, compiled once, or from a running gateway."""

import functools
from typing import Any, Final

import msgspec

from gateway.policy.image import PolicyImage
from supervisor.cli.asking import Target, ask, endpoint_of
from supervisor.cli.common import compile_or_exit, fail_with, need_config
from supervisor.cli.turning import from_trail, turning
from supervisor.config.config import Config
from supervisor.host.lookup import STARTING, resolve_blocking
from supervisor.identity.users import load_users
from supervisor.policy.explanation import Question, at_listener, explain, name_to_resolve, with_addresses
from supervisor.policy.reach import reach
from supervisor.source.escape import escape
from supervisor.source.problems import Problems

__all__ = ["Files", "Live", "is_failure"]

PATIENCE: Final = 10.0  # seconds, and those of a look-up


class Files:
    """The policy as `run` would load it. The command ends with 1 where it is wrong."""

    def __init__(self, config: str | None) -> None:
        self._config = config

    @functools.cached_property
    def _compiled(self) -> tuple[PolicyImage, Config, bytes]:
        path = need_config(self._config)
        result = compile_or_exit(path)
        if result.image is None or result.config is None:
            fail_with(f"{escape(path)} cannot be used", result.problems, result.problems_left_out)
        try:
            image = PolicyImage.from_fd(result.image)
            image.attach(-1 if result.workloads is None else result.workloads)
            return image, result.config, result.rules
        finally:
            result.close()

    def answer(self, question: Question) -> dict[str, Any]:
        """Raises QuestionError and LookupFailed."""
        image, config, rules = self._compiled
        question = at_listener(config, question)
        if question.reach:
            return reach(image, config, rules, 0, question)
        answer = explain(image, config, question)
        if (name := name_to_resolve(question, answer)) is None:
            return answer
        return with_addresses(image, config, question, answer, resolve_blocking(name, config.dns_settings()))

    def turning(self, question: Question, answer: dict[str, Any]) -> dict[str, Any]:
        """The changes that would turn a denial."""
        image, config, rules = self._compiled
        users = load_users(config.identity.users, Problems()) if config.identity.users else ()
        asked = tuple(each["address"] for each in answer["addresses"])
        question = msgspec.structs.replace(
            at_listener(config, question), address=asked or question.address, resolve=False
        )
        return turning(image, config, users, rules, question, answer)


class Live:
    """The policy of the gateway that runs."""

    def __init__(self, config: str | None, endpoint: str | None) -> None:
        self._config, self._endpoint = config, endpoint

    @functools.cached_property
    def _target(self) -> Target:
        return endpoint_of(self._config, self._endpoint)

    def answer(self, question: Question) -> dict[str, Any]:
        """The command ends with 1 where no gateway answers, or it refuses."""
        patience = PATIENCE + (STARTING if question.resolve else 0.0)
        answer = ask(self._target, {"op": "explain", **question.request()}, patience)
        answer.pop("ok", None)
        return answer

    def turning(self, question: Question, answer: dict[str, Any]) -> dict[str, Any]:
        """The changes that would turn a denial, as far as its answer tells."""
        return from_trail(answer, question)


def is_failure(answer: dict[str, Any]) -> bool:
    """For --fail: a denial, or an answer that something unknown may turn."""
    return bool(answer["verdict"] == "deny" or answer["unknown"])
