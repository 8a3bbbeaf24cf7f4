"""The cost of a unit of work in this build and an earlier one, in figures that repeat: instructions and system calls.

    python -m bench.against COMMIT [--loads LOAD,...] [--rounds N]

COMMIT is built beside, in build/against/. Both builds carry the same counted loads, one worker each: once under
callgrind, which counts the worker's instructions, and once under strace, which counts its system calls. Neither depends
on what else the machine does. A ratio above 1.03 needs another way or its reason (CONTRIBUTING.md).
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Final, NamedTuple, Self

from bench.loads import SOURCES
from bench.machine import LOAD, ROOT, build, private_network
from bench.peers.certificates import certificates
from bench.peers.sluice import HOSTS, hosts
from bench.peers.web import Web
from bench.web import WebOrigin

BUILDS: Final = ROOT / "build/against"
PATIENCE: Final = 180.0
LIMIT: Final = 1.03
CONFIG: Final = """\
listeners: [{{name: mesh, address: "127.0.0.1:{port}"}}]
workers: 1
policy: {{paths: [policy.yaml]}}
addresses: {{allow: ["127.0.0.0/8"]}}
admin: {{address: "127.0.0.1:{admin}"}}
control: {{endpoint: "ipc://{folder}/control/c"}}
logs: {{access: access.log}}
shutdown: {{drain: 1s}}
"""
POLICY: Final = """\
apiVersion: sluice.dev/v1alpha1
kind: ClusterEgressPolicy
metadata: {{name: bench}}
spec:
  to:
    - {{hostsFrom: partners.txt, ports: [443]}}
    - {{host: localhost}}
    - {{cidr: 127.0.0.0/8}}
  action: Allow
---
apiVersion: sluice.dev/v1alpha1
kind: ClusterEgressPolicy
metadata: {{name: secure}}
spec:
  to: [{{host: localhost, ports: [{web.tls}, {web.tls_http2}]}}]
  tls: {{originate: true, ca: {authority}}}
  action: Allow
"""
NAMED: Final = ("--ask", "localhost")


class Counted(NamedTuple):
    """A load of a fixed size: what the load generator is told, the field that counts its units, a unit's size, and the
    way of requests, "" for tunnels."""

    arguments: tuple[str, ...]
    field: str
    size: int = 1
    way: str = ""


def counted() -> dict[str, Counted]:
    """By name. Small enough for callgrind, large enough that what is not a unit's does not show."""
    opening = ("open-close", "--count", "2000", "--at-once", "32")
    speaking = ("pingpong", "--count", "16", "--seconds", "3")
    down = ("bulk-down", "--count", "4", "--bytes", "50000000")
    up = ("bulk-up", "--count", "4", "--bytes", "50000000", "--end", "reset")
    one = ("--connections", "2")
    kept, streams = ("kept", "--total", "2000", "--count"), ("2", "--streams", "8", "--http2")
    return {
        "socks5-tunnel": Counted((*opening, "--via", "socks5"), "completed"),
        "connect-tunnel": Counted((*opening, "--via", "connect"), "completed"),
        "connect-tunnel-named": Counted((*opening, "--via", "connect", *NAMED), "completed"),
        "h2-tunnel": Counted((*opening, "--via", "http2", *one), "completed"),
        "h2-tunnel-named": Counted((*opening, "--via", "http2", *one, *NAMED), "completed"),
        "round-trip": Counted((*speaking, "--via", "connect"), "round_trips"),
        "h2-round-trip": Counted((*speaking, "--via", "http2", *one), "round_trips"),
        "bulk-down": Counted((*down, "--via", "connect"), "bytes_down", 1_000_000),
        "bulk-up": Counted((*up, "--via", "connect"), "bytes_up", 1_000_000),
        "h2-bulk-down": Counted((*down, "--via", "http2", *one), "bytes_down", 1_000_000),
        "h2-bulk-up": Counted((*up, "--via", "http2", *one), "bytes_up", 1_000_000),
        "get": Counted((*kept, "16"), "completed", way="get"),
        "get-new": Counted(("fresh", "--count", "2000", "--at-once", "32"), "completed", way="get"),
        "get-1m": Counted((*kept[:2], "200", "--count", "4", "--size", "1048576"), "completed", way="get"),
        "get-h2": Counted((*kept, *streams), "completed", way="get-h2"),
        "get-tls": Counted((*kept, "16"), "completed", way="get-tls"),
        "unary": Counted((*kept, *streams, "--unary", "--size", "64"), "completed", way="unary"),
    }


