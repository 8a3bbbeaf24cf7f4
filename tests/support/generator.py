"""The load generator under test: its origin and its client, as processes."""

import contextlib
import fcntl
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

BENCH: Final = Path(__file__).resolve().parents[2] / "bench"
Result = dict[str, Any]


def build(folder: Path) -> str:
    """The program, built strictly and under sanitizers: once, by the first of the processes that need it."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["make", "-s", "-C", str(BENCH), "asan", f"BUILD={folder}"]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert made.returncode == 0, made.stderr
    return str(folder / "load-asan")


@contextlib.contextmanager
def started(load: str, wrong: int = 0) -> Iterator[int]:
    """The port of an origin, which must have seen that many tunnels with wrong bytes when it ends."""
    with subprocess.Popen([load, "origin", "--seconds", "300"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(json.loads(process.stdout.readline())["port"])
        finally:
            process.terminate()
        out, _ = process.communicate(timeout=60)
        assert process.returncode == (1 if wrong else 0)
        assert json.loads(out)["content"] == wrong


def run(load: str, *arguments: str) -> tuple[int, Result]:
    done = subprocess.run([load, "client", *arguments], capture_output=True, text=True, timeout=100, check=False)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)
