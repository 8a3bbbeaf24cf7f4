"""`sluice run --demo`, what `make run` starts: its printed lines do what it says. Its ports are the documented ones."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.gateway import PATIENCE, ROOT, SLUICE, environment, eventually, sluice

SAMPLE: Final = ROOT / "supervisor/sample/sluice.yaml"


class Demo:
    """A running demo, its stdout in a file."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self.output = output

    def lines(self) -> list[str]:
        """The commands that it proposes, as printed."""
        indented = [line.strip() for line in self.output.read_text().splitlines() if line.startswith("  ")]
        return [line for line in indented if line.startswith("curl ") or " explain " in line]

    def ready(self) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        return len(self.lines()) >= 3


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


def test_it_ends_with_its_origin_and_status_0(demo: Demo) -> None:
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(PATIENCE) == 0
    assert shell(demo.lines()[0]).returncode == 7, "nobody listens any more"


def test_the_sample_is_sound() -> None:
    done = sluice("check", "-c", str(SAMPLE))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stdout + done.stderr