class Tree:
    """One gateway of one build, as a context manager. `traced`: its worker runs under callgrind."""

    def __init__(self, root: Path, traced: bool, web: Web) -> None:
        self.root, self.traced, self.web = root, traced, web
        self.folder = Path(tempfile.mkdtemp(prefix="against-"))
        self.port, admin = _free_port(), _free_port()
        text = CONFIG.format(port=self.port, admin=admin, folder=self.folder)
        policy = POLICY.format(web=web, authority=certificates().authority)
        for name, content in (("sluice.yaml", text), ("policy.yaml", policy), ("partners.txt", hosts(HOSTS))):
            (self.folder / name).write_text(content)

    def __enter__(self) -> Self:
        paths = [str(self.root), *([str(ROOT / "bench/instructions")] if self.traced else [])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "SLUICE_CALLGRIND": str(self.folder)}
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [str(self.root / ".venv/bin/sluice"), "run", "-c", "sluice.yaml"], cwd=self.folder, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while b'"ready"' not in (said := (self.folder / "log").read_bytes()) and b" ready" not in said:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.root}: the gateway does not start: {said.decode(errors='replace')[-2000:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def worker(self) -> int:
        """The worker's process id."""
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes().split(b"\0")
                if int(fields[1]) == self.process.pid and b"gateway.worker" in command:
                    return int(entry.name)
        raise SystemExit("the gateway has no worker")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def run_load(load: Counted, tree: Tree, origin: int) -> float:
    """Carries one load; returns the units."""
    target = ["--proxy", f"127.0.0.1:{tree.port}", "--timeout", "120", *SOURCES]
    if load.way:
        target += ["--authority", f"localhost:{tree.web.of(load.way)}", "--absolute"]
    else:
        target += ["--origin", f"127.0.0.1:{origin}"]
    command = [str(LOAD), "requests" if load.way else "client", *load.arguments, *target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    answer = json.loads(done.stdout or "{}")
    errors = {kind: count for kind, count in answer.get("errors", {"no answer": 1}).items() if count}
    if errors:
        raise SystemExit(f"{' '.join(command)}: {errors} {done.stderr}")
    return float(answer[load.field]) / load.size


def instructions(root: Path, loads: dict[str, Counted], origin: int, web: Web) -> dict[str, float]:
    """User instructions of the worker per unit."""
    found = {}
    with Tree(root, True, web) as tree:
        worker = str(tree.worker())
        for load in loads.values():  # what is made once (code paths, caches, buffers) is left out
            warm = load._replace(arguments=tuple("200" if word == "2000" else word for word in load.arguments), size=1)
            run_load(warm, tree, origin)
        _control("--instr=on", worker)
        for name, load in loads.items():
            _control("--zero", worker)
            units = run_load(load, tree, origin)
            time.sleep(0.5)
            before = set(tree.folder.glob("callgrind.*"))
            _control("--dump", worker)
            (dump,) = set(tree.folder.glob("callgrind.*")) - before
            totals = re.findall(r"^(?:totals|summary): (\d+)", dump.read_text(), re.MULTILINE)
            found[name] = int(totals[-1]) / units
    return found


def _control(what: str, worker: str) -> None:
    subprocess.run(["callgrind_control", what, worker], check=True, capture_output=True)


def system_calls(root: Path, loads: dict[str, Counted], origin: int, web: Web) -> dict[str, float]:
    """System calls of the worker per unit."""
    found = {}
    with Tree(root, False, web) as tree:
        for name, load in loads.items():
            out = tree.folder / "strace"
            command = ["strace", "-c", "-f", "-o", str(out), "-p", str(tree.worker())]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
                assert strace.stderr is not None
                strace.stderr.readline()  # "attached"
                units = run_load(load, tree, origin)
                strace.send_signal(signal.SIGINT)
            last = [line for line in out.read_text().splitlines() if line.endswith("total")][-1]
            found[name] = int(last.split()[3]) / units
    return found


@contextlib.contextmanager
def origin_running() -> Iterator[int]:
    """The origin that the loads go to; its port."""
    process = subprocess.Popen([str(LOAD), "origin", "--seconds", "3600"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(json.loads(process.stdout.readline())["port"])
    finally:
        process.terminate()
        process.communicate()


def built(commit: str) -> Path:
    """The folder of a built commit, or of a tree that is built already."""
    if Path(commit).is_dir():
        return Path(commit).resolve()
    name = subprocess.check_output(["git", "rev-parse", "--short=12", commit], cwd=ROOT, text=True)
    folder = BUILDS / name.strip()
    if not (folder / ".venv/.extensions").exists():
        folder.mkdir(parents=True, exist_ok=True)
        archive = subprocess.Popen(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", str(folder)], stdin=archive.stdout, check=True)
        subprocess.run(["make", "-s", "build"], cwd=folder, check=True)
    return folder


def main() -> int:
    """Prints a row for each load; exit code 1 when one costs more than the limit."""
    parser = argparse.ArgumentParser(prog="bench.against", description=__doc__.splitlines()[0])
    parser.add_argument("commit", help="a commit, which is built beside, or the folder of a built tree")
    parser.add_argument("--loads", type=lambda text: text.split(","), default=list(counted()))
    parser.add_argument("--rounds", type=int, default=1, help="medians of so many counts (default 1)")
    arguments = parser.parse_args()
    loads = {name: load for name, load in counted().items() if name in arguments.loads}
    build()
    trees = {"old": built(arguments.commit), "new": ROOT}
    private_network()
    worse = False
    with origin_running() as origin, WebOrigin(frozenset(os.sched_getaffinity(0))) as web:
        for what, measure in (("instructions", instructions), ("system calls", system_calls)):
            rounds = []
            for _ in range(arguments.rounds):
                rounds.append({side: measure(root, loads, origin, web) for side, root in trees.items()})
            print(f"\n| {what} per unit | before | after | ratio |\n|---|---|---|---|")
            for name in loads:
                old, new = (median(figures[side][name] for figures in rounds) for side in trees)
                worse |= new > old * LIMIT
                print(f"| {name} | {old:,.2f} | {new:,.2f} | {new / old:.3f} |", flush=True)
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
