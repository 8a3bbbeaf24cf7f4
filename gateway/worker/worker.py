"""The worker process: takes its inherited descriptors, loads generations, accepts, and ends on STOP or after a drain.

Started by the supervisor as ``python -m gateway.worker`` (gateway/contract.py says with what). It obeys the channel
and the bus alone: HUP, INT, TERM and USR1 are the supervisor's to act on, so a terminal's Ctrl-C does not tear
tunnels.
"""

import argparse
import array
import contextlib
import gc
import mmap
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgpack

from gateway import contract
from gateway.downstream.beginnings import ClientBeginnings
from gateway.io.loop import Loop
from gateway.io.watch import Clock, Watch, Word
from gateway.policy.image import PolicyImage
from gateway.state.generation import Loaded
from gateway.state.image_load import ImageLoad
from gateway.state.limits import Limits
from gateway.state.log import AccessLog
from gateway.state.parts import WorkerParts
from gateway.tunnel.rejudge import Rejudge
from gateway.tunnel.sweep import Expiry, IntervalLog, Kill, Look
from gateway.upstream.origin_pool import OriginPools
from gateway.upstream.pool import ParentPools
from gateway.worker.bus import Bus, reach
from gateway.worker.drain_schedule import DrainSchedule
from gateway.worker.privileges import drop as drop_privileges
from gateway.worker.scheduling import wake_first
from gateway.worker.socket_set import SocketSet

IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGPIPE)
BEAT = 0.25  # seconds between two turns of an idle loop: the supervisor looks half as often whether it turns
EXPIRY = (1.0, 30.0)  # seconds at least and at most between two looks at certificates that are over


