"""Questions of `sluice explain` from elsewhere than its options: a line of the access log, its id, a file of them."""

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from supervisor.config.config import Config
from supervisor.policy.explanation import Question, QuestionError, read_question
from supervisor.policy.resources.hosts import a_labels
from supervisor.source.node import Node
from supervisor.source.problems import Invalid, quote

__all__ = ["Asked", "find_line", "in_a_labels", "of_log_line", "read_batch", "trace_of"]

LONGEST_LINE: Final = 65536  # bytes
LOGIN: Final = ("password", "token")


class Asked(NamedTuple):
    """A line of a file of questions: the question, or why it is none."""

    number: int
    question: Question | None
    error: str = ""


def in_a_labels(request: Mapping[str, object]) -> dict[str, object]:
    """A person's request with its U-labels converted; a client's name has none (DECISIONS.md section 2). Raises
    QuestionError."""
    try:
        return {
            name: a_labels(Node("", 0, 0, text), text) if name in ("to", "sni") and isinstance(text, str) else text
            for name, text in request.items()
        }
    except Invalid as wrong:
        raise QuestionError(str(wrong)) from None


def of_log_line(text: str | bytes) -> Question:
    """The question of the request that a line of the access log is about. Raises QuestionError."""
    line = _object(text, "a line of the access log")
    source, destination = line.get("source"), line.get("destination")
    if not isinstance(source, dict) or not isinstance(line.get("event"), str):
        raise QuestionError("it is not a line of the access log: it has no source or no event")
    host = destination.get("host") if isinstance(destination, dict) else None
    if not isinstance(destination, dict) or not host:
        raise QuestionError(f"it asked for nothing: event {line['event']}, reason {line.get('reason')}")
    address = destination.get("address")
    request = {
        "to": f"[{host}]:{destination.get('port')}" if ":" in host else f"{host}:{destination.get('port')}",
        "address": None if address == host else address,
        "source": source.get("ip"),
        "user": source.get("user"),
        "listener": line.get("listener"),
        "sni": None if line.get("inner") == "none" else line.get("inner"),
        **_identity(source),
    }
    return read_question({name: value for name, value in request.items() if value is not None})


def trace_of(text: str | bytes) -> str | None:
    """The id of the trace that the request of a line belongs to. Raises QuestionError."""
    found = _object(text, "a line of the access log").get("trace_id")
    return found if isinstance(found, str) else None


def _identity(source: Mapping[str, Any]) -> dict[str, object]:
    """Of a source as logged. One that its user or its address has is found again by those, as it is today."""
    identity = source.get("identity")
    if not isinstance(identity, str) or source.get("identity_source") in (*LOGIN, "network"):
        by_token = source.get("identity_source") == "token" and source.get("user") is None and identity
        return {"from": identity, "token": True} if by_token else {}
    return {"identity" if "://" in identity else "from": identity}


def find_line(config: Config, identifier: str) -> bytes:
    """The last line of the access log with this id. Raises QuestionError."""
    path = config.logs.access
    if path in ("stdout", "stderr", "off"):
        words = f"logs.access is {path}: the log is not a file that could be searched for an id"
        raise QuestionError(f"{words}; hand the line over by --log-line")
    wanted = f'"id":{msgspec.json.encode(identifier).decode()}'.encode()
    found = b""
    try:
        with open(path, "rb") as log:
            for line in iter(lambda: log.readline(LONGEST_LINE), b""):
                if wanted in line and _object(line, "a line of the access log").get("id") == identifier:
                    found = line
    except OSError as wrong:
        raise QuestionError(f"the access log cannot be read: {wrong.strerror}: {path}") from None
    if not found:
        raise QuestionError(f"no line of {path} has the id {quote(identifier)}; older files may")
    return found


def read_batch(stream: BinaryIO) -> Iterator[Asked]:
    """The questions of a file, one a line: JSON with the names of the options, or a line of the access log. Blank
    lines and comments (#) are skipped."""
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = stream.readline(LONGEST_LINE)
            yield Asked(number, None, f"the line is longer than {LONGEST_LINE} bytes")
        elif (text := line.strip()) and not text.startswith(b"#"):
            try:
                request = _object(text, 'a question such as {"from": "shop/cart", "to": "api.example.com:443"}')
                yield Asked(number, of_log_line(text) if "event" in request else read_question(in_a_labels(request)))
            except QuestionError as wrong:
                yield Asked(number, None, str(wrong))


def _object(text: str | bytes, what: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise QuestionError(f"it is not {what}") from None
    return found
