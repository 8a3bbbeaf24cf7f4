"""Regular expressions of manifests, in RE2's syntax and of bounded size."""

from typing import Final

from supervisor.policy.regex.expression import refusal
from supervisor.source.node import Node

MOST_EXPRESSION: Final = 1024  # bytes of one regular expression


def expression(node: Node) -> str:
    """A regular expression in RE2's syntax. Raises Invalid with the library's reason, or for one that is too large."""
    text = node.text()
    if len(text.encode()) > MOST_EXPRESSION:
        raise node.invalid(f"a regular expression of more than {MOST_EXPRESSION} bytes")
    if (reason := refusal(text)) is not None:
        raise node.invalid(f"not a regular expression: {reason}", "RE2's syntax: no look-around")
    return text
