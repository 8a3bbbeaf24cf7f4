"""Restarts without an outage: a successor takes the sockets over, the one before it drains, and no client notices."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.sluice_process import ROOT

LOAD: Final = str(ROOT / "build/bench/load")
ALLOW = policy("allow", [{"host": "localhost"}])
SLOW_DRAIN = {"workers": 2, "shutdown": {"drain": "60s"}}


@contextlib.contextmanager
def successor(gateway: Gateway, *arguments: str) -> Iterator[Gateway]:
    """Another process with the same files, launched."""
    with gateway.another(arguments=arguments or ("--takeover",)) as following:
        yield following


def log(gateway: Gateway, event: str) -> list[Mapping]:
    """Lines of the gateways' own log; all processes write to one file."""
    lines = [json.loads(line) for line in gateway.errors().splitlines() if line.startswith("{") and line.endswith("}")]
    return [line for line in lines if line["event"] == event]


def opened(gateway: Gateway, world: World) -> bool:
    """Whether a new tunnel carries bytes."""
    with wire.connect(gateway.port) as client:
        wire.open_socks5(client, "localhost", world.echo.port)
        return wire.echoes(client)


class Stream:
    """New tunnels one after the other, until the context ends; `wrong` is what went wrong."""

    def __init__(self, gateway: Gateway, world: World) -> None:
        self.gateway, self.world = gateway, world
        self.count = 0
        self.wrong: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def __enter__(self) -> "Stream":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                assert opened(self.gateway, self.world)
                self.count += 1
            except (OSError, AssertionError) as error:
                self.wrong.append(repr(error))


def take_over(gateway: Gateway, following: Gateway) -> None:
    """Waits until the successor serves."""
    assert following.process is not None
    pid = following.process.pid
    eventually(lambda: [line for line in log(following, "ready") if line.get("pid") == pid], "the successor serves")
    assert log(gateway, "handed_over")[-1]["successor"] == pid


def test_a_successor_serves_and_running_tunnels_live_on(world: World) -> None:
    with Gateway([ALLOW], SLOW_DRAIN) as gateway, wire.connect(gateway.port) as old:
        wire.open_socks5(old, "localhost", world.echo.port)
        with Stream(gateway, world) as stream, successor(gateway) as following:
            take_over(gateway, following)
            eventually(lambda: stream.count > 20, "new tunnels open")
            assert wire.echoes(old)
            assert log(following, "took_over")[0]["predecessor"] == gateway.pid
            assert gateway.sluice("stats").returncode == 0
            assert opened(gateway, world)
            old.close()
            assert gateway.ended() == 0
            assert stream.wrong == [], gateway.errors()
            assert not (gateway.folder / "control/c.bus").exists()
            assert gateway.sluice("stats").returncode == 0, "the end of the old one takes nothing away"
            stream.__exit__()
            assert following.stop() == 0
        assert os.listdir(gateway.folder / "control") == [], "the last one leaves nothing but the folder of the first"


class Offered:
    """500 new tunnels a second, whatever becomes of them, until the context ends; `answers` are the generator's."""

    RATE: Final = 500
    COUNT: Final = 1000  # of one run of it

    def __init__(self, gateway: Gateway, origin: int) -> None:
        way = ["--via", "socks5", "--proxy", f"127.0.0.1:{gateway.port}", "--origin", f"127.0.0.1:{origin}"]
        pace = ["--rate", str(self.RATE), "--count", str(self.COUNT), "--at-once", "4000", "--sources", "200"]
        self._command = [LOAD, "client", "open-close", *pace, *way]
        self.answers: list[Mapping] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            done = subprocess.run(self._command, capture_output=True, text=True, check=False)
            self.answers.append(json.loads(done.stdout))


@pytest.mark.full
@pytest.mark.timeout(600)
def test_twenty_restarts_under_500_new_tunnels_a_second() -> None:
    rules = [policy("allow", [{"cidr": "127.0.0.0/8"}])]
    subprocess.run(["make", "-s", "-C", str(ROOT / "bench")], check=True)
    with (
        subprocess.Popen([LOAD, "origin", "--seconds", "3600"], stdout=subprocess.PIPE, text=True) as origin,
        Gateway(rules, {"workers": 2, "shutdown": {"drain": "4s"}}) as gateway,
        contextlib.ExitStack() as stack,
    ):
        assert origin.stdout is not None
        stack.callback(origin.terminate)
        with Offered(gateway, json.loads(origin.stdout.readline())["port"]) as offered:
            last = gateway
            for _ in range(20):
                following = stack.enter_context(successor(gateway))
                take_over(last, following)
                last = following
        assert [answer["completed"] for answer in offered.answers] == [offered.COUNT] * len(offered.answers)


