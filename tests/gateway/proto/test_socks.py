"""SOCKS5 and SOCKS4 codecs: every vector in any pieces, and every answer of CONTRACT.md section 5."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.proto_probe import Codec, Socks4Codec, Socks5Codec
from tests.vectors import play
from tests.vectors.loader import Answer, Vector, answers, load, outcomes

SOCKS5 = load("socks5.txt")
SOCKS4 = load("socks4.txt")
CASES = [(Socks5Codec, vector) for vector in SOCKS5] + [(Socks4Codec, vector) for vector in SOCKS4]
EVERY = pytest.mark.parametrize(
    ("make", "vector"), CASES, ids=[f"{make.__name__}: {vector.title}" for make, vector in CASES]
)
OUTCOMES = outcomes()


@EVERY
def test_a_request_that_comes_whole(make: type[play.Codec], vector: Vector) -> None:
    play.check(make, vector, play.whole)


@EVERY
def test_a_request_that_comes_byte_by_byte(make: type[play.Codec], vector: Vector) -> None:
    play.check(make, vector, play.byte_by_byte)


@given(case=st.sampled_from(CASES), cuts=st.lists(st.integers(0, 600), max_size=6))
def test_a_request_that_comes_in_pieces(case: tuple[type[play.Codec], Vector], cuts: list[int]) -> None:
    play.check(case[0], case[1], play.at(cuts))


@settings(max_examples=300)
@given(
    make=st.sampled_from([Socks5Codec, Socks4Codec]),
    auth=st.sampled_from([0, 1, 2]),
    head=st.sampled_from([b"", b"\x05", b"\x05\x01\x00", b"\x05\x01\x02\x01", b"\x04\x01", b"\x04\x01\x00P\0\0\0\1"]),
    tail=st.binary(max_size=700),
    accepted=st.booleans(),
    cuts=st.lists(st.integers(0, 700), max_size=6),
)
def test_any_bytes_end_alike_in_any_pieces(
    make: type[play.Codec], auth: int, head: bytes, tail: bytes, accepted: bool, cuts: list[int]
) -> None:
    data = head + tail
    at_once = play.play(make(auth), play.whole(data), accepted)
    assert play.play(make(auth), play.at(cuts)(data), accepted) == at_once
    assert len(at_once.out) <= 2 + 2 + 22


def asked(bytes_in: bytes, make: type[play.Codec]) -> play.Codec:
    codec = make(0)
    assert codec.receive(bytes_in)[0] == play.REQUEST
    return codec


def socks5() -> play.Codec:
    return asked(b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb", Socks5Codec)


def socks4() -> play.Codec:
    return asked(b"\x04\x01\x01\xbb\xc0\x00\x02\x01\x00", Socks4Codec)


def test_the_table_of_answers_has_every_outcome() -> None:
    assert {row.outcome for row in answers()} | {"connected"} == set(OUTCOMES)


@pytest.mark.parametrize("row", answers(), ids=lambda row: row.outcome)
def test_socks5_answers_an_outcome_with_its_reply_code(row: Answer) -> None:
    reply = socks5().reply(OUTCOMES[row.outcome], "198.51.100.7", 4711, "shop/payments", "rule_deny")
    assert reply == bytes([5, row.rep, 0, 1]) + bytes(6)


@pytest.mark.parametrize("row", answers(), ids=lambda row: row.outcome)
def test_socks4_answers_every_failure_alike(row: Answer) -> None:
    assert socks4().reply(OUTCOMES[row.outcome], "198.51.100.7", 4711) == b"\x00\x5b" + bytes(6)


@pytest.mark.parametrize("outcome", [-1, len(OUTCOMES), 2**31 - 1])
def test_an_outcome_nobody_knows_is_a_failure(outcome: int) -> None:
    assert socks5().reply(outcome) == b"\x05\x01\x00\x01" + bytes(6)
    assert socks4().reply(outcome) == b"\x00\x5b" + bytes(6)


@pytest.mark.parametrize(
    ("bound", "reply"),
    [
        ("198.51.100.7", "05000001 c6336407 1267"),
        ("2001:db8::7", "05000004 20010db8000000000000000000000007 1267"),
        (None, "05000001 00000000 0000"),
    ],
    ids=["IPv4", "IPv6", "unknown"],
)
def test_socks5_success_carries_the_bound_address(bound: str | None, reply: str) -> None:
    assert socks5().reply(OUTCOMES["connected"], bound, 4711) == bytes.fromhex(reply)


@pytest.mark.parametrize(
    ("bound", "reply"),
    [
        ("198.51.100.7", "005a 1267 c6336407"),
        ("2001:db8::7", "005a 0000 00000000"),
        (None, "005a 0000 00000000"),
    ],
    ids=["IPv4", "IPv6", "unknown"],
)
def test_socks4_success_carries_the_bound_address(bound: str | None, reply: str) -> None:
    assert socks4().reply(OUTCOMES["connected"], bound, 4711) == bytes.fromhex(reply)


@pytest.mark.parametrize("outcome", ["request_timeout", "gateway_limit", "internal", "connected"])
def test_socks5_refuses_in_the_form_of_its_step(outcome: str) -> None:
    codec = Socks5Codec(2)
    assert codec.reply(OUTCOMES[outcome]) == b"\x05\xff"
    assert codec.receive(b"\x05\x01\x02") == (play.MORE, 3, b"\x05\x02")
    assert codec.reply(OUTCOMES[outcome]) == b"\x01\x01"
    assert codec.receive(b"\x01\x01u\x01p") == (play.CREDENTIALS, 5, b"")
    assert codec.reply(OUTCOMES[outcome]) == b"\x01\x01"


def test_an_error_of_our_own_is_a_failure_and_never_an_exception() -> None:
    codec = Codec(0)  # the base reads no protocol: each of its parts raises
    assert codec.receive(b"x") == (play.FAILED, 1, b"")
    assert (OUTCOMES["internal"], "internal error") == (codec.outcome, codec.detail)
    assert codec.reply(OUTCOMES["connected"]) == b""


@pytest.mark.parametrize("make", [Socks5Codec, Socks4Codec])
def test_a_verdict_nobody_asked_for_changes_nothing(make: type[play.Codec]) -> None:
    codec = make(0)
    assert codec.verify(True) == (play.MORE, b"")
    assert codec.verify(False) == (play.MORE, b"")
    assert codec.receive(b"\xff")[0] == play.FAILED
    assert codec.verify(True) == (play.FAILED, b"")


def test_bytes_are_not_read_while_credentials_wait() -> None:
    codec = Socks5Codec(2)
    codec.receive(b"\x05\x01\x02\x01\x01u\x01p")
    assert codec.receive(b"\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb") == (play.CREDENTIALS, 0, b"")
    assert codec.verify(True) == (play.MORE, b"\x01\x00")
    assert codec.verify(False) == (play.MORE, b""), "the first verdict stands"
    assert codec.receive(b"\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb") == (play.REQUEST, 10, b"")
