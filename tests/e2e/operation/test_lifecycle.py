"""The gateway as a process: start, reload, a killed worker, signals, and what it says when it cannot start."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import PATIENCE, eventually
from tests.support.origins import Origin, holding
from tests.support.ports import free_port
from tests.support.run_gateway import SLUICE, Gateway, Mapping, environment, policy, tunnels

OPEN: Final = [policy("open", [{"cidr": "127.0.0.0/8"}, {"host": "localhost"}])]
SHUT: Final = [policy("shut", [{"cidr": "127.0.0.0/8"}, {"host": "localhost"}], action="Deny")]
AFTER_DRAIN: Final = 15.0  # seconds; CONTRACT asks for one, on a machine that has nothing else to do


def rep(gateway: Gateway, host: str, port: int) -> int:
    """The answer to one SOCKS5 request."""
    with wire.connect(gateway.port) as client:
        return wire.socks5(client, host, port)


class Loop:
    """`curl` in a loop in the background; `codes` holds its exit codes, in order."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self.command = [
            "curl", "-sS", "--max-time", "20", "--socks5-hostname", f"127.0.0.1:{gateway.port}",
            f"http://localhost:{port}/loop",
        ]  # fmt: skip
        self.codes: list[int] = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self.stopped.is_set():
            self.codes.append(subprocess.run(self.command, capture_output=True, check=False).returncode)

    def more(self, count: int) -> None:
        """Waits until `count` further requests were answered."""
        have = len(self.codes)
        eventually(lambda: len(self.codes) >= have + count, f"{count} more requests")


@contextlib.contextmanager
def looping(gateway: Gateway, port: int) -> Iterator[Loop]:
    loop = Loop(gateway, port)
    loop.thread.start()
    try:
        yield loop
    finally:
        loop.stopped.set()
        loop.thread.join(PATIENCE)


def test_sighup_swaps_the_policy_under_traffic(world: World) -> None:
    with Gateway(OPEN, {"workers": 2}) as gateway, looping(gateway, world.http) as loop:
        loop.more(3)
        gateway.write_policy([*OPEN, policy("no-echo", [{"cidr": "127.0.0.1/32", "ports": [world.echo.port]}], "Deny")])
        gateway.process_signal(signal.SIGHUP)
        eventually(lambda: rep(gateway, "127.0.0.1", world.echo.port) == 2, "the new rule decides")
        loop.more(3)
    assert set(loop.codes) == {0}


def test_a_broken_policy_changes_nothing_and_is_reported_with_its_place(world: World) -> None:
    with Gateway(OPEN, {"workers": 2}) as gateway, looping(gateway, world.http) as loop:
        loop.more(2)
        broken = "apiVersion: sluice.dev/v1alpha1\nkind: ClusterEgressPolicy\nmetadata: {name: x}\nspec:\n  too: []\n"
        (gateway.folder / "policy.yaml").write_text(broken)
        gateway.process_signal(signal.SIGHUP)
        eventually(lambda: "policy.yaml:5:3" in gateway.errors(), "the place is in the log")
        done = gateway.sluice("reload")
        assert done.returncode == 1
        assert "policy.yaml:5:3" in done.stdout + done.stderr
        assert rep(gateway, "127.0.0.1", world.echo.port) == 0
        loop.more(2)
        gateway.reload(SHUT)
        assert rep(gateway, "127.0.0.1", world.echo.port) == 2
    assert set(loop.codes[:4]) == {0}


def test_a_reload_takes_up_addresses_and_upstreams_and_stays_ready_when_refused(world: World) -> None:
    rules = [policy("open", [{"cidr": "127.0.0.0/8", "ports": [world.echo.port]}])]
    with Gateway(rules) as gateway:

        def asked() -> int:
            with wire.connect(gateway.port) as client:
                return wire.socks5(client, "127.0.0.1", world.echo.port)

        def ready() -> int:
            with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/readyz", timeout=20) as answer:
                return int(answer.status)

        assert asked() == 0
        gateway.config["addresses"]["deny"] = ["127.0.0.1/32"]
        gateway.write_config()
        gateway.reload()
        assert asked() == 2
        gateway.config["addresses"]["deny"] = []
        corp = {"name": "corp", "type": "http", "addresses": [f"127.0.0.1:{world.refused}"]}
        gateway.config["upstreams"] = [corp]
        gateway.write_config()
        gateway.reload([{**rules[0], "spec": {**rules[0]["spec"], "upstream": "corp"}}])
        assert asked() == 5, "the parent is not there"
        corp["addresses"] = ["nonsense"]
        gateway.write_config()
        done = gateway.sluice("reload")
        assert done.returncode == 1 and "sluice.yaml:" in done.stderr
        assert ready() == 200 and asked() == 5


