"""The HTTP/1 CONNECT codec: every vector in any pieces, and every answer of CONTRACT.md section 5."""

import http.client
import io
import re
import socket
from email.message import Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.proto_probe import Http1Codec
from tests.vectors import play
from tests.vectors.loader import Answer, Vector, answers, load, outcomes

VECTORS = load("http1.txt")
EVERY = pytest.mark.parametrize("vector", VECTORS, ids=[vector.title for vector in VECTORS])
OUTCOMES = outcomes()
# RFC 8941 section 3.3.3: an sf-string.
SF_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


@EVERY
def test_a_request_that_comes_whole(vector: Vector) -> None:
    play.check(Http1Codec, vector, play.whole)


@EVERY
def test_a_request_that_comes_byte_by_byte(vector: Vector) -> None:
    play.check(Http1Codec, vector, play.byte_by_byte)


@given(vector=st.sampled_from(VECTORS), cuts=st.lists(st.integers(0, 20000), max_size=6))
def test_a_request_that_comes_in_pieces(vector: Vector, cuts: list[int]) -> None:
    play.check(Http1Codec, vector, play.at(cuts))


PARTS = st.sampled_from(
    [
        b"CONNECT ", b"GET ", b"example.com:443", b"[::1]:80", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"Host: x\r\n",
        b"\r\n", b"\n", b"\r", b":", b" ", b"A: " + b"b" * 200 + b"\r\n", b"Proxy-Authorization: Basic dTpw\r\n",
        b"\xff", b"\x00", b"Content-Length: 5\r\n", b"=" * 5, b"x" * 9000,
    ]
)  # fmt: skip


@settings(max_examples=300)
@given(
    auth=st.sampled_from([0, 1, 2]),
    data=st.one_of(
        st.binary(max_size=300), st.lists(st.one_of(PARTS, st.binary(max_size=9)), max_size=12).map(b"".join)
    ),
    accepted=st.booleans(),
    cuts=st.lists(st.integers(0, 20000), max_size=6),
)
def test_any_bytes_end_alike_in_any_pieces(auth: int, data: bytes, accepted: bool, cuts: list[int]) -> None:
    at_once = play.play(Http1Codec(auth), play.whole(data), accepted)
    assert play.play(Http1Codec(auth), play.at(cuts)(data), accepted) == at_once
    assert len(at_once.out) <= 1024


