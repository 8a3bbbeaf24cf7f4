"""The client's side of SOCKS5 and HTTP CONNECT: what is said, and every answer in any pieces."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proto_probe import HttpHandshake, Socks5Handshake

FAILED, MORE, DONE = range(3)
NAME_REQUEST: Final = b"\x05\x01\x00\x03\x09a.example\x01\xbb"
BOUND: Final = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"
BASIC: Final = b"Proxy-Authorization: Basic Z2F0ZTpzZXNhbWU=\r\n"
CONNECT: Final = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n"
Make = Callable[[], Any]


def socks() -> Any:
    return Socks5Handshake("a.example", 443)


def socks_with_user() -> Any:
    return Socks5Handshake("a.example", 443, b"gate", b"sesame")


def http() -> Any:
    return HttpHandshake("a.example", 443)


# who asks, all that the parent sends, all that is sent to it, and whether that opens a tunnel
TALKS: Final[dict[str, tuple[Make, bytes, bytes, bool]]] = {
    "socks5": (socks, b"\x05\x00" + BOUND, b"\x05\x01\x00" + NAME_REQUEST, True),
    "socks5, bound to IPv6": (
        socks, b"\x05\x00" + b"\x05\x00\x00\x04" + bytes(18), b"\x05\x01\x00" + NAME_REQUEST, True,
    ),
    "socks5, bound to a name": (
        socks, b"\x05\x00" + b"\x05\x00\x00\x03\x02ab\x00\x50", b"\x05\x01\x00" + NAME_REQUEST, True,
    ),
    "socks5, credentials": (
        socks_with_user, b"\x05\x02\x01\x00" + BOUND,
        b"\x05\x01\x02" + b"\x01\x04gate\x06sesame" + NAME_REQUEST, True,
    ),
    "socks5, wrong credentials": (
        socks_with_user, b"\x05\x02\x01\x01", b"\x05\x01\x02" + b"\x01\x04gate\x06sesame", False,
    ),
    "socks5, no method": (socks, b"\x05\xff", b"\x05\x01\x00", False),
    "socks5, a method that was not offered": (socks, b"\x05\x02", b"\x05\x01\x00", False),
    "socks5, no credentials wanted where we offer only them": (socks_with_user, b"\x05\x00", b"\x05\x01\x02", False),
    "socks5, refused": (socks, b"\x05\x00" + b"\x05\x02\x00\x01" + bytes(6), b"\x05\x01\x00" + NAME_REQUEST, False),
    "socks5, an unknown address type": (
        socks, b"\x05\x00" + b"\x05\x00\x00\x09\x00", b"\x05\x01\x00" + NAME_REQUEST, False,
    ),
    "socks5, another version": (socks, b"\x04\x5a", b"\x05\x01\x00", False),
    "http": (http, b"HTTP/1.1 200 OK\r\n\r\n", CONNECT + b"\r\n", True),
    "http, 1.0 and fields": (
        http, b"HTTP/1.0 200 Connection established\r\nVia: x\r\nContent-Length: 9\r\n\r\n", CONNECT + b"\r\n", True,
    ),
    "http, bare line feeds": (http, b"HTTP/1.1 204 OK\nA: b\n\n", CONNECT + b"\r\n", True),
    "http, after an interim answer": (
        http, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n", CONNECT + b"\r\n", True,
    ),
    "http, credentials": (
        lambda: HttpHandshake("a.example", 443, b"gate", b"sesame"), b"HTTP/1.1 200 OK\r\n\r\n",
        CONNECT + BASIC + b"\r\n", True,
    ),
    "http, refused": (http, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", CONNECT + b"\r\n", False),
    "http, credentials wanted": (http, b"HTTP/1.1 407 No\r\n\r\n", CONNECT + b"\r\n", False),
    "http, switching protocols": (http, b"HTTP/1.1 101 Other\r\n\r\n", CONNECT + b"\r\n", False),
    "http, no status": (http, b"HTTP/1.1 2x0 OK\r\n\r\n", CONNECT + b"\r\n", False),
    "http, another protocol": (http, b"SSH-2.0-OpenSSH\r\n", CONNECT + b"\r\n", False),
    "http, interim answers without end": (
        http, b"HTTP/1.1 100 Continue\r\n\r\n" * 20, CONNECT + b"\r\n", False,
    ),
}  # fmt: skip


def talk(make: Make, answer: bytes, sizes: list[int]) -> tuple[int, bytes, bytes]:
    """Feeds pieces as a socket would be peeked at: the status, what was said, and what is left for the tunnel."""
    codec = make()
    status, used, said = codec.receive(b"")
    unread = b""
    pieces, rest = [], answer
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    for position, piece in enumerate([*pieces, rest]):
        unread += piece
        while status == MORE:
            status, used, more = codec.receive(unread)
            said += more
            unread = unread[used:]
            if not used:
                break
        if status != MORE:
            return status, said, unread + b"".join([*pieces, rest][position + 1 :])
    return status, said, unread


@pytest.mark.parametrize("name", TALKS)
@pytest.mark.parametrize("way", ["whole", "byte by byte"])
def test_an_answer_is_heard(name: str, way: str) -> None:
    make, answer, expected, opens = TALKS[name]
    status, said, _ = talk(make, answer, [1] * len(answer) if way == "byte by byte" else [])
    assert (status, said) == (DONE if opens else FAILED, expected)


@pytest.mark.parametrize("name", [name for name, (_, _, _, opens) in TALKS.items() if opens])
def test_the_tunnels_first_bytes_are_left_alone(name: str) -> None:
    make, answer, _, _ = TALKS[name]
    for sizes in ([], [1] * (len(answer) + 5)):
        status, _, rest = talk(make, answer + b"\n\nfirst", sizes)
        assert (status, rest) == (DONE, b"\n\nfirst")


@pytest.mark.parametrize("make", [socks, http])
@given(data=st.binary(max_size=200), sizes=st.lists(st.integers(1, 30), max_size=12))
def test_any_bytes_end_alike_however_they_are_split(make: Make, data: bytes, sizes: list[int]) -> None:
    whole, split = talk(make, data, []), talk(make, data, sizes)
    assert whole[0] == split[0]


def test_addresses_are_asked_for_as_addresses() -> None:
    _, _, said = Socks5Handshake("192.0.2.1", 80).receive(b"\x05\x00")
    assert said == b"\x05\x01\x00" + b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"
    _, _, said = Socks5Handshake("2001:db8::1", 80).receive(b"\x05\x00")
    assert said[3:7] == b"\x05\x01\x00\x04" and len(said) == 3 + 22
    assert HttpHandshake("2001:db8::1", 80).receive(b"")[2].startswith(b"CONNECT [2001:db8::1]:80 HTTP/1.1\r\n")


def test_a_head_without_end_fails() -> None:
    codec = http()
    assert codec.receive(b"HTTP/1.1 200 OK\r\n" + b"a" * 16_000)[0] == MORE
    assert codec.receive(b"HTTP/1.1 200 OK\r\n" + b"a" * 16_384)[0] == FAILED
    assert codec.detail == "an answer without end"
