"""Limits over all workers: who is refused, with which words, and what others notice.

Sources are addresses of 127.0.0.0/8. Two workers share each gateway here; which of them accepts is the kernel's choice,
so whatever holds for the sum holds for both.
"""

import contextlib
import json
import os
import signal
import socket
from typing import Final

import yaml

from tests.e2e.conftest import PASSWORD, World, full_listener, sample_users
from tests.e2e.operation.test_drain import refused
from tests.e2e.operation.test_observation import scrape
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.names import NameServer
from tests.support.origins import reset
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping, policy

OPEN: Final = [policy("open", [{"cidr": "127.0.0.0/8"}, {"cidr": "::1/128"}])]
ONE, OTHER = "127.0.0.1", "127.0.1.1"


def gateway_of_two(policies: list[Mapping], **config: object) -> Gateway:
    return Gateway(policies, {"workers": 2, **config})


class Crowd(contextlib.ExitStack):
    """Connections to one gateway, all closed in the end."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self.gateway = gateway

    def connect(self, source: str = ONE) -> socket.socket:
        return self.enter_context(wire.connect(self.gateway.port, source=source))

    def open(self, count: int, origin: int, source: str = ONE) -> list[socket.socket]:
        """So many tunnels."""
        opened = [self.connect(source) for _ in range(count)]
        for client in opened:
            wire.open_socks5(client, "127.0.0.1", origin)
        return opened

    def ask(self, count: int, host: str, port: int, source: str = ONE) -> list[socket.socket]:
        """So many requests, without waiting for the answers."""
        asking = [self.connect(source) for _ in range(count)]
        for client in asking:
            client.sendall(wire.connect_request(wire.target(host, port)))
        return asking


def limited(gateway: Gateway) -> dict[str, int]:
    """sluice_limited_total by scope."""
    series = scrape(gateway).get("sluice_limited_total", {})
    return {dict(labels)["scope"]: int(count) for labels, count in series.items() if count}


def answer(gateway: Gateway, port: int, source: str = ONE, host: str = "127.0.0.1") -> wire.HttpAnswer:
    with wire.connect(gateway.port, source=source) as client:
        return wire.http(client, wire.target(host, port))


def fill_queue(crowd: Crowd, port: int) -> list[socket.socket]:
    """Requests that wait for a place, until as many do as may: the next one is refused at once."""
    waiting: list[socket.socket] = []
    while len(waiting) < 20:
        client = crowd.connect()
        client.settimeout(1.0)
        try:
            assert wire.http(client, f"127.0.0.1:{port}").status == 429
        except TimeoutError:
            client.settimeout(20.0)
            waiting.append(client)
        else:
            return waiting
    raise AssertionError("no request is refused")


def serves(gateway: Gateway, port: int, source: str = ONE) -> bool:
    with wire.connect(gateway.port, source=source) as client:
        return wire.http(client, f"127.0.0.1:{port}").status == 200 and wire.echoes(client)


def refusals(gateway: Gateway, port: int, status: int, source: str = ONE) -> int:
    """One refusal in each protocol, each in its words; how many that were."""
    got = answer(gateway, port, source)
    assert (got.status, got.headers.get("retry-after")) == (status, "1")
    assert "error=connection_limit_reached" in got.headers["proxy-status"].replace(" ", "").split(";")
    with wire.connect(gateway.port, source=source) as client:
        assert wire.socks5(client, "127.0.0.1", port) == 1
    with wire.connect(gateway.port, source=source) as client:
        assert wire.socks4a(client, "127.0.0.1", port) == 0x5B
    return 3


def by_worker(gateway: Gateway) -> dict[int, int]:
    """Live tunnels of each slot."""
    done = gateway.sluice("tunnels", "--json")
    assert done.returncode == 0, done.stderr
    counts: dict[int, int] = {}
    for item in json.loads(done.stdout)["items"]:
        slot = int(item["id"].split("-")[0])
        counts[slot] = counts.get(slot, 0) + 1
    return counts


def until_both_accept(gateway: Gateway, port: int) -> None:
    """A worker accepts for one that is still starting, until it has heard that this one is ready."""

    def both() -> bool:
        with Crowd(gateway) as crowd:
            for number in range(1, 9):
                crowd.open(1, port, f"127.0.9.{number}")
            return set(by_worker(gateway)) == {0, 1}

    eventually(both, "each worker accepts its own")
    eventually(lambda: not by_worker(gateway), "these have ended")


def test_tunnels_are_counted_over_both_workers(world: World) -> None:
    port = world.echo.port
    with gateway_of_two(OPEN, limits={"tunnels": 24}) as gateway, Crowd(gateway) as crowd:
        until_both_accept(gateway, port)
        opened = [crowd.open(1, port, f"127.0.2.{number}")[0] for number in range(1, 25)]
        assert set(by_worker(gateway)) == {0, 1}, "both have some"
        told = sum(refusals(gateway, port, 503, f"127.0.3.{number}") for number in range(1, 7))
        assert limited(gateway) == {"tunnels": told}
        assert all(wire.echoes(client) for client in opened)
        opened.pop().close()
        eventually(lambda: serves(gateway, port, OTHER), "the place is free again")
        eventually(lambda: sum(by_worker(gateway).values()) == 23, "and it is given back")


def test_tunnels_of_one_source_are_counted_over_both_workers(world: World) -> None:
    port = world.echo.port
    with gateway_of_two(OPEN, limits={"tunnelsPerSource": 20}) as gateway, Crowd(gateway) as crowd:
        until_both_accept(gateway, port)
        opened = crowd.open(20, port)
        assert set(by_worker(gateway)) == {0, 1}, "both have some"
        told = sum(refusals(gateway, port, 429) for _ in range(5))
        assert limited(gateway) == {"source_tunnels": told}
        crowd.open(20, port, OTHER)
        assert answer(gateway, port, OTHER).status == 429
        assert serves(gateway, port, "127.0.0.3"), "a third is not concerned"
        opened[0].close()
        opened[1].close()
        eventually(lambda: serves(gateway, port), "places are free again")


def test_a_refused_request_holds_no_place(world: World) -> None:
    """Whatever the end of a request, the places it took are free again."""
    config = {"limits": {"tunnels": 2, "tunnelsPerSource": 2}, "dns": {"servers": [world.names.address]}}
    rules = [*OPEN, policy("names", [{"host": name} for name in ("missing.test", "inside.test")])]
    rules.append(policy("not", [{"host": "denied.test"}], action="Deny"))
    with gateway_of_two(rules, **config) as gateway:
        for _ in range(3):
            assert answer(gateway, world.refused).status == 502
            assert answer(gateway, 443, host="missing.test").status == 502
            assert answer(gateway, 443, host="inside.test").status == 403
            assert answer(gateway, 443, host="denied.test").status == 403
            eventually(lambda: serves(gateway, world.echo.port), "a place")
        assert {*limited(gateway)} <= {"source_tunnels"}, "only a tunnel that was closing a moment ago"


def test_a_source_is_a_peer_an_ipv6_peer_or_a_verified_user(world: World) -> None:
    port = world.echo.port
    second = free_port()
    config: Mapping = {
        "identity": {"users": "users.yaml"},
        "limits": {"tunnelsPerSource": 2},
        "workers": 2,
    }
    gateway = Gateway(OPEN, config, files={"users.yaml": yaml.safe_dump(sample_users())})
    gateway.config["listeners"].append({"name": "both", "address": f"[::]:{second}"})

    def user(name: str, source: str) -> int:
        client = crowd.connect(source)
        return wire.socks5(client, "127.0.0.1", port, name, PASSWORD)

    def plain(host: str, listener: int) -> int:
        client = crowd.enter_context(wire.connect(listener, host))
        return wire.socks5(client, "127.0.0.1", port)

    with gateway, Crowd(gateway) as crowd:
        assert user("build-bot", ONE) == 0
        assert user("build-bot", OTHER) == 0
        assert user("build-bot", "127.0.0.3") == 1, "a user is one source, wherever it comes from"
        assert user("visitor", ONE) == 0, "another user from the same address is another source"
        assert plain(ONE, gateway.port) == 0, "and the address itself another one"
        assert plain(ONE, second) == 0, "by way of a dual-stack listener it is the same"
        assert plain(ONE, second) == plain(ONE, gateway.port) == 1
        assert plain("::1", second) == plain("::1", second) == 0
        assert plain("::1", second) == 1
        assert limited(gateway) == {"source_tunnels": 4}


SILENT: Final = [f"s{number}.silent.test" for number in range(12)]
QUIET: Final = [*OPEN, policy("silent", [{"host": "*.silent.test", "ports": [443]}])]


def silence() -> NameServer:
    """Names that DNS does not answer keep a request under way for longer than any test waits."""
    return NameServer({}, frozenset(SILENT))


def patience(names: NameServer, **limits: object) -> Mapping:
    return {"dns": {"servers": [names.address], "timeout": "60s"}, "limits": limits}


def under_way(crowd: Crowd, names: NameServer, count: int) -> list[socket.socket]:
    """So many requests that stay under way."""
    asking = [crowd.ask(1, name, 443)[0] for name in SILENT[:count]]
    eventually(lambda: set(SILENT[:count]) <= set(names.asked), "they are under way")
    return asking


def test_requests_of_one_source(world: World) -> None:
    port = world.echo.port
    with silence() as names, contextlib.ExitStack() as stack:
        config = patience(names, dialTimeout="500ms", perSource={"requests": 10})
        gateway = stack.enter_context(gateway_of_two(QUIET, **config))
        crowd = stack.enter_context(Crowd(gateway))
        asking = under_way(crowd, names, 10)
        told = sum(refusals(gateway, port, 429) for _ in range(2))
        assert limited(gateway) == {"source_requests": told}
        lines = eventually(lambda: gateway.events(outcome="source_limit")[told - 1 :], "their lines")
        assert {line["event"] for line in lines} == {"decision"}
        assert serves(gateway, port, OTHER)
        reset(asking[0])
        eventually(lambda: serves(gateway, port), "a place is free again")
        eventually(lambda: answer(gateway, port).status == 200, "and again")


def test_what_is_over_waits_for_its_turn(world: World) -> None:
    port = world.echo.port
    with silence() as names, contextlib.ExitStack() as stack:
        config = patience(names, dialTimeout="60s", perSource={"requests": 2})
        gateway = stack.enter_context(gateway_of_two(QUIET, **config))
        crowd = stack.enter_context(Crowd(gateway))
        asking = under_way(crowd, names, 2)
        waiting = fill_queue(crowd, port)
        assert len(waiting) == 2, "as many as may be under way"
        assert set(limited(gateway)) == {"source_requests"}
        reset(asking.pop())
        for client in waiting:
            assert wire.http_head(client).status == 200
            assert wire.echoes(client)


def test_who_leaves_while_waiting_gives_its_place_back(world: World) -> None:
    port = world.echo.port
    with silence() as names, contextlib.ExitStack() as stack:
        config = patience(names, dialTimeout="60s", perSource={"requests": 2})
        gateway = stack.enter_context(gateway_of_two(QUIET, **config))
        crowd = stack.enter_context(Crowd(gateway))
        under_way(crowd, names, 2)
        left: list[socket.socket] = []
        for _ in range(3):
            waiting = fill_queue(crowd, port)
            assert waiting, "there is room again"
            for client in waiting:
                reset(client)
            left += waiting
        eventually(lambda: len(gateway.events(outcome="client_gone")) >= len(left), "they are missed")


def test_connections_that_ask_for_nothing_are_not_counted(world: World) -> None:
    config = {"limits": {"requestTimeout": "60s", "perSource": {"requests": 2}}}
    with gateway_of_two(OPEN, **config) as gateway, Crowd(gateway) as crowd:
        idle = [crowd.connect() for _ in range(300)]
        eventually(lambda: gateway.counter("connections_open") == 300, "they are accepted")
        assert serves(gateway, world.echo.port)
        for client in idle:
            wire.open_socks5(client, "127.0.0.1", world.echo.port)
        assert limited(gateway) == {}


def test_many_requests_of_one_address_at_once(world: World) -> None:
    """A sidecar, or a whole node behind NAT, comes as one address."""
    with gateway_of_two(OPEN) as gateway, Crowd(gateway) as crowd:
        for client in crowd.ask(400, "127.0.0.1", world.echo.port):
            assert wire.http_head(client).status == 200
            assert wire.echoes(client)
        assert limited(gateway) == {}


def test_users_behind_one_address_do_not_pay_for_each_other(world: World) -> None:
    rules = [policy("slow", [{"host": "silent.test"}])]
    dns = {"servers": [world.names.address], "timeout": "60s"}
    config = {"dns": dns, "limits": {"perSource": {"requests": 12}}, "identity": {"users": "users.yaml"}}
    names = [f"u{number}" for number in range(6)]  # together they have more than one address may
    hashed = sample_users()["users"][0]["hash"]
    users = {"users": [{"name": name, "hash": hashed} for name in names]}
    gateway = Gateway(rules, config, files={"users.yaml": yaml.safe_dump(users)})
    with gateway, Crowd(gateway) as crowd:
        for name in names:
            client = crowd.connect()  # passwords are remembered: the others need not be verified
            assert wire.http(client, "denied.test:443", wire.basic(name, PASSWORD)).status == 403
        crowd.close()
        for name in names:
            for _ in range(10):
                client = crowd.connect()
                client.sendall(wire.connect_request("silent.test:443", wire.basic(name, PASSWORD)))
        eventually(lambda: gateway.counter("connections_open") == len(names) * 10, "all of them are under way")
        assert limited(gateway) == {}


def all_answers(clients: list[socket.socket]) -> list[int]:
    return [wire.http_head(client).status for client in clients]


def test_look_ups_of_one_source(world: World) -> None:
    """Of those that DNS does not answer a few go out each moment; what waits too long is told so."""
    waiting = frozenset(f"n{number}.test" for number in range(40))
    rules = [*OPEN, policy("names", [{"host": "*.test"}])]
    with NameServer({"ok.test": [ONE]}, silent=waiting) as names:
        config = {
            "dns": {"servers": [names.address], "timeout": "2s"},
            "limits": {"dialTimeout": "1s", "perSource": {"lookups": 1}},
        }
        with Gateway(rules, config) as gateway, Crowd(gateway) as crowd:
            asking = [crowd.ask(1, name, 443)[0] for name in waiting]
            got = all_answers(asking)
            assert set(got) == {429, 504}
            assert limited(gateway) == {"source_dns": got.count(429)}
            assert len(waiting & set(names.asked)) == got.count(504), "the others were not asked for"
            assert serves(gateway, world.echo.port), "an address needs no look-up"
            assert answer(gateway, world.echo.port, host="ok.test").status == 200


def test_dials_of_one_source(world: World) -> None:
    config = {"limits": {"dialTimeout": "1s", "perSource": {"dials": 1}}}
    with Gateway(OPEN, config) as gateway, Crowd(gateway) as crowd:
        got = all_answers(crowd.ask(40, "127.0.0.1", world.full))
        assert set(got) == {429, 504}
        assert limited(gateway) == {"source_dials": got.count(429)}
        assert gateway.counter("dials_total") == got.count(504)
        assert serves(gateway, world.echo.port)


def test_further_addresses_of_a_name_are_dialed_as_limits_allow() -> None:
    silent = [f"127.0.9.{number}" for number in range(1, 9)]
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(full_listener(silent[0]))
        for host in silent[1:]:
            stack.enter_context(full_listener(host, port))
        names = stack.enter_context(NameServer({"slow.test": silent}))
        rules = [*OPEN, policy("names", [{"host": "slow.test"}])]
        config = {
            "dns": {"servers": [names.address]},
            "limits": {"dialTimeout": "60s", "perSource": {"dials": 1}},
        }
        gateway = stack.enter_context(Gateway(rules, config))
        crowd = stack.enter_context(Crowd(gateway))
        crowd.ask(2, "slow.test", port)
        eventually(lambda: gateway.counter("dials_total") == 2 * len(silent), "each of them in the end")
        assert limited(gateway) == {}


def test_provisional_tunnels_of_one_source(world: World) -> None:
    """Asked by address where only a name inside could allow it (DECISIONS.md section 3)."""
    port = world.echo.port
    rules = [policy("names", [{"host": "inside.test", "ports": [port]}])]
    config = {"limits": {"dialTimeout": "300ms", "perSource": {"provisional": 10}}}
    with gateway_of_two(rules, **config) as gateway, Crowd(gateway) as crowd:
        waiting = crowd.open(10, port)
        told = refusals(gateway, port, 429)
        assert limited(gateway) == {"source_provisional": told}
        crowd.open(1, port, OTHER)
        (late,) = crowd.ask(1, "127.0.0.1", port)
        for client in waiting[:5]:
            client.close()
        assert wire.http_head(late).status in (200, 429)
        eventually(lambda: answer(gateway, port).status == 200, "places are free again")


def test_a_drain_serves_those_that_wait(world: World) -> None:
    with silence() as names, contextlib.ExitStack() as stack:
        config = patience(names, dialTimeout="60s", perSource={"requests": 1})
        gateway = stack.enter_context(Gateway(QUIET, {**config, "shutdown": {"drain": "60s"}}))
        crowd = stack.enter_context(Crowd(gateway))
        (asking,) = under_way(crowd, names, 1)
        (waiting,) = fill_queue(crowd, world.echo.port)
        assert gateway.sluice("drain").returncode == 0
        eventually(lambda: refused(gateway.port), "it drains")
        reset(asking)
        assert wire.http_head(waiting).status == 200
        assert wire.echoes(waiting)


def test_passwords_that_wait() -> None:
    """More passwords than a source may have waiting: it is told so, and each refusal is counted."""
    rules = [policy("users", [{"cidr": "127.0.0.0/8"}])]
    config = {"workers": 2, "identity": {"users": "users.yaml"}, "limits": {"requestTimeout": "60s"}}
    gateway = Gateway(rules, config, files={"users.yaml": yaml.safe_dump(sample_users())})
    with gateway, Crowd(gateway) as crowd:
        clients = [crowd.connect(f"127.0.4.{number % 4}") for number in range(320)]
        for number, client in enumerate(clients):
            client.sendall(wire.connect_request("127.0.0.1:9", wire.basic("build-bot", f"wrong {number}")))
        answers = [wire.http_head(client) for client in clients]
        refusals = [got for got in answers if got.status != 407]
        assert refusals and {got.status for got in refusals} <= {429, 503}
        assert {got.headers["retry-after"] for got in refusals} == {"1"}
        assert sum(limited(gateway).values()) == len(refusals)


def test_a_draining_gateway_counts_whom_it_turns_away(world: World) -> None:
    with gateway_of_two(OPEN, shutdown={"drain": "20s"}) as gateway, Crowd(gateway) as crowd:
        idle = [crowd.connect() for _ in range(6)]
        (tunnel,) = crowd.open(1, world.echo.port)
        eventually(lambda: gateway.counter("connections_open") == 7, "they are accepted")
        assert gateway.sluice("drain").returncode == 0
        eventually(lambda: refused(gateway.port), "both drain")
        # The worker that has no tunnel still has those that said nothing.
        for client in idle:
            assert wire.http(client, f"127.0.0.1:{world.echo.port}").status == 503
        assert limited(gateway) == {"draining": 6}
        assert wire.echoes(tunnel)


def test_a_reload_changes_limits_at_once(world: World) -> None:
    port = world.echo.port
    with gateway_of_two(OPEN, limits={"tunnels": 100, "tunnelsPerSource": 4}) as gateway, Crowd(gateway) as crowd:

        def load(**limits: int) -> None:
            gateway.config["limits"].update(limits)
            gateway.write_config()
            gateway.reload()

        opened = crowd.open(4, port)
        refusals(gateway, port, 429)
        load(tunnelsPerSource=6)
        opened += crowd.open(2, port)
        refusals(gateway, port, 429)
        load(tunnelsPerSource=3)
        refusals(gateway, port, 429)
        assert all(wire.echoes(client) for client in opened), "no tunnel is reset"
        load(tunnelsPerSource=100, tunnels=6)
        refusals(gateway, port, 503, OTHER)
        load(tunnels=7)
        crowd.open(1, port, OTHER)
        refusals(gateway, port, 503, OTHER)


def test_a_killed_workers_share_is_free_again(world: World) -> None:
    port = world.echo.port
    limits = {"tunnels": 30, "tunnelsPerSource": 20}
    with gateway_of_two(OPEN, limits=limits) as gateway, Crowd(gateway) as crowd:
        opened = crowd.open(20, port)
        crowd.open(10, port, OTHER)
        refusals(gateway, port, 429)
        refusals(gateway, port, 503, "127.0.0.3")
        before = by_worker(gateway)
        assert set(before) == {0, 1}
        for pid in gateway.workers():
            if worker_slot(pid) == 0:
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: by_worker(gateway).get(0, 0) == 0, "its tunnels are gone")
        eventually(gateway.complete, "its successor serves")
        left = sum(1 for client in opened if alive(client))
        crowd.open(20 - left, port)
        refusals(gateway, port, 429)
        crowd.open(before[0] - (20 - left), port, OTHER)
        refusals(gateway, port, 503, "127.0.0.3")


def worker_slot(pid: int) -> int:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().split(b"\0")
    return int(words[words.index(b"--slot") + 1])


def alive(client: socket.socket) -> bool:
    try:
        return wire.echoes(client)
    except OSError:
        return False
