"""More names than a worker will wait for: those who ask hear of the gateway's limit, not of a server's silence."""

import selectors

import pytest

from tests.e2e import wire
from tests.e2e.gateway import Gateway, policy
from tests.e2e.names import NameServer
from tests.e2e.origins import Origin, echo, reset
from tests.e2e.test_limits import LOOKUPS, OPEN, Crowd, answer, limited, serves


class Silence(NameServer):
    """Hears every question and answers none."""

    def __init__(self) -> None:
        super().__init__({})

    def answer(self, question: bytes) -> None:
        return None


def waits_for_names(gateway: Gateway, number: int, source: str) -> None:
    """A source leaves as many look-ups behind as it may have, and goes away."""
    with Crowd(gateway) as crowd, selectors.DefaultSelector() as answers:
        asking = [crowd.ask(1, f"n{name}.s{number}.test", 443, source)[0] for name in range(LOOKUPS + 1)]
        for number, client in enumerate(asking):
            answers.register(client, selectors.EVENT_READ, number)
        # One is one too many: then all the others are under way.
        ((answered, _),) = answers.select(20)
        assert wire.http_head(asking[answered.data]).status == 429
        for client in asking:
            reset(client)


@pytest.mark.timeout(300)
def test_more_names_than_a_worker_will_wait_for() -> None:
    """1,000 are asked for and 10,000 wait; one more meets the gateway's limit, and no server's silence."""
    rules = [*OPEN, policy("names", [{"host": "*.test"}])]
    with Silence() as names, Origin(echo) as origin:
        config = {"dns": {"servers": [names.address], "timeout": "60s"}, "logs": {"access": "off"}}
        with Gateway(rules, config) as gateway:
            for number in range(11_000 // LOOKUPS):
                waits_for_names(gateway, number, f"127.5.{number // 200}.{number % 200 + 1}")
            assert limited(gateway) == {"source_dns": 11_000 // LOOKUPS}
            got = answer(gateway, 443, host="late.test")
            assert (got.status, got.headers["retry-after"]) == (503, "1")
            with wire.connect(gateway.port) as client:
                assert wire.socks5(client, "late.test", 443) == 1
            assert limited(gateway)["dns"] == 2
            assert answer(gateway, 443, "127.5.0.1", "late.test").status == 429, "it left, its look-ups have not"
            assert serves(gateway, origin.port), "addresses need none"