def test_reload_returns_when_every_worker_decides_anew(world: World) -> None:
    with Gateway(OPEN, {"workers": 2}) as gateway:
        for turn in range(6):
            shut = turn % 2 == 0
            gateway.reload(SHUT if shut else OPEN)
            answers = {rep(gateway, "127.0.0.1", world.echo.port) for _ in range(16)}
            assert answers == {2 if shut else 0}


def test_a_killed_worker_is_replaced_and_only_its_own_requests_fail(world: World) -> None:
    with Gateway(OPEN, {"workers": 2}) as gateway, looping(gateway, world.http) as loop:
        loop.more(3)
        before = gateway.workers()
        killed, kept = before
        os.kill(killed, signal.SIGKILL)
        loop.more(5)
        eventually(lambda: len(set(gateway.workers()) - {kept}) == 1, "a new worker")
        assert killed not in gateway.workers() and kept in gateway.workers()
        # Connections are in the hands of the dead worker only for as long as one request of the loop.
        assert sum(code != 0 for code in loop.codes) <= 1
        settled = len(loop.codes)
        loop.more(10)
        assert set(loop.codes[settled + 1 :]) == {0}
        assert "worker" in gateway.errors()


def test_the_only_worker_killed_between_requests_fails_none(world: World) -> None:
    with Gateway(OPEN) as gateway:
        for _ in range(3):
            (worker,) = gateway.workers()
            os.kill(worker, signal.SIGKILL)
            # The socket stays: this waits in its queue for the next worker.
            assert rep(gateway, "127.0.0.1", world.echo.port) == 0
            eventually(lambda dead=worker: gateway.workers() not in ([], [dead]), "a new worker")  # type: ignore[misc]


def test_a_killed_worker_comes_back_with_the_policy_in_force(world: World) -> None:
    with Gateway(OPEN) as gateway:
        gateway.reload(SHUT)
        (worker,) = gateway.workers()
        os.kill(worker, signal.SIGKILL)
        assert rep(gateway, "127.0.0.1", world.echo.port) == 2


def test_sigterm_drains_then_ends_with_0(world: World) -> None:
    with Gateway(OPEN, {"shutdown": {"drain": "20s"}}) as gateway, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", world.echo.port)
        gateway.process_signal(signal.SIGTERM)
        eventually(lambda: refused(gateway.port), "no new connection is accepted")
        client.sendall(b"still here")
        assert wire.exactly(client, 10) == b"still here"
        client.close()
        assert gateway.ended() == 0
        assert gateway.workers() == []


def test_sigterm_kills_what_does_not_end_in_time() -> None:
    with Origin(holding) as origin, Gateway(OPEN, {"shutdown": {"drain": "1s"}}) as gateway:
        with tunnels(gateway, 1, "127.0.0.1", origin.port) as (client,):
            assert wire.exactly(client, 5) == b"hello"
            assert gateway.stop(signal.SIGTERM) == 0
            with pytest.raises(ConnectionResetError):
                wire.to_the_end(client)
        assert isinstance(origin.wait()[0], ConnectionResetError)


@pytest.mark.parametrize("ending", ["idle", "the last tunnel", "the drain's end"])
def test_after_a_drain_the_process_is_gone(world: World, ending: str) -> None:
    """A drain of an hour would show a wait for its whole length. Counted is from when nothing is left to drain."""
    seconds = "2s" if ending == "the drain's end" else "1h"
    with Gateway(OPEN, {"shutdown": {"drain": seconds}}) as gateway, wire.connect(gateway.port) as client:
        if ending == "idle":
            client.close()
        else:
            wire.open_socks5(client, "127.0.0.1", world.echo.port)
        gateway.process_signal(signal.SIGTERM)
        eventually(lambda: '"draining"' in gateway.errors() or " draining:" in gateway.errors(), "it drains")
        if ending == "the last tunnel":
            client.close()
        elif ending == "the drain's end":
            with pytest.raises(ConnectionResetError):
                wire.to_the_end(client)
        try:
            assert gateway.process is not None
            assert gateway.process.wait(AFTER_DRAIN) == 0
        except subprocess.TimeoutExpired:
            pytest.fail(f"the process lives {AFTER_DRAIN:g} s after the end of its last tunnel")


