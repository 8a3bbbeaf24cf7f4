"""Marks of files: whether what stands at a path is still what stood there. A file that was written to, renamed over or
reached by another symlink has another mark; nothing is opened for it."""

import os
from collections.abc import Iterable


def marks_of(paths: Iterable[str]) -> dict[str, str]:
    """The mark of each path, "" where nothing is. May block: paths may lie on a network."""
    return {path: _mark(path) for path in paths}


def _mark(path: str) -> str:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ""
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"
