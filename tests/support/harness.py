"""Starts the real supervisor with stand-in workers, in a session of its own, and asks it questions."""

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Self

from supervisor.control.client import ControlClient
from tests.support.eventually import PATIENCE, eventually
from tests.support.sluice_process import ROOT, SluiceProcess


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
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


class Running(SluiceProcess):
    """One supervisor. Inside the context it is ready; after it nothing is left, whatever happened."""

    def __init__(self, *arguments: str, config: dict[str, Any] | None = None, **popen: Any) -> None:
        super().__init__(**popen)
        self.arguments = arguments
        self.config = {
            "listeners": [{"name": "mesh", "address": f"127.0.0.1:{self.port}"}],
            "workers": 2,
            "admin": {"address": f"127.0.0.1:{self.admin}"},
            "control": {"endpoint": f"ipc://{self.folder}/run/control"},
            "logs": {"access": "access.log", "level": "debug"},
            "policy": {"passthrough": True},
            "shutdown": {"drain": "30s"},
            **(config or {}),
        }
        self.endpoint: str = self.config["control"]["endpoint"]
        self.write()

    def write(self, **changes: Any) -> None:
        """Writes sluice.yaml, with changes that stay."""
        self.config.update(changes)
        self.write_config()

    def launch(self) -> Self:
        """Starts it and does not wait."""
        with (self.folder / "err.log").open("ab") as err:
            self.launch_with(err.fileno())
        return self

    def launch_with(self, stderr: int) -> None:
        command = [sys.executable, str(ROOT / "tests/support/launch.py"), str(self.config_file), *self.arguments]
        self.spawn(command, {**os.environ, "PYTHONPATH": str(ROOT)}, stderr, stderr)

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
        self.check_alive()
        return False

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
