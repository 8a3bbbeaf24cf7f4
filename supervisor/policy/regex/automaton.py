"""From a tree to an automaton over bytes whose steps and empty steps are lists (Thompson's construction)."""

from typing import Final

import msgspec

from supervisor.policy.regex.characters import Ranges, sequences
from supervisor.policy.regex.syntax import Any, Assertion, Choice, Node, Refused, Repeat, Sequence

__all__ = ["ALWAYS", "CONDITIONS", "Automaton", "automaton_of"]

MOST_STATES: Final = 60_000
# Numbers of conditions of empty steps; determinise.pyx knows them as well.
ALWAYS: Final = 0
CONDITIONS: Final = {"begin": 1, "end": 2, "begin_line": 3, "end_line": 4, "word": 5, "not_word": 6}


class Automaton(msgspec.Struct):
    """States are numbers. `steps[state]`: (lowest byte, highest byte, to); `empty[state]`: (condition, to)."""

    steps: list[list[tuple[int, int, int]]]
    empty: list[list[tuple[int, int]]]
    start: int
    final: int

    def state(self) -> int:
        if len(self.steps) >= MOST_STATES:
            raise Refused(f"it repeats too much: its automaton has more than {MOST_STATES:,} states")
        self.steps.append([])
        self.empty.append([])
        return len(self.steps) - 1


def automaton_of(node: Node) -> Automaton:
    """Raises Refused for one that is too large."""
    made = Automaton([], [], 0, 0)
    made.final = made.state()
    made.start = _before(made, node, made.final)
    return made


def _before(made: Automaton, node: Node, to: int) -> int:
    """The state from which `node` leads to `to`."""
    match node:
        case Any(of):
            return _characters(made, of, to)
        case Assertion(kind):
            state = made.state()
            made.empty[state].append((CONDITIONS[kind], to))
            return state
        case Sequence(of):
            for part in reversed(of):
                to = _before(made, part, to)
            return to
        case Choice(of):
            state = made.state()
            for part in of:
                made.empty[state].append((ALWAYS, _before(made, part, to)))
            return state
        case Repeat(of, least, most):
            return _repeated(made, of, least, most, to)


def _repeated(made: Automaton, node: Node, least: int, most: int | None, to: int) -> int:
    if most is None:
        again = made.state()
        made.empty[again] += [(ALWAYS, _before(made, node, again)), (ALWAYS, to)]
        to = again
    else:
        end = to
        for _ in range(most - least):
            state = made.state()
            made.empty[state] += [(ALWAYS, _before(made, node, to)), (ALWAYS, end)]
            to = state
    for _ in range(least):
        to = _before(made, node, to)
    return to


def _characters(made: Automaton, ranges: Ranges, to: int) -> int:
    """One state, and one for each different end of a sequence of bytes."""
    first = made.state()
    ends: dict[tuple[tuple[int, int], ...], int] = {}
    for sequence in sequences(ranges):
        at = to
        for kept in range(len(sequence) - 1, 0, -1):
            end = sequence[kept:]
            if end not in ends:
                ends[end] = made.state()
                made.steps[ends[end]].append((*end[0], at))
            at = ends[end]
        made.steps[first].append((*sequence[0], at))
    return first
