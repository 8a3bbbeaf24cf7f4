"""From policy paths to rules: finds files, reads documents, hands resources to dialects. It compiles nothing."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, cast

import msgspec

from supervisor.config.tenants import Budget
from supervisor.policy.budgets import Cost, Named, cost_of, over_budget
from supervisor.policy.cluster.objects import Fact
from supervisor.policy.cluster.services import ClusterServices, Grant
from supervisor.policy.cluster.workloads import Workload, workloads_of
from supervisor.policy.dialects.dialect import Part, Surroundings
from supervisor.policy.dialects.gateway_api.origination import secured_by
from supervisor.policy.dialects.gateway_api.resources import ReferenceGrant
from supervisor.policy.registry import AnyPart, mesh_opens, rates_of, reader_of, rules_of, statuses_of, whole_file
from supervisor.policy.remembered import FileContent, Reading, Remembered, Skipped, lists_of
from supervisor.policy.resources.host_lists import inside, list_roots
from supervisor.policy.resources.manifest import Manifest, manifests_of
from supervisor.policy.resources.model import Origination, Rules
from supervisor.policy.resources.rates import Rate
from supervisor.policy.resources.status import Status
from supervisor.source.node import Node
from supervisor.source.problems import Invalid, Place, Problems, quote
from supervisor.source.yaml_source import each_document

SUFFIXES: Final = (".yaml", ".yml", ".json")
MOST_FILES: Final = 100_000
MOST_FOLDERS: Final = 64  # deep
MOST_SKIPPED: Final = 10  # kinds that are named


__all__ = ["File", "Loader", "Policy", "Surroundings", "load_policy", "policy_of", "read", "read_into"]


class Policy(msgspec.Struct, frozen=True):
    """The loaded policy: the rules of each resource, in no particular order. `files` and `resources`: how many they
    came from.

    `roots` are the real folders that host lists may lie in, `facts` the cluster's objects, `workloads` those that have
    an address. `mesh_opens`: whether the mesh's own settings let out what no rule names; None where there are none.
    `statuses`: the conditions of resources; `backends`: TLS towards Services; `rates`: limits of requests at listeners.
    """

    rules: tuple[Rules, ...]
    files: int
    resources: int
    roots: tuple[str, ...] = ()
    mesh_opens: bool | None = None
    facts: tuple[Fact, ...] = ()
    statuses: tuple[Status, ...] = ()
    workloads: tuple[Workload, ...] = ()
    backends: tuple[Origination, ...] = ()
    rates: tuple[Rate, ...] = ()


def load_policy(
    paths: tuple[str, ...],
    places: tuple[Place, ...],
    problems: Problems,
    reading: Reading | None = None,
    surroundings: Surroundings | None = None,
    budget: Budget | None = None,
) -> Policy:
    """All rules of the absolute `paths`; `places` says where each is named. What is wrong goes to `problems`.
    `reading` may know files that were read before; the result is the same without it. `surroundings`: what of
    sluice.yaml they depend on. `budget`: policy.perNamespace; an excess is an error of its file."""
    loader = Loader(paths, problems, reading if reading is not None else Reading(Remembered()), read)
    loader.all(paths, places)
    over = set()  # their rules may be too many to be made
    for named, words in over_budget(loader.named.values(), budget) if budget is not None else ():
        problems.error(named.place, words)
        over.add(named.key)
    parts = [part for part in loader.parts if part.key not in over] if over else loader.parts
    return policy_of(loader, loader.rules, parts, surroundings or Surroundings(), problems)


def policy_of(
    loader: "Loader", rules: list[Rules], parts: list[Part], surroundings: Surroundings, problems: Problems
) -> Policy:
    """The second pass: what a loader read as one policy, with the rules that parts give."""
    opens = mesh_opens(parts)
    if surroundings.passthrough == "mesh":
        surroundings = msgspec.structs.replace(surroundings, passthrough=bool(opens))
    if surroundings.passthrough and parts:
        allows = (each.selectors for each in rules if each.tier == "allow")
        surroundings = msgspec.structs.replace(surroundings, allowed=frozenset().union(*allows))
    facts = tuple(part for part in parts if isinstance(part, Fact))
    workloads = tuple(workloads_of(facts))
    grants = (_grant(part) for part in parts if isinstance(part, ReferenceGrant))
    secured = tuple(secured_by(parts))
    known = ClusterServices(facts, workloads, grants, surroundings.cluster_domain, secured)
    surroundings = msgspec.structs.replace(surroundings, known=known)
    found = (*rules, *rules_of(parts, surroundings, problems))
    tell_of_skipped(loader.skipped, problems)
    return Policy(
        rules=found,
        files=len(loader.files),
        resources=loader.resources,
        roots=loader.roots,
        mesh_opens=opens,
        facts=facts,
        statuses=tuple(statuses_of(parts, surroundings, problems)),
        workloads=workloads,
        backends=tuple(one.tls for one in secured),
        rates=rates_of(parts, surroundings),
    )


def _grant(part: ReferenceGrant) -> Grant:
    sources = frozenset((one.group, one.kind, one.namespace) for one in part.sources)
    return Grant(part.namespace, sources, frozenset((one.group, one.kind, one.name) for one in part.targets))


def tell_of_skipped(skipped: list[Skipped], problems: Problems) -> None:
    """One line for all manifests that have nothing to do with egress, at the first of them."""
    if not skipped:
        return
    kinds = Counter(one.kind for one in skipped)
    words = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())[:MOST_SKIPPED])
    if len(kinds) > MOST_SKIPPED:
        words += f" and {len(kinds) - MOST_SKIPPED} kinds more"
    problems.warning(min(one.place for one in skipped), f"skipped, as they have nothing to do with egress: {words}")


Reader = Callable[[bytes, str, tuple[str, ...]], FileContent]


class Loader:
    """Collects rules; each file and each folder is read once, by whatever name it is reached."""

    def __init__(self, paths: tuple[str, ...], problems: Problems, reading: Reading, read: Reader) -> None:
        """`read` takes a file's bytes, its path, and the real folders that host lists may lie in."""
        self.problems = problems
        self.reading = reading
        self.read = read
        self.rules: list[Rules] = []
        self.parts: list[Part] = []
        self.skipped: list[Skipped] = []
        self.resources = 0
        self.files: set[tuple[int, int]] = set()
        self.folders: set[tuple[int, int]] = set()
        self.named: dict[tuple[str, str, str, str], Named] = {}
        self.roots = list_roots(paths)

    def all(self, paths: tuple[str, ...], places: tuple[Place, ...]) -> None:
        """Every entry of policy.paths."""
        for path, place in zip(paths, places, strict=True):
            try:
                self.path(path, place)
            except Invalid as wrong:
                self.problems.add(wrong.problem)

    def path(self, path: str, place: Place) -> None:
        """One entry of policy.paths: a file, whatever its suffix, or a folder."""
        try:
            found = os.stat(path)
        except (OSError, ValueError) as wrong:
            reason = getattr(wrong, "strerror", None) or "not a file name"
            raise Invalid(place, f"policy path {quote(path)}: {reason}") from None
        if not stat.S_ISDIR(found.st_mode):
            self.file(path, found)
            return
        before = len(self.files)
        for name, one in self.walk(path, found, 0):
            if len(self.files) >= MOST_FILES:
                raise Invalid(place, f"more than {MOST_FILES} policy files")
            self.file(name, one)
        if len(self.files) == before:
            self.problems.warning(place, f"no policy file in {quote(path)}", "*.yaml, *.yml and *.json are read")

    def walk(self, folder: str, found: os.stat_result, depth: int) -> Iterator[tuple[str, os.stat_result | None]]:
        """Manifests below a folder, sorted, each with its stat (None: it has none); dot entries skipped, symlinks
        followed, no folder twice."""
        if (found.st_dev, found.st_ino) in self.folders:
            return
        self.folders.add((found.st_dev, found.st_ino))
        try:
            names = sorted(os.listdir(folder))
        except OSError as wrong:
            self.problems.error(Place(folder), f"cannot be read: {wrong.strerror}")
            return
        for name in names:
            if name.startswith("."):
                continue
            path = os.path.join(folder, name)
            try:
                one = os.stat(path)
            except (OSError, ValueError):
                one = None
            if one is None or not stat.S_ISDIR(one.st_mode):
                if name.endswith(SUFFIXES):
                    yield path, one
            elif depth >= MOST_FOLDERS:
                self.problems.error(Place(path), f"folders are nested deeper than {MOST_FOLDERS}")
            else:
                yield from self.walk(path, one, depth + 1)

    def file(self, path: str, found: os.stat_result | None) -> None:
        """All that one file gives, from memory where it has not changed."""
        if found is not None:
            if (found.st_dev, found.st_ino) in self.files:
                return
            self.files.add((found.st_dev, found.st_ino))
        try:
            content = self.reading.content(path, found, lambda data: self.read(data, path, self.roots), self.holds)
        except Invalid as wrong:
            self.problems.add(wrong.problem)
            return
        content.tell(self.problems)
        self.resources += content.resources
        self.rules.extend(content.rules)
        self.parts.extend(content.parts)
        self.skipped.extend(content.skipped)
        for named in content.named:
            self.unique(named)

    def holds(self, content: FileContent) -> bool:
        """Whether host lists still lie where they may: a link to one may have been turned, and the policy paths may be
        others."""
        return all(inside(os.path.realpath(path), self.roots) for path in content.lists)

    def unique(self, named: Named) -> None:
        """No two resources share group, kind, namespace and name."""
        first = self.named.setdefault((named.group, *named.key), named)
        if first is not named:
            self.problems.error(named.place, f"duplicate {named.title}", f"it is first defined at {first.place}")


