"""Listeners that change with a reload: what they speak, and their addresses, under the tunnels of clients."""

import contextlib
import json
import os
import signal
import socket
import subprocess

import pytest

from tests.e2e.conftest import World
from tests.e2e.operation.test_takeover import SLOW_DRAIN, Stream, log, opened, successor, take_over
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, policy

ALLOW = policy("allow", [{"host": "localhost"}])


def spoken(gateway: Gateway, world: World) -> set[str]:
    """The protocols that open a tunnel on the first listener."""
    found = set()
    for name, open_by in (("socks5", wire.open_socks5), ("http", wire.open_http)):
        try:
            with wire.connect(gateway.port) as client:
                open_by(client, "localhost", world.echo.port)
                if wire.echoes(client):
                    found.add(name)
        except (AssertionError, OSError):
            continue
    return found


def reload(gateway: Gateway, *listeners: tuple[str, int]) -> subprocess.CompletedProcess[str]:
    """With these names and ports."""
    gateway.config["listeners"] = [{"name": name, "address": f"127.0.0.1:{port}"} for name, port in listeners]
    gateway.write_config()
    return gateway.sluice("reload")


def reloaded(gateway: Gateway, **listener: object) -> None:
    gateway.config["listeners"][0].update(listener)
    gateway.write_config()
    done = gateway.sluice("reload")
    assert done.returncode == 0 and "restart" not in done.stdout, done.stdout + done.stderr


def carries(gateway: Gateway, world: World, port: int) -> bool:
    """Whether a new tunnel by that port carries bytes; False where no process listens."""
    with contextlib.suppress(ConnectionRefusedError), wire.connect(port) as client:
        wire.open_socks5(client, "localhost", world.echo.port)
        return wire.echoes(client)
    return False


def test_protocol_and_credentials_change_with_a_reload(world: World) -> None:
    with Gateway([ALLOW], {"workers": 2}) as gateway, wire.connect(gateway.port) as old:
        wire.open_socks5(old, "localhost", world.echo.port)
        assert spoken(gateway, world) == {"socks5", "http"}
        reloaded(gateway, protocol="http")
        assert spoken(gateway, world) == {"http"}
        reloaded(gateway, protocol="socks5", name="other")
        assert spoken(gateway, world) == {"socks5"}
        assert wire.echoes(old), "a tunnel that is open does not care"
        wire.open_socks5(last := wire.connect(gateway.port), "localhost", world.echo.port)
        last.close()
        assert gateway.event(event="close", listener="other")


def test_listeners_are_added_moved_and_removed_under_new_tunnels(world: World) -> None:
    first, second, third = free_port(), free_port(), free_port()
    with Gateway([ALLOW], {"workers": 2}) as gateway, Stream(gateway, world) as stream:
        mesh = ("mesh", gateway.port)
        done = reload(gateway, mesh, ("a", first), ("b", second))
        assert done.returncode == 0, done.stderr
        assert f"listener a: added, auto on 127.0.0.1:{first}" in done.stdout
        with wire.connect(first) as old, wire.connect(second) as moved:
            wire.open_socks5(old, "localhost", world.echo.port)
            wire.open_socks5(moved, "localhost", world.echo.port)
            done = reload(gateway, ("b", third), mesh)
            assert f"listener b: moved from 127.0.0.1:{second} to 127.0.0.1:{third}" in done.stdout
            assert f"listener a: removed from 127.0.0.1:{first}" in done.stdout
            assert [carries(gateway, world, port) for port in (first, second, third)] == [False, False, True]
            assert wire.echoes(old) and wire.echoes(moved), "tunnels of a listener that is gone live on"
            listed = json.loads(gateway.sluice("tunnels", "--json").stdout)["items"]
            assert {"a", "b"} <= {one["listener"] for one in listed}
        assert gateway.event(event="close", listener="a")["outcome"] == "closed"
        assert gateway.event(event="close", listener="b")
        eventually(lambda: stream.count > 20, "new tunnels open")
        stream.__exit__()
        assert stream.wrong == [], gateway.errors()
        words = [line["message"] for line in log(gateway, "listener_changed")]
        assert f"a: removed from 127.0.0.1:{first}" in words


def test_two_listeners_change_addresses(world: World) -> None:
    second = free_port()
    with Gateway([ALLOW]) as gateway:
        assert reload(gateway, ("a", gateway.port), ("b", second)).returncode == 0
        assert reload(gateway, ("a", second), ("b", gateway.port)).returncode == 0
        assert opened(gateway, world)
        assert gateway.event(event="close", listener="b")


