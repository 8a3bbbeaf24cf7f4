"""Flow control of an HTTP/2 session, both ways: windows, frames and growth."""

import pytest

from tests.support.h2_begun import CONNECT, begun, window_updates
from tests.support.h2_server_probe import Probe
from tests.vectors.http2 import PREFACE, block, frame, frames


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
    assert probe.send(1, bytes(100)) == 0, "the connection's window is used up as well"
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


ROOM, GROWTH, WORKER = 65535, 4 << 20, 256 << 20  # gateway/proto/http2/outbound.pxd


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