def read(data: bytes, path: str, roots: tuple[str, ...]) -> FileContent:
    """All documents of one file, from its bytes. `roots`: real folders that host lists may lie in."""
    return read_into(File(roots), data, path)


def read_into(file: "File", data: bytes, path: str) -> FileContent:
    """The same, by a reader of its resources."""
    empty = True
    try:
        for document in each_document(data, path, file.problems):
            if not document.is_null:
                empty = False
                file.document(document)
        if empty:
            raise Invalid(Place(path), "the file holds no resource", "remove it, if that is meant")
    except Invalid as wrong:
        file.problems.add(wrong.problem)
    return file.content()


class File:
    """Collects the rules of one file."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self.roots = roots
        self.problems = Problems()
        self.rules: list[Rules] = []
        self.parts: list[AnyPart] = []
        self.skipped: list[Skipped] = []
        self.named: list[Named] = []
        self.resources = 0

    def content(self) -> FileContent:
        problems = self.problems
        return FileContent(
            rules=tuple(self.rules),
            named=tuple(self.named),
            resources=self.resources,
            lists=lists_of(self.rules),
            parts=tuple(self.parts),
            skipped=tuple(self.skipped),
            errors=tuple(problems.errors),
            errors_left_out=problems.errors_left_out,
            warnings=tuple(problems.warnings),
            warnings_left_out=problems.warnings_left_out,
        )

    def document(self, document: Node) -> None:
        """The resources of one document."""
        try:
            if whole := whole_file(document, self.problems):
                name, rules = whole
                self.rules += rules
                self.resources += 1
                self.named.append(Named(name, "", "file", document.place))  # one gateway has one of them
                return
            for manifest in manifests_of(document, self.problems):
                self.resource(manifest)
        except Invalid as wrong:
            self.problems.add(wrong.problem)

    def resource(self, manifest: Manifest) -> None:
        """One resource; its rules are kept."""
        try:
            reader = reader_of(manifest, self.problems)
            if reader is None:
                self.skipped.append(Skipped(manifest.kind, manifest.node.mapping()["kind"][1].place))
                return
            read = reader(manifest, self.roots, self.problems)
        except Invalid as wrong:
            self.problems.add(wrong.problem)
            return
        self.resources += 1
        if isinstance(read, Rules):
            if not read.items:
                return
            self.rules.append(read)
        else:
            self.parts.append(cast(AnyPart, read))
        cost = cost_of(read) if not isinstance(read, Fact) else Cost()
        place, group = manifest.node.place, manifest.group
        self.named.append(Named(read.kind, read.namespace, read.name, place, read.created, cost, group))
