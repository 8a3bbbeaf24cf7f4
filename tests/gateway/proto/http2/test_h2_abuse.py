"""An HTTP/2 session's shares of a turn, and floods, which end it."""

from collections.abc import Callable
from typing import Final

import pytest

from supervisor.segment.labels import H2_ABUSES
from tests.support.h2_begun import CONNECT, begun
from tests.support.h2_server_probe import Probe
from tests.vectors.http2 import CODES, PREFACE, block, frame, frames

FAILED = 0


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
    """Reports are the same, whatever the shares are."""
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
    """A client that is refused first, and resets after that, has given up no less."""
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
