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
    probe.take_out()
    probe.receive(frame("WINDOW_UPDATE", 0, 1, (16384 * 1000).to_bytes(4, "big")))
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


ROOM, GROWTH, WORKER = 65535, 4 << 20, 256 << 20  # gateway/h2_outbound.pxd


def crowded(streams: int = 1000) -> Probe:
    """A session with so many streams."""
    probe = Probe()
    probe.receive(PREFACE + frame("SETTINGS"))
    for number in range(1, 2 * streams, 2):
        probe.receive(frame("HEADERS", 4, number, CONNECT))
    probe.take_out()
    return probe


def filled(probe: Probe, number: int, size: int = ROOM) -> int:
    """DATA of so many bytes on a stream; what the connection's window has got back."""
    for start in range(0, size, 16384):
        events = probe.receive(frame("DATA", 0, number, bytes(min(16384, size - start))))
        assert [event[0] for event in events] == ["data"]
    return window_updates(probe).get(0, 0)


def test_a_thousand_streams_that_stall_hold_up_themselves_alone() -> None:
    probe = crowded()
    window = 4 << 20
    for number in range(1, 1999, 2):
        window += filled(probe, number) - ROOM
        assert window > 2 << 20, "the connection's window is returned on receipt"
    assert probe.buffered == probe.of_worker == 999 * ROOM, "what waits is what the streams' windows let come"
    for _ in range(100):
        window += filled(probe, 1999, 1000) - 1000
        probe.consume(1999, 1000)
    assert window > 2 << 20


def test_what_streams_may_grow_by_has_a_limit_for_all_of_them_together() -> None:
    probe = crowded(200)
    windows = dict.fromkeys(range(1, 401, 2), ROOM)
    for number in [1] * 10 + list(windows) * 6:
        size = windows[number]
        filled(probe, number, size)
        probe.consume(number, size)
        windows[number] += window_updates(probe).get(number, 0) - size
    assert max(windows.values()) == 1 << 20
    assert 3 << 20 < sum(windows.values()) - 200 * ROOM <= GROWTH


def test_a_stream_that_stalls_gives_its_growth_to_one_that_drains() -> None:
    probe = crowded(20)
    windows = dict.fromkeys(range(1, 41, 2), ROOM)

    def drain(number: int, size: int | None = None) -> None:
        filled(probe, number, windows[number])
        probe.consume(number, size or windows[number])
        size = windows[number]
        windows[number] += window_updates(probe).get(number, 0) - size

    for number in (1, 3, 5, 7):
        for _ in range(10):
            drain(number)
    drain(9)
    drain(9)
    before = windows[9]
    assert before < 1 << 20, "four streams have all the growth there is"
    drain(9)
    drain(1, 600_000)
    drain(9)
    assert windows[9] > before


def test_the_worker_s_budget_is_no_connection_s_to_use_up() -> None:
    probe = crowded(100)
    probe.of_worker = WORKER - (16 << 20)
    assert filled(probe, 1) == filled(probe, 3) == 0
    returned = sum(filled(probe, number) for number in range(5, 121, 2))
    assert returned == 0, "near the end of the budget the connection's window follows what is taken up"
    assert not probe.is_over
    probe.of_worker = WORKER
    assert probe.is_over, "at its end a connection that holds much is not read"
    probe.of_worker = 100 << 20
    probe.consume(1, ROOM)
    assert window_updates(probe)[0] > 3 << 20, "it has room again, and all that was kept back is returned"
    assert not probe.is_over


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


def test_a_turn_s_share_of_header_blocks_stops_the_session_and_another_one_goes_on() -> None:
    probe = begun()
    probe.allow(10_000, 0)
    flood = b"".join(frame("HEADERS", 4, number, CONNECT) for number in range(3, 403, 2))
    assert probe.receive(flood) == []
    assert probe.stopped
    found = []
    for _ in range(4):
        assert probe.stopped
        events = probe.allow(10_000, 64)
        assert len(events) <= 64
        found += events
    assert [event[1] for event in found] == list(range(3, 403, 2))
    assert not probe.stopped


def test_data_passes_though_no_header_block_may() -> None:
    probe = begun()
    probe.allow(10_000, 0)
    assert [event[0] for event in probe.receive(frame("DATA", 0, 1, b"x") * 3)] == ["data"] * 3
    assert not probe.stopped


