"""The wall clock is set while the gateway runs, forwards and backwards: no age and no duration follows it."""

import datetime
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, environment, policy

MONTH: Final = 30 * 86400
LONGEST: Final = 600  # seconds that this test may have run; a step is far longer
OPEN: Final = [policy("all", [{"host": "*"}, {"cidr": "0.0.0.0/0"}])]


class Wall:
    """The wall clock of one gateway, seconds from the real one."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "wall"
        library = folder / "clock.so"
        source = Path(__file__).with_name("clock.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
        preload = f"{library} {environment().get('LD_PRELOAD', '')}".strip()
        self.variables = {"LD_PRELOAD": preload, "WALL_CLOCK": str(self.file)}

    def set(self, offset: int) -> None:
        """At once, also for processes that read it now."""
        self.offset = offset
        new = self.file.with_suffix(".new")
        new.write_text(str(offset))
        new.rename(self.file)

    def near(self, stamp: str) -> bool:
        """Whether an RFC 3339 time is of late, by this clock."""
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self.offset)
        return abs((now - datetime.datetime.fromisoformat(stamp)).total_seconds()) < LONGEST


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin(echo) as serving:
        yield serving


@pytest.mark.parametrize("steps", [(-MONTH, 0), (0, -MONTH), (0, MONTH, -MONTH)])
def test_no_age_or_duration_follows_the_wall_clock(tmp_path: Path, origin: Origin, steps: tuple[int, ...]) -> None:
    wall = Wall(tmp_path)
    wall.set(steps[0])
    gateway = Gateway(OPEN, {"logs": {"interval": "1s"}})
    gateway.variables = wall.variables
    with gateway, wire.connect(gateway.port) as kept, wire.connect(gateway.port) as closed:
        for connection in (kept, closed):
            wire.open_socks5(connection, "127.0.0.1", origin.port)
        kept_port = kept.getsockname()[1]
        for offset in steps[1:]:
            wall.set(offset)
            for item in asked(gateway, "tunnels")["items"]:
                assert 0 <= item["duration_ms"] < LONGEST * 1000 and wall.near(item["opened"]), item
            ages = [line.split()[1] for line in gateway.sluice("tunnels").stdout.splitlines()[1:]]
            assert len(ages) == 2 and not any("d" in age or "h" in age for age in ages), ages
            first = asked(gateway, "stats")["uptime"]
            assert 0 < first < LONGEST
            eventually(lambda first=first: asked(gateway, "stats")["uptime"] > first, "uptime grows")  # type: ignore[misc]
            seen = len(gateway.events(event="interval"))
            eventually(lambda seen=seen: len(gateway.events(event="interval")) > seen, "an interval line")  # type: ignore[misc]
            line = gateway.events(event="interval")[-1]
            assert wall.near(line["ts"]) and 0 <= line["duration_ms"] < LONGEST * 1000
        closed.close()
        line = gateway.event(event="close", outcome="closed")
        assert wall.near(line["ts"]) and 0 <= line["duration_ms"] < LONGEST * 1000
        os.kill(gateway.workers()[0], signal.SIGKILL)
        line = gateway.event(event="close", outcome="worker_lost")
        assert line["source"]["port"] == kept_port
        assert wall.near(line["ts"]) and 0 <= line["duration_ms"] < LONGEST * 1000


def asked(gateway: Gateway, command: str) -> dict[str, Any]:
    """A command's JSON."""
    done = gateway.sluice(command, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
