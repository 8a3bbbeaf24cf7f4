"""Requests that are no CONNECT as messages, on the server's side of HTTP/2, and responses as header blocks."""

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.h2_client_probe import ClientProbe
from tests.support.h2_server_probe import Probe
from tests.support.proto_probe import Inflater
from tests.vectors.http2 import PREFACE, block, frame, frames

HEADERS_END: Final = 5
HEADERS: Final = 4
GET: Final = ":method GET, :scheme http, :authority a.test, :path /x"
MALFORMED: Final = 14


def begun() -> Probe:
    probe = Probe(requests=True)
    probe.receive(PREFACE + frame("SETTINGS"))
    probe.take_out()
    return probe


def asked(fields: str, flags: int = HEADERS_END) -> tuple[Any, ...]:
    (event,) = begun().receive(frame("HEADERS", flags, 1, block(fields)))
    return tuple(event)


def message(fields: str, flags: int = HEADERS_END) -> dict[str, Any]:
    kind, _, found, _ = asked(fields, flags)
    assert kind == "message"
    return dict(found)


# ---- requests ----


def test_settings_offer_extended_connect_and_longer_heads_where_requests_are_taken() -> None:
    for requests, wanted in ((False, {3: 1000, 4: 65535, 6: 16384}), (True, {3: 1000, 4: 65535, 6: 65536, 8: 1})):
        first = next(frames(Probe(requests=requests).take_out()))
        pairs = [first.payload[at : at + 6] for at in range(0, len(first.payload), 6)]
        assert {pair[1]: int.from_bytes(pair[2:], "big") for pair in pairs} == wanted


