"""The client's side of HTTP/2 towards a parent gateway, as bytes: what is said, what is heard, in any pieces."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.h2_client_probe import ClientProbe
from tests.support.proto_probe import Inflater
from tests.vectors.http2 import CODES, PREFACE, block, frame, frames

HELLO: Final = frame("SETTINGS")
OK: Final = block(":status 200")
CONNECT: Final = [(b":method", b"CONNECT"), (b":authority", b"a.example:443")]
END_STREAM, END_HEADERS, ACK, PADDED = 1, 4, 1, 8
CONNECTION_WINDOW: Final = 4 * 1024 * 1024


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def setting(identifier: int, value: int) -> bytes:
    return identifier.to_bytes(2, "big") + number(value)


def answer(stream: int, fields: bytes = OK, flags: int = END_HEADERS) -> bytes:
    return frame("HEADERS", flags, stream, fields)


def data(stream: int, payload: bytes, flags: int = 0) -> bytes:
    return frame("DATA", flags, stream, payload)


def goaway(last: int, code: int = 0) -> bytes:
    return frame("GOAWAY", 0, 0, number(last) + number(code))


def asked(streams: int = 1, hello: bytes = HELLO) -> ClientProbe:
    """A connection that has said and heard hello, with so many requests under way."""
    probe = ClientProbe()
    probe.receive(hello)
    for _ in range(streams):
        assert probe.ask(CONNECT) is not None
    probe.take_out()
    return probe


def opened(hello: bytes = HELLO) -> ClientProbe:
    probe = asked(1, hello)
    assert probe.receive(answer(1)) == [("answer", 1, 200, False)]
    return probe


def said(probe: ClientProbe) -> list[tuple[str, int, int]]:
    """Kind, stream and number of what goes out; for GOAWAY its code."""
    found = []
    for kind, flags, stream, payload in frames(probe.take_out()):
        if kind == "SETTINGS" and flags & ACK:
            continue
        at = 4 if kind == "GOAWAY" else 0
        found.append((kind, stream, int.from_bytes(payload[at : at + 4], "big")))
    return found


def failure(probe: ClientProbe) -> str:
    """The code of the GOAWAY that has ended it."""
    (code,) = [code for kind, _, code in said(probe) if kind == "GOAWAY"]
    assert probe.free_streams == 0
    return CODES[code]


# ---- the opening, and requests ----


def test_it_begins_with_the_preface_its_settings_and_a_large_window() -> None:
    probe = ClientProbe()
    out = probe.take_out()
    assert out.startswith(PREFACE)
    first, window = frames(out.removeprefix(PREFACE))
    assert first == ("SETTINGS", 0, 0, setting(2, 0) + setting(4, 65535) + setting(5, 131072) + setting(6, 16384))
    assert window == ("WINDOW_UPDATE", 0, 0, number(CONNECTION_WINDOW - 65535))


def test_nothing_is_asked_before_the_parents_settings() -> None:
    probe = ClientProbe()
    assert probe.ask(CONNECT) is None
    probe.take_out()
    assert probe.receive(HELLO) == [("settings",)]
    assert list(frames(probe.take_out())) == [("SETTINGS", ACK, 0, b"")]
    assert probe.ask(CONNECT) == 1
    (request,) = frames(probe.take_out())
    assert request[:3] == ("HEADERS", END_HEADERS, 1)
    assert Inflater().decode([request.payload]) == CONNECT


def test_credentials_are_never_put_into_the_parents_table() -> None:
    probe = asked(0)
    secret = (b"proxy-authorization", b"Basic c2VjcmV0")
    probe.ask([*CONNECT, secret])
    probe.ask([*CONNECT, secret])
    inflater = Inflater()
    for sent in frames(probe.take_out()):
        assert inflater.decode([sent.payload]) == [*CONNECT, secret]
        assert b"\x1f\x22\x8a" in sent.payload, "a literal that is never indexed (RFC 7541 section 6.2.3)"


@pytest.mark.parametrize(("limit", "expected"), [(None, 100), (1000, 100), (7, 7), (0, 0)])
def test_streams_are_as_many_as_the_parent_allows_and_a_hundred_at_most(limit: int | None, expected: int) -> None:
    probe = ClientProbe()
    probe.receive(HELLO if limit is None else frame("SETTINGS", payload=setting(3, limit)))
    numbers = [probe.ask(CONNECT) for _ in range(expected)]
    assert numbers == list(range(1, 2 * expected, 2))
    assert probe.ask(CONNECT) is None
    if expected:
        probe.reset(1, 8)
        assert probe.ask(CONNECT) == 2 * expected + 1


def test_a_limit_that_shrinks_holds_for_new_streams() -> None:
    probe = asked(5)
    probe.receive(frame("SETTINGS", payload=setting(3, 3)))
    assert probe.free_streams == 0
    for stream in (1, 3, 5):
        probe.reset(stream, 8)
    assert probe.free_streams == 1


# ---- answers ----

TALKS: Final[dict[str, tuple[bytes, list[tuple[Any, ...]]]]] = {
    "success": (answer(1), [("answer", 1, 200, False)]),
    "success in three parts": (
        frame("HEADERS", 0, 1, OK[:2]) + frame("CONTINUATION", 0, 1, OK[2:5]) + frame("CONTINUATION", 4, 1, OK[5:]),
        [("answer", 1, 200, False)],
    ),
    "padding and priority": (
        frame("HEADERS", 0x2C, 1, b"\x03" + b"\0\0\0\0\x10" + OK + bytes(3)), [("answer", 1, 200, False)],
    ),
    "another success, with fields": (
        answer(1, block(":status 204, content-length 9, via x")), [("answer", 1, 204, False)],
    ),
    "refused, whole": (answer(1, block(":status 403"), 5), [("answer", 1, 403, True)]),
    "interim answers": (
        answer(1, block(":status 103")) * 2 + answer(1), [("answer", 1, 200, False)],
    ),
    "data, then the end": (
        answer(1) + data(1, b"first") + data(1, b"", END_STREAM),
        [("answer", 1, 200, False), ("data", 1, b"first", False), ("data", 1, b"", True)],
    ),
    "padded data": (
        answer(1) + data(1, b"\x02ab\0\0", PADDED), [("answer", 1, 200, False), ("data", 1, b"ab", False)],
    ),
    "an end by trailers": (
        answer(1) + answer(1, block("x-end 1"), 5), [("answer", 1, 200, False), ("data", 1, b"", True)],
    ),
    "a reset": (frame("RST_STREAM", 0, 1, number(7)), [("reset", 1, 7)]),
    "a reset behind an answer": (
        answer(1) + frame("RST_STREAM", 0, 1, number(10)), [("answer", 1, 200, False), ("reset", 1, 10)],
    ),
    "no status": (answer(1, block("via x")), [("error", 1, 1)]),
    "a status behind a field": (answer(1, block("via x, :status 200")), [("error", 1, 1)]),
    "two of them": (answer(1, block(":status 200, :status 200")), [("error", 1, 1)]),
    "another pseudo-header": (answer(1, block(":status 200, :path /")), [("error", 1, 1)]),
    "a status that is not a number": (answer(1, block(":status 2x0")), [("error", 1, 1)]),
    "a status of four digits": (answer(1, block(":status 2000")), [("error", 1, 1)]),
    "a status below 100": (answer(1, block(":status 042")), [("error", 1, 1)]),
    "switching protocols": (answer(1, block(":status 101")), [("error", 1, 1)]),
    "an interim answer that ends": (answer(1, block(":status 100"), 5), [("error", 1, 1)]),
    "data before an answer": (data(1, b"early"), [("error", 1, 1)]),
    "headers inside a tunnel": (answer(1) * 2, [("answer", 1, 200, False), ("error", 1, 1)]),
    "data behind the end": (
        answer(1, OK, 5) + data(1, b"more"), [("answer", 1, 200, True), ("error", 1, 5)],
    ),
    "a long header list": (answer(1, block(":status 200, a a*16400")[:16384], 0)
                           + frame("CONTINUATION", 4, 1, block(":status 200, a a*16400")[16384:]), [("error", 1, 1)]),
    "a late answer to a stream that is gone": (
        frame("RST_STREAM", 0, 1, number(8)) + answer(1) + data(1, b"x") + frame("WINDOW_UPDATE", 0, 1, number(1)),
        [("reset", 1, 8)],
    ),
    "frames of unknown types": (frame("f0", 1, 1, b"?") + answer(1), [("answer", 1, 200, False)]),
    "a warning, then an answer": (goaway(0x7FFFFFFF) + answer(1), [("goaway", 0x7FFFFFFF), ("answer", 1, 200, False)]),
}  # fmt: skip


def joined(events: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Pieces of DATA as one, as long as they follow each other."""
    found: list[tuple[Any, ...]] = []
    for event in events:
        if event[0] == "data" and found and found[-1][0] == "data" and not found[-1][3] and event[2]:
            found[-1] = ("data", event[1], found[-1][2] + event[2], event[3])
        else:
            found.append(event)
    return found


