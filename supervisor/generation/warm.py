"""The compile process kept warm, `python -m supervisor.generation.warm --requests-fd N`: it forks one child for each
compilation, and remembers the policy files of the last generation that was accepted.

A child reads what people wrote, and may crash, hang or run out of memory; then it alone ends. What it has read is a
delta in shared memory, which this process takes over once the supervisor has accepted the result. So nothing of a
refused configuration stays, and this process itself never parses.

    supervisor ──Compile, with the result's socket and the rule slots──▶ warm ──fork──▶ child ──result──▶ supervisor
               ◀─Ended, with the child's status───────────────────────        ◀─delta──
               ──Accepted─────────────────────────────────────────────▶ applies the delta
               ◀─Holds, with files and bytes──────────────────────────
"""

import argparse
import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec

from supervisor.generation.compilation import OUT_OF_MEMORY, receive_descriptors, send_result
from supervisor.generation.compile import compile_all, confine, end_first
from supervisor.generation.requests import MOST_MESSAGE, Accepted, Answer, Compile, Ended, Holds, request_of
from supervisor.host.process import yield_to_traffic
from supervisor.policy.remembered import Delta, Reading, Remembered

__all__ = ["Server"]

CRASHED: Final = 1  # exit code of a child
_PR_SET_PDEATHSIG: Final = 1


class Server:
    """Serves one supervisor, until that closes its end."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._remembered = Remembered()
        self._delta: int | None = None  # of the last compilation, until it is accepted

    def run(self) -> None:
        while True:
            packet, descriptors, _ = receive_descriptors(self._requests, MOST_MESSAGE)
            if not packet:
                return
            request = request_of(packet)
            if isinstance(request, Accepted):
                self._accept()
            else:
                result, slots = descriptors
                try:
                    with socket.socket(fileno=result) as sock:
                        self._compile(request, sock, slots)
                finally:
                    os.close(slots)

    def _compile(self, request: Compile, result: socket.socket, slots: int) -> None:
        """Forks, and waits for the end of the child, or for that of the wish to know its result."""
        if self._delta is not None:
            os.close(self._delta)
        self._delta = os.memfd_create("sluice-remembered", os.MFD_CLOEXEC)
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            self._child(request, result, slots, parent)
        waiting = select.poll()
        process = os.pidfd_open(child)
        waiting.register(process, select.POLLIN)
        waiting.register(result, select.POLLRDHUP)
        waiting.register(self._requests, select.POLLRDHUP)
        try:
            while process not in (found := dict(waiting.poll())):
                for descriptor in found:
                    waiting.unregister(descriptor)
                os.kill(child, signal.SIGKILL)
        finally:
            os.close(process)
        _, status = os.waitpid(child, 0)
        self._say(Ended(request.number, os.waitstatus_to_exitcode(status)))

    def _child(self, request: Compile, result: socket.socket, slots: int, parent: int) -> NoReturn:
        status = CRASHED
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:
                self._requests.close()
                self._answer(request, result, slots)
                status = 0
        except MemoryError:
            status = OUT_OF_MEMORY
        finally:
            os._exit(status)  # at once: whatever cleans up needs memory

    def _answer(self, request: Compile, result: socket.socket, slots: int) -> None:
        confine()
        with open(slots, "rb", closefd=False) as file:
            known = msgspec.msgpack.decode(file.read(), type=dict[str, int])
        reading = Reading(self._remembered)
        report, image, workloads = compile_all(request.path, request.serving, known, reading=reading)
        assert self._delta is not None
        if report.ok:
            data = memoryview(msgspec.msgpack.encode(reading.delta()))
            while data:  # before the result, which may be accepted at once
                data = data[os.write(self._delta, data) :]
        send_result(result, report, image, workloads)

    def _accept(self) -> None:
        delta, self._delta = self._delta, None
        if delta is not None:
            with open(delta, "rb") as file:
                file.seek(0)
                self._remembered.apply(msgspec.msgpack.decode(file.read(), type=Delta))
            gc.freeze()  # a child's collector must not touch, and so copy, what it shares
        self._say(Holds(len(self._remembered.files), self._remembered.bytes))

    def _say(self, answer: Answer) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone: the next look at the socket tells
            self._requests.send(msgspec.msgpack.encode(answer))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves over the inherited socket."""
    parser = argparse.ArgumentParser(
        prog="supervisor.generation.warm", description="Compiles sluice.yaml for the supervisor, again and again."
    )
    parser.add_argument("--requests-fd", required=True, type=int)
    descriptor = parser.parse_args(arguments).requests_fd
    os.set_inheritable(descriptor, False)
    yield_to_traffic()
    end_first(900)  # its children come before it
    gc.disable()  # a child ends before garbage counts; walking millions of nodes again and again would
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as requests:
        Server(requests).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
