"""`sluice run --demo`, what `make run` starts: its printed lines do what it says. Its ports are the documented ones."""

import json
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.eventually import PATIENCE, eventually
from tests.support.run_gateway import SLUICE, environment, sluice
from tests.support.sluice_process import ROOT

SAMPLE: Final = ROOT / "supervisor/sample/sluice.yaml"


class Demo:
    """A running demo, its stdout in a file."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self.output = output

    def lines(self) -> list[str]:
        """The commands that it proposes, as printed."""
        return [line for line in self.printed() if line.startswith("curl ") or " explain " in line]

    def printed(self) -> list[str]:
        """Every command that it prints."""
        return [line.strip() for line in self.output.read_text().splitlines() if line.startswith("  ")]

    def line(self, word: str) -> str:
        """The one with this word."""
        [found] = [line for line in self.printed() if f" {word} " in f" {line} "]
        return found

    def ready(self) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        return "Ctrl-C ends it all." in self.output.read_text()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    output = folder / "output"
    variables = {**environment(), "XDG_RUNTIME_DIR": str(folder)}
    with output.open("wb") as file:
        process = subprocess.Popen(
            [SLUICE, "run", "--demo"], cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    running = Demo(process, output)
    try:
        eventually(running.ready, "three lines to try")
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Runs a printed line; a sanitizer's runtime is for our processes only."""
    variables = None if line.startswith("curl ") else environment()
    return subprocess.run(
        line, shell=True, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip


def test_the_first_line_is_allowed_and_answers(demo: Demo) -> None:
    done = shell(demo.lines()[0])
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_the_second_line_is_denied_with_its_reason(demo: Demo) -> None:
    done = shell(demo.lines()[1])
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "403" in text and "no-trackers" in text and "rule_deny" in text


def test_the_third_line_explains(demo: Demo) -> None:
    done = shell(demo.lines()[2])
    assert done.returncode == 0, done.stderr
    assert "deny" in done.stdout.lower() and "no-trackers" in done.stdout


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("stats", "connections_accepted_total"),
        ("tunnels", "DESTINATION"),
        ("policy", "ClusterEgressPolicy/no-trackers"),
        ("reload", "is active"),
    ],
)
def test_lines_that_ask_the_gateway_work_as_printed(demo: Demo, tmp_path: Path, word: str, shown: str) -> None:
    """In any folder, and in a terminal with another environment."""
    variables = {name: value for name, value in environment().items() if name not in ("XDG_RUNTIME_DIR", "PYTHONPATH")}
    done = subprocess.run(
        demo.line(word), shell=True, cwd=tmp_path, env=variables, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout


def test_the_printed_pids_are_those_of_the_gateway_and_a_worker(demo: Demo) -> None:
    assert demo.line("-HUP") == f"kill -HUP {demo.process.pid}"
    stats = shell(demo.line("stats") + " --json").stdout
    before = {worker["pid"] for worker in json.loads(stats)["workers"]}
    worker = int(demo.line("-9").rpartition(" ")[2])
    assert worker in before
    assert shell(demo.line("-9")).returncode == 0

    def replaced() -> bool:
        now = {worker["pid"] for worker in json.loads(shell(demo.line("stats") + " --json").stdout)["workers"]}
        return worker not in now and None not in now

    eventually(replaced, "another worker")


def test_clients_that_reset_leave_no_traceback(demo: Demo) -> None:
    """Some before their request, some in it, some while the answer is sent."""
    for sent in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 40):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", 8088), timeout=PATIENCE) as client:
                client.sendall(sent)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    done = shell(demo.lines()[0])
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in demo.output.read_text()


def test_it_ends_with_its_origin_and_status_0(demo: Demo) -> None:
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(PATIENCE) == 0
    assert shell(demo.lines()[0]).returncode == 7, "no process listens any more"


def test_the_sample_is_sound() -> None:
    done = sluice("check", "-c", str(SAMPLE))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stdout + done.stderr
