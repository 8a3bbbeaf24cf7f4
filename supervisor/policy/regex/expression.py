"""One regular expression: judged by RE2 itself, then made a table."""

from typing import Final

import msgspec

from supervisor.policy.regex.automaton import automaton_of
from supervisor.policy.regex.determinise import Exploded, tables_of
from supervisor.policy.regex.syntax import Any, Assertion, Node, Refused, Sequence, parse

__all__ = ["MOST_STATES", "Refused", "Table", "beginning", "compile_expression", "refusal", "states_of"]

MOST_STATES: Final = 10_000  # DECISIONS.md section 6
MOST_MEMORY: Final = 1 << 20  # bytes that RE2's own automaton may take


class Table(msgspec.Struct, frozen=True):
    """A deterministic automaton, as small as can be: equal ones are equal bytes.

    `classes`: the class of each of the 256 bytes. `cells`: for each state, by class, the next one, u16 little-endian.
    State 0 never accepts, whatever comes; those from `accepting` on accept at the end of the text, and `certain` does
    whatever comes; 0 = there is no such state.
    """

    classes: bytes
    cells: bytes
    states: int
    width: int  # how many classes there are
    start: int
    accepting: int
    certain: int


def refusal(text: str) -> str | None:
    """Why RE2 does not accept it; None = it does."""
    import re2  # type: ignore[import-untyped] # late: it takes a while to load, and few policies have one

    options = re2.Options()
    options.log_errors, options.max_mem = False, MOST_MEMORY
    try:
        re2.compile(text, options)
    except re2.error as wrong:
        return wrong.args[0].decode("utf-8", "replace") if isinstance(wrong.args[0], bytes) else str(wrong)
    return None


def compile_expression(text: str, *, search: bool) -> Table:
    """Of texts that it matches whole, or, with `search`, that it is found in. Raises Refused with the reason."""
    if (reason := refusal(text)) is not None:
        raise Refused(reason)
    made = automaton_of(parse(text))
    try:
        return Table(*tables_of(made.steps, made.empty, made.start, made.final, search, MOST_STATES))
    except Exploded:
        words = f"its table would have more than {MOST_STATES:,} states, or take too long to make"
        raise Refused(words) from None


def states_of(text: str, *, search: bool) -> int:
    """How many states its table has; the most there can be where it is refused."""
    try:
        return compile_expression(text, search=search).states
    except Refused:
        return MOST_STATES


def beginning(text: str, *, search: bool) -> str:
    """The elements that every path which matches begins with, as `/a/b`; "" = any path may match."""
    letters, _, anchored = _beginning(parse(text), not search)
    if not anchored or not letters.startswith("/"):
        return ""
    return letters[: letters.rfind("/")]


def _beginning(node: Node, anchored: bool) -> tuple[str, bool, bool]:
    """The letters that what it matches begins with, whether they are all of it, and whether they stand at the start."""
    match node:
        case Assertion(kind):
            return "", True, anchored or kind == "begin"
        case Any(((low, high),)) if low == high and low < 128:
            return (chr(low), True, True) if anchored else ("", False, False)
        case Sequence(of):
            letters = ""
            for part in of:
                more, whole, anchored = _beginning(part, anchored)
                letters += more
                if not whole:
                    return letters, False, anchored
            return letters, True, anchored
    return "", False, anchored
