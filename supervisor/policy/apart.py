"""Objects that come one by one, as those of a cluster do (DECISIONS.md sections 5 and 9).

One that cannot be used (invalid, without a grant, over the budget of its namespace) is refused alone: every other
one takes effect, and it closes what it selects. Documents that are not objects stay the matter of their file.
"""

from bisect import bisect_right
from collections import defaultdict
from typing import Final, NamedTuple

import msgspec

from supervisor.config.tenants import Budget
from supervisor.policy.budgets import Cost, Named, cost_of, over_budget
from supervisor.policy.cluster.objects import Fact
from supervisor.policy.dialects.dialect import Part, Surroundings
from supervisor.policy.grants import Granted
from supervisor.policy.loader import File, Loader, Policy, policy_of, read_into
from supervisor.policy.registry import closed_by, is_namespaced, reader_of
from supervisor.policy.remembered import Reading, Remembered, Skipped
from supervisor.policy.resources.manifest import Manifest, Metadata, read_frame
from supervisor.policy.resources.model import Destination, Item, Rules, Selector
from supervisor.policy.resources.status import Status
from supervisor.source.problems import Invalid, Place, Problem, Problems

__all__ = ["MOST", "Apart"]

MOST: Final = 1_000_000  # errors that are kept: one that is left out would leave its object in use
Key = tuple[str, str, str]


class Object(NamedTuple):
    """One object. `read` is None where it could not be read, `selectors` are what it closes where it cannot be used."""

    named: Named
    read: Rules | Part | None
    selectors: tuple[Selector, ...]
    errors: tuple[Problem, ...]


class _Objects(File):
    """Reads a file object by object."""

    def __init__(self, roots: tuple[str, ...], objects: list[Object], surroundings: Surroundings) -> None:
        super().__init__(roots)
        self.objects = objects
        self.surroundings = surroundings

    def resource(self, manifest: Manifest) -> None:
        """Faults of one object stay with it. One that has no name cannot be refused by itself."""
        problems = Problems()
        read: Rules | Part | None = None
        metadata = self._frame(manifest)
        try:
            reader = reader_of(manifest, problems)
            if reader is None:
                self.skipped.append(Skipped(manifest.kind, manifest.node.mapping()["kind"][1].place))
                return
            read = reader(manifest, self.roots, problems)
        except Invalid as wrong:
            problems.add(wrong.problem)
        for warning in problems.warnings:
            self.problems.warn(warning)
        if metadata is None or (is_namespaced(manifest) and not metadata.namespace):
            for error in problems.errors:
                self.problems.add(error)
            return
        self.resources += 1
        space = metadata.namespace or ""
        cost = cost_of(read) if read is not None and not isinstance(read, Fact) else Cost()
        place, group = manifest.node.place, manifest.group
        named = Named(manifest.kind, space, metadata.name, place, metadata.created, cost, group)
        selectors = closed_by(manifest, space, self.surroundings)
        self.named.append(named)
        self.objects.append(Object(named, read, selectors, tuple(problems.errors)))

    def _frame(self, manifest: Manifest) -> Metadata | None:
        """Name and namespace, however wrong the rest is."""
        scratch = Problems()
        try:
            metadata = read_frame(manifest, scratch)[1]
        except Invalid:
            return None
        return metadata if metadata.name else None


class Apart:
    """The objects of policy paths, and which of them are refused."""

    def __init__(
        self,
        paths: tuple[str, ...],
        places: tuple[Place, ...],
        problems: Problems,
        surroundings: Surroundings,
        granted: Granted,
        budget: Budget,
    ) -> None:
        """Reads all files. What is wrong with them, and not with an object, goes to `problems`."""
        self.problems = problems
        self.surroundings = surroundings
        self.granted = granted
        self.objects: list[Object] = []
        self.loader = Loader(
            paths,
            problems,
            Reading(Remembered()),
            lambda data, path, roots: read_into(_Objects(roots, self.objects, surroundings), data, path),
        )
        self.loader.all(paths, places)
        self.refused: dict[Key, tuple[str, list[Problem]]] = {}
        self.keys = {one.named.key: one for one in self.objects}
        self.starts: dict[str, list[tuple[int, int, Key]]] = defaultdict(list)
        for one in self.objects:
            place = one.named.place
            self.starts[place.file].append((place.line, place.column, one.named.key))
            if one.errors:
                self.refused[one.named.key] = ("Invalid", list(one.errors))
        for starts in self.starts.values():
            starts.sort()
        usable = (one.named for one in self.objects if one.named.key not in self.refused)
        for named, words in over_budget(usable, budget):
            self.refused[named.key] = ("OverBudget", [_problem(named.place, words)])

    def policy(self) -> Policy:
        """Of the objects that can be used; what the others select is closed."""
        again = True
        while again:
            trial = Problems(MOST)
            usable = [one.read for one in self.objects if one.named.key not in self.refused and one.read is not None]
            own = [read for read in usable if isinstance(read, Rules) and read.items]
            parts = [read for read in usable if isinstance(read, Part)]
            found = policy_of(self.loader, [*self.loader.rules, *own], parts, self.surroundings, trial)
            again = self.refuse(trial.errors)
            again |= self.refuse([each for rules in found.rules for each in self._violations(rules)], "NotGranted")
        for warning in trial.warnings:
            self.problems.warn(warning)
        rules, statuses = (*found.rules, *self._closing()), tuple(sorted((*found.statuses, *self.statuses())))
        return msgspec.structs.replace(found, rules=rules, statuses=statuses)

    def refuse(self, errors: list[Problem], reason: str = "Invalid") -> bool:
        """Refuses the objects in which these are; whether there is any that was not refused. The others are errors."""
        found = False
        for error in errors:
            key = self._owner(error)
            if key is None:
                self.problems.add(error)
            else:
                found |= key not in self.refused
                self.refused.setdefault(key, (reason, []))[1].append(error)
        return found

    def errors(self) -> list[Problem]:
        """All that is wrong with objects."""
        return [problem for _, problems in self.refused.values() for problem in problems]

    def statuses(self) -> list[Status]:
        """A condition of each that is refused."""
        found = []
        for key, (reason, problems) in self.refused.items():
            place, more = self.keys[key].named.place, len(problems) - 1
            words = problems[0].message + (f" (and {more} more)" if more else "")
            found.append(Status(*key, "", "Accepted", False, reason, words, place.file, place.line, place.column))
        return sorted(found)

    def _violations(self, rules: Rules) -> list[Problem]:
        owned = rules.namespace and (rules.kind, rules.namespace, rules.name) in self.keys
        return list(self.granted.violations(rules)) if owned else []

    def _owner(self, problem: Problem) -> Key | None:
        """The object in which a problem stands: the last one that begins before it."""
        starts = self.starts.get(problem.file, [])
        at = bisect_right(starts, (problem.line, problem.column, ("\U0010ffff",) * 3))
        return starts[at - 1][2] if at and problem.line else None

    def _closing(self) -> list[Rules]:
        """The rules that close what refused objects select."""
        found = []
        for key in self.refused:
            one = self.keys[key]
            place = one.named.place
            item = Item(0, place.line, place.column, Destination(anything=True))
            if one.selectors:
                closing = Rules(*key, place.file, "deny", one.selectors, (item,), one.named.created, invalid=True)
                found.append(closing)
        return found


def _problem(place: Place, words: str) -> Problem:
    return Problem(place.file, place.line, place.column, words)
