"""More names than a worker will wait for: those who ask hear of the gateway's limit, not of a server's silence."""

import pytest

from tests.e2e.operation.test_limits import OPEN, answer, limited, serves
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import PipySidecar
from tests.support.names import NameServer
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, policy

STREAMS = 950  # of one connection


class Silence(NameServer):
    """Hears every question and answers none."""

    def __init__(self) -> None:
        super().__init__({})

    def answer(self, question: bytes) -> None:
        super().answer(question)


def waits_for_names(gateway: Gateway, number: int) -> None:
    """Asks for unknown names, and goes away: the look-ups stay."""
    with PipySidecar(gateway.port) as client:
        for name in range(STREAMS):
            client.connect(f"n{name}.s{number}.test:443")
        # Answered in its turn: then all the others are under way.
        denied = client.connect("denied.test:443")
        client.wait_for_end(denied)
        assert client.status[denied] == 403


@pytest.mark.timeout(300)
def test_more_names_than_a_worker_will_wait_for() -> None:
    """4,000 are asked for and 5,000 of a source wait; one more meets the gateway's limit, and no server's silence."""
    rules = [*OPEN, policy("names", [{"host": "*.test"}]), policy("none", [{"host": "denied.test"}], "Deny")]
    with Silence() as names, Origin(echo) as origin:
        config = {
            "dns": {"servers": [names.address], "timeout": "60s"},
            "limits": {"perSource": {"requests": 100_000, "lookups": 100_000}},
            "logs": {"access": "off"},
        }
        with Gateway(rules, config) as gateway:
            for number in range(5):
                waits_for_names(gateway, number)
            eventually(lambda: len(set(names.asked)) >= 4000, "as many are asked for as may be")
            asked = 5
            while "dns" not in limited(gateway):
                assert asked < 25, "there is no end"
                waits_for_names(gateway, asked)
                asked += 1
            assert asked * STREAMS >= 9000
            assert len(set(names.asked)) == 4000
            before = limited(gateway)["dns"]
            got = answer(gateway, 443, host="late.test")
            assert (got.status, got.headers["retry-after"]) == (503, "1")
            with wire.connect(gateway.port) as client:
                assert wire.socks5(client, "late.test", 443) == 1
            assert limited(gateway) == {"dns": before + 2}
            assert serves(gateway, origin.port), "addresses need none"
