"""Connections that are their own payload: the server name of a ClientHello in any pieces, and fixed destinations."""

import re
import ssl
import struct
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.proto_probe import DestinationCodec, ServerNameCodec
from tests.vectors import play
from tests.vectors.loader import outcomes, recorded

MOST: Final = 65535  # csrc/bytes/inner.h
NO_NAME: Final = "no_server_name: the ClientHello has no server name"
OWN: Final = "no_server_name: the server name is the gateway's own"
BROKEN: Final = "malformed: the ClientHello is broken, or its server name is not one host name"
LONG: Final = "malformed: 64 KiB of a ClientHello without a server name"
STRANGE: Final = "malformed: expected a ClientHello"


def end_of(shows: str) -> str:
    """The end of a recorded hello."""
    return NO_NAME if shows == "tls_none" else f"request name {shows.removeprefix('tls_name ')} 443"


RECORDED: Final = {name: (end_of(shows), data) for name, (shows, data) in recorded().items()}


def client_hello(name: str | None) -> bytes:
    """Of Python's own library."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = name is not None
    session = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def records(hello: bytes, size: int) -> bytes:
    """The same hello, over records of `size` bytes."""
    body = hello[5:]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"\x16\x03\x01" + struct.pack("!H", len(piece)) + piece for piece in pieces)


def padded(hello: bytes, size: int) -> bytes:
    """The same hello with an extension of `size` bytes of padding at its end (RFC 7685)."""
    body = hello[9:]
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + struct.unpack_from("!H", body, at)[0]
    at += 1 + body[at]
    extensions = body[at + 2 :] + struct.pack("!HH", 21, size) + bytes(size)
    body = body[:at] + struct.pack("!H", len(extensions)) + extensions
    return records(hello[:5] + b"\x01" + len(body).to_bytes(3, "big") + body, 16384)


BUILT: Final = {
    "a hello over records of one byte": ("request name open.test 443", records(client_hello("open.test"), 1)),
    "a name in capitals, with a dot": ("request name open.test 443", client_hello("Open.TEST.")),
    "a long hello": ("request name open.test 443", padded(client_hello("open.test"), 60_000)),
    "a hello longer than 64 KiB, after its name": (
        "request name open.test 443", padded(client_hello("open.test"), 65_000),
    ),
    "64 KiB without a name": (LONG, padded(client_hello(None), 65_000)),
    "the gateway's own name": (OWN, client_hello("sluice.egress")),
    "an address": (BROKEN, client_hello("open.test").replace(b"open.test", b"192.0.2.1")),
    "a wildcard": (BROKEN, client_hello("open.test").replace(b"open.test", b"*pen.test")),
    "a request": (STRANGE, b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n"),
    "SSH": (STRANGE, b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "an alert": (STRANGE, b"\x15\x03\x01\x00\x02\x01\x00"),
    "another handshake message": (BROKEN, b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"),
    "a record without bytes": (BROKEN, b"\x16\x03\x01\x00\x00"),
    "a hello that stops": ("more", client_hello("open.test")[:-1]),
}  # fmt: skip
VECTORS: Final = {**RECORDED, **BUILT}
EVERY = pytest.mark.parametrize("case", VECTORS)


def played(data: bytes, pieces: object, auth: int = 0) -> tuple[str, bytes, bytes]:
    """The end, what was sent, and what goes to the destination."""
    codec = ServerNameCodec(auth)
    found = play.play(codec, pieces, accepted=True)  # type: ignore[arg-type]
    return found.end, found.out, found.rest


def checked(case: str, cut: object) -> None:
    end, data = VECTORS[case]
    follows = b"\x17\x03\x03\x00\x05early" if end.startswith("request") else b""
    pieces = cut(data + follows)  # type: ignore[operator]
    assert played(data, pieces) == (end, b"", data + follows if follows else b""), case


@EVERY
def test_a_hello_that_comes_whole(case: str) -> None:
    checked(case, play.whole)


@EVERY
def test_a_hello_that_comes_byte_by_byte(case: str) -> None:
    checked(case, play.byte_by_byte)


@settings(max_examples=200, deadline=None)
@given(case=st.sampled_from(sorted(VECTORS)), cuts=st.lists(st.integers(0, 70_000), max_size=6))
def test_a_hello_that_comes_in_pieces(case: str, cuts: list[int]) -> None:
    checked(case, play.at(cuts))


def test_recorded_hellos_have_names_and_none() -> None:
    ends = {end for end, _ in RECORDED.values()}
    assert NO_NAME in ends and any(end.startswith("request name") for end in ends), ends


@settings(max_examples=300, deadline=None)
@given(
    head=st.sampled_from([b"", b"\x16", b"\x16\x03\x01\x00\x05", client_hello("open.test")[:90]]),
    tail=st.binary(max_size=700),
    cuts=st.lists(st.integers(0, 700), max_size=6),
)
def test_any_bytes_end_alike_in_any_pieces(head: bytes, tail: bytes, cuts: list[int]) -> None:
    data = head + tail
    assert played(data, play.at(cuts)(data)) == played(data, play.whole(data))


@pytest.mark.parametrize("auth", [0, 1])
def test_credentials_that_may_be_left_out_are(auth: int) -> None:
    data = client_hello("open.test")
    assert played(data, [data], auth)[0] == "request name open.test 443"


def test_credentials_that_are_required_cannot_be_sent() -> None:
    data = client_hello("open.test")
    assert played(data, [data], 2)[0] == "auth_failed: credentials are required, and a ClientHello has none"


def test_nothing_is_answered_whatever_the_outcome() -> None:
    by_name, fixed = ServerNameCodec(0), DestinationCodec(0)
    by_name.receive(client_hello("open.test"))
    fixed.ask(b"open.test", 5432)
    for codec in (by_name, fixed):
        assert {codec.reply(number, "192.0.2.1", 9, "rule", "why") for number in outcomes().values()} == {b""}


@pytest.mark.parametrize(
    ("host", "end"),
    [
        ("db.example.com", "request name db.example.com 5432"),
        ("192.0.2.7", "request ipv4 192.0.2.7 5432"),
        ("2001:db8::7", "request ipv6 2001:db8::7 5432"),
    ],
)
def test_a_fixed_destination_is_a_request_before_any_byte(host: str, end: str) -> None:
    codec = DestinationCodec(0)
    assert codec.ask(host.encode(), 5432) == play.REQUEST
    assert play.end_of(codec, codec.status) == end
    assert codec.receive(b"SELECT 1") == (play.REQUEST, 0, b""), "all bytes are payload"


def test_a_fixed_destination_that_is_no_host_fails() -> None:
    assert DestinationCodec(0).ask(b"a b", 1) == play.FAILED


def test_every_recorded_hello_has_an_end() -> None:
    assert len(RECORDED) >= 13
    assert all(re.match(r"request|no_server_name|malformed", end) for end, _ in RECORDED.values())
