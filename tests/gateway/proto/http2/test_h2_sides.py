"""Rules that both sides of HTTP/2 keep: the same frames of a peer, to a server and to a client, get the same answer."""

from typing import Any, Final

import pytest

from tests.support.h2_client_probe import ClientProbe
from tests.support.h2_server_probe import Probe
from tests.vectors.http2 import CODES, PREFACE, block, frame, frames

END_STREAM, END_HEADERS, PADDED = 1, 4, 8
CONNECT: Final = [(b":method", b"CONNECT"), (b":authority", b"a.example:443")]
CALM: Final = "ENHANCE_YOUR_CALM"


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def server() -> Probe:
    """A client has opened tunnel 1, and SETTINGS have been exchanged."""
    probe = Probe()
    request = frame("HEADERS", END_HEADERS, 1, block(":method CONNECT, :authority a.example:443"))
    assert probe.receive(PREFACE + frame("SETTINGS") + request)[0][:2] == ("request", 1)
    probe.respond(1, [(b":status", b"200")])
    probe.take_out()
    return probe


def client() -> ClientProbe:
    """A parent has opened tunnel 1."""
    probe = ClientProbe()
    probe.receive(frame("SETTINGS"))
    assert probe.ask(CONNECT) == 1
    assert probe.receive(frame("HEADERS", END_HEADERS, 1, block(":status 200"))) == [("answer", 1, 200, False)]
    probe.take_out()
    return probe


SIDES: Final = {"server": server, "client": client}


def connection_error(probe: Any) -> str:
    """Code of the GOAWAY that ends the connection, which says why as well."""
    (payload,) = [sent.payload for sent in frames(probe.take_out()) if sent.kind == "GOAWAY"]
    assert payload[8:].decode().strip(), "a GOAWAY for an error carries its reason"
    return CODES[int.from_bytes(payload[4:8], "big")]


WRONG: Final[dict[str, tuple[bytes, str]]] = {
    "data of a stream that was never opened": (frame("DATA", 0, 5, b"x"), "PROTOCOL_ERROR"),
    "a window of a stream that was never opened": (frame("WINDOW_UPDATE", 0, 5, number(1)), "PROTOCOL_ERROR"),
    "a reset of a stream that was never opened": (frame("RST_STREAM", 0, 5, number(8)), "PROTOCOL_ERROR"),
    "data of an even stream": (frame("DATA", 0, 2, b"x"), "PROTOCOL_ERROR"),
    "a window by 0": (frame("WINDOW_UPDATE", 0, 0, number(0)), "PROTOCOL_ERROR"),
    "a window too large": (frame("WINDOW_UPDATE", 0, 0, number(0x7FFFFFFF)), "FLOW_CONTROL_ERROR"),
    "a first window that makes a stream's too large": (
        frame("WINDOW_UPDATE", 0, 1, number(0x7FFF0000)) + frame("SETTINGS", payload=b"\0\4" + number(0x7FFFFFFF)),
        "FLOW_CONTROL_ERROR",
    ),
    "a push": (frame("PUSH_PROMISE", END_HEADERS, 1, number(2) + block(":status 200")), "PROTOCOL_ERROR"),
    "a frame within a header block": (frame("HEADERS", 0, 1, b"") + frame("PING", 0, 0, bytes(8)), "PROTOCOL_ERROR"),
    "CONTINUATION alone": (frame("CONTINUATION", END_HEADERS, 1, b""), "PROTOCOL_ERROR"),
    "a block that is not HPACK": (frame("HEADERS", END_HEADERS, 1, b"\xff" * 8), "COMPRESSION_ERROR"),
    "empty CONTINUATION without end": (
        frame("HEADERS", 0, 1, b"") + frame("CONTINUATION", 0, 1, b"") * 20, CALM,
    ),
    "pings without end": (frame("PING", 0, 0, bytes(8)) * 300, CALM),
    "settings without end": (frame("SETTINGS") * 100, CALM),
    "priorities without end": (frame("PRIORITY", 0, 1, bytes(5)) * 3000, CALM),
    "empty data without end": (frame("DATA", 0, 1, b"") * 1000, CALM),
    "unknown frames without end": (frame("ee", 0, 0, b"") * 1000, CALM),
    "goodbyes without end": (frame("GOAWAY", 0, 0, bytes(8)) * 1000, CALM),
    "windows without end": (frame("WINDOW_UPDATE", 0, 1, number(1)) * 11000, CALM),
}  # fmt: skip


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", WRONG)
def test_both_sides_end_a_connection_for_the_same_reason(side: str, name: str) -> None:
    stream, code = WRONG[name]
    probe = SIDES[side]()
    assert probe.receive(stream)[-1][0] == "failed"
    assert connection_error(probe) == code
    assert probe.receive(frame("PING", 0, 0, bytes(8))) == [], "nothing is read behind the end"


