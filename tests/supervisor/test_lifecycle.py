"""The supervisor as a process: how it starts, refuses to start, and ends. Nothing may be left behind."""

import os
import resource
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.harness import Greeted, Running, alive


def refusal(gateway: Running) -> str:
    """The error of a gateway that cannot start; it ends by itself with 1 and leaves nothing."""
    gateway.launch()
    try:
        assert gateway.wait() == 1, gateway.errors()
        assert gateway.family() == []
        assert "Traceback" not in gateway.errors()
        assert not list(gateway.folder.glob("run/*"))
        return gateway.errors()
    finally:
        gateway.__exit__()


def test_it_says_how_to_reach_it_once_it_serves() -> None:
    with Running() as gateway:
        (listening,) = gateway.events("listening")
        assert f"127.0.0.1:{gateway.port}" in listening["message"] and listening["listener"] == "mesh"
        (control,) = gateway.events("control")
        assert gateway.endpoint in control["message"]
        (ready,) = gateway.events("ready")
        assert ready["generation"] == 1 and ready["pid"] == gateway.pid
        run = gateway.folder / "run"
        assert stat.S_IMODE(run.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in run.iterdir()}
        names = ("control", "control.bus", "control.lock", "control.pub", "control.takeover")
        assert modes == dict.fromkeys(names, 0o600)


def test_a_port_that_a_stranger_holds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        address = f"127.0.0.1:{stranger.getsockname()[1]}"
        text = refusal(Running(config={"listeners": [{"name": "mesh", "address": address}]}))
    assert f"listener 'mesh' cannot use {address}: Address already in use" in text
    assert f"(pid {os.getpid()})" in text


def test_a_port_that_another_gateway_holds() -> None:
    with Running() as first:
        text = refusal(Running(config={"listeners": first.config["listeners"]}))
        assert "Address already in use" in text
        assert any(f"(pid {pid})" in text for pid in (first.pid, *first.family())), "who holds it is named"
        assert len(first.all_ready()) == 2


def test_a_control_endpoint_that_another_gateway_holds() -> None:
    with Running() as first:
        second = Running(config={"control": first.config["control"]})
        try:
            second.launch()
            assert second.wait() == 1
            assert f"another sluice (pid {first.pid}) is running with this control endpoint" in second.errors()
        finally:
            second.__exit__()
        assert first.ask("ping")["ok"] is True
        Greeted(first.port).close()


def test_two_gateways_whose_control_endpoints_lie_in_one_folder() -> None:
    with Running() as first:
        folder = first.folder / "run"
        with Running(config={"control": {"endpoint": f"ipc://{folder}/other"}}) as second:
            pids = {gateway.ask("stats")["workers"][0]["pid"] for gateway in (first, second)}
            assert len(pids) == 2, "each answers at its own endpoint"
            third = Running(config={"control": second.config["control"]})
            try:
                assert third.launch().wait() == 1
                held = f"(pid {second.pid}) is running with this control endpoint: ipc://{folder}/other"
                assert held in third.errors()
            finally:
                third.__exit__()
            second.signal(signal.SIGINT)
            assert second.wait() == 0
        assert first.ask("ping")["ok"] is True
        os.kill(first.all_ready()[0]["pid"], signal.SIGKILL)
        eventually(lambda: first.workers()[0]["restarts"] == 1 and first.all_ready(), "its bus still takes a worker")
        left = {path.name for path in folder.iterdir()}
        assert left == {"control", "control.bus", "control.lock", "control.pub", "control.takeover"}


def test_a_refused_configuration_prints_every_problem() -> None:
    gateway = Running()
    gateway.config_file.write_text("workers: many\nlimits: {tunnel: 3}\n")
    text = refusal(gateway)
    assert "sluice.yaml:1:10" in text and "sluice.yaml:2:10" in text


def test_a_control_folder_that_cannot_be_made() -> None:
    text = refusal(Running(config={"control": {"endpoint": "ipc:///proc/sluice/control"}}))
    assert "cannot make the control folder /proc/sluice" in text


def test_an_access_log_that_cannot_be_opened() -> None:
    assert "no/such/log" in refusal(Running(config={"logs": {"access": "no/such/log"}}))


