"""The worker process: takes its inherited descriptors, loads generations, accepts, and ends when it is told to.

Started by the supervisor as ``python -m gateway.worker`` (gateway/contract.py says with what). It obeys the channel
and the bus alone: HUP, INT, TERM and USR1 are the supervisor's to act on, so a terminal's Ctrl-C does not tear
tunnels.
"""

import argparse
import array
import gc
import mmap
import os
import signal
import socket
import sys
import time
from collections import deque
from functools import partial
from typing import Any

import msgpack

from gateway import contract
from gateway.bus import Bus
from gateway.context import Context
from gateway.limits import Limits
from gateway.listener import Listener
from gateway.load import ImageLoad
from gateway.log import AccessLog
from gateway.loop import Loop
from gateway.parent_pool import SharedPassages
from gateway.policy import PolicyImage
from gateway.privileges import drop as drop_privileges
from gateway.rejudge import Rejudge
from gateway.sweep import IntervalLog, Kill, Look
from gateway.watch import Clock, Watch

IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGPIPE)
# The share of a drain's time over which tunnels that are still there are ended: were it a single moment, all of them
# would come back in the next one, to whoever is left to take them.
SPREAD = 0.2
SPREAD_STEP = 0.05  # seconds
BEAT = 0.25  # seconds between two turns of an idle loop: the supervisor looks half as often whether it turns


