"""Host lists (`hostsFrom`): where they may lie, and their bytes. A list is read raw, its lines are the image builder's.

An author of manifests must not be able to read other files through the gateway: a list lies inside a policy path once
every symlink is followed, and nothing of its content is ever repeated.
"""

import ipaddress
import os
import re
from typing import Final

from supervisor.source.problems import Invalid, Place, quote
from supervisor.source.yaml_source import read_descriptor

MOST_BYTES: Final = 64 << 20


def list_roots(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Real folders that host lists may lie in: the policy paths; for one that is a file, the folder it lies in."""
    roots = []
    for path in paths:
        real = os.path.realpath(path)
        roots.append(real if os.path.isdir(real) else os.path.dirname(real))
    return tuple(dict.fromkeys(roots))


def inside(real: str, roots: tuple[str, ...]) -> bool:
    """Whether a real path lies below one of the real `roots`."""
    return any(real.startswith(root.rstrip("/") + "/") for root in roots)


def outside(text: str) -> tuple[str, str]:
    """Message and suggestion for a path that does not."""
    return f"{quote(text)} is outside the policy paths", "list files lie inside policy.paths"


def read_list(path: str, place: Place, roots: tuple[str, ...]) -> bytes:
    """The bytes of a list. Raises Invalid; at `place`, where a rule names it, when it cannot be opened."""
    try:
        # O_NONBLOCK: opening a FIFO without a writer must not hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as wrong:
        raise Invalid(place, f"the list {quote(path)} cannot be read: {wrong.strerror}") from None
    # The opened file counts, not the path before: a link may have been turned after that.
    if not inside(os.readlink(f"/proc/self/fd/{descriptor}"), roots):
        os.close(descriptor)
        raise Invalid(place, *outside(path))
    return read_descriptor(descriptor, Place(path), MOST_BYTES)


def likeness(data: bytes, line: int) -> tuple[int, str, str]:
    """Column, likeness and suggestion for the line of a list that holds no name; the likeness is "" where it is like
    nothing known. Nothing that stands there is repeated."""
    found = data.removeprefix(b"\xef\xbb\xbf").split(b"\n", line)[line - 1].partition(b"#")[0]
    text = found.decode("utf-8", "replace")
    word = text.strip(" \t\r")
    column = len(text) - len(text.lstrip(" \t\r")) + 1
    for pattern, kind, hint in LIKENESSES:
        if re.fullmatch(pattern, word):
            return column, kind, hint
    try:
        ipaddress.ip_network(word.strip("[]"), strict=False)
    except ValueError:
        return (column, "a path", "write the host name alone") if "/" in word else (column, "", "")
    return column, "an IP address or network", "write a rule with cidr: a list holds names only"


# Texts that people write into lists instead of a name: pattern, what it is, what to write.
LIKENESSES: Final = (
    (r".*://.*", "a URL", "write the host name alone, without scheme, port and path"),
    (r"- .*", "an item of a YAML list", "a list file has one name a line, without the dash"),
    (r"""["'].*["']""", "a name in quotes", "write it without quotes"),
    (r"[^\s,;]+[\s,;]+.*", "several words", "write one name a line; a comment begins with #"),
    (r"[^:]+:[0-9]+", "a name with a port", "write the name alone: ports stand in the rule"),
    (r"[^@]+@.+", "a name with a user", "write the host name alone"),
    (r"\.[^.].*", "a name that begins with a dot", "for every name below it write *. and the name"),
    (r"\*[^.].*", "a wildcard without a dot", "for every name below a name write *. and the name"),
    (r".+\*.*", "a wildcard that is not the first label", "only `*.name` and `*` are wildcards"),
)
