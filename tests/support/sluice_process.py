"""One Sluice process with a folder of its own: what the gateway under test (run_gateway.py) and the supervisor with
stand-in workers (harness.py) have in common."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.ports import free_port

ROOT: Final = Path(__file__).resolve().parents[2]
# Where the gateway under test lies: another build of the same tree, when `make asan` asks for it.
TREE: Final = Path(os.environ.get("SLUICE_TREE", ROOT))


class SluiceProcess:
    """Its folder holds sluice.yaml and err.log. `popen` is for subprocess.Popen."""

    def __init__(self, **popen: Any) -> None:
        # A short path of its own: unix socket names have little room (CONTRACT.md section 3).
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-"))
        self.port = free_port()
        self.admin = free_port()
        self.popen = popen
        self.variables: dict[str, str] = {}  # of its environment, over those of every Sluice process
        self.config: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def config_file(self) -> Path:
        return self.folder / "sluice.yaml"

    def write_config(self) -> None:
        self.config_file.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def spawn(self, command: list[str], environment: dict[str, str], stdout: Any, stderr: Any) -> None:
        """Starts it in a session of its own and does not wait."""
        self.process = subprocess.Popen(
            command, env={**environment, **self.variables}, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
            start_new_session=True, **self.popen,
        )  # fmt: skip

    def check_alive(self) -> None:
        """Fails, with its stderr, once it has ended."""
        assert self.process is not None
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.errors()}"

    def errors(self) -> str:
        """Its stderr so far."""
        return (self.folder / "err.log").read_text(errors="replace")

    def family(self) -> list[int]:
        """Every living process of its session but itself."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                columns = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(columns[3]) == self.pid and columns[0] != "Z" and int(entry.name) != self.pid:
                found.append(int(entry.name))
        return found
