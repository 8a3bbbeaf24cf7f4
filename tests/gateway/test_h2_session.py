"""An HTTP/2 session as bytes: every vector in any pieces, flow control both ways, and what abuse comes to."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.h2_probe import Probe
from supervisor.labels import H2_ABUSES
from tests.vectors import play
from tests.vectors.http2 import CODES, PREFACE, Vector, block, frame, frames, load, told

VECTORS: Final = load()
EVERY: Final = pytest.mark.parametrize("vector", VECTORS, ids=[vector.title for vector in VECTORS])
OPENING: Final = ["SETTINGS - 0", f"WINDOW_UPDATE - 0 {4 * 1024 * 1024 - 65535}"]
FAILED, CREDENTIALS, REQUEST = 0, 2, 3
CONNECT: Final = block(":method CONNECT, :authority example.com:443")


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


def begun(data: bytes = b"") -> Probe:
    """A session behind its opening, with one CONNECT stream, and `data` behind that."""
    probe = Probe()
    opening = PREFACE + frame("SETTINGS") + frame("HEADERS", 4, 1, CONNECT)
    assert [event[0] for event in probe.receive(opening)] == ["request"]
    probe.take_out()
    probe.receive(data)
    return probe


def window_updates(probe: Probe) -> dict[int, int]:
    """What was returned, by stream."""
    found: dict[int, int] = {}
    for sent in frames(probe.take_out()):
        assert sent.kind == "WINDOW_UPDATE", sent
        found[sent.stream] = found.get(sent.stream, 0) + int.from_bytes(sent.payload, "big")
    return found


def test_success_is_one_byte_of_hpack() -> None:
    probe = begun()
    probe.respond(1, [(b":status", b"200")])
    assert list(frames(probe.take_out())) == [("HEADERS", 4, 1, b"\x88")]


def test_a_table_size_that_shrinks_is_told_to_the_decoder() -> None:
    probe = begun(frame("SETTINGS", payload=bytes.fromhex("000100000000")))
    probe.take_out()
    probe.respond(1, [(b":status", b"200")])
    (answer,) = frames(probe.take_out())
    assert answer.payload == b"\x20\x88", "RFC 7541 section 4.2: the change comes first in the next block"


def test_a_stream_sends_what_its_window_lets_pass() -> None:
    probe = begun()
    assert probe.send(1, bytes(100_000)) == 16384
    assert sum(probe.send(1, bytes(100_000)) for _ in range(9)) == 65535 - 16384
    probe.receive(frame("WINDOW_UPDATE", 0, 1, (10).to_bytes(4, "big")))
    assert probe.send(1, bytes(100)) == 0, "the connection's window is used up, too"
    probe.receive(frame("WINDOW_UPDATE", 0, 0, (5).to_bytes(4, "big")))
    assert probe.send(1, bytes(100)) == 5


def test_an_initial_window_that_shrinks_makes_windows_negative() -> None:
    probe = begun()
    assert probe.send(1, bytes(10_000)) == 10_000
    probe.receive(frame("SETTINGS", payload=bytes.fromhex("000400000000")))
    assert probe.send(1, b"x") == 0
    probe.receive(frame("WINDOW_UPDATE", 0, 1, (10_000).to_bytes(4, "big")))
    assert probe.send(1, b"x") == 0, "10,000 bytes were sent that the window never had"
    probe.receive(frame("WINDOW_UPDATE", 0, 1, (1).to_bytes(4, "big")))
    assert probe.send(1, b"xy") == 1


def test_windows_of_the_largest_size() -> None:
    probe = begun(frame("SETTINGS", payload=bytes.fromhex("00047fffffff")))
    probe.receive(frame("WINDOW_UPDATE", 0, 0, (0x7FFFFFFF - 65535).to_bytes(4, "big")))
    assert sum(probe.send(1, bytes(16384)) for _ in range(1000)) == 16384 * 1000
    probe.receive(frame("WINDOW_UPDATE", 0, 1, (16384 * 1000).to_bytes(4, "big")))
    probe.take_out()
    assert [event[0] for event in probe.receive(frame("WINDOW_UPDATE", 0, 1, (1).to_bytes(4, "big")))] == ["error"]


@pytest.mark.parametrize("size", ["00004000", "00020000", "00ffffff"])
def test_frames_are_as_large_as_the_peer_allows_and_no_larger_than_ours(size: str) -> None:
    probe = begun(frame("SETTINGS", payload=bytes.fromhex("0005" + size + "00047fffffff")))
    probe.receive(frame("WINDOW_UPDATE", 0, 0, (1 << 20).to_bytes(4, "big")))
    assert probe.send(1, bytes(1 << 20)) == min(int(size, 16), 131072)


def test_a_pipy_client_never_gets_a_large_frame_nor_a_second_settings() -> None:
    probe = Probe()
    pipy = block(":method CONNECT, :scheme http, :path example.com:443")
    large = frame("SETTINGS", payload=bytes.fromhex("000500ffffff"))
    probe.receive(PREFACE + large + frame("HEADERS", 4, 1, pipy))
    assert [found.kind for found in frames(probe.take_out())] == ["SETTINGS", "WINDOW_UPDATE", "SETTINGS"]
    assert probe.send(1, bytes(60_000)) == 16384


def test_the_connection_s_window_returns_on_receipt_and_the_stream_s_on_consumption() -> None:
    probe = begun()
    sent = 0
    for _ in range(3):
        assert probe.receive(frame("DATA", 0, 1, bytes(16384)))
        sent += 16384
    assert probe.buffered == sent and window_updates(probe) == {}, "nothing was taken up yet"
    probe.consume(1, sent)
    assert probe.buffered == 0
    assert window_updates(probe) == {1: sent + 65535}, "what was taken up, and the window has doubled"


def test_a_stream_that_is_not_taken_up_cannot_send_more_than_its_window() -> None:
    probe = begun()
    for _ in range(3):
        probe.receive(frame("DATA", 0, 1, bytes(16384)))
    assert [event[0] for event in probe.receive(frame("DATA", 0, 1, bytes(16384)))] == ["error"]


def test_little_is_buffered_for_a_connection_however_many_streams_there_are() -> None:
    probe = Probe()
    probe.receive(PREFACE + frame("SETTINGS"))
    received = 0
    for number in range(1, 2001, 2):
        probe.receive(frame("HEADERS", 4, number, CONNECT))
        for _ in range(4):
            events = probe.receive(frame("DATA", 0, number, bytes(16383)))
            if events and events[0][0] == "failed":
                assert events[0][1] == CODES.index("FLOW_CONTROL_ERROR")
                assert received == probe.buffered and 3 << 20 < received <= 4 << 20
                return
            received += 16383
    raise AssertionError("the connection's window never ended")


def test_padding_is_returned_though_nobody_takes_it_up() -> None:
    probe = begun()
    for _ in range(130):
        probe.receive(frame("DATA", 8, 1, b"\xff" + bytes(255)))
        probe.receive(frame("DATA", 0, 1, b"x"))
        probe.consume(1, 1)
    assert window_updates(probe)[1] >= 32768


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
    assert probe.receive(frame("HEADERS", 4, 2001, CONNECT)) == []
    assert [told(found) for found in frames(probe.take_out())] == ["RST_STREAM - 2001 REFUSED_STREAM"]
    probe.reset(1, 8)
    assert probe.receive(frame("HEADERS", 4, 2003, CONNECT))[0][0] == "request"


def test_after_goodbye_new_streams_are_refused_and_old_ones_go_on() -> None:
    probe = begun()
    probe.leave()
    assert probe.receive(frame("HEADERS", 4, 3, CONNECT) + frame("DATA", 0, 1, b"x")) == [("data", 1, b"x", False)]
    found = [told(one) for one in frames(probe.take_out())]
    assert found == ["GOAWAY - 0 last=1 NO_ERROR", "RST_STREAM - 3 REFUSED_STREAM"]


def rapid_reset(number: int) -> bytes:
    return frame("HEADERS", 4, 2 * number + 3, CONNECT) + frame("RST_STREAM", 0, 2 * number + 3, b"\0\0\0\x08")


def bomb(number: int) -> bytes:
    """One field of 4,000 bytes in the table, then a hundred times by its number."""
    value = b"\x7f" + bytes([0xA1, 0x1E]) + b"a" * 4000
    return frame("HEADERS", 4, 2 * number + 3, b"\x82\x84\x86\x40\x01x" + value + b"\xbe" * 100)


FLOODS: Final[dict[str, Callable[[int], bytes]]] = {
    "rapid_reset": rapid_reset,
    "continuation": lambda n: frame("HEADERS", 0, 2 * n + 3) + frame("CONTINUATION", 0, 2 * n + 3, b"\x84") * 20,
    "ping": lambda _: frame("PING", 0, 0, bytes(8)),
    "settings": lambda _: frame("SETTINGS"),
    "empty_frames": lambda _: frame("DATA", 0, 1),
    "window_update": lambda _: frame("WINDOW_UPDATE", 0, 1, b"\0\0\0\1"),
    "priority": lambda _: frame("PRIORITY", 0, 1, b"\0\0\0\0\x10"),
    "stream_errors": lambda n: frame("HEADERS", 4, 2 * n + 3, b"\x82"),
    "unknown_frames": lambda _: frame("0xee", 0, 0, b"x"),
    "refused_streams": lambda n: frame("HEADERS", 4, 2 * n + 3, CONNECT),
    "header_list": bomb,
}  # fmt: skip


@pytest.mark.parametrize("reason", list(FLOODS))
def test_a_flood_ends_its_connection_with_enhance_your_calm(reason: str) -> None:
    probe = begun()
    for number in range(20_000):
        for event in probe.receive(FLOODS[reason](number)):
            if event[0] == "failed":
                assert CODES[event[1]] == "ENHANCE_YOUR_CALM"
                assert H2_ABUSES[event[2]] == reason
                assert list(frames(probe.take_out()))[-1].kind == "GOAWAY"
                return
            if event[0] == "request" and event[2] == FAILED:
                probe.reset(event[1], 1)  # as a connection answers it
        probe.take_out()
    raise AssertionError("it could go on for ever")


def test_answers_that_nobody_reads_end_the_connection() -> None:
    probe = begun()
    for second in range(1_000_000):
        events = probe.receive(frame("PING", 0, 0, bytes(8)) * 10, now=second * 1000)
        if events:
            assert H2_ABUSES[events[0][2]] == "unread_answers"
            return
    raise AssertionError("it could go on for ever")


@pytest.mark.parametrize("reason", ["ping", "settings", "window_update", "priority", "rapid_reset"])
def test_an_honest_pace_is_no_flood(reason: str) -> None:
    probe = begun()
    for second in range(300):
        assert all(e[0] != "failed" for e in probe.receive(FLOODS[reason](second), now=second * 1000))
        probe.take_out()


def test_window_updates_for_data_that_was_sent_are_no_flood() -> None:
    probe = begun(frame("SETTINGS", payload=bytes.fromhex("00047fffffff")))
    update = frame("WINDOW_UPDATE", 0, 1, b"\0\0\0\1") + frame("WINDOW_UPDATE", 0, 0, b"\0\0\0\1")
    for _ in range(50_000):
        assert probe.send(1, b"x") == 1
        probe.take_out()
        assert all(event[0] == "window" for event in probe.receive(update))