def test_a_request_is_a_message() -> None:
    found = message(":method GET, :scheme HTTPS, :authority a.test:8443, :path /a/b?c=d&e, accept */*, te trailers")
    assert found == {
        "method": "GET", "scheme": "https", "authority": "a.test:8443", "path": "/a/b", "query": "c=d&e",
        "framing": "none", "flags": ["trailers"], "fields": [("accept", "*/*"), ("te", "trailers")],
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/" + "p" * 4000, "/" + "p" * 400 + "?" + "q" * 300])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_pseudo_headers_come_in_any_order(path: str, order: tuple[int, ...]) -> None:
    parts = [":method PUT", ":scheme http", ":authority a.test", f":path {path}"]
    found = message(", ".join(parts[at] for at in order))
    whole = found["path"] + ("?" + found["query"] if "query" in found else "")
    assert (found["method"], found["authority"], whole) == ("PUT", "a.test", path)


def test_content_is_framed_by_its_length_or_by_data() -> None:
    assert message(GET, HEADERS)["framing"] == "chunked"
    assert (message(GET + ", content-length 5", HEADERS)["framing"]) == "length"
    assert message(GET)["framing"] == "none"


def test_crumbs_of_cookies_are_one_field() -> None:
    found = message(GET + ", cookie a=1, accept */*, cookie b=2, cookie c=3")
    assert found["fields"] == [("cookie", "a=1; b=2; c=3"), ("accept", "*/*")]


def test_expectations_are_told_apart() -> None:
    assert message(GET + ", expect 100-Continue", HEADERS)["flags"] == ["continues"]
    assert message(GET + ", expect other", HEADERS)["flags"] == ["expects"]


def test_extended_connect_is_an_upgrade() -> None:
    fields = ":method CONNECT, :protocol websocket, :scheme https, :path /chat, :authority a.test"
    found = message(fields, HEADERS)
    assert (found["protocol"], found["flags"], found["path"]) == ("websocket", ["upgrades"], "/chat")


def test_a_connect_is_none() -> None:
    for fields in (
        ":method CONNECT, :authority a.test:1",
        ":method CONNECT, :scheme http, :path a.test:1",
        f":path {'p' * 600}, :method CONNECT",
    ):
        assert asked(fields)[0] == "request"


def test_host_stands_for_a_missing_authority() -> None:
    assert message(":method GET, :scheme http, :path /, host a.test:81")["authority"] == "a.test:81"


BROKEN: Final = (
    GET.replace("/x", "x"), GET.replace("/x", "/a b"), GET.replace("/x", "/a#b"), GET.replace("/x", "*"),
    GET.replace("GET", "G(T"), GET.replace("a.test", "me@a.test"), GET.replace("http,", "ht tp,"),
    ":method GET, :scheme http, :path /", ":method GET, :authority a.test, :path /",
    ":method GET, :scheme http, :authority a.test", GET + ", :path /y", GET + ", accept */*, :scheme http",
    GET + ", Accept */*", GET + ", connection close", GET + ", keep-alive 5", GET + ", proxy-connection close",
    GET + ", transfer-encoding chunked", GET + ", upgrade websocket", GET + ", te gzip",
    GET + ", content-length 5, content-length 5", GET + ", content-length +5", GET + ", content-length 5",
    GET + ", host a.test, host b.test", GET + ", host b.test", GET + ", x a\rb", GET + ", x a\nb", GET + ", x a\0b",
    GET + ", x a\x01b", GET + ", x a\x7fb", GET + ",  x", GET + ", x  a",
    GET + ", :protocol websocket", ":method CONNECT, :protocol a b, :scheme http, :path /, :authority a.test",
)  # fmt: skip


@pytest.mark.parametrize("fields", BROKEN)
def test_a_message_that_breaks_the_rules_is_in_error(fields: str) -> None:
    kind, _, *rest = asked(fields)
    assert (kind, rest[-1]) == ("broken", True) or (kind == "request" and rest[0] == 0), rest


@pytest.mark.parametrize("fields", [", ".join(["x y"] * 1001), f"x {'y*15000'}, " + ", ".join(["x y*15000"] * 4)])
def test_a_head_that_is_too_large_is_refused_with_an_answer(fields: str) -> None:
    data = block(GET + ", " + fields)
    pieces = [data[at : at + 16000] for at in range(0, len(data), 16000)]
    probe = begun()
    events = probe.receive(frame("HEADERS", 1 if len(pieces) > 1 else 5, 1, pieces[0]))
    for at, piece in enumerate(pieces[1:], 2):
        events += probe.receive(frame("CONTINUATION", 4 if at == len(pieces) else 0, 1, piece))
    ((kind, _, _, detail, malformed),) = events
    assert (kind, malformed) == ("broken", False) and "65536" in detail


# ---- content and trailers ----


def test_trailers_end_a_request() -> None:
    probe = begun()
    probe.receive(frame("HEADERS", HEADERS, 1, block(GET)))
    assert probe.receive(frame("DATA", 0, 1, b"body")) == [("data", 1, b"body", False)]
    assert probe.receive(frame("HEADERS", 5, 1, block("grpc-status 0, x y"))) == [
        ("end", 1, [("grpc-status", "0"), ("x", "y")])
    ]


@pytest.mark.parametrize("field", ["content-length 4", "host a", "transfer-encoding chunked", ":path /", "te trailers"])
def test_trailers_that_frame_or_route_end_the_stream(field: str) -> None:
    probe = begun()
    probe.receive(frame("HEADERS", HEADERS, 1, block(GET)))
    assert probe.receive(frame("HEADERS", 5, 1, block(field))) == [("error", 1, 1)]


def test_content_is_as_long_as_it_was_said_to_be() -> None:
    for payload, flags in ((b"four!", 0), (b"fou", 1), (b"", 1)):
        probe = begun()
        probe.receive(frame("HEADERS", HEADERS, 1, block(GET + ", content-length 4")))
        assert probe.receive(frame("DATA", flags, 1, payload))[-1] == ("error", 1, 1)


# ---- responses ----


def decoded(probe: Probe) -> list[tuple[str, int, list[tuple[bytes, bytes]]]]:
    """Kind, flags and fields of what went out, CONTINUATION joined."""
    found, parts = [], b""
    inflater = Inflater()
    for kind, flags, _, payload in frames(probe.take_out()):
        parts += payload
        if flags & 4:
            found.append((kind, flags, inflater.decode([parts])))
            parts = b""
    return found


def test_a_response_leaves_without_fields_of_http1() -> None:
    probe = begun()
    probe.receive(frame("HEADERS", 5, 1, block(GET)))
    probe.inform(1, [(b":status", b"103"), (b"link", b"x")])
    probe.respond_message(1, [(b":status", b"204"), (b"server", b"x"), (b"te", b"trailers")], True)
    assert decoded(probe) == [
        ("HEADERS", 4, [(b":status", b"103"), (b"link", b"x")]),
        ("HEADERS", 5, [(b":status", b"204"), (b"server", b"x")]),
    ]


def test_a_long_head_leaves_in_several_frames() -> None:
    probe = begun()
    probe.receive(frame("HEADERS", 5, 1, block(GET)))
    fields = [(b"x%d" % at, b"\x7e" * 9000) for at in range(6)]
    probe.respond_message(1, [(b":status", b"200"), *fields], True)
    out = [(one.kind, one.flags, len(one.payload)) for one in frames(probe.take_out())]
    assert out[0] == ("HEADERS", 1, 16384) and {size for _, _, size in out[1:-1]} == {16384}
    assert [kind for kind, _, _ in out[1:]] == ["CONTINUATION"] * (len(out) - 1) and out[-1][1] == 4


NAMES: Final = st.sampled_from([b"accept", b"cookie", b"x-long", b"authorization", b"content-type", b"grpc-timeout"])
VALUES: Final = st.binary(max_size=40).map(lambda raw: bytes(byte for byte in raw if 0x20 < byte < 0x7F))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=80), st.sampled_from([b"/", b"/a?", b"/a?b=c"]), st.booleans())
def test_a_request_survives_the_way_from_client_to_server(
    fields: list[tuple[bytes, bytes]], path: bytes, end: bool
) -> None:
    client, server = ClientProbe(collects=True), Probe(requests=True)
    head = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", path), *fields]
    number = client.ask_message(head, end)
    ((kind, stream, found, over),) = server.receive(client.take_out())
    assert (kind, stream, over) == ("message", number, end)
    others = [(name.decode(), value.decode()) for name, value in fields if name != b"cookie"]
    assert [field for field in found.get("fields", []) if field[0] != "cookie"] == others
    crumbs = [value.decode() for name, value in fields if name == b"cookie"]
    cookies = [value for name, value in found.get("fields", []) if name == "cookie"]
    assert cookies == (["; ".join(crumbs)] if crumbs else [])
    assert found["path"] + ("?" + found.get("query", "") if b"?" in path else "") == path.decode()
