"""Protocols told apart by their first bytes, and the refusal of HTTP/2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proto_probe import classify, classify_inside, refusal

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 section 3.4


@pytest.mark.parametrize(
    ("data", "protocol"),
    [
        (b"", "more"),
        (b"\x05", "socks5"),
        (b"\x05\x01\x00", "socks5"),
        (b"\x04", "socks4"),
        (b"\x04\x01", "socks4"),
        (b"\x16", "tls"),
        (b"\x16\x03\x01", "tls"),
        (b"C", "http1"),
        (b"CONNECT example.com:443", "http1"),
        (b"get /", "http1"),
        (b"!method", "http1"),
        (b"\r\nCONNECT", "http1"),
        (b"P", "more"),
        (b"PR", "more"),
        (b"PRI ", "more"),
        (b"PU", "http1"),
        (b"PROPFIND", "http1"),
        (b"PRINT", "http1"),
        (b"PRI / HTTP/1.1\r\n", "http1"),
        (b"PRI * HTTP/1.1\r\n", "http1"),
        (PREFACE[:-1], "more"),
        (PREFACE[:-1] + b"\r", "http1"),
        (PREFACE, "http2_preface"),
        (PREFACE + bytes(9), "http2_preface"),
        (b"\x00", "unknown"),
        (b"\n", "unknown"),
        (b" ", "unknown"),
        (b"\x80", "unknown"),
        (b"\xff", "unknown"),
        (b"(", "unknown"),
        (b"\x7f", "unknown"),
    ],
)
def test_first_bytes_decide(data: bytes, protocol: str) -> None:
    assert classify(data) == protocol


@pytest.mark.parametrize("length", range(len(PREFACE)))
def test_the_preface_may_be_split_anywhere(length: int) -> None:
    assert classify(PREFACE[:length]) == "more"
    if length > 0:
        assert classify(PREFACE[:length] + b"\x00") == "http1"


def test_each_first_byte_is_one_protocol() -> None:
    expected = {4: "socks4", 5: "socks5", 0x16: "tls", ord("P"): "more", ord("\r"): "http1"}
    for first in range(256):
        token = first in b"!#$%&'*+-.^_`|~" or (chr(first).isascii() and chr(first).isalnum())  # RFC 9110 section 5.6.2
        assert classify(bytes([first])) == expected.get(first, "http1" if token else "unknown"), first


@given(st.one_of(st.binary(max_size=40), st.tuples(st.integers(0, 24), st.binary(max_size=9)).map(
    lambda pair: PREFACE[: pair[0]] + pair[1]
)))  # fmt: skip
def test_more_bytes_never_contradict_fewer(data: bytes) -> None:
    answers = [classify(data[:length]) for length in range(len(data) + 1)]
    decided = [answer for answer in answers if answer != "more"]
    assert len(set(decided)) <= 1
    assert answers == ["more"] * (len(answers) - len(decided)) + decided


def test_http2_is_refused_with_settings_and_goaway() -> None:
    frames = []
    data = refusal()
    while data:
        length = int.from_bytes(data[:3], "big")
        frames.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + length]))
        assert len(frames[-1][3]) == length
        data = data[9 + length :]
    assert frames[0] == (0x4, 0, 0, b""), "the server's preface is a SETTINGS frame (RFC 9113 section 3.4)"
    kind, flags, stream, goaway = frames[1]
    assert (kind, flags, stream) == (0x7, 0, 0) and len(frames) == 2
    assert goaway[:4] == bytes(4), "no stream was processed"
    assert int.from_bytes(goaway[4:8], "big") == 0xD, "HTTP_1_1_REQUIRED (RFC 9113 section 7)"
    assert goaway[8:] == b"use HTTP/1.1 CONNECT or SOCKS5"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", "more"),
        (b"GET / HTTP/1.1", "more"),
        (b"GET / HTTP/1.1\r", "more"),
        (b"GET / HTTP/1.1\r\n", "http1"),
        (b"GET / HTTP/1.0\n", "http1"),
        (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "http1"),
        (b"what ever HTTP/1.7\r\n", "http1"),
        (b"GET / HTTP/1.1\rx", "unknown"),
        (b"GET / HTTP/2\r\n", "unknown"),
        (b"HTTP/1.1\r\n", "unknown"),
        (b"SSH-2.0-OpenSSH_9.2 Debian\r\n", "unknown"),
        (b"EHLO mail.test\r\n", "unknown"),
        (b"GET /\x00 HTTP/1.1\r\n", "unknown"),
        (b"G" * 65534, "more"),
        (b"G" * 65536, "unknown"),
        (b"PRI * HTTP/2.0\r\n", "more"),
        (PREFACE, "http2_preface"),
        (b"\x16\x03\x01", "unknown"),
        (b"\x05\x01\x00", "unknown"),
        (b"\x00", "unknown"),
    ],
)
def test_what_a_tunnel_carries(data: bytes, shown: str) -> None:
    assert classify_inside(data) == shown


@given(st.binary(max_size=40))
def test_a_verdict_about_the_inside_stays(data: bytes) -> None:
    found = [classify_inside(data[:length]) for length in range(len(data) + 1)]
    settled = [each for each in found if each != "more"]
    assert len(set(settled)) <= 1 and found == ["more"] * (len(found) - len(settled)) + settled