def files(soft: int, hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_of_open_files_is_raised_and_caps_the_tunnels() -> None:
    with Running(preexec_fn=files(64, 700)) as gateway:
        limits = Path(f"/proc/{gateway.all_ready()[0]['pid']}/limits").read_text()
        (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
        assert line.split()[3:5] == ["700", "700"]
        (warning,) = gateway.events("tunnels_limited")
        assert f"at most {2 * (700 - 256) // 2} tunnels" in warning["message"]


@pytest.mark.parametrize(
    ("config", "limit", "why"),
    [
        ({"limits": {"tunnels": 5000}}, 700, "limits.tunnels: 5000 cannot be met"),
        ({}, 200, "no tunnel fits: 200 open files are allowed"),
    ],
)
def test_a_limit_of_open_files_that_is_too_low(config: dict[str, Any], limit: int, why: str) -> None:
    assert why in refusal(Running(config=config, preexec_fn=files(limit, limit)))


def test_sigterm_drains_then_ends() -> None:
    with Running() as gateway:
        with Greeted(gateway.port) as client:
            gateway.signal(signal.SIGTERM)
            eventually(lambda: gateway.events("draining"), "it drains")
            eventually(lambda: refused(gateway.port), "no client is let in")
            assert client.ask("still here") == "still here"
            assert gateway.ask("stats")["draining"] is True
        assert gateway.wait() == 0
        assert gateway.nothing_left()


def refused(port: int) -> bool:
    try:
        Greeted(port).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


def test_sigterm_ends_what_does_not_end_in_time() -> None:
    with Running(config={"shutdown": {"drain": "1s"}}) as gateway, Greeted(gateway.port) as client:
        gateway.signal(signal.SIGTERM)
        assert client.line() == ""
        assert gateway.wait() == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_while_draining_ends_it_now(second: int) -> None:
    with Running(config={"shutdown": {"drain": "1h"}}) as gateway, Greeted(gateway.port) as client:
        gateway.signal(signal.SIGTERM)
        eventually(lambda: gateway.events("draining"), "it drains")
        gateway.signal(second)
        assert client.line() == ""
        assert gateway.wait() == 0
        assert gateway.nothing_left()


def test_sigint_ends_it_now() -> None:
    with Running(config={"shutdown": {"drain": "1h"}}) as gateway, Greeted(gateway.port) as client:
        gateway.signal(signal.SIGINT)
        assert client.line() == ""
        assert gateway.wait() == 0
        assert gateway.nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_that_ignore_it_are_killed(number: int) -> None:
    config = {"shutdown": {"drain": "1s"}}
    with Running("--quick", "--fault", "stubborn", config=config) as gateway, Greeted(gateway.port) as client:
        gateway.signal(number)
        assert client.line() == ""
        assert gateway.wait() == 0
        assert len(gateway.events("worker_killed")) == 2
        assert gateway.nothing_left()


def test_drain_by_control_leaves_the_process_up() -> None:
    with Running() as gateway:
        with Greeted(gateway.port) as client:
            assert gateway.ask("drain")["seconds"] == 30.0
            eventually(lambda: refused(gateway.port), "no client is let in")
            assert client.ask("still here") == "still here"
            assert gateway.ask("drain")["ok"] is True, "asked again it is not an error"
        eventually(lambda: {worker["state"] for worker in gateway.workers()} == {"stopped"}, "all have drained")
        assert gateway.ask("ping")["ok"] is True
        assert {worker["restarts"] for worker in gateway.workers()} == {0}
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        assert gateway.nothing_left()


def test_a_worker_killed_while_draining_is_not_replaced() -> None:
    with Running(config={"workers": 1}) as gateway, Greeted(gateway.port) as client:
        gateway.ask("drain")
        os.kill(client.pid, signal.SIGKILL)
        eventually(lambda: gateway.workers()[0]["state"] == "stopped", "it is gone")
        assert gateway.family() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts_ends_it(number: int, tmp_path: Path) -> None:
    script = tmp_path / "compile.py"
    script.write_text("import time; time.sleep(60)")
    gateway = Running("--compile", str(script)).launch()
    try:
        eventually(gateway.family, "the compile process runs")
        gateway.signal(number)
        assert gateway.wait() == 0
        assert gateway.nothing_left()
    finally:
        gateway.__exit__()


def test_a_signal_while_no_worker_says_hello_ends_it() -> None:
    gateway = Running("--fault", "mute").launch()
    try:
        eventually(lambda: len(gateway.family()) == 2, "workers run")
        eventually((gateway.folder / "run/control").exists, "control is open")
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        assert gateway.nothing_left()
    finally:
        gateway.__exit__()


def test_sighup_while_it_starts_is_answered_once_it_serves() -> None:
    gateway = Running()
    try:
        gateway.launch()
        eventually(gateway.family, "it has begun to start: its handlers are there")
        gateway.signal(signal.SIGHUP)
        eventually(lambda: gateway.events("reloaded", generation=2), "the reload is made")
    finally:
        gateway.__exit__()


def test_sigusr1_opens_the_access_log_again() -> None:
    with Running() as gateway, Greeted(gateway.port) as client:
        path = gateway.folder / "access.log"
        client.ask("log one")
        eventually(lambda: path.read_text() == "one\n", "the line is written")
        path.rename(gateway.folder / "rotated.log")
        gateway.signal(signal.SIGUSR1)
        eventually(path.exists, "a new file")
        client.ask("log two")
        eventually(lambda: path.read_text() == "two\n", "the new file has the new line")
        assert (gateway.folder / "rotated.log").read_text() == "one\n"


def test_the_last_lines_of_a_worker_are_written() -> None:
    """A worker's last messages are still on their way when it is reaped."""
    with Running() as gateway:
        clients = [Greeted(gateway.port) for _ in range(8)]
        for number, client in enumerate(clients):
            client.socket.sendall(f"log last-{number}\n".encode())
        for client in clients:
            client.line()
        gateway.signal(signal.SIGINT)
        assert gateway.wait() == 0
        assert sorted((gateway.folder / "access.log").read_text().split()) == sorted(f"last-{n}" for n in range(8))
        for client in clients:
            client.close()


def test_orphans_are_reaped_where_it_is_pid_1() -> None:
    """PR_SET_CHILD_SUBREAPER stands for being PID 1: a worker's grandchild that loses its parent comes to us."""
    with Running(preexec_fn=become_subreaper, config={"workers": 1}) as gateway:
        with Greeted(gateway.port) as client:
            orphan = int(client.ask("orphan"))
        eventually(lambda: not alive(orphan), "the orphan has ended")
        eventually(lambda: not Path(f"/proc/{orphan}").exists(), "and is not a zombie")
        assert gateway.ask("stats")["supervisor"]["orphans_reaped"] == 1
        (worker,) = gateway.all_ready()
        assert worker["restarts"] == 0


def become_subreaper() -> None:
    import ctypes

    PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def test_a_blocked_stderr_does_not_stop_it() -> None:
    """Its own log goes to a pipe without a reader: it serves, answers and ends all the same."""
    reader, writer = os.pipe()
    gateway = Running()
    try:
        os.set_blocking(writer, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(writer, b"x" * 65536)
        os.set_blocking(writer, True)
        gateway.launch_with(writer)
        eventually((gateway.folder / "run/control").exists, "control is open")
        assert len(gateway.all_ready()) == 2
        for _ in range(3):
            assert gateway.ask("reload")["ok"] is True
        Greeted(gateway.port).close()
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        assert gateway.nothing_left()
    finally:
        os.close(reader)
        os.close(writer)
        gateway.__exit__()


def test_closed_standard_descriptors_are_no_trap() -> None:
    def close_all() -> None:
        for number in (0, 1, 2):
            os.close(number)

    gateway = Running(preexec_fn=close_all)
    try:
        gateway.launch()
        eventually((gateway.folder / "run/control").exists, "control is open")
        for worker in gateway.all_ready():
            for number in (0, 1, 2):
                assert os.readlink(f"/proc/{worker['pid']}/fd/{number}") == "/dev/null"
        with Greeted(gateway.port) as client:
            assert client.ask("hello") == "hello"
    finally:
        gateway.__exit__()
