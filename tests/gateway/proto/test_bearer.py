"""Bearer tokens as the codec of HTTP/1.1 reads them, in whatever pieces they come (RFC 6750 section 2.1)."""

import pytest

from tests.support.proto_probe import Http1Codec
from tests.vectors import play
from tests.vectors.loader import outcomes

HEAD = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\nProxy-Authorization: %b\r\n\r\n"


def fed(value: bytes, auth: int = 2, cut: int = 0) -> Http1Codec:
    codec = Http1Codec(auth)
    data = HEAD % value
    for at in range(0, len(data), cut or len(data)):
        codec.receive(data[at : at + (cut or len(data))])
    return codec


@pytest.mark.parametrize("cut", [0, 1, 7])
@pytest.mark.parametrize("value", [b"Bearer a.b-_~+/.c==", b"bEARER   a.b-_~+/.c=="])
def test_a_token_waits_for_its_verdict(value: bytes, cut: int) -> None:
    codec = fed(value, cut=cut)
    assert (codec.status, codec.token, codec.user, codec.password) == (play.CREDENTIALS, b"a.b-_~+/.c==", None, None)
    assert codec.verify(True) == (play.REQUEST, b"")
    assert codec.token is None


def test_one_that_does_not_hold() -> None:
    codec = fed(b"Bearer a.b.c")
    status, answer = codec.verify(False)
    assert (status, codec.token) == (play.FAILED, None)
    assert answer.startswith(b"HTTP/1.1 407 ")


@pytest.mark.parametrize(
    "value", [b"Bearer", b"Bearer ", b"Bearer a b", b"Bearer a,b", b'Bearer "a"', b"Bearer \xe4", b"Bearerx a.b.c"]
)
@pytest.mark.parametrize("auth", [1, 2])
def test_what_is_no_token(value: bytes, auth: int) -> None:
    codec = fed(value, auth)
    assert (codec.status, codec.outcome) == (play.FAILED, outcomes()["auth_failed"])


def test_length() -> None:
    assert fed(b"Bearer " + b"x" * 8192).status == play.CREDENTIALS
    codec = fed(b"Bearer " + b"x" * 8193)
    assert (codec.status, codec.detail) == (play.FAILED, "the token is longer than 8192 bytes")


def test_it_is_ignored_where_credentials_are() -> None:
    assert fed(b"Bearer x", auth=0).status == play.REQUEST
