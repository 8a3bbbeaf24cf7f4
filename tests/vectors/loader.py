"""Reads the vector files of this folder: requests as bytes, and what a codec must make of them.

A vector is a block of lines; blank lines part blocks, `#` starts a comment line:

    a title in plain English
    auth required                    off (when the line is missing), optional or required
    >> 05 01 "text\\r\\n" 00*6         bytes that come in: hexadecimal or quoted text, each may be repeated
    << 05 02                         bytes that go out; a closing ` ...` means "and more"
    ?? "user" "password" accepted    the credentials that wait for a verdict, and the verdict: accepted or rejected
    == request name example.com 443  how it ends: `request name|ipv4|ipv6 HOST PORT`, `more` or `OUTCOME: broken rule`

How `>>` is cut into lines does not matter: tests cut the bytes anywhere. The `<<` lines together are all that is sent.
answers.txt, the table of CONTRACT.md section 5, has columns of its own, as names.txt has: see answers() and names().
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from gateway.tables import OUTCOMES

FOLDER: Final = Path(__file__).parent
AUTH: Final = {"off": 0, "optional": 1, "required": 2}
TOKEN: Final = re.compile(r'(?:(?P<hex>(?:[0-9a-f]{2})+)|"(?P<text>(?:[^"\\]|\\.)*)")(?:\*(?P<times>\d+))?(?=\s|$)\s*')
ESCAPE: Final = re.compile(r"\\(x[0-9a-f]{2}|.)")
SPECIAL: Final = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\", '"': '"'}


@dataclass
class Vector:
    """One request."""

    title: str
    line: int
    auth: int = 0
    data: bytes = b""
    out: bytes = b""
    out_is_open: bool = False  # more may follow `out`
    credentials: tuple[bytes, bytes] | None = None
    accepted: bool = False
    end: str = ""


class Answer(NamedTuple):
    """One row of CONTRACT.md section 5: `rep` and `status` as numbers, `error` of Proxy-Status or None."""

    outcome: str
    rep: int
    status: int
    error: str | None
    retry: bool


class NameVector(NamedTuple):
    """One name as a client sends it, and what SOCKS5, SOCKS4a and HTTP answer; None: the protocol cannot say it."""

    name: bytes
    line: int
    rep: int | None
    reply: int | None
    status: int


def load(name: str) -> list[Vector]:
    """The vectors of a file, in order."""
    vectors: list[Vector] = []
    for number, line in enumerate((FOLDER / name).read_text().splitlines(), 1):
        if line.startswith("#"):
            continue
        if not line.strip():
            assert not vectors or vectors[-1].end, f"{name}:{number}: no `==` line before this one"
            continue
        if not vectors or vectors[-1].end:
            vectors.append(Vector(title=line, line=number))
            continue
        try:
            read_line(vectors[-1], line)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{name}:{number}: {error}") from error
    assert all(vector.end for vector in vectors), f"{name}: the last vector has no end"
    assert len({vector.title for vector in vectors}) == len(vectors), f"{name}: two vectors of one title"
    return vectors


def read_line(vector: Vector, line: str) -> None:
    kind, _, rest = line.partition(" ")
    if kind == "auth":
        vector.auth = AUTH[rest]
    elif kind == ">>":
        vector.data += b"".join(tokens(rest))
    elif kind == "<<":
        vector.out_is_open = rest.endswith(" ...")
        vector.out += b"".join(tokens(rest.removesuffix(" ...")))
    elif kind == "??":
        words, _, verdict = rest.rpartition(" ")
        user, password = tokens(words)
        vector.credentials = (user, password)
        vector.accepted = {"accepted": True, "rejected": False}[verdict]
    elif kind == "==":
        vector.end = rest
    else:
        raise ValueError(f"what is {kind!r}?")


def tokens(text: str) -> list[bytes]:
    """Each token's bytes."""
    found: list[bytes] = []
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"neither hexadecimal nor quoted: {text[at:]!r}")
        part = bytes.fromhex(match["hex"]) if match["hex"] else ESCAPE.sub(unescape, match["text"]).encode("latin-1")
        found.append(part * int(match["times"] or 1))
        at = match.end()
    return found


def unescape(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if len(code) == 3 else SPECIAL[code]


def answers() -> list[Answer]:
    """answers.txt: outcome, REP in hexadecimal, HTTP status, error or `-`, and `retry` where Retry-After belongs."""
    rows = []
    for line in (FOLDER / "answers.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            outcome, rep, status, error, *retry = line.split()
            rows.append(Answer(outcome, int(rep, 16), int(status), None if error == "-" else error, retry == ["retry"]))
    return rows


def recorded() -> dict[str, tuple[str, bytes]]:
    """The files of inner/: what a ClientHello shows (`tls_none`, or `tls_name` and the name), and its bytes."""
    found = {}
    for path in sorted((FOLDER / "inner").glob("*.hex")):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        (shows,) = [line.removeprefix("expect: ") for line in lines if line.startswith("expect: ")]
        found[path.stem] = shows, bytes.fromhex("".join(line for line in lines if not line.startswith("expect:")))
    return found


def hellos() -> list[bytes]:
    """Their bytes alone."""
    return [data for _, data in recorded().values()]


def names() -> list[NameVector]:
    """names.txt: a name, SOCKS5 REP and SOCKS4a reply in hexadecimal, HTTP status."""
    rows = []
    for number, line in enumerate((FOLDER / "names.txt").read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            text, rep, reply, status = line.rsplit(None, 3)
            first, second = (None if code == "-" else int(code, 16) for code in (rep, reply))
            rows.append(NameVector(b"".join(tokens(text)), number, first, second, int(status)))
    assert len({row.name for row in rows}) == len(rows), "names.txt: a name stands there twice"
    return rows


def outcomes() -> dict[str, int]:
    """Text and number of each outcome."""
    return {text: number for number, text in enumerate(OUTCOMES)}
