"""Plays bytes against a codec as a connection would, in any pieces, and returns the result."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

from tests.vectors.loader import Vector, outcomes

FAILED: Final = 0
MORE: Final = 1
CREDENTIALS: Final = 2
REQUEST: Final = 3
OUTCOME_TEXTS: Final = {number: text for text, number in outcomes().items()}


class Codec(Protocol):
    """A codec as Python sees it."""

    status: int
    outcome: int
    detail: str | None
    user: bytes | None
    password: bytes | None
    host: str
    family: int
    port: int

    def __init__(self, auth: int) -> None: ...
    def receive(self, data: bytes) -> tuple[int, int, bytes]: ...
    def verify(self, ok: bool) -> tuple[int, bytes]: ...
    def reply(
        self, outcome: int, bound: str | None = None, port: int = 0, rule: str | None = None, reason: str | None = None
    ) -> bytes: ...


@dataclass
class Played:
    """A codec's result for its bytes."""

    end: str
    out: bytes
    rest: bytes  # what it left, payload when a request was made
    credentials: tuple[bytes | None, bytes | None] | None


def play(codec: Codec, pieces: Iterable[bytes], accepted: bool) -> Played:
    """Feeds the pieces in order; what a codec leaves is fed again once the credentials are judged."""
    out = rest = b""
    credentials = None
    status = MORE
    for piece in pieces:
        rest += piece
        while rest and status == MORE:
            status, used, sent = codec.receive(rest)
            assert 0 <= used <= len(rest)
            assert used == len(rest) or status in (CREDENTIALS, REQUEST), "bytes are left, and no call will feed them"
            out += sent
            rest = rest[used:]
            if status == CREDENTIALS:
                assert credentials is None, "asked twice"
                credentials = (codec.user, codec.password)
                status, sent = codec.verify(accepted)
                out += sent
                assert codec.password is None, "the password is kept"
    assert codec.status == status
    if status in (FAILED, REQUEST):
        after = codec.receive(b"more")
        assert after == (status, 4 if status == FAILED else 0, b""), "a codec that is decided stays so"
    rest = (getattr(codec, "early", None) or b"") + rest  # payload among the bytes that were used
    return Played(end_of(codec, status), out, b"" if status == FAILED else rest, credentials)


def end_of(codec: Codec, status: int) -> str:
    """The end, as a `==` line tells it."""
    if status == FAILED:
        return f"{OUTCOME_TEXTS[codec.outcome]}: {codec.detail}"
    if status == REQUEST:
        kind = {0: "name", 4: "ipv4", 6: "ipv6"}[codec.family]
        return f"request {kind} {codec.host} {codec.port}"
    return "more" if status == MORE else "credentials"


def check(make: Callable[[int], Codec], vector: Vector, cut: Callable[[bytes], Iterable[bytes]]) -> None:
    """Plays a vector in the pieces that `cut` makes; payload that follows a request has to come out untouched."""
    payload = b"\x16\x03\x01\x00payload\r\n\r\n\x00" if vector.end.startswith("request") else b""
    played = play(make(vector.auth), cut(vector.data + payload), vector.accepted)
    out = played.out[: len(vector.out)] if vector.out_is_open else played.out
    found = (played.end, out, played.credentials, played.rest)
    expected = (vector.end, vector.out, vector.credentials, payload)
    assert found == expected, f"\n  found    {found}\n  expected {expected}"


def whole(data: bytes) -> Iterable[bytes]:
    """One piece."""
    return [data]


def byte_by_byte(data: bytes) -> Iterable[bytes]:
    """Pieces of one byte."""
    return (data[i : i + 1] for i in range(len(data)))


def at(cuts: Iterable[int]) -> Callable[[bytes], Iterable[bytes]]:
    """Pieces that end at these places, taken modulo the length."""
    places = list(cuts)

    def cut(data: bytes) -> Iterable[bytes]:
        edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
        return [data[start:end] for start, end in pairwise(edges)]

    return cut