def play(stream: bytes, sizes: list[int]) -> list[tuple[Any, ...]]:
    probe = asked()
    found = []
    for size in sizes:
        found += probe.receive(stream[:size])
        stream = stream[size:]
    return joined(found + probe.receive(stream))


@pytest.mark.parametrize("name", TALKS)
@pytest.mark.parametrize("way", ["whole", "byte by byte"])
def test_what_a_parent_says_is_heard(name: str, way: str) -> None:
    stream, expected = TALKS[name]
    assert play(stream, [1] * len(stream) if way == "byte by byte" else []) == expected


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(TALKS)), st.lists(st.integers(1, 40), max_size=20))
def test_it_is_heard_alike_in_any_pieces(name: str, sizes: list[int]) -> None:
    stream, expected = TALKS[name]
    assert play(stream, sizes) == expected


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=12))
def test_any_bytes_end_alike_however_they_are_split(stream: bytes, sizes: list[int]) -> None:
    assert play(HELLO + stream, sizes) == play(HELLO + stream, [])


KINDS: Final = (
    *("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE"),
    *("CONTINUATION", "ee", "HEADERS", "DATA", "DATA", "WINDOW_UPDATE"),
)
PAYLOADS: Final = (
    *(b"", b"\0", bytes(8), number(1), number(0x7FFFFFFF), OK, OK[:4], block(":status 103"), block("x y")),
    *(setting(3, 1), setting(4, 0), setting(4, 0x7FFFFFFF), setting(1, 0), bytes(16384)),
)
FRAMES: Final = st.lists(
    st.builds(
        frame,
        st.sampled_from(KINDS),
        st.sampled_from([0, 0, 1, 4, 4, 5, 8, 9, 32]),
        st.sampled_from([0, 1, 1, 1, 3, 5, 2, 7]),
        st.sampled_from(PAYLOADS),
    ),
    max_size=30,
).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(FRAMES, st.lists(st.integers(1, 20_000), max_size=12))
def test_any_frames_end_alike_however_they_are_split(stream: bytes, sizes: list[int]) -> None:
    """With three requests under way. What is said comes out whole, and ends with a GOAWAY when it was too much."""
    whole, split = asked(3), asked(3)
    events = joined(whole.receive(stream))
    found = []
    rest = stream
    for size in sizes:
        found += split.receive(rest[:size])
        rest = rest[size:]
    assert joined(found + split.receive(rest)) == events
    out = list(frames(whole.take_out()))
    assert [sent.kind for sent in out if sent.kind != "WINDOW_UPDATE"] == [
        sent.kind for sent in frames(split.take_out()) if sent.kind != "WINDOW_UPDATE"
    ]
    assert (("failed",) in {event[:1] for event in events}) == (bool(out) and out[-1].kind == "GOAWAY")


