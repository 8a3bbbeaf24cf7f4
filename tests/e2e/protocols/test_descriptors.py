"""Descriptors run short: a full worker lets its siblings accept, accepted clients are served, the rest wait.

A worker accepts only while it has descriptors for a client and for what is dialed for it. Some 150 clients fill one
that may open 400 files.
"""

import contextlib
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.e2e.conftest import World
from tests.e2e.operation.test_limits import Crowd, limited, worker_slot
from tests.e2e.operation.test_observation import page
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, policy

OPEN: Final = [policy("open", [{"cidr": "127.0.0.0/8"}])]
FILES: Final = 400
PATIENT: Final = {"limits": {"requestTimeout": "60s"}}


def with_files(count: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def clients_of(pid: int, port: int) -> set[tuple[str, int]]:
    """Peers of the connections to the listener on `port` that a worker holds (proc(5), /proc/net/tcp)."""
    inodes = set()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(f"/proc/{pid}/fd/{entry}").removeprefix("socket:[").removesuffix("]"))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        host, number = words[2].split(":")
        if int(words[1].split(":")[1], 16) == port and words[9] in inodes and int(number, 16):
            found.add((socket.inet_ntoa(bytes.fromhex(host)[::-1]), int(number, 16)))
    return found


def fill(crowd: Crowd, count: int) -> list[socket.socket]:
    """Connections that say nothing, from as many sources as may have so many."""
    return [crowd.connect(f"127.0.6.{1 + number // 90}") for number in range(count)]


def ask(crowd: Crowd, count: int, port: int, source: str) -> list[socket.socket]:
    return crowd.ask(count, "127.0.0.1", port, source)


def test_siblings_accept_for_a_full_worker(world: World) -> None:
    port = world.echo.port
    with Gateway(OPEN, {"workers": 2, **PATIENT}, preexec_fn=with_files(FILES)) as gateway, Crowd(gateway) as crowd:
        first, second = sorted(gateway.workers(), key=worker_slot)
        idle = fill(crowd, 400)
        eventually(lambda: limited(gateway).get("descriptors", 0) >= 2, "both are full")
        held = gateway.counter("connections_open")
        assert 200 < held < 400, "some wait in the queues"
        # Whatever waits now is taken by the second, which gets room; the first stays as it is.
        stay = clients_of(first, gateway.port)
        for client in idle:
            if client.getsockname() not in stay:
                client.close()
        eventually(lambda: gateway.counter("connections_open") == len(stay), "only those of the first are left")
        asking = ask(crowd, 60, port, "127.0.7.1")
        assert {wire.http_head(client).status for client in asking} == {200}
        assert all(wire.echoes(client) for client in asking)
        items = page(gateway)["items"]
        assert {item["id"].split("-")[0] for item in items} == {"1"}, "all of them are the second's"
        assert clients_of(first, gateway.port) == stay and len(clients_of(second, gateway.port)) == 60
        assert set(limited(gateway)) == {"descriptors"}, "no client was refused"
        assert "worker_full" in gateway.errors()
        # And back: the first accepts for itself again.
        for client in idle:
            client.close()
        eventually(lambda: gateway.counter("connections_open") == 60, "they are gone")

        def first_serves() -> bool:
            with wire.connect(gateway.port) as client:
                wire.open_socks5(client, "127.0.0.1", port)
                return client.getsockname() in clients_of(first, gateway.port)

        eventually(first_serves, "the first accepts again")


def test_who_finds_every_worker_full_waits(world: World) -> None:
    """In the queue, where a client that leaves makes room: no client is refused."""
    with Gateway(OPEN, {"workers": 2, **PATIENT}, preexec_fn=with_files(FILES)) as gateway, Crowd(gateway) as crowd:
        idle = fill(crowd, 400)
        eventually(lambda: limited(gateway).get("descriptors", 0) >= 2, "both are full")
        late = ask(crowd, 20, world.echo.port, "127.0.7.1")
        held = gateway.counter("connections_open")
        assert held < 400
        for client in idle:
            client.close()
        assert {wire.http_head(client).status for client in late} == {200}
        assert set(limited(gateway)) == {"descriptors"}
        assert gateway.counter("internal_errors_total") == 0


def test_whoever_was_accepted_is_served_by_a_full_worker(world: World) -> None:
    """Every client that was let in has the promise of a descriptor for what is dialed for it."""
    # Tunnels have a cap of their own, (400 - 256) / 2: what is left over of the clients is refused by it.
    with Gateway(OPEN, PATIENT, preexec_fn=with_files(FILES)) as gateway, Crowd(gateway) as crowd:
        idle = fill(crowd, 180)
        eventually(lambda: limited(gateway).get("descriptors", 0), "it is full")
        (worker,) = gateway.workers()
        inside = clients_of(worker, gateway.port)
        served = [client for client in idle if client.getsockname() in inside]
        assert len(served) > 72
        for client in served[:72]:
            wire.open_socks5(client, "127.0.0.1", world.echo.port)
        assert wire.socks5(served[72], "127.0.0.1", world.echo.port) == 1
        assert set(limited(gateway)) == {"descriptors", "tunnels"}
        assert all(wire.echoes(client) for client in served[:72])


def test_a_limit_lowered_from_outside(world: World) -> None:
    """accept() fails before the worker's own reckoning says so: it asks again what it may have, and recovers."""
    with Gateway(OPEN, {"workers": 2, **PATIENT}) as gateway, Crowd(gateway) as crowd:
        first, _ = sorted(gateway.workers(), key=worker_slot)
        soft, hard = resource.prlimit(first, resource.RLIMIT_NOFILE)
        resource.prlimit(first, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{first}/fd")), hard))

        def refused_a_descriptor() -> bool:  # not at once where its sibling was quicker and has taken all of them
            asking = ask(crowd, 40, world.echo.port, "127.0.7.1")
            assert {wire.http_head(client).status for client in asking} == {200}, "its sibling accepts"
            return bool(limited(gateway))

        eventually(refused_a_descriptor, "the first was refused a descriptor")
        assert set(limited(gateway)) == {"descriptors"}
        assert clients_of(first, gateway.port) == set()
        resource.prlimit(first, resource.RLIMIT_NOFILE, (soft, hard))

        def first_serves() -> bool:
            (client,) = crowd.open(1, world.echo.port)
            return client.getsockname() in clients_of(first, gateway.port)

        eventually(first_serves, "the first accepts again")


def test_a_drain_takes_in_whom_a_full_worker_left_waiting(world: World) -> None:
    """They are told to go elsewhere, instead of being reset with the socket."""
    config = {**PATIENT, "shutdown": {"drain": "20s"}}
    with Gateway(OPEN, config, preexec_fn=with_files(FILES)) as gateway, Crowd(gateway) as crowd:
        idle = fill(crowd, 170)
        eventually(lambda: limited(gateway).get("descriptors", 0), "it is full")
        late = ask(crowd, 20, world.echo.port, "127.0.7.1")
        assert gateway.counter("connections_open") < 170
        gateway.process_signal(15)
        assert {wire.http_head(client).status for client in late} == {503}
        for client in idle:
            assert wire.http(client, f"127.0.0.1:{world.echo.port}").status == 503
        crowd.close()
        assert gateway.ended() == 0
