"""An HTTP/2 session as bytes: every vector in any pieces, and streams that end or are refused."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.h2_begun import CONNECT, begun
from tests.support.h2_server_probe import Probe
from tests.vectors import play
from tests.vectors.http2 import CODES, PREFACE, Vector, block, frame, frames, load, told

VECTORS: Final = load()
EVERY: Final = pytest.mark.parametrize("vector", VECTORS, ids=[vector.title for vector in VECTORS])
OPENING: Final = ["SETTINGS - 0", f"WINDOW_UPDATE - 0 {4 * 1024 * 1024 - 65535}"]
FAILED, REQUEST = 0, 3


def event_text(event: tuple[Any, ...]) -> str:
    """An event as a `==` line tells it."""
    kind, *rest = event
    if kind == "request":
        number, status, what, host, port, detail, end = rest
        if status == FAILED:
            return f"refused {number} {detail}"
        text = f"request {number} connect {host} {port}" if what == "connect" else f"request {number} plain"
        return text + (" end" if end else "")
    if kind == "failed":
        return f"failed {CODES[rest[0]]}"
    if kind in ("reset", "error"):
        return f"{kind} {rest[0]} {CODES[rest[1]]}"
    return " ".join(str(word) for word in event)


def joined(events: Iterable[tuple[Any, ...]]) -> list[str]:
    """Texts of events; pieces of one DATA frame are one, as vectors count them."""
    found: list[str] = []
    piece: tuple[int, bytes] | None = None
    for event in [*events, ("done",)]:
        if event[0] == "data" and not event[3] and (piece is None or piece[0] == event[1]):
            piece = (event[1], (piece[1] if piece else b"") + event[2])
            continue
        if event[0] == "data":
            before = piece[1] if piece and piece[0] == event[1] else b""
            found.append(f'data {event[1]} "{(before + event[2]).decode()}" end')
            piece = None
            continue
        if piece:
            found.append(f'data {piece[0]} "{piece[1].decode()}"')
            piece = None
        if event[0] != "done":
            found.append(event_text(event))
    return found


def expected(vector: Vector) -> list[str]:
    """The vector's events with DATA joined alike, and `malformed` as the refusal it is."""
    found: list[str] = []
    for text in vector.events:
        if text.startswith("data ") and found and found[-1].startswith(text[: text.index('"')]):
            before = found.pop()
            text = before[: before.rindex('"')] + text[text.index('"') + 1 :]
        found.append("refused" + text.removeprefix("malformed") if text.startswith("malformed") else text)
    return found


def check(vector: Vector, cut: Callable[[bytes], Iterable[bytes]]) -> None:
    probe = Probe()
    events = [event for piece in cut(vector.data) for event in probe.receive(piece)]
    out = [told(found) for found in frames(probe.take_out())]
    assert (joined(events), out) == (expected(vector), OPENING + vector.out)


@EVERY
def test_a_vector_whole(vector: Vector) -> None:
    check(vector, play.whole)


@EVERY
def test_a_vector_byte_by_byte(vector: Vector) -> None:
    check(vector, play.byte_by_byte)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(VECTORS), st.lists(st.integers(0, 20_000), max_size=8))
def test_a_vector_in_any_pieces(vector: Vector, cuts: list[int]) -> None:
    check(vector, play.at(cuts))


# ---- a session that has begun ----


def test_nothing_is_said_on_a_pipy_stream_that_we_have_ended() -> None:
    probe = Probe()
    pipy = block(":method CONNECT, :scheme http, :path example.com:443")
    probe.receive(PREFACE + frame("SETTINGS") + frame("HEADERS", 4, 1, pipy))
    probe.respond(1, [(b":status", b"200")])
    probe.send(1, b"", end=True)
    probe.take_out()
    probe.receive(frame("DATA", 0, 1, bytes(16384)) * 3)
    probe.consume(1, 3 * 16384)
    probe.finish(1)
    probe.receive(frame("DATA", 0, 1, b"late"))
    assert probe.take_out() == b""


def test_late_frames_on_a_stream_that_we_have_reset_are_ignored() -> None:
    probe = begun()
    probe.reset(1, CODES.index("CANCEL"))
    probe.take_out()
    late = frame("DATA", 0, 1, b"x") + frame("WINDOW_UPDATE", 0, 1, b"\0\0\0\1") + frame("HEADERS", 5, 1, CONNECT)
    assert probe.receive(late) == []
    assert all(sent.kind != "GOAWAY" for sent in frames(probe.take_out()))


def test_a_stream_above_the_limit_is_refused_and_the_connection_lives() -> None:
    probe = Probe()
    probe.receive(PREFACE + frame("SETTINGS"))
    for number in range(1, 2001, 2):
        assert probe.receive(frame("HEADERS", 4, number, CONNECT))[0][0] == "request"
    probe.take_out()
    (refused,) = probe.receive(frame("HEADERS", 4, 2001, CONNECT))
    assert refused == ("refused", REQUEST, "example.com", 443), "the owner has a line to write"
    assert [told(found) for found in frames(probe.take_out())] == ["RST_STREAM - 2001 REFUSED_STREAM"]
    probe.reset(1, 8)
    assert probe.receive(frame("HEADERS", 4, 2003, CONNECT))[0][0] == "request"


def test_after_goodbye_new_streams_are_refused_and_old_ones_go_on() -> None:
    probe = begun()
    probe.leave()
    events = probe.receive(frame("HEADERS", 4, 3, CONNECT) + frame("DATA", 0, 1, b"x"))
    assert events == [("refused", REQUEST, "example.com", 443), ("data", 1, b"x", False)]
    found = [told(one) for one in frames(probe.take_out())]
    assert found == ["GOAWAY - 0 last=1 NO_ERROR", "RST_STREAM - 3 REFUSED_STREAM"]


def test_a_pipy_client_is_refused_no_stream_neither_for_their_number_nor_for_our_goodbye() -> None:
    probe = Probe(streams=10)
    pipy = block(":method CONNECT, :scheme http, :path example.com:443")
    probe.receive(PREFACE + frame("SETTINGS"))
    for number in range(1, 6001, 2):
        assert probe.receive(frame("HEADERS", 4, number, pipy))[0][0] == "request"
    probe.leave()
    assert probe.receive(frame("HEADERS", 4, 6001, pipy))[0][0] == "request"


def test_the_number_of_streams_is_announced() -> None:
    (first, _) = frames(Probe(streams=7).take_out())
    assert bytes.fromhex("000300000007") in first.payload


# ---- shares of a turn ----
