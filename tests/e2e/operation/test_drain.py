"""Draining: clients that the kernel has connected are answered, no others are let in, what is left is ended in time."""

import contextlib
import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import PATIENCE, eventually
from tests.support.origins import Origin, holding
from tests.support.run_gateway import Gateway, policy, tunnels

OPEN: Final = [policy("open", [{"cidr": "127.0.0.0/8"}, {"host": "localhost"}])]


def refused(port: int) -> bool:
    try:
        wire.connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def stats(gateway: Gateway) -> dict[str, Any]:
    done = gateway.sluice("stats", "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_what_waits_in_the_queues_is_answered(world: World) -> None:
    """The worker is held still, so that connections can only wait; they are more than one batch, and no more than
    one source may have unanswered."""
    with Gateway(OPEN, {"shutdown": {"drain": "20s"}}) as gateway, contextlib.ExitStack() as stack:
        (worker,) = gateway.workers()
        os.kill(worker, signal.SIGSTOP)
        try:
            waiting = [stack.enter_context(wire.connect(gateway.port)) for _ in range(100)]
            for client in waiting[::2]:
                client.sendall(wire.connect_request(f"127.0.0.1:{world.echo.port}"))
            gateway.process_signal(signal.SIGTERM)
            eventually(lambda: '"draining"' in gateway.errors(), "the drain has begun")
        finally:
            os.kill(worker, signal.SIGCONT)
        eventually(lambda: refused(gateway.port), "no more are let in")
        for client in waiting[1::2]:
            client.sendall(wire.connect_request(f"127.0.0.1:{world.echo.port}"))
        answers = [wire.http_head(client) for client in waiting]
        assert {answer.status for answer in answers} <= {200, 503}
        for answer in answers[1::2]:
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        stack.close()
        assert gateway.ended() == 0


class Knocker:
    """Connects without a pause, asks for a tunnel on each connection, and notes how each ended."""

    def __init__(self, gateway: Gateway, origin: int) -> None:
        self.gateway, self.origin = gateway, origin
        self.statuses: list[int] = []
        self.broken: list[str] = []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(4)]

    def _run(self) -> None:
        while True:
            try:
                client = wire.connect(self.gateway.port)
            except ConnectionRefusedError:
                return
            with client:
                try:
                    self.statuses.append(wire.http(client, f"127.0.0.1:{self.origin}").status)
                except (OSError, AssertionError) as error:
                    self.broken.append(repr(error))


def test_a_connection_is_either_refused_or_answered_while_it_drains(world: World) -> None:
    """At no moment does a client connect and then meet a reset: that would be a request of unknown fate."""
    with Gateway(OPEN, {"workers": 2}) as gateway:
        knocker = Knocker(gateway, world.echo.port)
        for thread in knocker.threads:
            thread.start()
        eventually(lambda: len(knocker.statuses) > 200, "they are served")
        gateway.process_signal(signal.SIGTERM)
        for thread in knocker.threads:
            thread.join(PATIENCE)
        assert gateway.ended() == 0
        assert knocker.broken == []
        assert set(knocker.statuses) <= {200, 503}


@pytest.mark.parametrize("protocol", ["socks5", "socks4a", "http"])
def test_a_request_on_a_connection_from_before_is_told_to_go(world: World, protocol: str) -> None:
    codes = {
        "socks5": lambda client: wire.socks5(client, "127.0.0.1", world.echo.port),
        "socks4a": lambda client: wire.socks4a(client, "127.0.0.1", world.echo.port),
        "http": lambda client: wire.http(client, f"127.0.0.1:{world.echo.port}").status,
    }
    with Gateway(OPEN, {"shutdown": {"drain": "20s"}}) as gateway, wire.connect(gateway.port) as client:
        with wire.connect(gateway.port) as busy:
            wire.open_socks5(busy, "127.0.0.1", world.echo.port)
            gateway.process_signal(signal.SIGTERM)
            eventually(lambda: refused(gateway.port), "it drains")
            assert codes[protocol](client) == {"socks5": 1, "socks4a": 0x5B, "http": 503}[protocol]
            assert wire.echoes(busy), "tunnels go on"
        client.close()
        assert gateway.ended() == 0


def test_drain_leaves_the_process_up_until_it_is_told_to_end(world: World) -> None:
    with Gateway(OPEN, {"workers": 2, "shutdown": {"drain": "20s"}}) as gateway:
        with tunnels(gateway, 3, "127.0.0.1", world.echo.port) as clients:
            done = gateway.sluice("drain")
            assert done.returncode == 0 and "20" in done.stdout
            eventually(lambda: refused(gateway.port), "it drains")
            assert gateway.sluice("drain").returncode == 0, "once more changes nothing"
            assert all(wire.echoes(client) for client in clients)
            seen = stats(gateway)
            assert seen["draining"] is True and seen["counters"]["tunnels_open"] == 3
        eventually(lambda: not gateway.workers(), "the workers end with their tunnels")
        assert {worker["state"] for worker in stats(gateway)["workers"]} == {"stopped"}
        assert gateway.sluice("reload").returncode == 1
        assert gateway.stop(signal.SIGTERM) == 0


