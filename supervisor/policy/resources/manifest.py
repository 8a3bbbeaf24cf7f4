"""The frame that all Kubernetes manifests share: apiVersion, kind, metadata. `spec` is a dialect's matter."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from supervisor.source.node import Fields, Node
from supervisor.source.problems import Invalid, Problems
from supervisor.source.words import namespace_name, object_name

# ObjectMeta of the Kubernetes API: what a server adds to a manifest carries no policy and is passed over.
METADATA: Final = (
    *("name", "namespace", "creationTimestamp", "labels", "annotations", "uid", "resourceVersion", "generation"),
    *("selfLink", "managedFields", "ownerReferences", "finalizers", "deletionTimestamp", "deletionGracePeriodSeconds"),
)
TOP: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)


class Manifest(msgspec.Struct, frozen=True):
    """One resource: its frame read, its `spec` not yet."""

    group: str
    version: str
    kind: str
    node: Node


class Metadata(msgspec.Struct, frozen=True):
    """The fields of `metadata` that have a meaning here; `created` in microseconds since 1970."""

    name: str
    namespace: str | None
    namespace_node: Node | None
    created: int | None


def manifests_of(document: Node, problems: Problems) -> Iterator[Manifest]:
    """The resources of a document; a `List` is its items. Raises Invalid when it is not a manifest."""
    fields = document.mapping()
    for name in ("apiVersion", "kind"):
        if name not in fields:
            raise document.invalid(f"not a Kubernetes manifest: `{name}` is missing")
    version, kind = fields["apiVersion"][1].string(), fields["kind"][1].string()
    group, _, version = version.rpartition("/")
    if kind == "List" or (kind.endswith("List") and "items" in fields):
        if "items" in fields and not fields["items"][1].is_null:
            for item in fields["items"][1].items():
                try:
                    yield from manifests_of(item, problems)
                except Invalid as wrong:
                    problems.add(wrong.problem)
        return
    yield Manifest(group, version, kind, document)


def read_frame(manifest: Manifest, problems: Problems) -> tuple[Fields, Metadata]:
    """The fields of a resource that has a `spec`, and its metadata; what is wrong with them is reported."""
    top = manifest.node.fields(TOP, problems)
    nameless = Metadata("", None, None, None)
    return top, top.need("metadata", lambda node: read_metadata(node, problems), nameless)


def need_spec(manifest: Manifest, top: Fields, hint: str = "") -> Node:
    """Its `spec`. Raises Invalid without one."""
    spec = top.get("spec")
    if spec is None:
        raise manifest.node.invalid("`spec` is missing", hint)
    return spec


def read_metadata(node: Node, problems: Problems) -> Metadata:
    """`metadata` of a resource; wrong parts are reported and left out."""
    fields = node.fields(METADATA, problems, null_is_absent=True, prefix="metadata.")
    return Metadata(
        name=fields.need("name", resource_name, "", "write name: and a name of its own, such as allow-api"),
        namespace=fields.read("namespace", namespace_name, None),
        namespace_node=fields.get("namespace"),
        created=fields.read("creationTimestamp", timestamp, None),
    )


def resource_name(node: Node) -> str:
    """metadata.name; a name that is nearly right is suggested as it would have to be written."""
    try:
        return object_name(node)
    except Invalid as wrong:
        text = node.value if isinstance(node.value, str) and node.value.isascii() else ""
        near = re.sub(r"-*\.[.-]*", ".", re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip(".-"))
        if not near or near == text or len(near) > 253 or node.is_null:
            raise
        raise node.invalid(wrong.problem.message, f"write {near}") from None


def timestamp(node: Node) -> int:
    """RFC 3339 section 5.6 as microseconds since 1970."""
    expected = "an RFC 3339 time such as 2024-01-31T12:00:00Z"
    found = _RFC3339.fullmatch(node.text())
    if not found:
        raise node.unexpected(expected)
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        if found[9]:
            offset = timedelta(hours=int(found[10]), minutes=int(found[11]))
            moment = moment - offset if found[9] == "+" else moment + offset
    except (ValueError, OverflowError):
        raise node.unexpected(expected) from None
    fraction = int((found[7] or "0").ljust(6, "0")[:6])
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1_000_000 + fraction
