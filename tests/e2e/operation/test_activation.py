"""A generation comes to all workers at one moment, or to none: real workers, one of which stands still."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, policy

ALLOW = policy("allow", [{"host": "localhost"}])
DENY = policy("deny", [{"host": "localhost"}], "Deny")


def images(pid: int) -> int:
    """How many policy images a process has mapped."""
    return Path(f"/proc/{pid}/maps").read_text().count("/memfd:sluice-policy")


def answer(gateway: Gateway, port: int) -> int:
    """The SOCKS5 answer to a request for the origin."""
    with wire.connect(gateway.port) as client:
        return wire.socks5(client, "localhost", port)


def stopped_one(gateway: Gateway) -> tuple[int, int]:
    """Stops one of two workers; (the stopped one, the one that serves)."""
    first, second = gateway.workers()
    os.kill(first, signal.SIGSTOP)
    return first, second


def test_no_worker_decides_by_a_generation_that_another_one_has_not_loaded(world: World) -> None:
    with Gateway([ALLOW], {"workers": 2}) as gateway:
        still, other = stopped_one(gateway)
        gateway.write_policy([DENY])
        done: list[subprocess.CompletedProcess[str]] = []
        reload = threading.Thread(target=lambda: done.append(gateway.sluice("reload")))
        reload.start()
        eventually(lambda: images(other) == 2, "the other one has loaded it")
        assert active(gateway) == {1}
        assert {answer(gateway, world.echo.port) for _ in range(20)} == {0}, "siblings accept; the old policy decides"
        os.kill(still, signal.SIGCONT)
        reload.join()
        assert done[0].returncode == 0, done[0].stderr
        assert active(gateway) == {2}
        assert {answer(gateway, world.echo.port) for _ in range(20)} == {2}
        eventually(lambda: images(still) == images(other) == 1, "the old image is gone")


def test_an_image_is_freed_by_the_supervisor_after_the_workers(world: World) -> None:
    """The process with the last reference to a large image stands still while the kernel frees its pages."""
    with Gateway([ALLOW], {"workers": 1}) as gateway:
        (worker,) = gateway.workers()
        before = held(gateway.pid)
        for _ in range(3):
            gateway.reload()
            eventually(lambda: images(worker) == 1, "the worker unmaps the old image")
            assert held(gateway.pid) == before + 1, "the supervisor has it still"
        eventually(lambda: held(gateway.pid) == before, "then it goes as well", 10)


def held(pid: int) -> int:
    """How many policy images a process has open."""
    links = (os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink())
    return sum(link.startswith("/memfd:sluice-policy") for link in links)


@pytest.mark.full
def test_a_worker_that_stands_still_for_ten_seconds_does_not_hold_the_others_up(world: World) -> None:
    with Gateway([ALLOW], {"workers": 2}) as gateway:
        still, other = stopped_one(gateway)
        gateway.reload([DENY])
        assert active(gateway) <= {2}
        eventually(gateway.complete, "its slot starts again")
        assert active(gateway) == {2}
        assert still not in gateway.workers() and other in gateway.workers()
        assert {answer(gateway, world.echo.port) for _ in range(20)} == {2}


def active(gateway: Gateway) -> set[int]:
    """The generations that workers which serve decide by."""
    workers = json.loads(gateway.sluice("stats", "--json").stdout)["workers"]
    return {worker["generation"] for worker in workers if worker["state"] == "ready"}
