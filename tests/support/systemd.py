"""systemd itself, as a user's manager with units of the test: in a mount namespace where the machine looks as if
systemd had booted it, and in control groups of its own. It takes root."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

from tests.support.eventually import eventually

MANAGER: Final = Path("/lib/systemd/systemd")
# A user's manager wants a machine that was booted with systemd: sd_booted(3) looks for that folder.
START: Final = """\
for folder in "$@"; do echo $$ > "$folder/cgroup.procs" || exit 1; done
mount -t tmpfs none /run && mkdir -p /run/systemd/system || exit 1
exec {manager} --user --unit=basic.target
"""


def missing() -> str:
    """Why it cannot run here; empty when it can."""
    if os.geteuid() != 0:
        return "only root may mount"
    if not MANAGER.exists() or shutil.which("systemctl") is None:
        return "systemd is not installed"
    return "" if _hierarchies() else "no control groups"


def _hierarchies() -> list[Path]:
    """Where this process is in the control groups that systemd works with: version 2, and its own of version 1."""
    groups = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        name = "" if kind == "cgroup2" else "name=systemd" if kind == "cgroup" else None
        if name in groups and (not name or name in options.split(",")):
            found.append(Path(place) / groups[name].lstrip("/"))
    return found


class Systemd:
    """A context manager: units that add() wrote can be started inside, and nothing of them is left after."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="systemd-"))
        self._units = self.folder / "units"
        self._groups = [place / self.folder.name for place in _hierarchies()]
        self._environment = {
            "XDG_RUNTIME_DIR": str(self.folder), "HOME": str(self.folder), "PATH": os.environ["PATH"],
            "SYSTEMD_UNIT_PATH": str(self._units), "SYSTEMD_LOG_TARGET": "console",
        }  # fmt: skip
        self._units.mkdir()
        self.add("basic.target", "[Unit]\nDescription=All that is here\n")

    def add(self, name: str, text: str) -> None:
        """A unit."""
        (self._units / name).write_text(text)

    def __enter__(self) -> Self:
        for group in self._groups:
            group.mkdir()
        script = START.format(manager=MANAGER)
        command = ["unshare", "--mount", "sh", "-c", script, "sh", *map(str, self._groups)]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            eventually(self._ready, "systemd runs")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text()
        return self.control("is-active", "basic.target") == 0

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for group in self._groups:
            eventually(lambda group=group: self._emptied(group), "no process is left")  # type: ignore[misc]
        shutil.rmtree(self.folder, ignore_errors=True)

    def control(self, *arguments: str) -> int:
        """The exit code of `systemctl`."""
        return self._run(*arguments).returncode

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self._run("show", "--value", "--property", name, unit).stdout.strip()

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = ["systemctl", "--user", *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=120, check=False)

    def _emptied(self, top: Path) -> bool:
        """Kills what is in a control group, and removes it once nothing is."""
        folders = [*sorted(top.rglob("*/"), reverse=True), top]
        for folder in folders:
            with contextlib.suppress(OSError):
                for pid in (folder / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(OSError):
                folder.rmdir()
        return not top.exists()
