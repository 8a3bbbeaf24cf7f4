"""Names to addresses: where they come from, how long they are remembered, and who hears of them when."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.support.dns_server import AAAA, CNAME, NXDOMAIN, SERVFAIL, A, Query, Record, Scripted, addresses, reply
from tests.support.resolving import BROKEN, FAILED, FULL, OK, TIMEOUT, Bench

REFUSED, FORMERR = 5, 1  # RFC 1035 section 4.1.1


def nothing(query: Query) -> None:
    """A server that never answers."""


def test_both_families_are_asked_and_ipv6_comes_first() -> None:
    def script(query: Query) -> bytes:
        return addresses(query, "192.0.2.1", "2001:db8::1")

    with Scripted(script) as server, Bench(server.address, slow=True) as bench:
        assert bench.resolve("both.test") == (OK, ["2001:db8::1", "192.0.2.1"])
        assert sorted(query.kind for query in server.asked) == [A, AAAA]


def test_addresses_of_a_family_take_turns_in_being_the_first() -> None:
    texts = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"]
    with Scripted(lambda query: addresses(query, *texts)) as server, Bench(server.address, slow=True) as bench:
        answers = [bench.resolve("many.test")[1] for _ in range(6)]
        assert all(sorted(answer) == sorted(texts) for answer in answers)
        assert [answer[0] for answer in answers] == ["2001:db8::1", "2001:db8::2"] * 3
        assert [answer[2] for answer in answers] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"] * 2


def test_names_are_asked_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    # Search domains come from the environment as well; the name has fewer dots than any usual `ndots`.
    monkeypatch.setenv("LOCALDOMAIN", "search.test example.test")
    monkeypatch.setenv("RES_OPTIONS", "ndots:5")
    with Scripted(lambda query: reply(query, code=NXDOMAIN)) as server, Bench(server.address) as bench:
        assert bench.resolve("missing.test") == (FAILED, [])
        assert {query.name for query in server.asked} == {"missing.test"}


@pytest.mark.parametrize("name", ["single", "localhost", "a.localhost", "hidden.onion"])
def test_some_names_never_go_to_dns(name: str) -> None:
    with Scripted(lambda query: addresses(query, "192.0.2.1")) as server, Bench(server.address) as bench:
        local = name.endswith("localhost")
        assert bench.resolve(name) == ((OK, ["::1", "127.0.0.1"]) if local else (FAILED, []))
        assert bench.resolve("other.test") == (OK, ["192.0.2.1"])
        assert {query.name for query in server.asked} == {"other.test"}


def test_names_of_the_hosts_file(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "# a comment\n\n192.0.2.1 single Pinned.Test # another\n2001:db8::1\tpinned.test\n192.0.2.1 pinned.test\n"
        "not-an-address broken.test\n192.0.2.300 broken.test\n192.0.2.9\n192.0.2.9 bad..name fine.test\n192.0.2.2 last"
    )
    with Scripted(lambda query: reply(query, code=NXDOMAIN)) as server, Bench(server.address, hosts=hosts) as bench:
        assert bench.resolve("single") == (OK, ["192.0.2.1"])
        assert bench.resolve("pinned.test") == (OK, ["2001:db8::1", "192.0.2.1"])
        assert bench.resolve("fine.test") == (OK, ["192.0.2.9"])
        assert bench.resolve("last") == (OK, ["192.0.2.2"])
        assert server.asked == []
        assert bench.resolve("broken.test") == (FAILED, [])


def test_the_hosts_file_may_change_grow_and_go(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    with Bench("127.0.0.1:1", hosts=hosts) as bench:

        def sees(answer: tuple[int, list[str]]) -> None:
            bench.until(lambda: bench.ask("pinned").answer == answer, f"the file says {answer}")

        sees((FAILED, []))
        hosts.write_text("192.0.2.1 pinned\n")
        sees((OK, ["192.0.2.1"]))
        # More lines than are read in one turn: the names known before stay until all have been read.
        hosts.write_text("192.0.2.3 filler\n" * 5000 + "192.0.2.2 pinned\n")
        sees((OK, ["192.0.2.2"]))
        hosts.unlink()
        sees((FAILED, []))


def test_an_answer_is_remembered_for_its_time() -> None:
    with Scripted(lambda query: addresses(query, "192.0.2.1", ttl=60)) as server, Bench(server.address) as bench:
        for _ in range(100):
            assert bench.resolve("a.test") == (OK, ["192.0.2.1"])
        assert server.names == {"a.test": 1}
        assert (bench.resolver.queries, bench.resolver.names.hits) == (1, 99)


def test_the_floor_of_the_time_to_live() -> None:
    with Scripted(lambda query: addresses(query, "192.0.2.1", ttl=0)) as server:
        with Bench(server.address, min_ttl=60.0) as bench:
            for _ in range(10):
                assert bench.resolve("a.test") == (OK, ["192.0.2.1"])
            assert server.names == {"a.test": 1}
        with Bench(server.address, min_ttl=0.0) as bench:
            for _ in range(10):
                assert bench.resolve("a.test") == (OK, ["192.0.2.1"])
            assert server.names == {"a.test": 11}


def test_a_record_that_changes_is_seen_within_the_ceiling() -> None:
    current = ["192.0.2.1"]
    with (
        Scripted(lambda query: addresses(query, *current, ttl=86_400)) as server,
        Bench(server.address, max_ttl=1.0) as bench,
    ):
        assert bench.resolve("a.test") == (OK, ["192.0.2.1"])
        current[0] = "192.0.2.2"
        bench.until(lambda: bench.ask("a.test").answer == (OK, ["192.0.2.2"]), "the change is seen")
        assert server.names["a.test"] == 2


def test_an_alias_bounds_the_time_to_live() -> None:
    def script(query: Query) -> bytes:
        if query.kind != A:
            return reply(query)
        chain = [Record(query.name, CNAME, "real.test", 0), Record("real.test", A, "192.0.2.1", 300)]
        return reply(query, chain)

    with Scripted(script) as server, Bench(server.address, min_ttl=0.0) as bench:
        for _ in range(3):
            assert bench.resolve("alias.test") == (OK, ["192.0.2.1"])
        assert server.names == {"alias.test": 3}


@pytest.mark.parametrize(
    ("code", "status"), [(0, FAILED), (NXDOMAIN, FAILED), (SERVFAIL, BROKEN), (REFUSED, BROKEN), (FORMERR, BROKEN)]
)
def test_a_failure_is_remembered(code: int, status: int) -> None:
    with Scripted(lambda query: reply(query, code=code)) as server, Bench(server.address, negative_ttl=60.0) as bench:
        asked = bench.ask_many(["gone.test"] * 50)
        assert bench.answers(asked) == [(status, [])] * 50
        queries = server.names["gone.test"]
        # c-ares asks again after SERVFAIL; that is one query all the same.
        assert bench.resolver.queries == 1 and queries >= 1
        for _ in range(50):
            assert bench.ask("gone.test").answer == (status, [])
        assert (bench.resolver.queries, server.names["gone.test"]) == (1, queries)


def test_a_failure_is_forgotten() -> None:
    current: list[str] = []
    with (
        Scripted(lambda query: addresses(query, *current) if current else reply(query, code=NXDOMAIN)) as server,
        Bench(server.address, negative_ttl=0.3) as bench,
    ):
        assert bench.resolve("new.test") == (FAILED, [])
        current.append("192.0.2.1")
        bench.until(lambda: bench.ask("new.test").answer == (OK, ["192.0.2.1"]), "the name is there")


def test_without_negative_time_every_failure_is_asked_again() -> None:
    with (
        Scripted(lambda query: reply(query, code=NXDOMAIN)) as server,
        Bench(server.address, negative_ttl=0.0) as bench,
    ):
        for _ in range(5):
            assert bench.resolve("gone.test") == (FAILED, [])
        assert server.names == {"gone.test": 5}


def test_who_asks_for_the_same_name_joins_the_query_under_way() -> None:
    gate = threading.Event()

    def script(query: Query) -> bytes:
        gate.wait(30)
        return addresses(query, "192.0.2.1")

    with Scripted(script) as server, Bench(server.address) as bench:
        asked = bench.ask_many(["a.test"] * 200)
        bench.until(lambda: server.asked, "the question has come")
        asked += bench.ask_many(["a.test"] * 200)
        assert (bench.resolver.waiting, bench.resolver.joined) == (400, 399)
        gate.set()
        assert bench.answers(asked) == [(OK, ["192.0.2.1"])] * 400
        assert server.names == {"a.test": 1}
        assert bench.resolver.waiting == 0


def test_a_resolution_may_leave() -> None:
    gate = threading.Event()

    def script(query: Query) -> bytes:
        gate.wait(30)
        return addresses(query, "192.0.2.1")

    with Scripted(script) as server, Bench(server.address) as bench:
        asked = bench.ask_many(["a.test"] * 9 + ["left.test"])
        for one in asked[::3]:
            assert one.leave is not None
            one.leave()
            one.leave = None
        gate.set()
        assert bench.answers([one for one in asked if one not in asked[::3]]) == [(OK, ["192.0.2.1"])] * 6
        bench.until(lambda: bench.resolver.flying == 0, "both queries are over")
        assert [one.answer for one in asked[::3]] == [None] * 4
        # An answer that no request waited for is remembered.
        assert bench.ask("left.test").answer == (OK, ["192.0.2.1"])
        assert server.names == {"a.test": 1, "left.test": 1}


def test_silence_is_a_timeout_for_everybody_and_remembered() -> None:
    with Scripted(nothing) as server, Bench(server.address, timeout=1.0, negative_ttl=60.0) as bench:
        assert bench.answers(bench.ask_many(["silent.test"] * 20)) == [(TIMEOUT, [])] * 20
        assert bench.ask("silent.test").answer == (TIMEOUT, [])
        assert bench.resolver.queries == 1
        assert server.names["silent.test"] > 1, "c-ares asked again before the time was over"


def test_a_server_that_is_not_there_fails() -> None:
    with Scripted(nothing) as gone:
        pass
    with Bench(gone.address) as bench:
        assert bench.resolve("a.test") == (BROKEN, [])


def test_the_second_server_answers_for_the_first() -> None:
    with (
        Scripted(nothing) as silent,
        Scripted(lambda query: reply(query, code=SERVFAIL)) as failing,
        Scripted(lambda query: addresses(query, "192.0.2.1")) as server,
        Bench(silent.address, failing.address, server.address, timeout=3.0) as bench,
    ):
        assert bench.resolve("a.test") == (OK, ["192.0.2.1"])
        assert silent.asked and failing.asked


@pytest.mark.parametrize("dropped", [A, AAAA])
def test_a_family_that_gets_no_answer_does_not_hold_up_the_other(dropped: int) -> None:
    def script(query: Query) -> bytes | None:
        return None if query.kind == dropped else addresses(query, "192.0.2.1", "2001:db8::1")

    with Scripted(script) as server, Bench(server.address, timeout=1.5) as bench:
        assert bench.resolve("half.test") == (OK, ["192.0.2.1" if dropped == AAAA else "2001:db8::1"])
        assert bench.resolver.flying == 1, "the other one is still being asked"
        assert bench.ask("half.test").answer is not None, "what came is remembered"


def test_a_family_that_comes_late_is_added() -> None:
    gate = threading.Event()

    def script(query: Query) -> bytes:
        if query.kind == A:
            gate.wait(30)
        return addresses(query, "192.0.2.1", "2001:db8::1")

    with Scripted(script) as server, Bench(server.address) as bench:
        assert bench.resolve("late.test") == (OK, ["2001:db8::1"])
        gate.set()
        complete = (OK, ["2001:db8::1", "192.0.2.1"])
        bench.until(lambda: bench.ask("late.test").answer == complete, "the IPv4 address is there as well")
        assert bench.resolver.queries == 1


def test_one_family_refused_and_the_other_empty_is_a_failure() -> None:
    def script(query: Query) -> bytes:
        return reply(query, code=SERVFAIL if query.kind == A else 0)

    with Scripted(script) as server, Bench(server.address) as bench:
        assert bench.resolve("half.test") == (BROKEN, [])


def test_an_error_of_one_resolution_is_its_own() -> None:
    def fails(status: int, found: list[str]) -> None:
        raise RuntimeError("a resolution of the tests that fails")

    with Scripted(lambda query: addresses(query, "192.0.2.1")) as server, Bench(server.address) as bench:
        asked = bench.ask_many(["a.test"] * 3)
        bench.resolver.ask(b"a.test", fails)
        asked += bench.ask_many(["a.test"] * 3)
        assert bench.answers(asked) == [(OK, ["192.0.2.1"])] * 6
        assert bench.resolve("b.test") == (OK, ["192.0.2.1"])
        assert bench.loop.failures == bench.failures_expected + 1
        bench.failures_expected += 1


def test_the_cache_holds_as_many_as_it_may() -> None:
    with (
        Scripted(lambda query: addresses(query, "192.0.2.1")) as server,
        Bench(server.address, cache_entries=2) as bench,
    ):
        for name in ("a.test", "b.test", "a.test", "c.test", "a.test", "b.test"):
            assert bench.resolve(name) == (OK, ["192.0.2.1"])
        # c took the room of b, which was used longest ago.
        assert server.names == {"a.test": 1, "b.test": 2, "c.test": 1}
    with (
        Scripted(lambda query: addresses(query, "192.0.2.1")) as server,
        Bench(server.address, cache_entries=0) as bench,
    ):
        for _ in range(3):
            bench.resolve("a.test")
        assert server.names == {"a.test": 3}


def test_more_names_than_may_be_in_flight_wait_in_vain() -> None:
    with Scripted(nothing) as server, Bench(server.address, timeout=1.0, negative_ttl=0.0) as bench:
        asked = bench.ask_many([f"n{number}.test" for number in range(12_000)])
        refused = [one for one in asked if one.answer is not None]
        assert len(refused) == bench.resolver.overflows > 0
        assert {one.answer[0] for one in refused if one.answer} == {FULL}
        assert bench.resolver.waiting == 12_000 - len(refused)
        most = 0

        def look() -> bool:
            nonlocal most
            most = max(most, bench.resolver.flying)
            return all(one.answer is not None for one in asked)

        bench.until(look, "every look-up is answered")
        statuses = Counter(one.answer[0] for one in asked if one.answer)
        # Those that were asked did not answer; the others met our own limit, at once or in the end.
        assert statuses == {TIMEOUT: bench.resolver.queries, FULL: bench.resolver.overflows}
        assert 0 < most <= 4000


def test_more_resolutions_than_may_wait_end_at_once() -> None:
    gate = threading.Event()

    def script(query: Query) -> bytes:
        gate.wait(30)
        return addresses(query, "192.0.2.1")

    with Scripted(script) as server, Bench(server.address, slow=True) as bench:
        asked = bench.ask_many(["a.test"] * 20_100)
        assert [one.answer for one in asked].count((FULL, [])) == bench.resolver.overflows == 100
        gate.set()
        assert bench.answers(asked).count((OK, ["192.0.2.1"])) == 20_000
        assert server.names == {"a.test": 1}


def test_names_that_waited_for_room_are_asked_when_there_is_some() -> None:
    gate = threading.Event()

    def script(query: Query) -> bytes | None:
        return addresses(query, "192.0.2.1") if gate.is_set() else None

    with Scripted(script) as server, Bench(server.address, timeout=30.0) as bench:
        asked = bench.ask_many([f"n{number}.test" for number in range(4100)])
        bench.until(lambda: bench.resolver.flying == 4000, "as many as may are in flight")
        assert len(set(server.names)) <= 4000
        gate.set()
        assert bench.answers(asked) == [(OK, ["192.0.2.1"])] * 4100
        assert len(server.names) == 4100


class Wakes:
    """A server that answers for `good...` at once, and for all other names once it has been woken."""

    def __init__(self) -> None:
        self.awake = threading.Event()

    def __call__(self, query: Query) -> bytes | None:
        answers = query.name.startswith("good") or self.awake.is_set()
        return addresses(query, "192.0.2.1") if answers else None


def test_names_without_an_answer_hold_up_no_others() -> None:
    script = Wakes()
    with Scripted(script) as server, Bench(server.address, timeout=10.0) as bench:
        dead = bench.ask_many([f"n{number}.test" for number in range(1500)])
        good = bench.ask_many([f"good{number}.test" for number in range(100)])
        assert bench.answers(good) == [(OK, ["192.0.2.1"])] * 100
        assert [one.answer for one in dead] == [None] * 1500, "their own time is not over"
        script.awake.set()
        assert bench.answers(dead) == [(OK, ["192.0.2.1"])] * 1500


def test_sources_take_turns_in_being_asked_for() -> None:
    """One source's thousands of names do not stand before another one's."""
    script = Wakes()
    with Scripted(script) as server, Bench(server.address, timeout=10.0) as bench:
        dead = bench.ask_many([f"n{number}.test" for number in range(3000)], source=1)
        good = bench.ask_many([f"good{number}.test" for number in range(10)], source=2)
        assert bench.answers(good) == [(OK, ["192.0.2.1"])] * 10
        assert len(server.names) < 1500, "most of the first source's still wait for their turn"
        script.awake.set()
        assert bench.answers(dead) == [(OK, ["192.0.2.1"])] * 3000


def test_no_source_fills_the_queue_of_all() -> None:
    """One that asks for more names than are waited for meets the limit alone."""
    script = Wakes()
    with Scripted(script) as server, Bench(server.address, timeout=10.0) as bench:
        dead = bench.ask_many([f"n{number}.test" for number in range(12_000)], source=1)
        refused = sum(one.answer == (FULL, []) for one in dead)
        assert 0 < refused == bench.resolver.overflows
        good = bench.ask_many([f"good{number}.test" for number in range(1000)], source=2)
        assert bench.answers(good) == [(OK, ["192.0.2.1"])] * 1000
        script.awake.set()
        assert bench.answers(dead).count((OK, ["192.0.2.1"])) == 12_000 - refused


def test_the_source_port_changes() -> None:
    with Scripted(lambda query: addresses(query, "192.0.2.1")) as server, Bench(server.address) as bench:
        asked = bench.ask_many([f"n{number}.test" for number in range(900)])
        bench.answers(asked)
        assert len({port for _, port in server.peers}) >= 3
        assert len({query.identifier for query in server.asked}) > 1000


def test_a_retired_resolver_answers_what_is_under_way() -> None:
    gate = threading.Event()

    def script(query: Query) -> bytes:
        gate.wait(30)
        return addresses(query, "192.0.2.1")

    with Scripted(script) as server, Bench(server.address) as bench:
        asked = bench.ask_many([f"n{number}.test" for number in range(100)])
        bench.resolver.retire()
        bench.run_for(0.1)
        assert bench.resolver.waiting == 100
        gate.set()
        assert bench.answers(asked) == [(OK, ["192.0.2.1"])] * 100


@pytest.mark.parametrize("servers", [["nonsense"], ["127.0.0.1:99999x"], ["300.1.1.1"]])
def test_servers_that_are_none(servers: list[str]) -> None:
    with pytest.raises(ValueError, match=r"dns\.servers"):
        Bench(*servers)


@pytest.mark.parametrize("server", ["127.0.0.1", "127.0.0.1:5353", "::1", "[::1]:5353"])
def test_servers_in_every_form(server: str) -> None:
    with Bench(server, "127.0.0.2:53") as bench:
        assert bench.resolve("single") == (FAILED, [])


def test_no_servers_are_the_systems() -> None:
    with Bench() as bench:
        assert bench.resolve("single") == (FAILED, [])