def test_a_successor_that_cannot_start_leaves_the_running_one_alone(world: World) -> None:
    with Gateway([ALLOW], {"workers": 2}) as gateway:
        gateway.config["workers"] = 1
        with successor(gateway) as following:
            assert following.ended() == 1
        assert "2 sockets of 127.0.0.1" in gateway.errors() and "1 workers" in gateway.errors()
        gateway.config["workers"] = 2
        (gateway.folder / "policy.yaml").write_text("nonsense")
        with successor(gateway) as following:
            assert following.ended() == 1
        eventually(lambda: log(gateway, "takeover_failed"), "the running one says so")
        assert log(gateway, "handed_over") == []
        assert opened(gateway, world) and gateway.sluice("stats").returncode == 0
        gateway.write_policy([ALLOW])
        with successor(gateway) as following:
            take_over(gateway, following)
            assert gateway.ended() == 0
            assert opened(gateway, world)


def test_two_successors_at_once_and_one_that_is_killed_half_way(world: World) -> None:
    with Gateway([ALLOW], SLOW_DRAIN) as gateway, successor(gateway) as first:
        eventually(lambda: log(gateway, "takeover"), "it has the sockets")
        first.process_signal(signal.SIGSTOP)
        if not log(gateway, "handed_over"):
            with successor(gateway) as second:
                assert second.ended() == 1
            assert "is taking over already" in gateway.errors()
            first.process_signal(signal.SIGKILL)
            eventually(lambda: log(gateway, "takeover_failed"), "the running one goes on")
            assert opened(gateway, world) and gateway.sluice("stats").returncode == 0
        else:
            first.process_signal(signal.SIGCONT)
            take_over(gateway, first)


def test_a_draining_gateway_hands_nothing_over(world: World) -> None:
    with Gateway([ALLOW], SLOW_DRAIN) as gateway, wire.connect(gateway.port) as old:
        wire.open_socks5(old, "localhost", world.echo.port)
        gateway.sluice("drain")
        with successor(gateway) as following:
            assert following.ended() == 1
        assert wire.echoes(old)


def test_without_a_running_gateway_it_is_a_start(world: World) -> None:
    with Gateway([ALLOW]) as gateway:
        gateway.stop(signal.SIGINT)
        with successor(gateway) as following:
            eventually(following.serves, "it serves")
            assert opened(gateway, world)
            following.process_signal(signal.SIGKILL)
            following.ended()
        with successor(gateway) as following:
            eventually(following.serves, "it serves where one was killed")


# Sockets of a service manager.

MANAGER = """
import os, sys
count = int(sys.argv[1])
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count))
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextlib.contextmanager
def managed(gateway: Gateway, *sockets: socket.socket) -> Iterator[Gateway]:
    """The gateway as systemd starts it, with these sockets as descriptors from 3 on; launched."""
    script = gateway.folder / "manager.py"
    script.write_text(MANAGER)
    prefix = (sys.executable, str(script), str(len(sockets)))
    with gateway.another(sockets=[one.fileno() for one in sockets], prefix=prefix) as one:
        yield one


def test_a_restart_with_sockets_of_a_service_manager_refuses_no_connection(world: World) -> None:
    gateway = Gateway([ALLOW], SLOW_DRAIN)
    with socket.create_server(("127.0.0.1", gateway.port)) as listener, Stream(gateway, world) as stream:
        for _ in range(2):
            stream.count = 0
            with managed(gateway, listener) as one:
                eventually(lambda: stream.count > 20, "new tunnels open")
                assert one.stop() == 0
        with managed(gateway, listener):
            stream.__exit__()
        assert stream.wrong == [], gateway.errors()
    gateway.__exit__()


def starting_worker(gateway: Gateway, slot: int) -> int:
    """The worker of a slot, stopped before it has said HELLO: that takes an interpreter's start from here on."""
    assert gateway.process is not None
    pid = gateway.process.pid

    def found() -> list[int]:
        workers = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [one for one in workers if f"--slot\0{slot}\0".encode() in Path(f"/proc/{one}/cmdline").read_bytes()]

    (worker,) = eventually(found, "the worker has begun")
    os.kill(worker, signal.SIGSTOP)
    return worker


def test_a_worker_that_starts_while_the_sockets_are_left_accepts_from_none(world: World) -> None:
    gateway = Gateway([ALLOW], SLOW_DRAIN)
    with socket.create_server(("127.0.0.1", gateway.port)) as listener, Stream(gateway, world) as stream:
        with managed(gateway, listener) as one:
            late = starting_worker(one, 1)
            eventually(lambda: stream.count > 20, "the other one serves")
            one.process_signal(signal.SIGTERM)
            eventually(lambda: log(one, "draining"), "it drains")
            with contextlib.suppress(ProcessLookupError):
                os.kill(late, signal.SIGCONT)
            assert one.ended() == 0
        with managed(gateway, listener):
            stream.__exit__()
        assert stream.wrong == [], gateway.errors()
    gateway.__exit__()


def test_a_socket_that_fits_no_listener_is_an_error(world: World) -> None:
    gateway = Gateway([ALLOW])
    with socket.create_server(("127.0.0.1", 0)) as listener, managed(gateway, listener) as one:
        assert one.ended() == 1
        assert (
            f"127.0.0.1:{listener.getsockname()[1]}" in one.errors() and "no listener has that address" in one.errors()
        )
    with socket.socket() as deaf, managed(gateway, deaf) as one:
        assert one.ended() == 1
        assert "does not listen for TCP" in one.errors()
    gateway.__exit__()