def test_a_long_header_block_costs_as_much_as_many() -> None:
    probe = begun()
    probe.allow(10_000, 60)
    long = CONNECT + b"\x00\x01x\x7f\x81\x7c" + b"a" * 16000
    probe.receive(frame("HEADERS", 4, 3, long) + frame("HEADERS", 4, 5, CONNECT))
    assert probe.stopped


@pytest.mark.parametrize(
    "one",
    [frame("RST_STREAM", 0, 1, bytes(4)), frame("SETTINGS"), frame("PING", 0, 0, bytes(8)), frame("DATA", 0, 1, b"x")],
)
def test_frames_have_a_share_whatever_they_are(one: bytes) -> None:
    probe = begun()
    probe.allow(50, 30)
    probe.receive(one * 60)
    assert probe.stopped


def test_a_share_stops_nothing_for_good_however_it_falls() -> None:
    """What is reported is the same, whatever the shares are."""
    flood = b"".join(
        frame("HEADERS", 4, n, CONNECT) + frame("DATA", 0, n, b"ab") + frame("RST_STREAM", 0, n, bytes(4))
        for n in range(3, 203, 2)
    )
    whole = begun().receive(flood)
    for share in (1, 2, 3, 7):
        probe = begun()
        probe.allow(share, share)
        events = probe.receive(flood)
        while probe.stopped:
            events += probe.allow(share, share)
        assert events == whole


def rapid_reset(number: int) -> bytes:
    return frame("HEADERS", 4, 2 * number + 3, CONNECT) + frame("RST_STREAM", 0, 2 * number + 3, b"\0\0\0\x08")


def bomb(number: int) -> bytes:
    """One field of 4,000 bytes in the table, then a hundred times by its number."""
    value = b"\x7f" + bytes([0xA1, 0x1E]) + b"a" * 4000
    return frame("HEADERS", 4, 2 * number + 3, b"\x82\x84\x86\x40\x01x" + value + b"\xbe" * 100)


@pytest.mark.parametrize("form", [":authority", ":scheme http, :path"])
def test_resets_behind_refusals_are_spent_as_others_are(form: str) -> None:
    """A client that is refused first, and resets then, has given up no less."""
    probe = Probe()
    probe.receive(PREFACE + frame("SETTINGS"))
    asks = block(f":method CONNECT, {form} example.com:443")
    for number in range(1, 10_001, 2):
        assert probe.receive(frame("HEADERS", 4, number, asks))[0][0] == "request"
        probe.respond(number, [(b":status", b"403")], end=True)
        if form != ":authority":
            probe.finish(number)  # a sidecar's stream is forgotten at once
        events = probe.receive(frame("RST_STREAM", 0, number, b"\0\0\0\x08"))
        probe.take_out()
        if events and events[0][0] == "failed":
            assert H2_ABUSES[events[0][2]] == "rapid_reset"
            assert 2000 < number < 3000
            return
    raise AssertionError("it could go on for ever")


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


@pytest.mark.parametrize("way", ["sent", "received"])
def test_pings_beside_data_are_no_flood(way: str) -> None:
    """One in 20 ms, as gRPC measures the path by, beside what is sent or received."""
    probe = begun(frame("SETTINGS", payload=bytes.fromhex("00047fffffff")))
    probe.receive(frame("WINDOW_UPDATE", 0, 0, b"\0\x0f\0\0"))
    for number in range(5000):
        if way == "sent":
            probe.send(1, b"x")
        else:
            probe.receive(frame("DATA", 0, 1, b"x"))
            probe.consume(1, 1)
        assert probe.receive(frame("PING", 0, 0, bytes(8)), now=20 * number) == []
        probe.take_out()


def test_window_updates_for_data_that_was_sent_are_no_flood() -> None:
    probe = begun(frame("SETTINGS", payload=bytes.fromhex("00047fffffff")))
    update = frame("WINDOW_UPDATE", 0, 1, b"\0\0\0\1") + frame("WINDOW_UPDATE", 0, 0, b"\0\0\0\1")
    for _ in range(50_000):
        assert probe.send(1, b"x") == 1
        probe.take_out()
        assert all(event[0] == "window" for event in probe.receive(update))