ERRORS: Final[dict[str, tuple[bytes, str]]] = {
    "a priority of another length": (frame("PRIORITY", 0, 1, bytes(4)), "FRAME_SIZE_ERROR"),
    "a stream that depends on itself": (frame("PRIORITY", 0, 1, number(1) + b"\0"), "PROTOCOL_ERROR"),
    "a window by 0": (frame("WINDOW_UPDATE", 0, 1, number(0)), "PROTOCOL_ERROR"),
    "a window too large": (frame("WINDOW_UPDATE", 0, 1, number(0x7FFFFFFF)), "FLOW_CONTROL_ERROR"),
    "more data than the window": (frame("DATA", 0, 1, bytes(16384)) * 4, "FLOW_CONTROL_ERROR"),
    "data behind the end": (
        frame("DATA", END_STREAM, 1, b"x") + frame("DATA", 0, 1, b"y"), "STREAM_CLOSED",
    ),
}  # fmt: skip


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ERRORS)
def test_both_sides_end_a_stream_for_the_same_reason(side: str, name: str) -> None:
    stream, code = ERRORS[name]
    probe = SIDES[side]()
    event = probe.receive(stream)[-1]
    assert (event[:2], CODES[event[2]]) == (("error", 1), code)
    assert [sent.kind for sent in frames(probe.take_out())] == ["RST_STREAM"]
    assert probe.receive(frame("PING", 0, 0, bytes(8))) == [], "the connection goes on"
    assert [sent.kind for sent in frames(probe.take_out())] == ["PING"]


@pytest.mark.parametrize("side", SIDES)
def test_both_sides_return_the_same_windows(side: str) -> None:
    probe = SIDES[side]()
    sent = []
    for size in (40_000, 60_000, 60_000, 200, 60_000) * 20:
        probe.receive(frame("DATA", PADDED, 1, b"\x05" + bytes(size) + bytes(5)))
        probe.consume(1, size)
        sent += [(out.kind, out.stream, int.from_bytes(out.payload, "big")) for out in frames(probe.take_out())]
    stream = [value for kind, number, value in sent if (kind, number) == ("WINDOW_UPDATE", 1)]
    connection = [value for kind, number, value in sent if (kind, number) == ("WINDOW_UPDATE", 0)]
    total = 20 * (40_000 + 3 * 60_000 + 200) + 100 * 6
    assert stream[0] == 40_006 + 65535, "it doubles while what comes is taken"
    assert 0 <= total - (sum(stream) - (1048576 - 65535)) <= 1048576 // 2
    assert 0 <= total - sum(connection) < 4194304 // 4


@pytest.mark.parametrize("side", SIDES)
def test_a_goaway_of_either_peer_says_how_far_it_looked(side: str) -> None:
    probe = SIDES[side]()
    (event,) = probe.receive(frame("GOAWAY", 0, 0, number(1) + number(0)))
    assert event[0] in {"goaway", "shutdown"}
    assert [out.kind for out in frames(probe.take_out())] == []