def test_a_worker_that_cannot_reach_the_bus_says_so(world: World) -> None:
    with Gateway(OPEN) as gateway:
        (bus,) = (path for path in (gateway.folder / "control").iterdir() if path.name.endswith(".bus"))
        mode = bus.stat().st_mode
        bus.chmod(0)
        (worker,) = gateway.workers()
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: f"cannot reach ipc://{bus}: Permission denied" in gateway.errors(), "the log says why")
        bus.chmod(mode)
        assert rep(gateway, "127.0.0.1", world.echo.port) == 0


def test_sigint_ends_at_once() -> None:
    with Origin(holding) as origin, Gateway(OPEN, {"shutdown": {"drain": "1h"}}) as gateway:
        with tunnels(gateway, 1, "127.0.0.1", origin.port):
            assert gateway.stop(signal.SIGINT) == 0
        assert gateway.workers() == []


def test_workers_end_when_their_supervisor_is_killed() -> None:
    with Gateway(OPEN, {"workers": 2}) as gateway:
        gateway.stop(signal.SIGKILL)
        eventually(lambda: not gateway.workers(), "the workers have ended")
        assert refused(gateway.port)


def test_a_worker_has_one_thread_beside_those_of_the_bus() -> None:
    with Gateway(OPEN) as gateway:
        (worker,) = gateway.workers()
        tasks = {int(task.name): (task / "comm").read_text().strip() for task in Path(f"/proc/{worker}/task").iterdir()}
        del tasks[worker]
        # libzmq's own: they run no Python.
        assert all(name.startswith("ZMQbg/") for name in tasks.values()), tasks


def test_a_worker_outlives_signals_that_are_the_supervisors() -> None:
    with Gateway(OPEN) as gateway:
        (worker,) = gateway.workers()
        for stray in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(worker, stray)
        assert gateway.serves()
        assert gateway.workers() == [worker]


def test_sigusr1_reopens_the_access_log(world: World) -> None:
    with Gateway(OPEN) as gateway:
        assert rep(gateway, "127.0.0.1", world.refused) == 5
        gateway.event(outcome="refused")
        (gateway.folder / "access.log").rename(gateway.folder / "rotated.log")
        gateway.process_signal(signal.SIGUSR1)
        eventually((gateway.folder / "access.log").exists, "a new file")
        assert rep(gateway, "127.0.0.1", world.refused) == 5
        assert len(eventually(lambda: gateway.events(outcome="refused"), "the line is in the new file")) == 1


def refused(port: int) -> bool:
    try:
        wire.connect(port, timeout=2).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def start_error(gateway: Gateway) -> str:
    """The error of a gateway that cannot start; it must end by itself, with 1 and no traceback."""
    gateway.launch()
    try:
        assert gateway.ended() == 1, gateway.errors()
        text = gateway.errors()
        assert "Traceback" not in text
        assert gateway.workers() == []
        return text
    finally:
        gateway.__exit__()


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        gateway = Gateway(OPEN, {"listeners": [{"name": "mesh", "address": f"127.0.0.1:{port}"}]})
        text = start_error(gateway)
    assert f"127.0.0.1:{port}" in text and "in use" in text


def test_a_port_in_use_by_another_instance_of_ours() -> None:
    with Gateway(OPEN) as first:
        text = start_error(Gateway(OPEN, {"listeners": first.config["listeners"]}))
        assert f"127.0.0.1:{first.port}" in text and "in use" in text
        assert first.serves()


def test_a_control_endpoint_in_use_by_another_instance_of_ours() -> None:
    with Gateway(OPEN) as first:
        text = start_error(Gateway(OPEN, {"control": first.config["control"]}))
        assert str(first.folder) in text
        assert first.serves()
        assert first.sluice("stats").returncode == 0


def unprivileged(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command without any capability, so that permissions hold for root as well."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*drop, SLUICE, *arguments], cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.fixture
def prepared() -> Iterator[Gateway]:
    """A gateway that is configured and not started."""
    gateway = Gateway(OPEN)
    gateway.write_config()
    yield gateway
    gateway.__exit__()


def test_no_permission_to_make_the_control_endpoint(prepared: Gateway) -> None:
    shut = prepared.folder / "shut"
    shut.mkdir(mode=0o500)
    prepared.config["control"] = {"endpoint": f"ipc://{shut}/control/c"}
    prepared.write_config()
    done = unprivileged("run", "-c", str(prepared.config_file), cwd=prepared.folder)
    assert done.returncode == 1, done.stderr
    assert str(shut) in done.stderr and "ermission" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["sluice.yaml", "policy.yaml"])
