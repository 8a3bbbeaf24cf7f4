"""Real traffic as operators see it: metrics, live tunnels, and sums that stay right when workers die."""

import contextlib
import json
import os
import signal
import socket
import urllib.request
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, Mapping, policy, tunnels

OPEN_RULE = "ClusterEgressPolicy/open"

Series = dict[str, dict[frozenset[tuple[str, str]], float]]
TWO: Final = {"workers": 2}


def scrape(gateway: Gateway) -> Series:
    """Sample name -> labels -> value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def value(series: Series, name: str, **labels: str) -> float:
    """The sum over the series that have these labels."""
    wanted = set(labels.items())
    return sum(count for found, count in series.get(f"sluice_{name}", {}).items() if wanted <= found)


def page(gateway: Gateway, query: str = "") -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/tunnels{query}", timeout=20) as answer:
        return json.load(answer)


def allow(world: World, name: str = "open", **spec: Any) -> Mapping:
    return policy(name, [{"cidr": "127.0.0.0/8", "ports": [world.echo.port]}], **spec)


def fell(before: Series, after: Series) -> list[str]:
    """Counters that went down, or away."""
    counters = [name for name in before if name.endswith(("_total", "_count", "_sum", "_bucket"))]
    return [
        f"{name}{dict(labels)}"
        for name in counters
        for labels, count in before[name].items()
        if after.get(name, {}).get(labels, -1) < count
    ]


def test_traffic_is_counted_by_its_labels(world: World) -> None:
    with Gateway([allow(world)]) as gateway:
        with wire.connect(gateway.port) as client:
            wire.open_socks5(client, "127.0.0.1", world.echo.port)
            assert wire.echoes(client)
            live = eventually(lambda: page(gateway)["items"], "the tunnel is listed")
            now = scrape(gateway)
            assert value(now, "tunnels_open", protocol="socks5") == 1
            assert value(now, "bytes_total", direction="up", rule=OPEN_RULE) == 5
        with wire.connect(gateway.port) as client:
            client.sendall(b"CONNECT shut.test:9 HTTP/1.1\r\nHost: shut.test:9\r\n\r\n")
            assert b" 403 " in client.recv(65536)
        eventually(lambda: value(scrape(gateway), "tunnels_open") == 0, "the gauge follows")
        now = scrape(gateway)
    assert value(now, "decisions_total", verdict="allow", rule=OPEN_RULE, reason="rule_allow", phase="address") == 1
    assert value(now, "decisions_total", verdict="deny", rule="") == 1
    assert value(now, "tunnels_total", protocol="socks5", outcome="closed") == 1
    assert value(now, "tunnels_total", protocol="http", outcome="denied") == 1
    assert value(now, "bytes_total", direction="down", rule=OPEN_RULE) == 5
    assert value(now, "dial_seconds_count") == 1
    assert value(now, "worker_turn_seconds_count") > 0
    assert value(now, "policy_generation", worker="0") == value(now, "policy_rules") == 1
    (item,) = live
    assert (item["bytes_up"], item["rule"], item["protocol"]) == (5, OPEN_RULE, "socks5")
    assert item["destination"] == {"host": "127.0.0.1", "port": world.echo.port, "address": "127.0.0.1"}


def test_the_command_lists_and_kills(world: World) -> None:
    with Gateway([allow(world)], TWO) as gateway, tunnels(gateway, 6, "127.0.0.1", world.echo.port) as clients:
        done = gateway.sluice("tunnels", "--json", "--to", f"127.0.0.1:{world.echo.port}", "--from", "127.0.0.0/8")
        listed = {item["source"]["port"]: item["id"] for item in json.loads(done.stdout)["items"]}
        assert set(listed) == {client.getsockname()[1] for client in clients}
        assert len(set(listed.values())) == 6
        eventually(lambda: len(gateway.events(event="open")) == 6, "all have their open line")
        opened = {line["source"]["port"]: line["id"] for line in gateway.events(event="open")}
        assert opened == listed, "the ids are those of the access log"
        victim = clients[2]
        done = gateway.sluice("tunnels", "--kill", listed[victim.getsockname()[1]])
        assert (done.returncode, done.stdout) == (0, f"{listed[victim.getsockname()[1]]} was reset\n")
        try:
            assert victim.recv(1) == b"no byte comes"
        except ConnectionResetError:
            pass
        assert all(wire.echoes(client) for client in clients if client is not victim)
        assert gateway.event(event="close")["outcome"] == "killed"
        done = gateway.sluice("tunnels", "--kill", listed[victim.getsockname()[1]])
        assert done.returncode == 1 and "is open" in done.stderr
        done = gateway.sluice("tunnels", "--rule", "ClusterEgressPolicy/open")
        assert len(done.stdout.splitlines()) == 6 and done.stdout.startswith("ID ")
        assert gateway.sluice("tunnels", "--to", "a:b").returncode == 2
        done = gateway.sluice("tunnels", "--limit", "2", "--json")
        first = json.loads(done.stdout)
        assert len(first["items"]) == 2 and first["next"]
        rest = json.loads(gateway.sluice("tunnels", "--after", first["next"], "--json").stdout)
        assert len(rest["items"]) == 3 and rest["next"] is None


def test_a_rule_that_takes_another_s_place_counts_from_nothing(world: World) -> None:
    with Gateway([allow(world, "first", onRevoke="keep")]) as gateway, contextlib.ExitStack() as stack:

        def opened(count: int) -> Series:
            stack.enter_context(tunnels(gateway, count, "127.0.0.1", world.echo.port))
            return scrape(gateway)

        assert value(opened(3), "decisions_total", rule="ClusterEgressPolicy/first") == 3
        gateway.reload([allow(world, "second", onRevoke="keep")])
        now = opened(2)
        assert value(now, "decisions_total", rule="ClusterEgressPolicy/first") == 3
        assert value(now, "decisions_total", rule="ClusterEgressPolicy/second") == 2
        assert value(now, "rejudged_total", result="allowed") == 3
        assert value(now, "reloads_total", result="ok") == 1
        gateway.write_policy([{"kind": "Nonsense"}])
        assert gateway.sluice("reload").returncode == 1
        gateway.reload([allow(world, "first")])
        now = opened(1)
        assert value(now, "decisions_total", rule="ClusterEgressPolicy/first") == 4, "a rule that comes back goes on"
        assert value(now, "reloads_total", result="failed") == 1


def test_a_killed_worker_s_tunnels_are_accounted_for(world: World) -> None:
    with Gateway([allow(world)], TWO) as gateway:
        with tunnels(gateway, 20, "127.0.0.1", world.echo.port) as clients:
            assert all(wire.echoes(client) for client in clients)
            before = scrape(gateway)
            items = page(gateway)["items"]
            pids = {
                worker["slot"]: worker["pid"]
                for worker in json.loads(gateway.sluice("stats", "--json").stdout)["workers"]
            }
            slot = items[0]["worker"]
            lost = {item["id"] for item in items if item["worker"] == slot}
            os.kill(pids[slot], signal.SIGKILL)
            eventually(
                lambda: len(gateway.events(outcome="worker_lost")) == len(lost), "every lost tunnel has its close line"
            )
            lines = gateway.events(outcome="worker_lost")
            assert {line["id"] for line in lines} == lost
            for line in lines:
                assert (line["event"], line["bytes_up"], line["bytes_down"], line["rule"]) == ("close", 5, 5, OPEN_RULE)
                assert line["duration_ms"] >= 0 and line["worker"] == slot
            eventually(lambda: len(gateway.workers()) == 2 and gateway.serves(), "the worker is replaced")
            after = scrape(gateway)
            assert fell(before, after) == []
            assert value(after, "tunnels_open") == 20 - len(lost)
            assert value(after, "tunnels_total", outcome="worker_lost") == len(lost)
            assert value(after, "worker_restarts_total") == 1
            assert {item["id"] for item in page(gateway)["items"]} == {item["id"] for item in items} - lost
        eventually(lambda: not page(gateway)["items"], "the tunnels that were left have ended")
        with tunnels(gateway, 10, "127.0.0.1", world.echo.port):
            ids = {item["id"] for item in page(gateway)["items"]}
            assert not ids & {item["id"] for item in items}, "ids are never used again"


def test_a_killed_worker_s_last_lines_are_not_lost(world: World) -> None:
    """Lines wait for each other for a moment: a worker killed in it has sent none yet."""
    opened = 0
    with Gateway([allow(world)]) as gateway:
        for _ in range(5):
            (pid,) = gateway.workers()
            with tunnels(gateway, 10, "127.0.0.1", world.echo.port) as clients:
                assert all(wire.echoes(client) for client in clients)
                opened += len(clients)
            os.kill(pid, signal.SIGKILL)
            eventually(lambda pid=pid: pid not in gateway.workers() and gateway.serves(), "it is replaced")  # type: ignore[misc]
        eventually(lambda: len(gateway.events(event="close")) == opened, "every tunnel has its close line")
        assert len({line["id"] for line in gateway.events(event="close")}) == opened
        assert len(gateway.events(event="open")) == opened


def test_sums_stay_right_while_workers_are_killed_again_and_again(world: World) -> None:
    """Every tunnel that was opened has one close line, and no counter ever falls."""
    with Gateway([allow(world)], TWO) as gateway:
        before: Series = {}
        clients: list[socket.socket] = []
        for victim in range(4):
            for _ in range(15):
                try:
                    client = wire.connect(gateway.port)
                    wire.open_socks5(client, "127.0.0.1", world.echo.port)
                except (ConnectionError, AssertionError):
                    continue  # its worker was the one
                clients.append(client)
            now = scrape(gateway)
            assert fell(before, now) == []
            before = now
            os.kill(gateway.workers()[victim % 2], signal.SIGKILL)
            eventually(lambda: len(gateway.workers()) == 2, "the worker is replaced")
        for client in clients:
            client.close()
        eventually(lambda: value(scrape(gateway), "tunnels_open") == 0, "all have ended")

        def ids(event: str) -> list[str]:
            return [line["id"] for line in gateway.events(event=event)]

        ended = sum(scrape(gateway)["sluice_tunnels_total"].values())
        eventually(lambda: len(ids("close")) == ended, "the last lines of dead workers have come")
        opened, closed = ids("open"), ids("close")
        assert len(set(opened)) == len(opened) and len(set(closed)) == len(closed)
        assert set(opened) <= set(closed)
        now = scrape(gateway)
        assert fell(before, now) == []
        assert value(now, "worker_restarts_total") == 4
        assert value(now, "tunnels_total", outcome="worker_lost") == len(gateway.events(outcome="worker_lost"))
