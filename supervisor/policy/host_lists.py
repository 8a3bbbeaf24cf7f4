"""Host lists (`hostsFrom`): where they may lie, and their bytes. A list is read raw, its lines are the image builder's.

Whoever writes manifests must not be able to read other files through the gateway: a list lies inside a policy path once
every symlink is followed, and nothing of its content is ever repeated.
"""

import os
from typing import Final

from supervisor.policy.model import Text
from supervisor.problems import Invalid, Place, quote
from supervisor.yaml_source import read_descriptor

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


def read_list(path: Text, roots: tuple[str, ...]) -> bytes:
    """The bytes of a list. Raises Invalid; at the rule that names it, when it cannot be opened."""
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to must not hang.
        descriptor = os.open(path.value, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as wrong:
        raise Invalid(path.place, f"the list {quote(path.value)} cannot be read: {wrong.strerror}") from None
    # What was opened counts, not what the path said before: a link may have been turned meanwhile.
    if not inside(os.readlink(f"/proc/self/fd/{descriptor}"), roots):
        os.close(descriptor)
        raise Invalid(path.place, *outside(path.value))
    return read_descriptor(descriptor, Place(path.value), MOST_BYTES)