class Worker:
    """One slot's process: the wiring of loop, parts, listeners, channel and bus."""

    def __init__(self, slot: int, slots: int, listeners: Sequence[int], endpoint: str, shared: bool = False) -> None:
        """`listeners`: the numbers of the inherited sockets. `shared`: other gateways have the same sockets, and empty
        their queues when this one has gone."""
        self._slot = slot
        self._loop = Loop()
        segment = memoryview(mmap.mmap(contract.FD_SEGMENT, 0))
        table = mmap.mmap(contract.FD_LIMITS, 0)
        self._parts = WorkerParts(self._loop, slot, segment, Limits(memoryview(table), slot))
        self._slots = slots
        self._sockets = SocketSet(self._parts, slot)
        for index, number in enumerate(listeners):
            for owner in range(slots):
                self._sockets.add(number, owner, contract.listener_fd(owner, index, len(listeners)))
        self._channel = socket.socket(fileno=contract.FD_CHANNEL)
        self._channel.setblocking(False)
        self._images: dict[int, list[int]] = {}  # by generation: its image, and its table of workloads if it has one
        self._loads: deque[dict[str, Any]] = deque()  # LOADs; the first one's image is being opened
        self._loaded: Loaded | None = None  # what may become active
        self._listeners: list[dict[str, Any]] = []  # its listeners
        self._active = Word(self._loop, mmap.mmap(contract.FD_ACTIVE, 0, prot=mmap.PROT_READ), self._follow)
        self._channel_watch = Watch(self._loop, self._channel.fileno(), self._on_channel)
        self._bus = Bus(self._loop, endpoint, slot, os.getpid(), self._on_message)
        self._log = AccessLog(segment, partial(Clock, self._loop), lines_wait)
        self._parts.attach(
            self._bus,
            self._log,
            ParentPools(self._parts, self._bus.parent),
            OriginPools(self._parts, slots),
            ClientBeginnings(self._parts),
            self._finish,
            self._on_full,
        )
        self._handlers = {
            contract.LOAD: self._on_load,
            contract.UNLOAD: self._on_unload,
            contract.ACTIVATE: lambda _message: self._follow(),
            contract.VERIFIED: self._on_verified,
            contract.UNCHECKED: self._on_unchecked,
            contract.ADOPT: self._on_adopt,
            contract.RELEASE: self._on_release,
            contract.CLOSE: self._on_close,
            contract.LEAVE: self._on_leave,
            contract.DRAIN: self._on_drain,
            contract.STOP: self._on_stop,
            contract.KILL: self._on_kill,
        }
        self._shared = shared
        self._serving = False
        self._finished = False
        self._schedule: DrainSchedule | None = None  # once it drains
        self._deadline = Clock(self._loop, self._on_deadline)
        self._interval = Clock(self._loop, self._on_interval)
        self._look = Clock(self._loop, self._on_look)
        self._looked = 0.0
        self._expiry = Clock(self._loop, self._on_expiry)
        self._beat = Clock(self._loop, self._on_beat, BEAT)
        self._beat.start(BEAT)

    def run(self) -> None:
        """Serves until drained, stopped, or orphaned and drained."""
        self._bus.send(contract.HELLO, pid=os.getpid())
        self._loop.run()
        self._parts.close_parents()
        self._log.flush()
        self._parts.meter.publish()
        self._bus.close()

    def _on_channel(self) -> None:
        """A new image, new sockets, or the end of the supervisor."""
        room = socket.CMSG_SPACE(4 * contract.CHANNEL_FILES)
        while True:
            try:
                packet, ancillary, _, _ = self._channel.recvmsg(65536, room, socket.MSG_CMSG_CLOEXEC)
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
                if self._shared:
                    self._on_leave({})
                self._drain(self._parts.settings.drain_seconds)
                return
            content = msgpack.unpackb(packet)
            for (number, owner), descriptor in zip(content.get("sockets", ()), descriptors, strict=False):
                self._sockets.add(number, owner, descriptor)
            if "credentials" in content:
                self._take_credentials(content["credentials"], descriptors.tolist())
            if "generation" in content:
                self._forget(self._images.pop(content["generation"], None))
                self._images[content["generation"]] = descriptors.tolist()

    def _take_credentials(self, entries: list[list[int]], descriptors: list[int]) -> None:
        """Values of credentials. Where they cannot be kept, requests that need one are refused."""
        try:
            self._parts.credentials.take(entries, descriptors[0] if descriptors else -1)
        except (OSError, MemoryError) as problem:
            print(f"worker: credentials cannot be kept: {problem}", file=sys.stderr)
        finally:
            self._forget(descriptors)

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
            descriptors = self._images.pop(generation)
            try:
                image, workloads, *_ = *descriptors, -1, -1
                ImageLoad(self._loop, image, self._on_image, workloads).begin()
            finally:
                self._forget(descriptors)
        except KeyError:
            self._on_image(None, "the policy image did not arrive on the channel")
        except (OSError, ValueError) as problem:
            self._on_image(None, str(problem))

    def _on_image(self, image: PolicyImage | None, error: str | None) -> None:
        """The image is open, or cannot be: one that cannot be loaded changes nothing."""
        message = self._loads.popleft()
        generation = message["generation"]
        loaded = None
        try:
            if image is not None and "unwanted" not in message:
                self._sockets.check_room(message["settings"]["listeners"], self._slots)
                loaded = self._parts.load(generation, image, message["settings"])
        except (OSError, ValueError, RuntimeError) as problem:
            error = str(problem)
        for stale in [number for number in self._images if number < generation]:
            self._forget(self._images.pop(stale))
        self._bus.send(contract.LOADED, generation=generation, ok=error is None, error=error)
        if loaded is not None:
            self._discard()
            self._loaded, self._listeners = loaded, message["settings"]["listeners"]
            self._follow()
        if self._loads:
            self._open_image()

    def _on_unload(self, message: dict[str, Any]) -> None:
        """A generation does not become active: another worker cannot load it."""
        generation = message["generation"]
        self._forget(self._images.pop(generation, None))
        self._parts.credentials.forget()
        if self._loaded is not None and self._loaded.number == generation:
            self._discard()
        for load in self._loads:
            if load["generation"] == generation:
                load["unwanted"] = True

    def _discard(self) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.discard()

    def _follow(self) -> None:
        """Activates the loaded generation in the turn that finds the shared word at its number: serves by it, and
        judges live tunnels again."""
        if self._loaded is None or self._loaded.number != self._active.value:
            return
        loaded, self._loaded = self._loaded, None
        generation = loaded.number
        self._on_channel()  # sockets came ahead of the store
        self._parts.activate(loaded)
        if not self._serving and not self._parts.roster.is_draining:
            self._serving = True
            self._parts.files.measure()
            self._sockets.serve()
        self._sockets.arrange(self._listeners)
        self._looked = time.monotonic()
        self._look.start(self._parts.settings.keep_alive / 2)
        self._expiry.start(self._expiry_seconds())
        self._interval.stop()
        if self._parts.settings.log_interval:
            self._interval.start(self._parts.settings.log_interval / 1000)
        # Acknowledged when every live tunnel has been judged under it: then nothing holds the generation before.
        Rejudge(self._parts, lambda: self._bus.send(contract.ACTIVE, generation=generation)).begin()

    def _on_interval(self) -> None:
        IntervalLog(self._parts).begin()
        self._interval.start(self._parts.settings.log_interval / 1000)

    def _on_expiry(self) -> None:
        if self._parts.certified:
            Expiry(self._parts).begin()
        self._expiry.start(self._expiry_seconds())

    def _expiry_seconds(self) -> float:
        """How often tunnels of certificates and tokens that are over are looked for."""
        quarter: float = self._parts.settings.identity_max_age / 4
        return min(max(quarter, EXPIRY[0]), EXPIRY[1])

    def _on_look(self) -> None:
        now = time.monotonic()
        Look(self._parts, round((now - self._looked) * 1000)).begin()
        self._looked = now
        self._look.start(self._parts.settings.keep_alive / 2)

    def _on_kill(self, message: dict[str, Any]) -> None:
        Kill(self._parts, message["sequence"]).begin()

    def _on_full(self, full: bool) -> None:
        self._bus.send(contract.FULL, full=full)

    def _on_verified(self, message: dict[str, Any]) -> None:
        facts, reason = message.get("token"), message.get("reason", 0)
        self._parts.logins.answered(message["id"], message["result"], message.get("credential", 0), facts, reason)

    def _on_unchecked(self, message: dict[str, Any]) -> None:
        self._parts.logins.bar(message["source"], float(message["seconds"]))

    def _on_adopt(self, message: dict[str, Any]) -> None:
        if self._serving and not self._parts.roster.is_draining:
            self._sockets.adopt(message["slot"])

    def _on_release(self, message: dict[str, Any]) -> None:
        if message["slot"] != self._slot:
            self._sockets.release(message["slot"])

    def _on_close(self, message: dict[str, Any]) -> None:
        """Listeners are gone: clients that are queued, whichever worker they wait for, are the last."""
        if self._serving:
            self._sockets.empty(message["sockets"])
        self._bus.send(contract.CLOSED, sockets=message["sockets"])

    def _on_leave(self, _message: dict[str, Any]) -> None:
        """Another gateway accepts from the same sockets: no connection of their queues is ours. Those that were
        accepted are served as before until DRAIN comes."""
        self._sockets.leave()

    def _on_drain(self, message: dict[str, Any]) -> None:
        self._drain(float(message["seconds"]))

    def _on_stop(self, _message: dict[str, Any]) -> None:
        self._parts.roster.close_all()
        self._loop.stop()

    def _drain(self, seconds: float) -> None:
        """Accepts what the kernel has queued, closes every copy of the sockets, and ends with the last connection."""
        if self._parts.roster.is_draining:
            return
        self._sockets.drain()
        self._parts.roster.drain()
        self._schedule = DrainSchedule(time.monotonic(), seconds)
        self._deadline.start(self._schedule.quiet)
        if self._parts.roster.is_empty:
            self._finish()

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._log.flush()
            self._bus.send(contract.DRAINED)
            self._loop.stop()

    def _on_deadline(self) -> None:
        """The last part of a drain has begun: a few tunnels are ended in each step, the rest in the last one."""
        assert self._schedule is not None
        ends, wait = self._schedule.step(time.monotonic(), self._parts.roster.open_connections)
        if wait is None:
            self._parts.roster.close_all()
            self._finish()
            return
        self._parts.roster.close_some(ends)
        self._deadline.start(wait)

    def _on_beat(self) -> None:
        self._parts.meter.publish()

    @staticmethod
    def _forget(descriptors: list[int] | None) -> None:
        for descriptor in descriptors or ():
            os.close(descriptor)


