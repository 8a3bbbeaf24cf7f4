"""One compilation as a value, and how it comes from the compile process: a short message with two descriptors.

The message travels over a unix stream socket: GREETING, and by SCM_RIGHTS (unix(7)) a memfd with the msgpack of
`Report` and, when `ok`, the sealed memfd of the image.
"""

import array
import os
import socket
import subprocess
import sys
from typing import Any, Final

import msgspec

from gateway.contract import Settings
from supervisor.config import Config
from supervisor.problems import Problem, render

GREETING: Final = b"sluice-compile-1"
MOST_REPORT: Final = 256 << 20
NICE: Final = 10  # traffic comes first
OUT_OF_MEMORY: Final = 77  # exit code of a compile process that got no more memory
COUNTS: Final = ("files", "resources", "rules", "names", "cidrs", "users", "networks")


class Report(msgspec.Struct, frozen=True):
    """What the compile process says beside the image. `config` and `settings` are None when sluice.yaml is wrong."""

    ok: bool
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    problems_left_out: int = 0
    warnings_left_out: int = 0
    config: Config | None = None
    settings: Settings | None = None
    users: dict[str, str] = {}
    counts: dict[str, int] = {}
    rule_slots: dict[str, int] = {}
    seconds: float = 0.0


class CompileResult(msgspec.Struct, frozen=True):
    """A configuration, compiled (`ok`) or refused. `image` is a descriptor that its holder closes; None = refused.

    `users` maps names to password hashes; `counts` has COUNTS; `rule_slots` are those handed over and those of new
    rules (rule_slots.py); `seconds` is what the compilation took.
    """

    ok: bool
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    problems_left_out: int
    warnings_left_out: int
    config: Config | None
    settings: Settings | None
    users: dict[str, str]
    counts: dict[str, int]
    rule_slots: dict[str, int]
    seconds: float
    image: int | None

    def problem_lines(self) -> list[str]:
        """`file:line:column: message (suggestion)`, one for each error."""
        return render(self.problems, self.problems_left_out)

    def warning_lines(self) -> list[str]:
        """The same for warnings."""
        return render(self.warnings, self.warnings_left_out)


class CompileCrashed(Exception):
    """The compile process ended without a result, or with one that cannot be read: a failure of ours, or no memory."""


def send_result(sock: socket.socket, report: Report, image: int | None) -> None:
    """The compile process's side; the caller keeps its descriptors."""
    descriptor = os.memfd_create("sluice-report", os.MFD_CLOEXEC)
    try:
        data = memoryview(msgspec.msgpack.encode(report))
        while data:
            data = data[os.write(descriptor, data) :]
        socket.send_fds(sock, [GREETING], [descriptor] if image is None else [descriptor, image])
    finally:
        os.close(descriptor)


def receive_result(sock: socket.socket) -> CompileResult:
    """Waits for the result. Raises CompileCrashed when the other end closes before it came. The caller owns `image`."""
    received: list[int] = []
    try:
        data, received, whole = _receive_descriptors(sock)
        while data and len(data) < len(GREETING) and (more := sock.recv(len(GREETING) - len(data))):
            data += more
        if not data:
            raise CompileCrashed("it ended without a result")
        if data != GREETING or not whole or not received:
            raise CompileCrashed("its answer is malformed")
        report = _read_report(received[0])
        if report.ok != (len(received) == 2):
            raise CompileCrashed("its answer and the image do not fit together")
        fields: dict[str, Any] = msgspec.structs.asdict(report)
        return CompileResult(**fields, image=received.pop() if report.ok else None)
    except (OSError, msgspec.MsgspecError) as wrong:
        raise CompileCrashed(f"its answer cannot be read: {wrong}") from None
    finally:
        for descriptor in received:
            os.close(descriptor)


def _receive_descriptors(sock: socket.socket) -> tuple[bytes, list[int], bool]:
    """The first bytes, the descriptors that came with them, and whether these are all.

    socket.recv_fds ignores its flags in Python 3.11: the descriptors would be inherited by whatever starts meanwhile.
    """
    descriptors = array.array("i")
    data, messages, flags, _ = sock.recvmsg(len(GREETING), socket.CMSG_SPACE(2 * 4), socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in messages:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return data, descriptors.tolist(), not flags & socket.MSG_CTRUNC


def _read_report(descriptor: int) -> Report:
    size = os.fstat(descriptor).st_size
    if size > MOST_REPORT:
        raise CompileCrashed("its answer is too large")
    parts, at = [], 0
    while at < size and (part := os.pread(descriptor, size - at, at)):
        parts.append(part)
        at += len(part)
    return msgspec.msgpack.decode(b"".join(parts), type=Report)


def how_it_ended(status: int) -> str:
    """In words: an exit code, or the number of a signal below 0."""
    if status == OUT_OF_MEMORY:
        return "out of memory: the policy takes more than this machine or container has free"
    if status == -9:
        return "killed by SIGKILL, most likely by the kernel: out of memory"
    return f"exit code {status}" if status >= 0 else f"killed by signal {-status}"


def compile_blocking(path: str) -> CompileResult:
    """Compiles the sluice.yaml at `path` in a process of its own and waits. Raises CompileCrashed."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            command = [sys.executable, "-P", "-m", "supervisor.compile", "--config", path]
            command += ["--result-fd", str(theirs.fileno())]
            child = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=_environment(), stdin=subprocess.DEVNULL)
        try:
            return receive_result(ours)
        except CompileCrashed as wrong:
            status = child.wait()
            raise CompileCrashed(f"the compile process failed: {wrong}, {how_it_ended(status)}") from None
        except BaseException:
            child.kill()
            raise
        finally:
            child.wait()


def _environment() -> dict[str, str]:
    """Ours, and where the packages lie: -P keeps the working directory out of sys.path."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