@pytest.mark.parametrize("command", ["run", "check"])
def test_no_permission_to_read_a_file(prepared: Gateway, command: str, name: str) -> None:
    (prepared.folder / name).chmod(0)
    done = unprivileged(command, "-c", str(prepared.config_file), cwd=prepared.folder)
    text = done.stdout + done.stderr
    assert done.returncode == 1, text
    assert name in text and "ermission" in text and "Traceback" not in text


def test_no_permission_to_bind_a_low_port(prepared: Gateway) -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if lowest <= 1:
        pytest.skip("this machine lets every user bind every port")
    prepared.config["listeners"][0]["address"] = f"127.0.0.1:{lowest - 1}"
    prepared.write_config()
    done = unprivileged("run", "-c", str(prepared.config_file), cwd=prepared.folder)
    assert done.returncode == 1, done.stderr
    assert f"127.0.0.1:{lowest - 1}" in done.stderr and "ermission" in done.stderr and "Traceback" not in done.stderr


def with_files(soft: int, hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_low_limit_of_files_is_raised_to_the_hard_one(world: World) -> None:
    with Gateway(OPEN, preexec_fn=with_files(64, 1024)) as gateway:
        (worker,) = gateway.workers()
        limits = Path(f"/proc/{worker}/limits").read_text()
        (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
        assert line.split()[3:5] == ["1024", "1024"]
        assert "nofile" in gateway.errors() or "open files" in gateway.errors(), "the lower tunnel cap is a warning"


def test_a_tunnel_limit_that_the_files_cannot_hold_is_an_error() -> None:
    gateway = Gateway(OPEN, {"limits": {"tunnels": 5000}}, preexec_fn=with_files(1024, 1024))
    text = start_error(gateway)
    assert "limits.tunnels" in text and "1024" in text


def test_running_out_of_files_refuses_and_recovers(world: World) -> None:
    with Gateway(OPEN, preexec_fn=with_files(400, 400)) as gateway, contextlib.ExitStack() as stack:
        answers = []
        for _ in range(300):
            client = stack.enter_context(wire.connect(gateway.port, timeout=5))
            with contextlib.suppress(OSError, AssertionError):
                answers.append(wire.socks5(client, "127.0.0.1", world.echo.port))
            if answers and answers[-1] != 0:
                break
        assert answers[:1] == [0] and answers[-1] == 1, "past the cap the answer is general failure"
        stack.close()
        eventually(lambda: rep(gateway, "127.0.0.1", world.echo.port) == 0, "it serves again")


def test_ipv6_and_dual_stack_listeners(world: World) -> None:
    six, both = free_port("::1"), free_port()
    listeners: list[Mapping] = [
        {"name": "mesh", "address": f"127.0.0.1:{free_port()}"},
        {"name": "six", "address": f"[::1]:{six}"},
        {"name": "both", "address": f"[::]:{both}"},
    ]
    gateway = Gateway(OPEN, {"listeners": listeners})
    gateway.port = int(listeners[0]["address"].rpartition(":")[2])
    with gateway:
        for host, port in (("::1", six), ("::1", both), ("127.0.0.1", both)):
            with wire.connect(port, host) as client:
                wire.open_socks5(client, "127.0.0.1", world.echo.port)
                local = client.getsockname()[1]
            line = gateway.logged(0, local)
            assert line["source"]["ip"] == host, "an IPv4 peer of a dual-stack listener is an IPv4 peer"


def test_a_listener_may_speak_one_protocol_only(world: World) -> None:
    ports = {name: free_port() for name in ("auto", "socks5", "http")}
    listeners = [{"name": name, "protocol": name, "address": f"127.0.0.1:{port}"} for name, port in ports.items()]
    gateway = Gateway(OPEN, {"listeners": listeners})
    gateway.port = ports["auto"]
    with gateway:
        for name in ("socks5", "http"):
            with wire.connect(ports[name]) as client:
                wire.OPENINGS[name](client, "127.0.0.1", world.echo.port)
        with wire.connect(ports["socks5"]) as client:
            client.sendall(wire.connect_request("localhost:80"))
            assert b"200" not in wire.to_the_end(client)
        with wire.connect(ports["http"]) as client:
            client.sendall(b"\x05\x01\x00")
            assert not wire.to_the_end(client).startswith(b"\x05\x00")


def test_a_stopped_supervisor_does_not_stop_traffic(world: World) -> None:
    with Gateway(OPEN) as gateway:
        gateway.process_signal(signal.SIGSTOP)
        try:
            time.sleep(0.05)
            assert rep(gateway, "127.0.0.1", world.echo.port) == 0
        finally:
            gateway.process_signal(signal.SIGCONT)