def lines_wait() -> None:
    """Access log lines are in the segment. The supervisor takes them when it gets to it."""
    with contextlib.suppress(BlockingIOError):
        os.eventfd_write(contract.FD_LOG, 1)


def main() -> int:
    """Parses the supervisor's arguments and serves."""
    parser = argparse.ArgumentParser(
        prog="gateway.worker", description="A Sluice worker; started by `sluice run`, not by hand."
    )
    for name in ("slot", "slots"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--listeners", required=True, help="the numbers of the inherited sockets, with commas")
    parser.add_argument("--bus", required=True, help="the supervisor's ZeroMQ endpoint")
    parser.add_argument("--shared", action="store_true", help="other gateways have the same sockets")
    arguments = parser.parse_args()
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    wake_first()  # where it is refused, a worker waits a little longer beside what computes
    # Before ZeroMQ's thread: capabilities belong to each thread.
    drop_privileges(dumpable=bool(os.environ.get(contract.DUMPABLE)))
    try:
        reach(arguments.bus)
    except OSError as problem:
        print(f"sluice: worker {arguments.slot} cannot reach {arguments.bus}: {problem.strerror}", file=sys.stderr)
        return 1  # it is started again, later and later
    listeners = [int(number) for number in arguments.listeners.split(",") if number]
    worker = Worker(arguments.slot, arguments.slots, listeners, arguments.bus, arguments.shared)
    gc.collect()
    gc.freeze()
    gc.disable()  # ownership is by reference counting; cycles are cut on close (DESIGN.md section 2)
    worker.run()
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # taking the interpreter apart would hold the end of a drain up, for nothing