class Worker:
    """One slot's process: the wiring of loop, context, listeners, channel and bus."""

    def __init__(self, slot: int, slots: int, listeners: int, endpoint: str) -> None:
        self._slot = slot
        self._loop = Loop()
        segment = memoryview(mmap.mmap(contract.FD_SEGMENT, 0))
        table = mmap.mmap(contract.FD_LIMITS, 0)
        self._context = Context(self._loop, slot, segment, Limits(memoryview(table), slot))
        self._sockets = {
            owner: [
                Listener(self._context, contract.listener_fd(owner, index, listeners), index)
                for index in range(listeners)
            ]
            for owner in range(slots)
        }
        self._channel = socket.socket(fileno=contract.FD_CHANNEL)
        self._channel.setblocking(False)
        self._images: dict[int, int] = {}
        self._loads: deque[dict[str, Any]] = deque()  # LOADs; the first one's image is being opened
        self._channel_watch = Watch(self._loop, self._channel.fileno(), self._on_channel)
        self._bus = Bus(self._loop, endpoint, slot, os.getpid(), self._on_message)
        self._log = AccessLog(segment, partial(Clock, self._loop), self._bus.log)
        self._context.attach(
            self._bus, self._log, SharedPassages(self._context, self._bus.parent), self._finish, self._on_full
        )
        self._handlers = {
            contract.LOAD: self._on_load,
            contract.VERIFIED: self._on_verified,
            contract.UNCHECKED: self._on_unchecked,
            contract.ADOPT: self._on_adopt,
            contract.RELEASE: self._on_release,
            contract.DRAIN: self._on_drain,
            contract.STOP: self._on_stop,
            contract.KILL: self._on_kill,
        }
        self._serving = False
        self._finished = False
        self._drain_until = 0.0
        self._spread: tuple[int, float] | None = None  # connections, and seconds left, when their end began
        self._deadline = Clock(self._loop, self._on_deadline)
        self._interval = Clock(self._loop, self._on_interval)
        self._look = Clock(self._loop, self._on_look)
        self._looked = 0.0
        self._beat = Clock(self._loop, self._on_beat, BEAT)
        self._beat.start(BEAT)

    def run(self) -> None:
        """Serves until drained, stopped, or orphaned and drained."""
        self._bus.send(contract.HELLO, pid=os.getpid())
        self._loop.run()
        self._context.close_passages()
        self._log.flush()
        self._context.publish()
        self._bus.close()

    def _on_channel(self) -> None:
        """A new image, or the end of the supervisor."""
        while True:
            try:
                packet, ancillary, _flags, _address = self._channel.recvmsg(65536, socket.CMSG_SPACE(4 * 4))
            except BlockingIOError:
                return
            except OSError:
                packet, ancillary = b"", []
            descriptors = array.array("i")
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
            if not packet:
                self._channel_watch.stop()
                self._drain(self._context.drain_seconds)
                return
            generation = msgpack.unpackb(packet)["generation"]
            for descriptor in descriptors:
                self._forget(self._images.pop(generation, None))
                self._images[generation] = descriptor

    def _on_message(self, message: dict[str, Any]) -> None:
        handler = self._handlers.get(message["op"])
        if handler is not None:
            handler(message)

    def _on_load(self, message: dict[str, Any]) -> None:
        """A generation is announced; its image came by the channel. Each is opened in slices, one after the other."""
        self._loads.append(message)
        if len(self._loads) == 1:
            self._open_image()

    def _open_image(self) -> None:
        generation = self._loads[0]["generation"]
        self._on_channel()
        try:
            descriptor = self._images.pop(generation)
            try:
                ImageLoad(self._loop, descriptor, self._on_image).begin()
            finally:
                os.close(descriptor)
        except KeyError:
            self._on_image(None, "the policy image did not arrive on the channel")
        except (OSError, ValueError) as problem:
            self._on_image(None, str(problem))

    def _on_image(self, image: PolicyImage | None, error: str | None) -> None:
        """The image is open, or cannot be: one that cannot be loaded changes nothing."""
        message = self._loads.popleft()
        generation = message["generation"]
        try:
            if image is not None:
                self._context.load(generation, image, message["settings"])
        except (OSError, ValueError, RuntimeError) as problem:
            error = str(problem)
        for stale in [number for number in self._images if number < generation]:
            self._forget(self._images.pop(stale))
        if error is None:
            self._loaded(generation)
        else:
            self._acknowledge(generation, error)
        if self._loads:
            self._open_image()

    def _loaded(self, generation: int) -> None:
        """A generation is in force: serve by it, and judge again what lives."""
        if not self._serving and not self._context.is_draining:
            self._serving = True
            self._context.measure_files()
            for listener in self._sockets[self._slot]:
                listener.open()
        for sockets in self._sockets.values():
            for listener in sockets:
                listener.set_options()
        self._looked = time.monotonic()
        self._look.start(self._context.keep_alive / 2)
        self._interval.stop()
        if self._context.log_interval:
            self._interval.start(self._context.log_interval / 1000)
        # Acknowledged when every live tunnel has been judged under it: then nothing holds the generation before.
        Rejudge(self._context, lambda: self._acknowledge(generation, None)).begin()

    def _acknowledge(self, generation: int, error: str | None) -> None:
        self._bus.send(contract.LOADED, generation=generation, ok=error is None, error=error)

    def _on_interval(self) -> None:
        IntervalLog(self._context).begin()
        self._interval.start(self._context.log_interval / 1000)

    def _on_look(self) -> None:
        now = time.monotonic()
        Look(self._context, round((now - self._looked) * 1000)).begin()
        self._looked = now
        self._look.start(self._context.keep_alive / 2)

    def _on_kill(self, message: dict[str, Any]) -> None:
        Kill(self._context, message["sequence"]).begin()

    def _on_full(self, full: bool) -> None:
        self._bus.send(contract.FULL, full=full)

    def _on_verified(self, message: dict[str, Any]) -> None:
        self._context.login_cache.answered(message["id"], message["result"], message["credential"])

    def _on_unchecked(self, message: dict[str, Any]) -> None:
        self._context.login_cache.bar(message["source"], float(message["seconds"]))

    def _on_adopt(self, message: dict[str, Any]) -> None:
        if self._serving and not self._context.is_draining:
            for listener in self._sockets[message["slot"]]:
                listener.open()

    def _on_release(self, message: dict[str, Any]) -> None:
        if message["slot"] != self._slot:
            for listener in self._sockets[message["slot"]]:
                listener.shut()

    def _on_drain(self, message: dict[str, Any]) -> None:
        self._drain(float(message["seconds"]))

    def _on_stop(self, _message: dict[str, Any]) -> None:
        self._context.close_all()
        self._loop.stop()

    def _drain(self, seconds: float) -> None:
        """Accepts what the kernel has queued, closes every copy of the sockets, and ends with the last connection."""
        if self._context.is_draining:
            return
        for listeners in self._sockets.values():
            for listener in listeners:
                listener.drain_queue()
                listener.shut()
                os.close(listener.fd)
        self._context.drain()
        self._drain_until = time.monotonic() + seconds
        self._deadline.start(seconds * (1 - SPREAD))
        if self._context.is_empty:
            self._finish()

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._log.flush()
            self._bus.send(contract.DRAINED)
            self._loop.stop()

    def _on_deadline(self) -> None:
        """The last part of a drain has begun: a few tunnels are ended in each step, the rest in the last one."""
        left = self._drain_until - time.monotonic()
        if left <= 0:
            self._context.close_all()
            self._finish()
            return
        if self._spread is None:
            self._spread = (self._context.open_connections, left)
        count, span = self._spread
        keep = int(count * left / span)  # what may still be there now; the rest may have gone by itself
        if self._context.open_connections > keep:
            self._context.close_some(self._context.open_connections - keep)
        self._deadline.start(min(left, SPREAD_STEP))

    def _on_beat(self) -> None:
        self._context.publish()

    @staticmethod
    def _forget(descriptor: int | None) -> None:
        if descriptor is not None:
            os.close(descriptor)


def main() -> int:
    """Parses the supervisor's arguments and serves."""
    parser = argparse.ArgumentParser(
        prog="gateway.worker", description="A Sluice worker; started by `sluice run`, not by hand."
    )
    for name in ("slot", "slots", "listeners"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--bus", required=True, help="the supervisor's ZeroMQ endpoint")
    arguments = parser.parse_args()
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    # Before ZeroMQ's thread: capabilities belong to each thread.
    drop_privileges(dumpable=bool(os.environ.get(contract.DUMPABLE)))
    worker = Worker(arguments.slot, arguments.slots, arguments.listeners, arguments.bus)
    gc.collect()
    gc.freeze()
    gc.disable()  # ownership is by reference counting; cycles are cut on close (DESIGN.md section 2)
    worker.run()
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # taking the interpreter apart would hold the end of a drain up, for nothing
