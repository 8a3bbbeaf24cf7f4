"""Responses of origins on the client's side of HTTP/2: whole messages in, and what a hostile origin may try."""

from typing import Any, Final

import pytest

from tests.support.h2_client_probe import ClientProbe
from tests.vectors.http2 import CODES, block, frame, frames

HELLO: Final = frame("SETTINGS")
GET: Final = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/")]
PROTOCOL_ERROR, STREAM_CLOSED, CALM = 1, 5, 11


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def asked(method: bytes = b"GET", streams: int = 1) -> ClientProbe:
    probe = ClientProbe(collects=True)
    probe.receive(HELLO)
    for _ in range(streams):
        assert probe.ask_message([(b":method", method), *GET[1:]], True)
    probe.take_out()
    return probe


def answer(fields: str, flags: int = 4, stream: int = 1) -> bytes:
    return frame("HEADERS", flags, stream, block(fields))


def data(payload: bytes, flags: int = 0, stream: int = 1) -> bytes:
    return frame("DATA", flags, stream, payload)


def only(events: list[Any]) -> Any:
    (event,) = events
    return event


def test_one_request_is_asked_before_settings_came() -> None:
    probe = ClientProbe(collects=True)
    assert probe.ask_message(GET, True) == 1 and probe.free_streams == 0
    kinds = [(one.kind, one.flags) for one in frames(probe.take_out()[24:])]
    assert kinds == [("SETTINGS", 0), ("WINDOW_UPDATE", 0), ("HEADERS", 5)]
    probe.receive(frame("SETTINGS", 0, 0, b"\0\3" + number(3)))
    assert probe.free_streams == 2


def test_a_response_is_a_message_with_its_content_and_trailers() -> None:
    probe = asked()
    kind, stream, found, end = only(probe.receive(answer(":status 200, content-type text/plain, set-cookie a=b")))
    assert (kind, stream, end, found["status"], found["framing"]) == ("response", 1, False, 200, "chunked")
    assert found["fields"] == [("content-type", "text/plain"), ("set-cookie", "a=b")]
    assert probe.receive(data(b"some")) == [("data", 1, b"some", False)]
    assert probe.receive(answer("grpc-status 0, grpc-message ok", 5)) == [
        ("trailers", 1, [("grpc-status", "0"), ("grpc-message", "ok")])
    ]


def test_interim_responses_come_before_the_final_one() -> None:
    probe = asked()
    events = probe.receive(answer(":status 100") + answer(":status 103, link x") + answer(":status 204", 5))
    assert [(event[0], event[2]["status"], event[3]) for event in events] == [
        ("interim", 100, False), ("interim", 103, False), ("response", 204, True),
    ]  # fmt: skip


def test_the_end_may_come_with_the_head_or_by_itself() -> None:
    assert only(asked().receive(answer(":status 200, content-length 0", 5)))[2]["framing"] == "length"
    probe = asked()
    probe.receive(answer(":status 200"))
    assert probe.receive(data(b"", 1)) == [("data", 1, b"", True)]


@pytest.mark.parametrize("method", [b"HEAD", b"GET"])
def test_answers_without_content_have_none(method: bytes) -> None:
    probe = asked(method)
    status = "200" if method == b"HEAD" else "304"
    found = only(probe.receive(answer(f":status {status}, content-length 100")))[2]
    assert (found["framing"], found["length"]) == ("none", 100)
    assert probe.receive(data(b"x")) == [("error", 1, PROTOCOL_ERROR)]


@pytest.mark.parametrize(
    "fields",
    [
        ":status 200, connection close", ":status 200, transfer-encoding chunked", ":status 200, Server x",
        ":status 200, content-length 1, content-length 2", ":status 200, content-length x", ":status 20",
        ":status 200, x a\nb", ":status 200, x a\x01b", "server x", ":status 200, :status 200", ":status 101",
        ":status 200, :path /", ":status 600",
    ],
)  # fmt: skip
def test_a_response_that_breaks_the_rules_is_lost(fields: str) -> None:
    assert asked().receive(answer(fields)) == [("error", 1, PROTOCOL_ERROR)]


@pytest.mark.parametrize(
    ("length", "payload", "flags"), [(3, b"four", 0), (5, b"four", 1), (3, b"", 1)], ids=["more", "less", "nothing"]
)
def test_content_of_another_length_is_lost(length: int, payload: bytes, flags: int) -> None:
    probe = asked()
    probe.receive(answer(f":status 200, content-length {length}"))
    assert probe.receive(data(payload, flags)) == [("error", 1, PROTOCOL_ERROR)]


def test_trailers_that_come_too_early_are_lost() -> None:
    probe = asked()
    probe.receive(answer(":status 200, content-length 3") + data(b"ab"))
    assert probe.receive(answer("x y", 5)) == [("error", 1, PROTOCOL_ERROR)]


@pytest.mark.parametrize("trailers", [":status 200", ":path /", "content-length 1", "te trailers", "X y"])
def test_trailers_with_what_is_not_for_them_are_lost(trailers: str) -> None:
    probe = asked()
    probe.receive(answer(":status 200"))
    assert probe.receive(answer(trailers, 5)) == [("error", 1, PROTOCOL_ERROR)]


def test_trailers_without_an_end_are_lost() -> None:
    probe = asked()
    probe.receive(answer(":status 200"))
    assert probe.receive(answer("x y", 4)) == [("error", 1, PROTOCOL_ERROR)]


def test_data_before_a_head_and_behind_the_end_is_in_error() -> None:
    assert asked().receive(data(b"x")) == [("error", 1, PROTOCOL_ERROR)]
    probe = ClientProbe(collects=True)
    probe.receive(HELLO)
    probe.ask_message(GET, False)
    probe.receive(answer(":status 200", 5))
    assert probe.receive(data(b"x")) == [("error", 1, STREAM_CLOSED)]


def test_goaway_takes_no_new_streams() -> None:
    probe = asked(streams=3)
    assert probe.receive(frame("GOAWAY", 0, 0, number(1) + number(0))) == [("goaway", 1)]
    assert probe.free_streams == 0
    assert only(probe.receive(answer(":status 200", 5)))[0] == "response"


@pytest.mark.parametrize(
    ("flood", "bound"),
    [(answer(":status 103"), 600), (HELLO, 60), (data(b""), 600), (frame("PING", 0, 0, b"12345678"), 300)],
    ids=["interim", "settings", "empty", "ping"],
)
def test_floods_end_the_connection(flood: bytes, bound: int) -> None:
    probe = asked()
    if flood == data(b""):
        probe.receive(answer(":status 200"))
    for _ in range(bound):
        events = probe.receive(flood)
        probe.take_out()
        if events and events[-1][0] == "failed":
            assert CODES[events[-1][1]] == "ENHANCE_YOUR_CALM"
            return
    raise AssertionError("the flood goes on")
