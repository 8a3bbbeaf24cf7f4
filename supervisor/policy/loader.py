"""From policy paths to rules: finds files, reads documents, hands resources to dialects. It compiles nothing."""

import os
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from supervisor.node import Node
from supervisor.policy.dialects import egress_policy
from supervisor.policy.host_lists import list_roots
from supervisor.policy.manifest import Manifest, manifests_of
from supervisor.policy.model import Rule
from supervisor.problems import Invalid, Place, Problems, did_you_mean, quote
from supervisor.yaml_source import load_documents

SUFFIXES: Final = (".yaml", ".yml", ".json")
MOST_FILES: Final = 100_000
MOST_FOLDERS: Final = 64  # deep

# Kinds of dialects that are to come: reading them as nothing would be a hole in somebody's policy.
NOT_YET: Final[dict[str, tuple[str, ...]]] = {
    "policy.flomesh.io": ("EgressGateway", "Egress", "UpstreamTrafficSetting"),
    "policy.openservicemesh.io": ("EgressGateway", "Egress", "UpstreamTrafficSetting"),
    "specs.smi-spec.io": ("HTTPRouteGroup",),
    "policy.linkerd.io": (
        *("EgressNetwork", "Server", "AuthorizationPolicy", "MeshTLSAuthentication", "NetworkAuthentication"),
        *("ServerAuthorization", "HTTPLocalRateLimitPolicy", "HTTPRoute"),
    ),
    "linkerd.io": ("ServiceProfile",),
    "gateway.networking.k8s.io": (
        *("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "BackendTLSPolicy", "ReferenceGrant"),
    ),
    "gateway.linkerd.io": ("HTTPRoute", "TCPRoute"),
}


class Policy(msgspec.Struct, frozen=True):
    """What was loaded: rules in no particular order, and how many files and resources they came from.

    `roots` are the real folders that host lists may lie in.
    """

    rules: tuple[Rule, ...]
    files: int
    resources: int
    roots: tuple[str, ...] = ()


def load_policy(paths: tuple[str, ...], places: tuple[Place, ...], problems: Problems) -> Policy:
    """All rules of the absolute `paths`; `places` says where each is named. What is wrong goes to `problems`."""
    loader = _Loader(paths, problems)
    for path, place in zip(paths, places, strict=True):
        try:
            loader.path(path, place)
        except Invalid as wrong:
            problems.add(wrong.problem)
    return Policy(tuple(loader.rules), len(loader.files), loader.resources, loader.roots)


class _Loader:
    """Collects rules; each file and each folder is read once, by whatever name it is reached."""

    def __init__(self, paths: tuple[str, ...], problems: Problems) -> None:
        self.problems = problems
        self.rules: list[Rule] = []
        self.resources = 0
        self.files: set[tuple[int, int]] = set()
        self.folders: set[tuple[int, int]] = set()
        self.named: dict[tuple[str, str, str], Place] = {}
        self.roots = list_roots(paths)

    def path(self, path: str, place: Place) -> None:
        """One entry of policy.paths: a file, whatever its suffix, or a folder."""
        try:
            is_folder = os.path.isdir(path)
            found = os.stat(path)
        except (OSError, ValueError) as wrong:
            reason = getattr(wrong, "strerror", None) or "not a file name"
            raise Invalid(place, f"policy path {quote(path)}: {reason}") from None
        if not is_folder:
            self.file(path)
            return
        before = len(self.files)
        for name in self.walk(path, found, 0):
            if len(self.files) >= MOST_FILES:
                raise Invalid(place, f"more than {MOST_FILES} policy files")
            self.file(name)
        if len(self.files) == before:
            self.problems.warning(place, f"no policy file in {quote(path)}", "*.yaml, *.yml and *.json are read")

    def walk(self, folder: str, found: os.stat_result, depth: int) -> Iterator[str]:
        """Paths of the manifests below a folder, sorted; dot entries skipped, symlinks followed, no folder twice."""
        if (found.st_dev, found.st_ino) in self.folders:
            return
        self.folders.add((found.st_dev, found.st_ino))
        try:
            names = sorted(os.listdir(folder))
        except OSError as wrong:
            self.problems.error(Place(folder), f"cannot be read: {wrong.strerror}")
            return
        for name in names:
            path = os.path.join(folder, name)
            if name.startswith("."):
                continue
            if not os.path.isdir(path):
                if name.endswith(SUFFIXES):
                    yield path
            elif depth >= MOST_FOLDERS:
                self.problems.error(Place(path), f"folders are nested deeper than {MOST_FOLDERS}")
            else:
                yield from self.walk(path, os.stat(path), depth + 1)

    def file(self, path: str) -> None:
        """All documents of one file."""
        try:
            found = os.stat(path)
            if (found.st_dev, found.st_ino) in self.files:
                return
            self.files.add((found.st_dev, found.st_ino))
        except OSError:
            pass  # load_documents says what is wrong
        try:
            documents = [node for node in load_documents(path, self.problems) if not node.is_null]
            if not documents:
                raise Invalid(Place(path), "the file holds no resource", "remove it, if that is meant")
        except Invalid as wrong:
            self.problems.add(wrong.problem)
            return
        for document in documents:
            try:
                for manifest in manifests_of(document, self.problems):
                    self.resource(manifest)
            except Invalid as wrong:
                self.problems.add(wrong.problem)

    def resource(self, manifest: Manifest) -> None:
        """One resource; its rules are kept."""
        try:
            reader = self.reader(manifest)
            if reader is None:
                return
            rules = reader(manifest, self.roots, self.problems)
        except Invalid as wrong:
            self.problems.add(wrong.problem)
            return
        self.resources += 1
        if rules:
            self.unique(manifest.node, rules[0])
            self.rules.extend(rules)

    def reader(self, manifest: Manifest) -> "Reader | None":
        """What reads this kind; None for a kind that is no policy. Raises Invalid for one that is not supported yet."""
        kind = manifest.node.mapping()["kind"][1]
        version = manifest.node.mapping()["apiVersion"][1]
        if manifest.group == egress_policy.GROUP:
            if manifest.version != egress_policy.VERSION:
                expected = f"{egress_policy.GROUP}/{egress_policy.VERSION}"
                raise version.unexpected(f"apiVersion {expected}", f"write {expected}")
            if manifest.kind not in egress_policy.KINDS:
                raise kind.unexpected(
                    "one of " + ", ".join(egress_policy.KINDS), did_you_mean(manifest.kind, egress_policy.KINDS)
                )
            return egress_policy.read
        if manifest.kind in egress_policy.KINDS:
            expected = f"{egress_policy.GROUP}/{egress_policy.VERSION}"
            raise version.unexpected(f"apiVersion {expected} for {manifest.kind}", f"write {expected}")
        if manifest.kind in NOT_YET.get(manifest.group, ()):
            raise kind.invalid(f"{manifest.group} {manifest.kind} is not supported yet", "write an EgressPolicy")
        self.problems.warning(kind.place, f"{quote(manifest.kind)} is ignored: not a policy kind")
        return None

    def unique(self, node: Node, rule: Rule) -> None:
        """No two resources share kind, namespace and name."""
        key = (rule.kind, rule.namespace, rule.name)
        name = f"{rule.namespace}/{rule.name}" if rule.namespace else rule.name
        if key in self.named:
            where = f"it is first defined at {self.named[key]}"
            self.problems.error(node.place, f"duplicate {rule.kind} {name}", where)
        else:
            self.named[key] = node.place


Reader = Callable[[Manifest, tuple[str, ...], Problems], list[Rule]]