# ---- the connection ----

BROKEN: Final[dict[str, tuple[bytes, str]]] = {
    "no SETTINGS first": (frame("PING", 0, 0, bytes(8)), "PROTOCOL_ERROR"),
    "an acknowledgement first": (frame("SETTINGS", ACK), "PROTOCOL_ERROR"),
    "HTTP/1.1": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "FRAME_SIZE_ERROR"),
    "a push": (HELLO + frame("PUSH_PROMISE", 4, 1, number(2) + OK), "PROTOCOL_ERROR"),
    "push switched on": (frame("SETTINGS", payload=setting(2, 1)), "PROTOCOL_ERROR"),
    "an answer without a request": (HELLO + answer(3), "PROTOCOL_ERROR"),
    "an answer on a stream of its own": (HELLO + answer(2), "PROTOCOL_ERROR"),
    "data without a request": (HELLO + data(5, b"x"), "PROTOCOL_ERROR"),
    "a reset of nothing": (HELLO + frame("RST_STREAM", 0, 7, number(0)), "PROTOCOL_ERROR"),
    "a window of nothing": (HELLO + frame("WINDOW_UPDATE", 0, 7, number(1)), "PROTOCOL_ERROR"),
    "a window by nothing": (HELLO + frame("WINDOW_UPDATE", 0, 0, number(0)), "PROTOCOL_ERROR"),
    "a window that overflows": (HELLO + frame("WINDOW_UPDATE", 0, 0, number(0x7FFFFFFF)), "FLOW_CONTROL_ERROR"),
    "a first window too large": (frame("SETTINGS", payload=setting(4, 1 << 31)), "FLOW_CONTROL_ERROR"),
    "a frame too long": (HELLO + (131073).to_bytes(3, "big") + bytes([0, 0]) + number(1), "FRAME_SIZE_ERROR"),
    "half a block": (HELLO + answer(1, OK, 0) + data(1, b""), "PROTOCOL_ERROR"),
    "a continuation of nothing": (HELLO + frame("CONTINUATION", 4, 1, OK), "PROTOCOL_ERROR"),
    "no HPACK": (HELLO + answer(1, b"\xff" * 8), "COMPRESSION_ERROR"),
    "blocks without end": (HELLO + answer(1, b"", 0) + frame("CONTINUATION", 0, 1) * 20, "ENHANCE_YOUR_CALM"),
    "a list without end": (
        HELLO + answer(1, block(":status 200, a a*16000"), 0)
        + frame("CONTINUATION", 0, 1, block("a a*16000")) * 10, "ENHANCE_YOUR_CALM",
    ),
    "pings without end": (HELLO + frame("PING", 0, 0, bytes(8)) * 1000, "ENHANCE_YOUR_CALM"),
    "settings without end": (HELLO * 200, "ENHANCE_YOUR_CALM"),
    "empty frames without end": (HELLO + answer(1) + data(1, b"") * 1000, "ENHANCE_YOUR_CALM"),
    "interim answers without end": (HELLO + answer(1, block(":status 100")) * 1000, "ENHANCE_YOUR_CALM"),
    "goodbyes without end": (HELLO + goaway(1) * 1000, "ENHANCE_YOUR_CALM"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("way", ["whole", "byte by byte"])
def test_what_breaks_the_rules_ends_the_connection(name: str, way: str) -> None:
    stream, code = BROKEN[name]
    probe = ClientProbe()
    probe.take_out()
    first = frame("SETTINGS")
    if stream.startswith(first):
        probe.receive(first)
        probe.ask(CONNECT)
        stream = stream.removeprefix(first)
    step = 1 if way == "byte by byte" else len(stream)
    events = [event for at in range(0, len(stream), step) for event in probe.receive(stream[at : at + step])]
    assert [event[0] for event in events].count("failed") == 1
    assert failure(probe) == code
    assert probe.receive(HELLO) == [], "nothing is read any more"


def test_pings_and_settings_are_answered() -> None:
    probe = asked()
    assert probe.receive(frame("PING", 0, 0, b"12345678") + HELLO + frame("PING", ACK, 0, bytes(8))) == [("settings",)]
    assert list(frames(probe.take_out())) == [("PING", ACK, 0, b"12345678"), ("SETTINGS", ACK, 0, b"")]


def test_behind_a_goaway_nothing_is_asked_and_what_was_goes_on() -> None:
    probe = asked(2)
    assert probe.receive(goaway(1)) == [("goaway", 1)]
    assert probe.free_streams == 0
    assert probe.receive(answer(1) + data(1, b"on")) == [("answer", 1, 200, False), ("data", 1, b"on", False)]


def test_our_own_goaway_names_no_stream_and_comes_once() -> None:
    probe = asked()
    probe.leave()
    probe.leave()
    assert list(frames(probe.take_out())) == [("GOAWAY", 0, 0, bytes(8))]
    assert probe.free_streams == 0


# ---- flow control ----


def test_a_stream_sends_what_its_window_and_its_connections_let_pass() -> None:
    probe = opened(frame("SETTINGS", payload=setting(4, 10)))
    assert probe.send(1, bytes(100)) == 10
    assert probe.receive(frame("WINDOW_UPDATE", 0, 1, number(70_000))) == [("window", 1)]
    assert sum(probe.send(1, bytes(100_000)) for _ in range(9)) == 65535 - 10
    assert probe.receive(frame("WINDOW_UPDATE", 0, 0, number(5))) == [("window", 0)]
    assert probe.send(1, bytes(100)) == 5


def test_a_first_window_that_shrinks_makes_windows_negative() -> None:
    probe = opened()
    assert sum(probe.send(1, bytes(16384)) for _ in range(3)) == 3 * 16384
    probe.receive(frame("SETTINGS", payload=setting(4, 0)))
    assert probe.send(1, b"x") == 0
    probe.receive(frame("WINDOW_UPDATE", 0, 1, number(3 * 16384)))
    assert probe.send(1, b"x") == 0
    probe.receive(frame("WINDOW_UPDATE", 0, 1, number(2)))
    assert probe.send(1, b"xxx") == 2


def test_a_window_of_a_stream_that_overflows_ends_the_stream() -> None:
    probe = opened()
    assert probe.receive(frame("WINDOW_UPDATE", 0, 1, number(0x7FFFFFFF))) == [("error", 1, 3)]


def test_a_stream_that_sends_more_than_its_window_is_reset() -> None:
    probe = opened()
    events = [probe.receive(data(1, bytes(16384)))[0] for _ in range(3)]
    assert [event[0] for event in events] == ["data"] * 3
    assert probe.receive(data(1, bytes(16384)))[-1] == ("error", 1, 3)


def test_what_stalls_one_stream_does_not_stall_the_others() -> None:
    probe = asked(100)
    probe.receive(b"".join(answer(stream) for stream in range(1, 200, 2)))
    probe.take_out()
    for stream in range(1, 200, 2):
        assert [event[0] for event in probe.receive(data(stream, bytes(65535)))] == ["data"], "none was taken yet"
    assert ("WINDOW_UPDATE", 0) in {found[:2] for found in said(probe)}


def test_windows_follow_what_is_taken_and_grow_within_a_limit() -> None:
    probe = opened()
    probe.receive(data(1, bytes(40_000)))
    assert said(probe) == []
    probe.consume(1, 40_000)
    assert said(probe) == [("WINDOW_UPDATE", 1, 40_000 + 65535)], "it doubles while what comes is taken"
    for _ in range(100):
        probe.receive(data(1, bytes(60_000)))
        probe.consume(1, 60_000)
    assert probe.rooms == 1048576


def test_all_windows_together_have_a_limit() -> None:
    probe = asked(100)
    for stream in range(1, 200, 2):
        probe.receive(answer(stream))
        for _ in range(8):
            probe.receive(data(stream, bytes(60_000)))
            probe.consume(stream, 60_000)
    assert 100 * 65535 <= probe.rooms <= 16 * 1024 * 1024
    for stream in range(1, 200, 2):
        probe.reset(stream, 8)
    assert probe.rooms == 0


def test_data_of_a_stream_that_is_gone_returns_the_connections_window() -> None:
    probe = opened()
    probe.reset(1, 8)
    probe.take_out()
    for _ in range(40):
        assert probe.receive(data(1, bytes(60_000))) == []
    updates = [value for kind, stream, value in said(probe) if (kind, stream) == ("WINDOW_UPDATE", 0)]
    assert sum(updates) >= 40 * 60_000 - CONNECTION_WINDOW // 4


def test_padding_is_returned_with_the_data() -> None:
    probe = opened()
    for _ in range(400):
        assert probe.receive(data(1, b"\xff" + bytes(256), PADDED))[0][:3] == ("data", 1, b"\0")
        probe.consume(1, 1)
    assert ("WINDOW_UPDATE", 1) in {found[:2] for found in said(probe)}


Make = Callable[[], ClientProbe]


@pytest.mark.parametrize("make", [asked, opened])
def test_an_unknown_number_is_nobodys(make: Make) -> None:
    with pytest.raises(KeyError):
        make().send(3, b"x")
