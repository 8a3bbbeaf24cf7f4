"""Regular expressions of manifests, in RE2's syntax and of bounded size."""

from typing import Final

from supervisor.source.node import Node

MOST_EXPRESSION: Final = 1024  # bytes of one regular expression
MOST_MEMORY: Final = 1 << 20  # bytes that its automaton may take


def expression(node: Node) -> str:
    """A regular expression in RE2's syntax. Raises Invalid with the library's reason, or for one that is too large."""
    import re2  # type: ignore[import-untyped] # late: it takes a while to load, and few policies have one

    text = node.text()
    if len(text.encode()) > MOST_EXPRESSION:
        raise node.invalid(f"a regular expression of more than {MOST_EXPRESSION} bytes")
    options = re2.Options()
    options.log_errors, options.max_mem = False, MOST_MEMORY
    try:
        re2.compile(text, options)
    except re2.error as wrong:
        reason = wrong.args[0].decode("utf-8", "replace") if isinstance(wrong.args[0], bytes) else str(wrong)
        raise node.invalid(f"not a regular expression: {reason}", "RE2's syntax: no look-around") from None
    return text