def test_what_is_left_in_the_end_is_reset_and_logged_as_drained() -> None:
    with Origin(holding) as origin, Gateway(OPEN, {"shutdown": {"drain": "1s"}}) as gateway:
        with tunnels(gateway, 40, "127.0.0.1", origin.port) as clients:
            for client in clients:
                assert wire.exactly(client, 5) == b"hello"
            assert gateway.stop(signal.SIGTERM) == 0
            for client in clients:
                with pytest.raises(ConnectionResetError):
                    wire.to_the_end(client)
        assert len(gateway.events(event="close", outcome="drained")) == 40


def test_a_new_gateway_starts_at_once_where_the_supervisor_was_killed(world: World) -> None:
    """The old workers close their sockets first and serve their tunnels on."""
    with Gateway(OPEN, {"shutdown": {"drain": "20s"}}) as gateway, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", world.echo.port)
        (old,) = gateway.workers()
        gateway.stop(signal.SIGKILL)
        with gateway:
            assert old not in gateway.workers()
            with wire.connect(gateway.port) as other:
                wire.open_socks5(other, "127.0.0.1", world.echo.port)
                assert wire.echoes(other) and wire.echoes(client)
            client.close()
            eventually(lambda: not Path(f"/proc/{old}").exists(), "the old worker ends with its tunnel")


def test_a_worker_that_is_still_starting_empties_the_queue_when_nobody_else_can(world: World) -> None:
    with Gateway(OPEN, {"shutdown": {"drain": "20s"}}) as gateway:
        (worker,) = gateway.workers()
        os.kill(worker, signal.SIGKILL)
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as client:
            gateway.process_signal(signal.SIGTERM)
            status = wire.http(client, f"127.0.0.1:{world.echo.port}").status
        assert status in (200, 503)
        assert gateway.ended() == 0


@pytest.mark.parametrize("by_command", [True, False], ids=["sluice drain", "SIGTERM"])
def test_every_queue_is_accepted_empty(world: World, by_command: bool) -> None:
    """Both workers are held still, and hold many: each queue is emptied by the worker that has it before it is gone."""
    with Gateway(OPEN, {"workers": 2, "shutdown": {"drain": "20s"}}) as gateway, contextlib.ExitStack() as stack:
        workers = gateway.workers()
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        try:
            waiting = [
                stack.enter_context(wire.connect(gateway.port, source=f"127.0.8.{1 + number // 90}"))
                for number in range(400)
            ]
            for client in waiting:
                client.sendall(wire.connect_request(f"127.0.0.1:{world.echo.port}"))
            if by_command:
                assert gateway.sluice("drain").returncode == 0
            else:
                gateway.process_signal(signal.SIGTERM)
            eventually(lambda: '"draining"' in gateway.errors(), "the drain has begun")
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGCONT)
        assert {wire.http_head(client).status for client in waiting} <= {200, 503}
        eventually(lambda: refused(gateway.port), "every copy of the sockets is closed")
        stack.close()
        eventually(lambda: not gateway.workers(), "the workers end with their connections")
        assert gateway.stop(signal.SIGTERM) == 0 if by_command else gateway.ended() == 0


def test_the_ends_of_what_is_left_are_spread() -> None:
    """A few at a time over the last part of the drain, not all in one moment."""
    with Origin(holding) as origin, Gateway(OPEN, {"workers": 2, "shutdown": {"drain": "5s"}}) as gateway:
        with tunnels(gateway, 60, "127.0.0.1", origin.port):
            assert gateway.stop(signal.SIGTERM) == 0
        lines = gateway.events(event="close", outcome="drained")
        assert len(lines) == 60
        moments = {line["ts"] for line in lines}
        assert len(moments) >= 5, f"they ended in {len(moments)} moments"


def test_a_second_signal_ends_a_drain_at_once() -> None:
    with Origin(holding) as origin, Gateway(OPEN, {"shutdown": {"drain": "1h"}}) as gateway:
        with tunnels(gateway, 3, "127.0.0.1", origin.port):
            gateway.process_signal(signal.SIGTERM)
            eventually(lambda: refused(gateway.port), "it drains")
            assert gateway.stop(signal.SIGINT) == 0
        assert not gateway.workers()


def test_a_draining_gateway_is_not_ready_and_says_so(world: World) -> None:
    with Gateway(OPEN, {"shutdown": {"drain": "1h"}}) as gateway, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", world.echo.port)
        ready = f"http://127.0.0.1:{gateway.admin}/readyz"
        assert urllib.request.urlopen(ready, timeout=20).status == 200
        assert gateway.sluice("drain").returncode == 0
        with pytest.raises(urllib.error.HTTPError) as told:
            urllib.request.urlopen(ready, timeout=20)
        assert told.value.code == 503
        assert wire.echoes(client)
