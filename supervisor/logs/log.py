"""The supervisor's own log: one line for each event, on stderr. It is not the access log (log_writer.py carries that
one).

A terminal gets plain lines, everything else gets JSON lines. Whatever comes from outside is escaped before it reaches
either (CONTRACT.md section 5). Lines go through a writer thread, as a blocked stderr must not stop the loop.
"""

import datetime
from collections.abc import Callable

import orjson

from supervisor.config.config import LEVELS
from supervisor.source.escape import escape_unprintable

__all__ = ["Log"]


class Log:
    """`sink` takes one encoded line without its newline; it must not block."""

    def __init__(self, sink: Callable[[bytes], object], *, plain: bool, level: str = "info") -> None:
        self._sink = sink
        self._plain = plain
        self._threshold = 0
        self.set_level(level)

    def set_level(self, level: str) -> None:
        self._threshold = LEVELS.index(level)

    def debug(self, event: str, text: str, **fields: object) -> None:
        self._write("debug", event, text, fields)

    def info(self, event: str, text: str, **fields: object) -> None:
        self._write("info", event, text, fields)

    def warning(self, event: str, text: str, **fields: object) -> None:
        self._write("warning", event, text, fields)

    def error(self, event: str, text: str, **fields: object) -> None:
        self._write("error", event, text, fields)

    def _write(self, level: str, event: str, text: str, fields: dict[str, object]) -> None:
        if LEVELS.index(level) < self._threshold:
            return
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        clean = {name: _clean(value) for name, value in fields.items()}
        if self._plain:
            tail = "".join(f" {name}={value}" for name, value in clean.items())
            self._sink(f"{now} {level} {event}: {_lines(text)}{tail}".encode())
        else:
            record = {"ts": now, "level": level, "event": event, "message": _lines(text), **clean}
            self._sink(orjson.dumps(record, default=str))


def _clean(value: object) -> object:
    if isinstance(value, bool | int | float) or value is None:
        return value
    return escape_unprintable(value if isinstance(value, str | bytes) else str(value))


def _lines(text: str) -> str:
    """A message may have several lines; each is escaped on its own and they are joined on one."""
    return "; ".join(escape_unprintable(line.strip()) for line in text.splitlines() if line.strip())