def test_a_port_that_another_process_has_refuses_the_whole_reload(world: World) -> None:
    free = free_port()
    with Gateway([ALLOW], {"workers": 2}) as gateway, socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        done = reload(gateway, ("mesh", gateway.port), ("a", free), ("b", taken))
        assert done.returncode == 1
        for said in (done.stderr, gateway.errors()):
            assert f"'b' cannot use 127.0.0.1:{taken}" in said and f"(pid {os.getpid()})" in said
        assert not carries(gateway, world, free) and opened(gateway, world)
        with socket.create_server(("127.0.0.1", free)):
            pass  # nothing is left of it
        assert json.loads(gateway.sluice("stats", "--json").stdout)["generation"] == 1
        stranger.close()
        assert reload(gateway, ("mesh", gateway.port), ("a", free), ("b", taken)).returncode == 0
        assert carries(gateway, world, free) and carries(gateway, world, taken)


def test_a_reload_that_another_part_refuses_opens_nothing(world: World) -> None:
    port = free_port()
    with Gateway([ALLOW], {"workers": 2}) as gateway:
        (gateway.folder / "policy.yaml").write_text("nonsense")
        assert reload(gateway, ("a", port)).returncode == 1
        assert not carries(gateway, world, port) and opened(gateway, world)
        gateway.write_policy([ALLOW])
        (gateway.folder / "gone").mkdir()
        gateway.config["logs"]["access"] = "gone"
        assert reload(gateway, ("a", port)).returncode == 1
        assert not carries(gateway, world, port) and opened(gateway, world)


def test_clients_in_the_queue_of_a_removed_listener_are_served(world: World) -> None:
    """No worker is there when they come, and none when the reload does."""
    port = free_port()
    with Gateway([ALLOW]) as gateway:
        assert reload(gateway, ("mesh", gateway.port), ("a", port)).returncode == 0
        (worker,) = gateway.workers()
        os.kill(worker, signal.SIGSTOP)
        waiting = [wire.connect(port) for _ in range(20)]
        os.kill(worker, signal.SIGKILL)
        done = reload(gateway, ("mesh", gateway.port))
        assert done.returncode == 0, done.stderr
        for client in waiting:
            with client:
                wire.open_socks5(client, "localhost", world.echo.port)
                assert wire.echoes(client)
        assert gateway.event(event="close", listener="a")
        assert not carries(gateway, world, port)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_that_is_replaced_has_the_listeners_of_now(world: World, moment: str) -> None:
    first, second = free_port(), free_port()
    with Gateway([ALLOW], {"workers": 2}) as gateway:
        assert reload(gateway, ("mesh", gateway.port), ("a", first)).returncode == 0
        if moment == "before":
            for pid in gateway.workers():
                os.kill(pid, signal.SIGKILL)
        assert reload(gateway, ("mesh", gateway.port), ("b", second)).returncode == 0
        if moment == "after":
            for pid in gateway.workers():
                os.kill(pid, signal.SIGKILL)
        eventually(gateway.complete, "all workers serve")
        for _ in range(20):  # both workers get some
            assert carries(gateway, world, second) and opened(gateway, world)
        assert not carries(gateway, world, first)


def test_a_takeover_has_the_listeners_of_now(world: World) -> None:
    first, second = free_port(), free_port()
    with Gateway([ALLOW], SLOW_DRAIN) as gateway, wire.connect(gateway.port) as old:
        wire.open_socks5(old, "localhost", world.echo.port)
        assert reload(gateway, ("a", first), ("b", second)).returncode == 0
        gateway.port = first
        with Stream(gateway, world) as stream, successor(gateway) as following:
            take_over(gateway, following)
            assert carries(following, world, first) and carries(following, world, second)
            assert wire.echoes(old)
            old.close()
            assert gateway.ended() == 0
            assert reload(following, ("b", second), ("a", first)).returncode == 0
            stream.__exit__()
            assert stream.wrong == [], gateway.errors()


def test_addresses_change_by_a_takeover(world: World) -> None:
    with Gateway([ALLOW], SLOW_DRAIN) as gateway, wire.connect(gateway.port) as old:
        wire.open_socks5(old, "localhost", world.echo.port)
        first, second = gateway.port, free_port()
        gateway.config["listeners"].append({"name": "new", "address": f"127.0.0.1:{second}"})
        with successor(gateway) as following:
            take_over(gateway, following)
            assert wire.echoes(old)
            for port in (first, second):
                following.port = port
                assert opened(following, world)
            old.close()
            assert gateway.ended() == 0


def test_a_takeover_empties_the_queues_of_listeners_that_the_successor_does_not_have(world: World) -> None:
    """Under new tunnels: a client that connects is served, or finds the port closed."""
    second = free_port()
    with Gateway([ALLOW], SLOW_DRAIN) as gateway:
        first = gateway.port
        assert reload(gateway, ("mesh", first), ("old", second)).returncode == 0
        with wire.connect(second) as early, Stream(gateway, world) as stream:
            wire.open_socks5(early, "localhost", world.echo.port)
            gateway.config["listeners"].pop()
            with successor(gateway) as following:
                take_over(gateway, following)
                eventually(lambda: not carries(following, world, second), "the port is closed")
                assert wire.echoes(early) and opened(following, world)
                early.close()
                assert gateway.ended() == 0
                stream.__exit__()
                assert stream.wrong == [], gateway.errors()
