"""Signals that reach `sluice run` while it starts: kept until it serves, or a clean end.

A hook of the import system sends the signal at a chosen import, so that no clock decides at which point of the start it
comes.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.eventually import eventually
from tests.support.run_gateway import SLUICE, Gateway, environment, policy
from tests.support.sluice_process import ROOT

OPEN: Final = [policy("all", [{"host": "*"}, {"cidr": "0.0.0.0/0"}])]
# Modules in the order in which a start needs them: the first of Sluice's, one of the command's, the last ones.
POINTS: Final = ("supervisor.cli", "click", "supervisor.cli.run", "zmq", "supervisor.supervisor", "supervisor.service")
HOOK: Final = """\
import os, sys

class Hook:
    sent = False

    def find_spec(self, name, path=None, target=None):
        if name == os.environ.get("SIGNAL_AT") and sys.argv[1:2] == ["run"] and not self.sent:
            self.sent = True
            for number in os.environ["SIGNAL_NUMBERS"].split():
                os.kill(os.getpid(), int(number))
            open(os.environ["SIGNAL_NOTE"], "w").close()
        return None

sys.meta_path.insert(0, Hook())
"""


def signalled(folder: Path, point: str, *numbers: signal.Signals) -> Gateway:
    """A gateway that gets the signals while it imports the module `point`."""
    (folder / "sitecustomize.py").write_text(HOOK)
    variables = {
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "SIGNAL_AT": point,
        "SIGNAL_NUMBERS": " ".join(str(int(number)) for number in numbers),
        "SIGNAL_NOTE": str(folder / "sent"),
    }
    gateway = Gateway(OPEN)
    gateway.variables = variables
    return gateway


@pytest.mark.parametrize("point", POINTS)
def test_a_reload_and_a_rotation_wait_until_the_gateway_serves(tmp_path: Path, point: str) -> None:
    with signalled(tmp_path, point, signal.SIGHUP, signal.SIGUSR1) as gateway:
        assert (tmp_path / "sent").exists()
        eventually(lambda: '"reload' in gateway.errors(), "the reload that was asked for")
        text = gateway.errors()
        assert text.index('"event":"ready"') < text.index('"reload')
        assert gateway.serves()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("point", POINTS)
def test_an_end_that_is_asked_for_while_it_starts_is_a_clean_one(
    tmp_path: Path, point: str, number: signal.Signals
) -> None:
    gateway = signalled(tmp_path, point, number)
    try:
        gateway.launch()
        assert gateway.process is not None
        assert gateway.process.wait(30) == 0, gateway.errors()
        assert (tmp_path / "sent").exists()
        assert "Traceback" not in gateway.errors() and not list((gateway.folder / "control").glob("*"))
    finally:
        gateway.__exit__()


def test_another_command_than_run_is_ended_by_a_signal(tmp_path: Path) -> None:
    """Only `run` has a process that answers."""
    (tmp_path / "sitecustomize.py").write_text(HOOK.replace('["run"]', '["check"]'))
    variables = {**environment(), "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "SIGNAL_AT": "supervisor.cli.check"}
    variables |= {"SIGNAL_NUMBERS": str(int(signal.SIGTERM)), "SIGNAL_NOTE": str(tmp_path / "sent")}
    done = subprocess.run([SLUICE, "check"], env=variables, capture_output=True, timeout=30, check=False)
    assert done.returncode == -signal.SIGTERM


@pytest.mark.parametrize("through", ["bin/sluice", "link"])
@pytest.mark.parametrize(("command", "ignored"), [("run", {signal.SIGHUP, signal.SIGUSR1}), ("check", set())])
def test_until_python_runs_two_signals_are_ignored(
    tmp_path: Path, through: str, command: str, ignored: set[signal.Signals]
) -> None:
    """The script is started with another `python` beside it, which shows what it was started with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy(ROOT / "deploy" / "sluice", folder / "sluice")
    (tmp_path / "link").symlink_to(folder / "sluice")
    (folder / "python").write_text('#!/bin/sh\necho "$@"\nexec grep SigIgn /proc/self/status\n')
    (folder / "python").chmod(0o755)
    started = [str(tmp_path / through), command, "-c", "a b"]

    def unmask() -> None:  # nohup, for one, ignores SIGHUP in all that it starts
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)

    done = subprocess.run(started, capture_output=True, text=True, timeout=30, check=True, preexec_fn=unmask)
    said = done.stdout.splitlines()
    mask = int(said[1].split()[1], 16)
    assert said[0] == " ".join(started)
    assert {number for number in (signal.SIGHUP, signal.SIGUSR1) if mask >> (number - 1) & 1} == ignored
    assert not mask >> (signal.SIGTERM - 1) & 1
