"""Replies that are forged, broken, too large or endless: what is not an answer to the question changes nothing."""

import socket
import struct
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.dns_server import (
    AAAA,
    CNAME,
    SERVFAIL,
    A,
    Query,
    Record,
    Scripted,
    addresses,
    packed,
    reply,
    wire_name,
)
from tests.support.resolving import BROKEN, FAILED, OK, TIMEOUT, Bench

GOOD: Final = "192.0.2.1"
BAD: Final = "198.51.100.66"


def good(query: Query) -> bytes:
    return addresses(query, GOOD)


def forged(query: Query, **lies: object) -> bytes:
    """An answer with the wrong address, and whatever else is wrong with it."""
    records = [Record(query.name, A, BAD)] if query.kind == A else []
    return reply(query, records, **lies)  # type: ignore[arg-type]


def question(name: str, kind: int, kind_class: int = 1) -> bytes:
    return wire_name(name) + struct.pack("!HH", kind, kind_class)


FORGERIES: Final[dict[str, Callable[[Query], bytes]]] = {
    "wrong id": lambda query: forged(query, identifier=query.identifier ^ 1),
    "another name": lambda query: forged(query, section=question("evil.test", query.kind)),
    "another type": lambda query: forged(query, section=question(query.name, 16)),
    "another class": lambda query: forged(query, section=question(query.name, query.kind, 3)),
    "no question": lambda query: (
        struct.pack("!HHHHHH", query.identifier, 0x8180, 0, 1, 0, 0) + packed(Record(query.name, A, BAD))
    ),
    "a query": lambda query: struct.pack("!HHHHHH", query.identifier ^ 1, 0x0100, 1, 0, 0, 0) + query.section,
    "an id alone": lambda query: query.identifier.to_bytes(2),
    "one byte": lambda query: b"\0",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_reply_is_passed_over(forgery: str) -> None:
    make = FORGERIES[forgery]
    with Scripted(lambda query: [make(query)] * 20 + [good(query)]) as server, Bench(server.address) as bench:
        assert bench.resolve("victim.test") == (OK, [GOOD])


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_replies_alone_are_a_timeout(forgery: str) -> None:
    make = FORGERIES[forgery]
    with Scripted(make) as server, Bench(server.address, timeout=0.3) as bench:
        assert bench.resolve("victim.test") == (TIMEOUT, [])


def test_a_reply_from_another_port_is_passed_over() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        elsewhere.bind(("127.0.0.1", 0))

        def script(query: Query) -> bytes:
            for _ in range(20):
                elsewhere.sendto(forged(query), server.peers[-1])
            return good(query)

        with Scripted(script) as server, Bench(server.address) as bench:
            assert bench.resolve("victim.test") == (OK, [GOOD])


def record_of_length(query: Query, length: int) -> bytes:
    """A record of the right type whose data is of the wrong length."""
    return wire_name(query.name) + struct.pack("!HHIH", query.kind, 1, 60, length) + bytes(length)


def with_records(query: Query, count: int, body: bytes) -> bytes:
    return struct.pack("!HHHHHH", query.identifier, 0x8180, 1, count, 0, 0) + query.section + body


def endless(query: Query) -> bytes:
    links = [Record(f"n{number}.test", CNAME, f"n{number + 1}.test") for number in range(20)]
    return reply(query, [Record(query.name, CNAME, "n0.test"), *links, Record("n20.test", A, BAD)])


def another_names(query: Query) -> bytes:
    return reply(query, [Record("other.test", query.kind, "::1" if query.kind == AAAA else BAD)])


# Nothing in these is an answer: what the name has stays unknown.
UNREADABLE: Final[dict[str, Callable[[Query], bytes]]] = {
    "records that are not there": lambda query: with_records(query, 3, b""),
    "a record cut short": lambda query: with_records(query, 1, packed(Record(query.name, A, BAD))[:-2]),
    "a name that points at itself": lambda query: with_records(
        query, 1, bytes([0xC0, 12 + len(query.section)]) + bytes(14)
    ),
    "a name that points ahead": lambda query: with_records(query, 1, b"\xff\xff" + bytes(14)),
    "an alias of itself": lambda query: reply(query, [Record(query.name, CNAME, query.name)]),
    "aliases in a circle": lambda query: reply(
        query, [Record(query.name, CNAME, "b.test"), Record("b.test", CNAME, query.name)]
    ),
    "aliases without end": endless,
    "a code that means nothing": lambda query: reply(query, [Record(query.name, A, BAD)], code=11),
}

# These say that the name has no address.
WITHOUT_ADDRESS: Final[dict[str, Callable[[Query], bytes]]] = {
    "an alias and no address": lambda query: reply(query, [Record(query.name, CNAME, "b.test")]),
    "an address of another name": another_names,
    "addresses of a wrong length": lambda query: with_records(
        query, 2, record_of_length(query, 5) + record_of_length(query, 0)
    ),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_broken_answer_gives_no_address(kind: str) -> None:
    with Scripted(UNREADABLE[kind]) as server, Bench(server.address) as bench:
        assert bench.resolve("victim.test") == (BROKEN, [])


@pytest.mark.parametrize("kind", WITHOUT_ADDRESS)
def test_an_answer_without_an_address_says_that_there_is_none(kind: str) -> None:
    with Scripted(WITHOUT_ADDRESS[kind]) as server, Bench(server.address) as bench:
        assert bench.resolve("victim.test") == (FAILED, [])


def test_records_beside_the_chain_are_left_out() -> None:
    def script(query: Query) -> bytes:
        if query.kind != A:
            return reply(query)
        records = [
            Record("beside.test", A, BAD),
            Record("real.test", A, GOOD),
            Record("victim.test", CNAME, "real.test"),
            Record("beside.test", CNAME, "victim.test"),
        ]
        return reply(query, records)

    with Scripted(script) as server, Bench(server.address) as bench:
        assert bench.resolve("victim.test") == (OK, [GOOD])


def test_an_empty_datagram_changes_nothing() -> None:
    replies = iter([b""] * 2)
    with Scripted(lambda query: next(replies, None) or good(query)) as server, Bench(server.address) as bench:
        assert bench.resolve("victim.test") == (OK, [GOOD])


@pytest.mark.parametrize("count", [40, 4000])
def test_an_answer_too_large_for_udp_comes_over_tcp_and_is_capped(count: int) -> None:
    texts = [f"198.18.{number >> 8}.{number & 255}" for number in range(count)]

    def script(query: Query) -> bytes:
        return addresses(query, *texts) if query.tcp else reply(query, truncated=True)

    # Written in full, names would make 4,000 records too large even for TCP: they point at the question instead.
    def compressed(query: Query) -> bytes:
        if not query.tcp or query.kind != A:
            return script(query)
        body = b"".join(b"\xc0\x0c" + packed(Record("", A, text))[2:] for text in texts)
        return with_records(query, count, body)

    with Scripted(compressed) as server, Bench(server.address) as bench:
        status, found = bench.resolve("large.test")
        assert (status, len(found)) == (OK, 32)
        assert set(found) <= set(texts)
        assert any(query.tcp for query in server.asked)


def test_both_families_keep_their_share_of_a_large_answer() -> None:
    four = [f"192.0.2.{number}" for number in range(1, 25)]
    six = [f"2001:db8::{number:x}" for number in range(1, 25)]
    with Scripted(lambda query: addresses(query, *four, *six)) as server, Bench(server.address, slow=True) as bench:
        status, found = bench.resolve("large.test")
        assert (status, len(found)) == (OK, 32)
        assert (len(set(found) & set(four)), len(set(found) & set(six))) == (16, 16)


@pytest.mark.parametrize("size", [513, 4097, 60_000])
def test_an_oversized_datagram_is_asked_for_again_over_tcp(size: int) -> None:
    def script(query: Query) -> bytes:
        return good(query) if query.tcp else forged(query).ljust(size, b"\0")

    with Scripted(script) as server, Bench(server.address) as bench:
        assert bench.resolve("victim.test") == (OK, [GOOD])


def test_tcp_that_stalls_is_a_timeout() -> None:
    def script(query: Query) -> bytes | None:
        return None if query.tcp else reply(query, truncated=True)

    with Scripted(script) as server, Bench(server.address, timeout=0.6) as bench:
        assert bench.resolve("stalled.test") == (TIMEOUT, [])


def test_tcp_that_stalls_once_is_asked_again_while_there_is_time() -> None:
    def script(query: Query) -> bytes | None:
        if not query.tcp:
            return reply(query, truncated=True)
        return good(query) if sum(one.tcp and one.kind == query.kind for one in server.asked) > 1 else None

    with Scripted(script) as server, Bench(server.address, timeout=9.0) as bench:
        assert bench.resolve("slow.test") == (OK, [GOOD])


def test_a_tcp_answer_that_lies_about_its_length_is_no_answer() -> None:
    def script(query: Query) -> bytes:
        return reply(query, truncated=True) if not query.tcp else good(query)[:-3]

    with Scripted(script) as server, Bench(server.address, timeout=1.0) as bench:
        status, found = bench.resolve("short.test")
        assert status in (BROKEN, TIMEOUT) and found == [], "whichever comes first: attempts or time run out"


def test_a_storm_of_replies() -> None:
    def script(query: Query) -> list[bytes]:
        wrong = [(query.identifier + 1 + number) & 0xFFFF for number in range(500)]
        return [*(forged(query, identifier=number) for number in wrong), good(query)]

    with Scripted(script) as server, Bench(server.address, timeout=20.0) as bench:
        asked = bench.ask_many([f"n{number}.test" for number in range(20)])
        assert bench.answers(asked) == [(OK, [GOOD])] * 20


def test_a_server_that_fails_at_random_never_confuses_names() -> None:
    """Names get the address that belongs to them, or none, whatever happens to others in between."""
    turns = iter(range(1_000_000))

    def own(query: Query) -> str:
        number = int(query.name.removeprefix("n").removesuffix(".test"))
        return f"10.1.{number >> 8}.{number & 255}"

    def script(query: Query) -> bytes | list[bytes] | None:
        turn = next(turns) % 7
        if turn == 0:
            return reply(query, code=SERVFAIL)
        if turn == 1:
            return None
        if turn == 2 and not query.tcp:
            return reply(query, truncated=True)
        if turn == 3:
            return [forged(query, identifier=query.identifier ^ 5), addresses(query, own(query))]
        return addresses(query, own(query))

    with Scripted(script) as server, Bench(server.address, timeout=4.0) as bench:
        asked = bench.ask_many([f"n{number}.test" for number in range(400)])
        answers = bench.answers(asked)
        for number, (status, found) in enumerate(answers):
            if status == OK:
                assert found == [f"10.1.{number >> 8}.{number & 255}"]
        assert sum(status == OK for status, _ in answers) > 200


class Mutant:
    """The server of the property below: what it sends before the right answer."""

    def __init__(self) -> None:
        self.make: Callable[[Query], bytes] = good

    def __call__(self, query: Query) -> list[bytes]:
        return [self.make(query), good(query)]


def test_any_bytes_in_reply() -> None:
    """A message changed anywhere: the loop lives, the look-up ends, and another name resolves after it."""
    mutant = Mutant()
    with Scripted(mutant) as server, Bench(server.address, timeout=5.0, cache_entries=0) as bench:

        @settings(max_examples=150, deadline=None)
        @given(st.integers(1, 80), st.lists(st.tuples(st.integers(2, 79), st.integers(0, 255)), max_size=6))
        def holds(length: int, spots: list[tuple[int, int]]) -> None:
            def mutated(query: Query) -> bytes:
                whole = bytearray(reply(query, [Record(query.name, CNAME, "b.test"), Record("b.test", A, GOOD)]))
                for place, value in spots:
                    if place < len(whole):
                        whole[place] = value
                return bytes(whole[:length])

            mutant.make = mutated
            status, _ = bench.resolve("victim.test")
            assert status in (OK, FAILED, BROKEN)
            mutant.make = good
            assert bench.resolve("next.test") == (OK, [GOOD])

        holds()
