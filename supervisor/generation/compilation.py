"""One compilation as a value, and how it comes from its process: a short message with descriptors.

The message travels over a unix stream socket: GREETING, and by SCM_RIGHTS (unix(7)) a memfd with the msgpack of
`Report` and, when `ok`, the sealed memfd of the image and, where pods are known, that of the table of workloads.
"""

import array
import os
import socket
import subprocess
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gateway.contract import Settings
from supervisor.config.config import Config
from supervisor.config.tls import ClientTls, Expiry
from supervisor.host.process import child_environment, python_command
from supervisor.identity.issuers import Issuer
from supervisor.policy.resources.status import Status
from supervisor.source.problems import Problem, render

GREETING: Final = b"sluice-compile-1"
MOST_REPORT: Final = 256 << 20
MOST_FILES: Final = 3  # descriptors with one message
OUT_OF_MEMORY: Final = 77  # exit code of a compile process that got no more memory
COUNTS: Final = ("files", "resources", "rules", "names", "cidrs", "users", "networks", "workloads")


class Report(msgspec.Struct, frozen=True):
    """The compile process's result beside the image. `config` and `settings` are None when sluice.yaml is wrong."""

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
    rules: bytes = b""  # rule_listing.pack
    files_opened: int = 0  # policy files that were read, if only to compare them
    files_parsed: int = 0
    originations: dict[str, ClientTls] = {}
    expiries: list[Expiry] = []
    marks: dict[str, str] = {}
    issuers: tuple[Issuer, ...] = ()
    statuses: tuple[Status, ...] = ()
    refused: tuple[Problem, ...] = ()


class CompileResult(msgspec.Struct, frozen=True):
    """A configuration, compiled (`ok`) or refused. Its holder closes the descriptors `image`, None = refused, and
    `workloads`, the table of workloads, None = no pod is known.

    `users` maps names to password hashes; `counts` has COUNTS; `rule_slots` are those handed over and those of new
    rules (rule_slots.py); `seconds` is what the compilation took; `rules` are listed by rule_listing.py. Of the policy
    files `files_opened` were read, if only to compare them, and `files_parsed` were new or had changed.
    `statuses` are the conditions of resources, where they were asked for; `refused` is what is wrong with objects that
    were left out one by one.
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
    rules: bytes = b""
    files_opened: int = 0
    files_parsed: int = 0
    originations: dict[str, ClientTls] = {}  # TLS of rules, by the text that the image has
    expiries: list[Expiry] = []  # of certificates and revocation lists
    marks: dict[str, str] = {}  # of their files and those of keys, as they were read
    issuers: tuple[Issuer, ...] = ()  # of tokens
    statuses: tuple[Status, ...] = ()
    refused: tuple[Problem, ...] = ()
    workloads: int | None = None

    def close(self) -> None:
        """Gives its descriptors back."""
        for descriptor in (self.image, self.workloads):
            if descriptor is not None:
                os.close(descriptor)

    def problem_lines(self) -> list[str]:
        """`file:line:column: message (suggestion)`, one for each error."""
        return render(self.problems, self.problems_left_out)

    def warning_lines(self) -> list[str]:
        """The same for warnings."""
        return render(self.warnings, self.warnings_left_out)


class CompileCrashed(Exception):
    """The compile process ended without a readable result: an internal failure, or no memory."""


def send_result(sock: socket.socket, report: Report, image: int | None, workloads: int | None = None) -> None:
    """The compile process's side; the caller keeps its descriptors."""
    descriptor = os.memfd_create("sluice-report", os.MFD_CLOEXEC)
    try:
        data = memoryview(msgspec.msgpack.encode(report))
        while data:
            data = data[os.write(descriptor, data) :]
        socket.send_fds(sock, [GREETING], [descriptor, *(one for one in (image, workloads) if one is not None)])
    finally:
        os.close(descriptor)


def receive_result(sock: socket.socket) -> CompileResult:
    """Waits for the result. Raises CompileCrashed when the other end closes before it came. The caller owns `image`."""
    received: list[int] = []
    try:
        data, received, whole = receive_descriptors(sock, len(GREETING))
        while data and len(data) < len(GREETING) and (more := sock.recv(len(GREETING) - len(data))):
            data += more
        if not data:
            raise CompileCrashed("it ended without a result")
        if data != GREETING or not whole or not received:
            raise CompileCrashed("its answer is malformed")
        report = _read_report(received[0])
        if report.ok != (len(received) >= 2):
            raise CompileCrashed("its answer and the image do not fit together")
        fields: dict[str, Any] = msgspec.structs.asdict(report)
        workloads = received.pop() if len(received) == MOST_FILES else None
        return CompileResult(**fields, image=received.pop() if report.ok else None, workloads=workloads)
    except (OSError, msgspec.MsgspecError) as wrong:
        raise CompileCrashed(f"its answer cannot be read: {wrong}") from None
    finally:
        for descriptor in received:
            os.close(descriptor)


def receive_descriptors(sock: socket.socket, most: int) -> tuple[bytes, list[int], bool]:
    """At most so many bytes, the descriptors, at most MOST_FILES, that came with them, and whether these are all.

    socket.recv_fds ignores its flags in Python 3.11: the descriptors would be inherited by every process started here.
    """
    descriptors = array.array("i")
    data, messages, flags, _ = sock.recvmsg(most, socket.CMSG_SPACE(MOST_FILES * 4), socket.MSG_CMSG_CLOEXEC)
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


def compile_blocking(
    path: str, manifests: Sequence[str] = (), statuses: bool = False, as_cluster: bool = False
) -> CompileResult:
    """Compiles the sluice.yaml at `path` in a process of its own and waits; `manifests`, `statuses` and `as_cluster` as
    in compile_all. Raises CompileCrashed."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            named = [f"--manifest={name}" for name in manifests]
            arguments = ["--config", path, "--result-fd", str(theirs.fileno()), *named]
            arguments += ["--statuses"] if statuses else []
            arguments += ["--as-cluster"] if as_cluster else []
            child = subprocess.Popen(
                python_command("supervisor.generation.compile", *arguments),
                pass_fds=[theirs.fileno()],
                env=child_environment(),
                stdin=subprocess.DEVNULL,
            )
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
