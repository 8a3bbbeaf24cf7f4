"""Regular expressions of manifests, in RE2's syntax and of bounded size."""

from typing import Final

from supervisor.policy.regex.expression import Refused, compile_expression, refusal
from supervisor.source.node import Node
from supervisor.source.problems import quote

MOST_EXPRESSION: Final = 1024  # bytes of one regular expression


def expression(node: Node, *, search: bool = False) -> str:
    """A regular expression in RE2's syntax: texts match it whole or, with `search`, have it somewhere. Raises Invalid
    with the reason of RE2, or of the compiler of tables."""
    text = node.text()
    if len(text.encode()) > MOST_EXPRESSION:
        raise node.invalid(f"a regular expression of more than {MOST_EXPRESSION} bytes")
    if (reason := refusal(text)) is not None:
        raise node.invalid(f"not a regular expression: {reason}", "RE2's syntax: no look-around")
    try:
        compile_expression(text, search=search)
    except Refused as wrong:
        raise node.invalid(f"the regular expression {quote(text)} is refused: {wrong}") from None
    return text
