"""The resolver against a real server: Debian's dnsmasq on loopback, alone and in front of a scripted server."""

from tests.support.dns_server import SERVFAIL, A, Dnsmasq, Query, Scripted, addresses, reply
from tests.support.resolving import BROKEN, FAILED, OK, TIMEOUT, Bench


def test_addresses_and_names_that_are_not_there() -> None:
    options = ("--local=/test/", "--host-record=both.test,192.0.2.1,2001:db8::1")
    with Dnsmasq(*options) as server, Bench(server.address, slow=True) as bench:
        assert bench.resolve("both.test") == (OK, ["2001:db8::1", "192.0.2.1"])
        assert bench.resolve("gone.test") == (FAILED, [])


def test_chains_of_aliases() -> None:
    options = (
        "--local=/test/",
        "--cname=www.test,cdn.test",
        "--cname=cdn.test,node.test",
        "--cname=stray.test,gone.test",
        "--host-record=node.test,192.0.2.9",
    )
    with Dnsmasq(*options) as server, Bench(server.address) as bench:
        assert bench.resolve("www.test") == (OK, ["192.0.2.9"])
        assert bench.resolve("cdn.test") == (OK, ["192.0.2.9"])
        assert bench.resolve("stray.test") == (FAILED, [])


def test_truncation_leads_to_tcp() -> None:
    lines = [f"192.0.2.{number} many.test" for number in range(1, 61)]
    with Dnsmasq("--local=/test/", hosts=lines) as server, Bench(server.address) as bench:
        status, found = bench.resolve("many.test")
        assert (status, len(found)) == (OK, 32)
        assert set(found) <= {line.split()[0] for line in lines}


def test_a_record_that_changes() -> None:
    with (
        Dnsmasq("--local=/test/", "--local-ttl=86400", hosts=["192.0.2.1 moving.test"]) as server,
        Bench(server.address, max_ttl=0.5) as bench,
    ):
        assert bench.resolve("moving.test") == (OK, ["192.0.2.1"])
        server.write_hosts("192.0.2.2 moving.test")
        bench.until(lambda: bench.ask("moving.test").answer == (OK, ["192.0.2.2"]), "the change is seen")


def test_a_thousand_names_in_flight() -> None:
    names = [f"n{number}.wild.test" for number in range(1000)]
    with Dnsmasq("--address=/wild.test/192.0.2.7") as server, Bench(server.address, timeout=20.0) as bench:
        asked = bench.ask_many(names)
        assert bench.resolver.waiting == 1000
        assert bench.answers(asked) == [(OK, ["192.0.2.7"])] * 1000
        assert bench.resolver.queries == 1000
        assert bench.answers(bench.ask_many(names)) == [(OK, ["192.0.2.7"])] * 1000
        assert bench.resolver.queries == 1000


def test_what_lies_behind_a_forwarder() -> None:
    """Silence, failure and answers without time to live, passed on by a real server."""
    current = ["192.0.2.1"]

    def script(query: Query) -> bytes | None:
        if query.name.startswith("silent"):
            return None
        if query.name.startswith("failing"):
            return reply(query, code=SERVFAIL)
        return addresses(query, *current, ttl=0)

    with (
        Scripted(script) as origin,
        Dnsmasq(f"--server=/test/127.0.0.1#{origin.port}") as server,
        Bench(server.address, timeout=2.0, min_ttl=0.0) as bench,
    ):
        assert bench.resolve("a.test") == (OK, ["192.0.2.1"])
        current[0] = "192.0.2.2"
        assert bench.resolve("a.test") == (OK, ["192.0.2.2"])
        assert bench.resolve("failing.test") == (BROKEN, [])
        assert bench.resolve("silent.test") == (TIMEOUT, [])
        assert {query.kind for query in origin.asked} >= {A}
