"""The gateway under test: the real `sluice run` in a process group of its own, on ports from bind(0).

A test says what differs from the sample configuration here; the rest is one listener, one worker, an access log file.
"""

import contextlib
import copy
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import yaml

from supervisor.control.client import ControlClient, ControlError
from tests.support import front, wire
from tests.support.eventually import PATIENCE, eventually
from tests.support.schema import check_lines
from tests.support.sluice_process import ROOT, TREE, SluiceProcess
from tests.vectors.http2 import PREFACE, frame

SLUICE: Final = os.environ.get("SLUICE_COMMAND", str(ROOT / ".venv/bin/sluice"))
# The sanitizer keeps freed memory for a while: figures of memory are not those of the product.
INSTRUMENTED: Final = "SLUICE_PRELOAD" in os.environ

Mapping = dict[str, Any]
ASIDE: Final = 200  # descriptors from there on are free in a test process


def environment() -> dict[str, str]:
    """Of every Sluice process: the tree under test first, and the sanitizer's runtime when `make asan` asks for it."""
    # No certificate store: each start would read it, and no test asks a server for its certificate.
    variables = {**os.environ, "PYTHONPATH": str(TREE), "SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
    if preload := variables.pop("SLUICE_PRELOAD", ""):
        variables["LD_PRELOAD"] = preload
        variables["PYTHONMALLOC"] = "malloc"
    if os.geteuid() != 0:  # tests look into workers, which only root may do
        variables["SLUICE_DUMPABLE"] = "1"
    return variables


def sluice(*arguments: str, cwd: Path | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end: in this process, which spares a start of Python and its imports, unless it is `run`,
    another build is under test or another thread calls."""
    here = TREE == ROOT and arguments[0] != "run" and threading.current_thread() is threading.main_thread()
    if here:
        with contextlib.chdir(cwd or Path.cwd()):
            done = front.sluice(*arguments)
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)
    return subprocess.run(
        [SLUICE, *arguments], cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip


def policy(
    name: str,
    to: list[Mapping],
    action: str = "Allow",
    *,
    namespace: str | None = None,
    sources: list[Mapping] | None = None,
    **spec: Any,
) -> Mapping:
    """A ClusterEgressPolicy, or an EgressPolicy of `namespace`; `sources` is its `from`."""
    place = {} if namespace is None else {"namespace": namespace}
    selection = {} if sources is None else {"from": sources}
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ClusterEgressPolicy" if namespace is None else "EgressPolicy",
        "metadata": {"name": name, **place},
        "spec": {**selection, "to": to, "action": action, **spec},
    }


def merged(base: Mapping, changes: Mapping) -> Mapping:
    """`base` with `changes` laid over it, mapping by mapping."""
    result = dict(base)
    for key, value in changes.items():
        known = result.get(key)
        result[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


class Gateway(SluiceProcess):
    """One `sluice run`. Use it as a context manager: it is ready inside, and gone with all its processes after."""

    def __init__(
        self,
        policies: list[Mapping],
        config: Mapping | None = None,
        *,
        files: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
        listener: Mapping | None = None,
        **popen: Any,
    ) -> None:
        super().__init__(**popen)
        self.config = merged(
            {
                "listeners": [{"name": "mesh", "address": f"127.0.0.1:{self.port}", **(listener or {})}],
                "workers": 1,
                "policy": {"paths": ["policy.yaml"]},
                "addresses": {"allow": ["127.0.0.0/8", "::1/128"]},
                "admin": {"address": f"127.0.0.1:{self.admin}"},
                "control": {"endpoint": f"ipc://{self.folder}/control/c"},
                "logs": {"access": "access.log"},
                "shutdown": {"drain": "1s"},
            },
            config or {},
        )
        self.prefix = prefix  # a command that runs it
        self.arguments: tuple[str, ...] = ()  # of `run`
        self.write_policy(policies)
        for name, text in (files or {}).items():
            (self.folder / name).write_text(text)

    def write_policy(self, policies: list[Mapping], file: str = "policy.yaml") -> None:
        (self.folder / file).write_text(yaml.safe_dump_all(policies, sort_keys=False))

    def launch(self) -> None:
        """Starts the process and does not wait for it."""
        self.write_config()
        with (self.folder / "out.log").open("ab") as out, (self.folder / "err.log").open("ab") as err:
            self.popen.setdefault("cwd", self.folder)
            command = [*self.prefix, SLUICE, "run", "-c", str(self.config_file), *self.arguments]
            self.spawn(command, environment(), out, err)

    @contextlib.contextmanager
    def another(self, *, sockets: Sequence[int] = (), **differs: Any) -> Iterator["Gateway"]:
        """Another process with the same files, launched, and gone after: its attributes are this one's but for those
        that differ. `sockets`: descriptors that it has from 3 on, as a service manager passes them."""

        def place() -> None:  # out of the way first: a descriptor may stand where another one belongs
            for number, descriptor in enumerate(sockets):
                os.dup2(descriptor, ASIDE + number, inheritable=False)
            for number in range(len(sockets)):
                os.dup2(ASIDE + number, 3 + number)

        one = copy.copy(self)
        vars(one).update(differs)
        if sockets:
            one.popen = {"preexec_fn": place, "close_fds": False}
        one.launch()
        try:
            yield one
        finally:
            one.end()

    def __enter__(self) -> Self:
        self.launch()
        try:
            eventually(self.serves, "the gateway is ready")
            eventually(self.complete, "all workers serve")
            with contextlib.suppress(AssertionError):  # or others have come already
                eventually(lambda: not self.counter("connections_open"), "the connection of serves() has ended", 1.0)
        except BaseException as wrong:
            self.__exit__(type(wrong))
            raise
        return self

    def __exit__(self, kind: object = None, *_: object) -> None:
        self.end()
        log = self.folder / "access.log"
        text = log.read_text() if log.exists() else ""
        told = self.errors() if (self.folder / "err.log").exists() else ""
        shutil.rmtree(self.folder, ignore_errors=True)
        # An exception that left a handler: the loop counts it, closes that connection, and goes on.
        assert kind is not None or "Exception ignored in: 'gateway." not in told, told[-4000:]
        if kind is None:
            check_lines(text)

    def end(self) -> None:
        """Ends the gateway and every worker."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
                try:
                    self.process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
                    raise
            for pid in self.workers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def serves(self) -> bool:
        """Whether a worker answers: a listening socket alone would be there before any."""
        self.check_alive()
        try:
            with wire.connect(self.port, timeout=2) as connection:
                if self.config["listeners"][0].get("protocol") == "http2tunnel":
                    connection.sendall(PREFACE + frame("SETTINGS"))
                    return wire.exactly(connection, 4)[3:] == b"\x04"
                connection.sendall(b"\x05\x02\x00\x02")
                return wire.exactly(connection, 2)[:1] == b"\x05"
        except OSError:
            return False

    def complete(self) -> bool:
        """Whether every worker serves: one that is still starting opens files."""
        try:
            return all(worker["state"] == "ready" for worker in self.ask({"op": "stats"})["workers"])
        except ControlError:
            return False

    def process_signal(self, number: int) -> None:
        """Sends a signal to the supervisor."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Ends it; its exit code."""
        self.process_signal(with_signal)
        return self.ended()

    def ended(self) -> int:
        """The exit code of a gateway that ends by itself."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def sluice(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs `sluice COMMAND ... -c` with this gateway's configuration."""
        return sluice(*arguments, "-c", str(self.config_file), cwd=self.folder, timeout=timeout)

    def reload(self, policies: list[Mapping] | None = None) -> None:
        """Writes the policy, if any, and reloads; returns when every worker has acknowledged it."""
        if policies is not None:
            self.write_policy(policies)
        self.ask({"op": "reload"})

    def ask(self, request: Mapping) -> Mapping:
        """The answer of the control endpoint; raises ControlError. A command of `sluice` asks the same, and takes a
        quarter of a second to start."""
        with ControlClient(self.config["control"]["endpoint"], PATIENCE) as control:
            return control.call(request)

    def counter(self, name: str) -> int:
        """A counter of the whole gateway, as the control endpoint tells it."""
        return int(self.ask({"op": "stats"})["counters"][name])

    def workers(self) -> list[int]:
        """Process ids of the live workers, in no order."""
        found = []
        for pid in self.family():
            with contextlib.suppress(OSError):
                if b"gateway.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def events(self, **fields: Any) -> list[Mapping]:
        """Access log lines whose top-level fields equal `fields`, oldest first."""
        try:
            text = (self.folder / "access.log").read_text()
        except FileNotFoundError:
            return []
        lines: list[Mapping] = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if all(line.get(key) == value for key, value in fields.items())]

    def event(self, **fields: Any) -> Mapping:
        """Waits for the first such line."""
        return eventually(lambda: self.events(**fields), f"a log line with {fields}")[0]

    def logged(self, skip: int, source_port: int) -> Mapping:
        """Waits for the last word on the request that came from `source_port`: its decision or its close line.

        The first `skip` lines are not looked at, as ports come back.
        """

        def found() -> list[Mapping]:
            lines = [line for line in self.events()[skip:] if line["source"]["port"] == source_port]
            return [line for line in lines if line["event"] in ("decision", "close")]

        return eventually(found, f"a log line about the client on port {source_port}")[-1]


def open_files(pid: int) -> int:
    """Descriptors a process holds."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid: int) -> int:
    """Resident memory of a process, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def tunnels(gateway: Gateway, count: int, host: str, port: int) -> Iterator[list[socket.socket]]:
    """`count` open SOCKS5 tunnels."""
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(wire.connect(gateway.port))
            wire.open_socks5(connection, host, port)
            connections.append(connection)
        yield connections
