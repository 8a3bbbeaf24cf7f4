"""Access log lines that cannot be written, for a full disk or a supervisor that stands still: no tunnel notices, and
each line is in the log or counted by its event."""

import contextlib
import signal
from collections import Counter
from typing import Any

import pytest

from supervisor.control.client import ControlClient
from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, policy

FULL = "/dev/full"  # every write fails with ENOSPC: full(4)


def dropped(gateway: Gateway) -> dict[str, int]:
    """Lost lines by event."""
    with ControlClient(gateway.config["control"]["endpoint"]) as control:
        counts: Any = control.call({"op": "stats"})["by_label"]
    return {event: count for event, count in counts["log_dropped_total"].items() if count}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk(world: World, workers: int) -> None:
    rules = [policy("open", [{"cidr": "127.0.0.0/8", "ports": [world.echo.port]}])]
    with Gateway(rules, {"workers": workers, "logs": {"access": FULL}}) as gateway, contextlib.ExitStack() as stack:
        lasting = stack.enter_context(wire.connect(gateway.port))
        wire.open_socks5(lasting, "127.0.0.1", world.echo.port)
        for _ in range(20):
            with wire.connect(gateway.port) as client:
                wire.open_socks5(client, "127.0.0.1", world.echo.port)
                assert wire.echoes(client)
            with wire.connect(gateway.port) as client:
                assert wire.socks5(client, "192.0.2.1", 80) == 2
        eventually(lambda: dropped(gateway) == {"open": 21, "close": 20, "decision": 20}, "every line is counted")
        assert wire.echoes(lasting)
        said = [line for line in gateway.errors().splitlines() if FULL in line]
        assert len(said) == 1 and "No space left on device" in said[0]

        gateway.config["logs"]["access"] = "access.log"
        gateway.write_config()
        gateway.reload()
        lasting.close()
        assert gateway.event(event="close")["bytes_up"] > 0
        assert dropped(gateway) == {"open": 21, "close": 20, "decision": 20}


@pytest.mark.full
def test_a_supervisor_that_stands_still(world: World) -> None:
    """Lines wait in the worker's segment, 4 MiB of each level; what finds no room there is counted."""
    rules = [policy("open", [{"cidr": "127.0.0.0/8", "ports": [world.echo.port]}])]
    made: Counter[str] = Counter()
    with Gateway(rules) as gateway:
        gateway.process_signal(signal.SIGSTOP)
        try:
            while made["decision"] < 9000:
                with wire.connect(gateway.port) as client:
                    wire.open_socks5(client, "127.0.0.1", world.echo.port)
                    assert wire.echoes(client)
                made.update(("open", "close"))
                for _ in range(2):
                    with wire.connect(gateway.port) as client:
                        assert wire.socks5(client, "192.0.2.1", 80) == 2
                    made.update(("decision",))
        finally:
            gateway.process_signal(signal.SIGCONT)

        def accounted() -> Counter[str]:
            return Counter(line["event"] for line in gateway.events()) + Counter(dropped(gateway))

        eventually(lambda: accounted() == made, "every line is there or counted")
        assert set(dropped(gateway)) == {"open", "close", "decision"}
