"""`sluice reload`, `drain`, `stats` and `run` as people use them: output and exit codes."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor import demo
from supervisor.config import load_config
from supervisor.process import kill_group, python_command, spawn
from supervisor.segment import COUNTERS
from tests.supervisor.harness import PATIENCE, ROOT, Greeted, Running, eventually

SAMPLE = ROOT / "supervisor/sample"


def command(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from supervisor.cli import main; main()", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    with Running() as running:
        yield running


def test_stats_for_people_and_programs(gateway: Running) -> None:
    Greeted(gateway.port).close()
    shown = command("stats", "-c", str(gateway.path))
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert "generation" in lines[0]
    assert any(line.split()[:1] == ["connections_accepted"] for line in lines)
    assert sum("ready" in line for line in lines) == 2
    told = command("stats", "--json", "-c", str(gateway.path))
    answer = json.loads(told.stdout)
    assert set(answer) >= {"version", "generation", "workers", "counters"} and "ok" not in answer
    assert set(answer["counters"]) == set(COUNTERS)


def test_stats_watch_goes_on_until_it_is_interrupted(gateway: Running) -> None:
    watching = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from supervisor.cli import main; main()",
            "stats",
            "--watch",
            "--json",
            "-c",
            str(gateway.path),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        for _ in range(2):
            assert json.loads(watching.stdout.readline())["generation"] >= 1
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE) == 0
    finally:
        watching.kill()
        watching.wait()
        if watching.stdout is not None:
            watching.stdout.close()


def test_reload(gateway: Running) -> None:
    done = command("reload", "-c", str(gateway.path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("generation ") and done.stdout.endswith(" is in force\n")
    told = json.loads(command("reload", "--json", "-c", str(gateway.path)).stdout)
    assert told["ok"] is True and told["restart_needed"] == []


def test_reload_of_a_broken_file_finds_the_gateway_and_prints_where(gateway: Running) -> None:
    before = gateway.path.read_text()
    try:
        gateway.path.write_text(before + "limits: {tunnel: 1}\n")
        done = command("reload", "-c", str(gateway.path))
        assert done.returncode == 1 and done.stdout == ""
        assert f"{gateway.path}:" in done.stderr and "tunnel" in done.stderr
        assert command("stats", "-c", str(gateway.path)).stdout.count("last reload refused") == 1
    finally:
        gateway.path.write_text(before)
    assert command("reload", "-c", str(gateway.path)).returncode == 0


def test_reload_that_needs_a_restart_says_so_and_is_fine() -> None:
    with Running() as running:
        running.write(workers=4)
        done = command("reload", "-c", str(running.path))
        assert done.returncode == 0
        assert "restart needed for: workers" in done.stdout


def test_drain() -> None:
    with Running() as running:
        done = command("drain", "-c", str(running.path))
        assert (done.returncode, done.stdout) == (0, "no new connections are accepted; tunnels have 30.0 s to end\n")
        eventually(lambda: {worker["state"] for worker in running.workers()} == {"stopped"}, "drained")
        assert "draining" in command("stats", "-c", str(running.path)).stdout.splitlines()[0]
        again = command("reload", "-c", str(running.path))
        assert again.returncode == 1 and "draining" in again.stderr


@pytest.mark.parametrize("name", ["stats", "reload", "drain"])
def test_no_gateway_and_no_configuration(name: str, tmp_path: Path) -> None:
    (tmp_path / "sluice.yaml").write_text(f'control: {{endpoint: "ipc://{tmp_path}/run/control"}}\n')
    done = command(name, cwd=tmp_path)
    assert done.returncode == 1
    assert "no gateway answers" in done.stderr and "Traceback" not in done.stderr
    assert command(name, "-c", "no/such.yaml", cwd=tmp_path).returncode == 2


def test_run_without_a_configuration(tmp_path: Path) -> None:
    done = command("run", "-c", "no/such.yaml", cwd=tmp_path)
    assert done.returncode == 2 and "no/such.yaml" in done.stderr
    both = command("run", "--demo", "-c", "x.yaml", cwd=tmp_path)
    assert both.returncode == 2 and "--demo" in both.stderr


def test_run_with_a_broken_configuration(tmp_path: Path) -> None:
    (tmp_path / "sluice.yaml").write_text("listener: []\n")
    done = command("run", cwd=tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path}/sluice.yaml:1:1" in done.stderr and "listeners" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["run", "stats", "reload", "drain"])
def test_help_teaches(name: str) -> None:
    done = command(name, "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout and "Exit codes" in done.stdout


def test_the_sample_allows_the_demo_origin() -> None:
    config = load_config(str(SAMPLE / "sluice.yaml"))
    assert config.listeners[0].host == "127.0.0.1"
    assert f"ports: [{demo.PORT}]" in (SAMPLE / "policy.yaml").read_text()


def test_the_demo_origin_answers_and_ends_with_its_starter() -> None:
    sockets = demo.open_sockets(0)
    theirs, ours = os.pipe()
    pid = spawn(
        python_command("supervisor.demo", "--sockets", str(len(sockets))),
        [opened.fileno() for opened in sockets],
        stdin=theirs,
    )
    try:
        os.close(theirs)
        for opened in sockets:
            host, port = opened.getsockname()[:2]
            connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
            connection.request("GET", "/any")
            assert connection.getresponse().read() == demo.ANSWER
            connection.close()
            opened.close()
        os.close(ours)
        assert os.waitpid(pid, 0)[1] == 0
    except BaseException:
        kill_group(pid)
        os.waitpid(pid, 0)
        raise


def test_the_demo_says_three_things_that_work_as_said() -> None:
    """On its own ports, so it is one test: where they are taken the gateway says so."""
    demonstration = subprocess.Popen(
        [sys.executable, "-c", "from supervisor.cli import main; main()", "run", "--demo"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert demonstration.stdout is not None and demonstration.stderr is not None
        lines = [demonstration.stdout.readline().strip() for _ in range(4)]
        if not lines[0]:
            assert demonstration.wait(PATIENCE) == 1
            assert re.search(r"in use|another sluice", demonstration.stderr.read())
            return
        assert [line.split()[0] for line in lines[1:3]] == ["curl", "curl"]
        assert " explain " in lines[3]
        demonstration.send_signal(signal.SIGINT)
        assert demonstration.wait(PATIENCE) == 0
    finally:
        demonstration.kill()
        demonstration.communicate()
