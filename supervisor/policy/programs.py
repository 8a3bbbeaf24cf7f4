"""Conditions of rules as the steps of a program (csrc/policy/program.h)."""

from collections.abc import Callable
from typing import Final, Protocol

import supervisor.policy.builder as image
from supervisor.policy.requests import Literals, Requests
from supervisor.policy.resources.conditions import AllOf, AnyOf, Asks, Condition, Not, Path, Shows, Through, Within
from supervisor.policy.resources.terms import Selector
from supervisor.source.problems import Invalid, Place

__all__ = ["Ids", "Programs"]

Step = tuple[int, int]
NEVER: Final = (image.STEP_OR, 0)


class Ids(Literals, Protocol):
    """The part of the builder that programs need."""

    def program(self, steps: list[Step]) -> int: ...
    def within(self, cidrs: tuple[str, ...]) -> int: ...
    def string(self, text: str) -> int: ...


class Programs:
    """Programs of one image; equal sets of blocks are one. `who`: the builder's id of a set of sources."""

    def __init__(self, builder: Ids, who: Callable[[tuple[Selector, ...]], int]) -> None:
        self._builder = builder
        self._who = who
        self._withins: dict[tuple[str, ...], int] = {}
        self._networks: dict[str, int] = {}
        self._requests = Requests(builder)

    def network(self, name: str) -> int:
        """The number of a network of destinations, from 1; "" is 0."""
        return self._networks.setdefault(name, len(self._networks) + 1) if name else 0

    def path(self, place: Place, path: Path | None) -> int:
        """The id of the path that an item wants; None = any, 0. Raises Invalid."""
        return 0 if path is None else self._requests.literal(place.file, path)

    def program(self, place: Place, *conditions: Condition | None, in_network: str = "") -> int:
        """The id of the program that all of `conditions` hold, in that network. Raises Invalid for one that is too
        long."""
        parts = [self._steps(place.file, condition) for condition in conditions if condition is not None]
        if in_network:
            parts.append([(image.STEP_NETWORK, self.network(in_network))])
        if not parts:
            return 0
        steps = [step for part in parts for step in part]
        if len(parts) > 1:
            steps.append((image.STEP_AND, len(parts)))
        if len(steps) > image.PROGRAM_STEPS:
            words = f"its conditions take {len(steps)} steps, more than {image.PROGRAM_STEPS}"
            raise Invalid(place, words, "split the resource in two")
        return self._builder.program(steps)

    def _steps(self, file: str, condition: Condition) -> list[Step]:
        match condition:
            case AllOf(of):
                return [*(step for part in of for step in self._steps(file, part)), (image.STEP_AND, len(of))]
            case AnyOf(of):
                return [*(step for part in of for step in self._steps(file, part)), (image.STEP_OR, len(of))]
            case Not(of):
                return [*self._steps(file, of), (image.STEP_NOT, 0)]
            case Asks(selectors):
                return [(image.STEP_SOURCE, self._who(selectors)) if selectors else NEVER]
            case Through(listener):
                return [(image.STEP_LISTENER, self._builder.string(listener))]
            case Shows(protocol):
                return [(image.STEP_SHOWS, image.SHOWS[protocol])]
            case Within(cidrs):
                if cidrs not in self._withins:
                    self._withins[cidrs] = self._builder.within(cidrs)
                return [(image.STEP_WITHIN, self._withins[cidrs])]
        return [(image.STEP_REQUEST, self._requests.literal(file, condition))]
