"""Starts the real supervisor with stand-in workers, in a session of its own, and asks it questions."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import yaml

from supervisor.control_client import ControlClient
from tests.ports import free_port

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE: Final = 30.0  # bounds a hang; no passing test waits for it
T = TypeVar("T")


def eventually(question: Callable[[], T], what: str) -> T:
    """The first true answer; fails, naming `what`, when none comes."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := question()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)
    return answer


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Greeted:
    """A connection, and which worker took it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.file = self.socket.makefile("rb")
        greeting = self.line().split()
        if not greeting:
            raise ConnectionResetError("the worker went before it said who it is")
        self.slot, self.pid, self.generation = (int(word) for word in greeting)

    def line(self) -> str:
        return self.file.readline().decode().rstrip("\n")

    def ask(self, text: str) -> str:
        self.socket.sendall(text.encode() + b"\n")
        return self.line()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Running:
    """One supervisor. Inside the context it is ready; after it nothing is left, whatever happened."""

    def __init__(self, *arguments: str, config: dict[str, Any] | None = None, **popen: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-"))
        self.port = free_port()
        self.admin = free_port()
        self.arguments = arguments
        self.popen = popen
        self.environment: dict[str, str] = {}
        self.config: dict[str, Any] = {
            "listeners": [{"name": "mesh", "address": f"127.0.0.1:{self.port}"}],
            "workers": 2,
            "admin": {"address": f"127.0.0.1:{self.admin}"},
            "control": {"endpoint": f"ipc://{self.folder}/run/control"},
            "logs": {"access": "access.log", "level": "debug"},
            "policy": {"passthrough": True},
            "shutdown": {"drain": "30s"},
            **(config or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.endpoint: str = self.config["control"]["endpoint"]
        self.write()

    def write(self, **changes: Any) -> None:
        """Writes sluice.yaml, with changes that stay."""
        self.config.update(changes)
        self.path.write_text(yaml.safe_dump(self.config))

    @property
    def path(self) -> Path:
        return self.folder / "sluice.yaml"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def launch(self) -> Self:
        """Starts it and does not wait."""
        with (self.folder / "err.log").open("ab") as err:
            self.launch_with(err.fileno())
        return self

    def launch_with(self, stderr: int) -> None:
        command = [sys.executable, str(ROOT / "tests/supervisor/launch.py"), str(self.path), *self.arguments]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            start_new_session=True,
            **self.popen,
        )

    def __enter__(self) -> Self:
        try:
            self.launch()
            eventually(lambda: self.events("ready") or self.ended_early(), "ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            for pid in self.family():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def ended_early(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.errors()}"
        return False

    def family(self) -> list[int]:
        """Every process of its session but itself."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                columns = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(columns[3]) == self.pid and columns[0] != "Z" and int(entry.name) != self.pid:
                found.append(int(entry.name))
        return found

    def errors(self) -> str:
        return (self.folder / "err.log").read_text(errors="replace")

    def events(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Lines of its own log, as far as they are whole."""
        found = []
        for line in self.errors().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("}\n"):
                record = json.loads(line)
                if record["event"] == event and all(record.get(key) == value for key, value in fields.items()):
                    found.append(record)
        return found

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        with ControlClient(self.endpoint, PATIENCE, self.folder / "control-keys") as client:
            return client.ask({"op": op, **fields})

    def workers(self) -> list[dict[str, Any]]:
        workers: list[dict[str, Any]] = self.ask("stats")["workers"]
        return workers

    def all_ready(self) -> list[dict[str, Any]]:
        """Waits until every slot has a ready worker."""

        def ready() -> list[dict[str, Any]]:
            workers = self.workers()
            return workers if all(worker["state"] == "ready" for worker in workers) else []

        return eventually(ready, "all workers are ready")

    def greeted_by(self, slot: int, listed_pid: int | None = None) -> Greeted:
        """A connection that the kernel gave to one slot's socket (or a pid's): as many tries as it takes."""

        def attempt() -> Greeted | None:
            with contextlib.suppress(ConnectionResetError):
                greeted = Greeted(self.port)
                if greeted.slot == slot and listed_pid in (None, greeted.pid):
                    return greeted
                greeted.close()
            return None

        return eventually(attempt, f"slot {slot} takes a connection")  # type: ignore[return-value]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def nothing_left(self) -> bool:
        """No process, no socket, no lock, and the port is free."""
        assert self.family() == []
        assert not (self.folder / "run").exists()
        with socket.create_server(("127.0.0.1", self.port)):
            return True