def asked() -> play.Codec:
    codec: play.Codec = Http1Codec(0)
    assert codec.receive(b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")[0] == play.REQUEST
    return codec


def parse(answer: bytes) -> tuple[int, Message, str]:
    """Status, header and body, as the standard library's client reads them."""

    class Wire(socket.socket):
        def makefile(self, *args: object, **kwargs: object) -> io.BytesIO:  # type: ignore[override]
            return io.BytesIO(answer)

    with Wire() as wire:
        response = http.client.HTTPResponse(wire)
        response.begin()
        body = response.read()
    assert response.headers["Content-Length"] == str(len(body))
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert rest == body
    assert all(0x20 <= byte < 0x7F for byte in head.replace(b"\r\n", b"")), "a header holds printable ASCII alone"
    assert response.headers.defects == []
    return response.status, response.headers, body.decode("ascii")


@pytest.mark.parametrize("row", answers(), ids=lambda row: row.outcome)
def test_an_outcome_is_answered_with_its_row(row: Answer) -> None:
    status, header, body = parse(asked().reply(OUTCOMES[row.outcome], "198.51.100.7", 4711, None, "why"))
    assert status == row.status
    if row.error is None:
        assert "Proxy-Status" not in header
    else:
        assert header["Proxy-Status"] == f'sluice; error={row.error}; details="why"'
    assert header["Retry-After"] == ("1" if row.retry else None)
    assert header["Connection"] == "close"
    assert header["Content-Type"] == "text/plain"
    assert ("Proxy-Authenticate" in header) == (row.status == 407)
    assert body.endswith("(why)\n") and body.count("\n") <= 2


def test_success_is_a_status_line_and_nothing_more() -> None:
    answer = asked().reply(OUTCOMES["connected"], "198.51.100.7", 4711)
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.mark.parametrize("outcome", [-1, len(OUTCOMES), 2**31 - 1])
def test_an_outcome_nobody_knows_is_an_internal_error(outcome: int) -> None:
    assert parse(asked().reply(outcome))[0] == 500


def test_a_timeout_before_the_head_has_ended_is_answered() -> None:
    codec = Http1Codec(0)
    codec.receive(b"CONNECT exam")
    status, header, body = parse(codec.reply(OUTCOMES["request_timeout"]))
    assert status == 408
    assert header["Proxy-Status"] == "sluice; error=http_request_error"
    assert body == "the request did not come in time\n"


def test_a_denial_names_rule_and_reason() -> None:
    _, header, body = parse(asked().reply(OUTCOMES["denied"], None, 0, "shop/payments", "rule_deny"))
    assert header["Proxy-Status"] == 'sluice; error=http_request_denied; details="rule shop/payments: rule_deny"'
    assert body == "denied by rule shop/payments (rule_deny)\n"


def test_a_denial_by_default_says_so() -> None:
    _, header, body = parse(asked().reply(OUTCOMES["denied"], None, 0, None, "no_rule"))
    assert header["Proxy-Status"] == 'sluice; error=http_request_denied; details="no_rule"'
    assert body == "denied by policy (no_rule)\n"


def test_the_rule_that_allowed_is_not_blamed_for_a_failed_connection() -> None:
    _, header, body = parse(asked().reply(OUTCOMES["refused"], None, 0, "shop/payments", None))
    assert header["Proxy-Status"] == "sluice; error=connection_refused"
    assert body == "the destination refused the connection\n"


def test_a_failure_of_tls_on_the_way_has_its_own_word() -> None:
    _, header, _ = parse(asked().reply(OUTCOMES["upstream_failed"], None, 0, None, "tls_expired"))
    assert header["Proxy-Status"] == 'sluice; error=tls_certificate_error; details="tls_expired"'


def test_a_malformed_request_is_told_what_is_wrong() -> None:
    codec = Http1Codec(0)
    _, _, answer = codec.receive(b"CONNECT example.com:443 HTTP/1.1\r\n\r\n")
    status, header, body = parse(answer)
    assert status == 400
    assert header["Proxy-Status"] == 'sluice; error=http_protocol_error; details="HTTP/1.1 without Host"'
    assert body == "malformed request (HTTP/1.1 without Host)\n"


@pytest.mark.parametrize(
    ("rule", "details", "body"),
    [
        ('a"b', r'"rule a\"b"', 'denied by rule a"b\n'),
        ("a\\b", r'"rule a\\x5cb"', "denied by rule a\\x5cb\n"),
        ("a\r\nSet-Cookie: b", r'"rule a\\x0d\\x0aSet-Cookie: b"', "denied by rule a\\x0d\\x0aSet-Cookie: b\n"),
        ("caf\u00e9\x1b", r'"rule caf\\xc3\\xa9\\x1b"', "denied by rule caf\\xc3\\xa9\\x1b\n"),
        ("a" * 1000, '"rule ' + "a" * 256 + '"', "denied by rule " + "a" * 256 + "\n"),
    ],
    ids=["a quote", "a backslash", "a line end", "beyond ASCII", "a long one"],
)
def test_names_are_escaped_and_cut(rule: str, details: str, body: str) -> None:
    _, header, text = parse(asked().reply(OUTCOMES["denied"], None, 0, rule, None))
    assert header["Proxy-Status"] == "sluice; error=http_request_denied; details=" + details
    assert text == body


@given(rule=st.text(), reason=st.text(), outcome=st.integers(-2, 40).filter(lambda n: n != OUTCOMES["connected"]))
def test_any_text_makes_a_well_formed_answer(rule: str, reason: str, outcome: int) -> None:
    _, header, body = parse(asked().reply(outcome, None, 0, rule, reason))
    _, _, details = header.get("Proxy-Status", "").partition("; details=")
    assert details == "" or SF_STRING.fullmatch(details)
    assert body.isascii() and body[:-1].isprintable()


def test_surrogates_are_text_too() -> None:
    assert "\\xed\\xa0\\x80" in parse(asked().reply(OUTCOMES["denied"], None, 0, "\ud800", None))[2]


def test_the_answer_to_head_ends_with_its_header() -> None:
    _, _, answer = Http1Codec(0).receive(b"HEAD http://example.com/ HTTP/1.0\r\n\r\n")
    _, _, same = Http1Codec(0).receive(b"GET http://example.com/ HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n") and same.startswith(answer) and same != answer


def test_the_user_is_known_after_a_refusal_and_the_password_is_not() -> None:
    codec = Http1Codec(2)
    head = b"CONNECT a.b:1 HTTP/1.0\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
    assert codec.receive(head + b"left") == (play.CREDENTIALS, len(head), b"")
    assert (codec.user, codec.password) == (b"u", b"p")
    assert codec.receive(b"left") == (play.CREDENTIALS, 0, b"")
    assert codec.verify(False)[0] == play.FAILED
    assert (codec.user, codec.password) == (b"u", None)


def test_a_failure_after_credentials_forgets_the_password() -> None:
    codec = Http1Codec(2)
    codec.receive(b"CONNECT a.b:1 HTTP/1.0\r\nProxy-Authorization: Basic dTpw\r\nbroken\r\n")
    assert codec.status == play.FAILED and codec.password is None
