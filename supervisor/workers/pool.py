"""The worker slots: each has a segment and sockets for life, and one worker process after another.

A slot's worker goes through these states; a dead worker is replaced on the same sockets, however it died:

    starting --HELLO--> loading --ACTIVE--> ready --DRAIN--> draining --exit--> stopped
        \\_________________\\________________/ exit: restarted at once the first time, then after `backoff`

A worker that serves and whose loop no longer turns is killed: its turns are read from its segment, so the look costs it
nothing. While a slot has no ready worker its siblings accept from its sockets (ADOPT), until its next worker is ready
(RELEASE): a connection in its queue waits for a sibling's next turn, not for a restart (DESIGN.md section 3). The same
holds while its worker has no descriptors left for clients (FULL), and from the first look on that finds its loop
standing still: where that was a false alarm, its worker and a sibling accept side by side until the next look.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence

from gateway import contract
from supervisor.host.errors import StartError, errno_text
from supervisor.host.listening import ListenerSockets, OpenListener, Plan
from supervisor.host.process import kill_group, python_command, spawn
from supervisor.host.reaper import Exit, Reaper
from supervisor.logs.log import Log
from supervisor.segment.limit_table import LimitTable
from supervisor.segment.segment import Segment
from supervisor.workers.bus import Active, Bus, Closed, Hello, Loaded
from supervisor.workers.ending import Ending
from supervisor.workers.handover import Handover
from supervisor.workers.listeners import Sharing
from supervisor.workers.slot import Published, Slot, Timing

__all__ = ["CRASH_LOOP", "WORKER_COMMAND", "Pool"]

WORKER_COMMAND = tuple(python_command("gateway.worker"))
FULL_PAUSE = 60.0  # seconds between two lines that say a worker is full
CRASH_LOOP = 5  # deaths in a row, or within Timing.loop


class Pool:
    """All slots. Everything is called from the event loop, and nothing blocks."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reaper: Reaper,
        log: Log,
        sockets: ListenerSockets,
        *,
        command: Sequence[str] = WORKER_COMMAND,
        timing: Timing | None = None,
        lines: int,
        tunnel_records: int = 1024,
    ) -> None:
        """`lines`: the eventfd by which workers tell of access log lines. `tunnel_records`: how many live tunnels of
        one worker can be listed."""
        self._loop = loop
        self._reaper = reaper
        self._log = log
        self.sockets = sockets
        self._command = list(command)
        self._lines = lines
        self.timing = timing or Timing()
        self.slots: list[Slot] = []
        self.bus: Bus | None = None
        self.on_death: Callable[[Slot], None] = lambda slot: None  # before the slot is reaped
        self.hung = 0  # workers killed because their loop stood still
        self._beat: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self.limits = LimitTable(sockets.slots)
        self._sharing = Sharing(sockets, self.slots, self.timing, self._send)
        self.ending = Ending(
            loop,
            self.slots,
            self.timing,
            sockets,
            send=self._send,
            kill=self._kill,
            tell_siblings=self._tell_siblings,
            changed=self._on_ending,
        )
        self.handover = Handover(loop, self.slots, self.timing, self._send, self._kill, self._sharing.share)
        try:
            for number in range(sockets.slots):
                self.slots.append(Slot(number, Segment(number, tunnel_records)))
        except BaseException:
            self.close()
            raise

    # Asked by others.

    def pid_of(self, slot: int) -> int | None:
        """For the bus: who lives in a slot."""
        return self.slots[slot].pid if 0 <= slot < len(self.slots) else None

    def last_pid_of(self, slot: int) -> int | None:
        """For the bus: who died in a slot last."""
        return self.slots[slot].last_pid if 0 <= slot < len(self.slots) else None

    def ready(self) -> list[Slot]:
        """The slots whose worker serves."""
        return [slot for slot in self.slots if slot.state == "ready"]

    def hopeless(self) -> str:
        """Why no worker has ever become ready, once that is a crash loop; "" otherwise."""
        if all(slot.failures >= CRASH_LOOP and not slot.ready_since for slot in self.slots):
            return self.slots[0].last_exit
        return ""

    def describe(self) -> list[dict[str, object]]:
        """For `stats`."""
        return [
            {
                "slot": slot.number,
                "pid": slot.pid,
                "state": slot.state,
                "generation": slot.generation,
                "restarts": slot.restarts,
                "crash_loop": slot.crashing,
                "last_exit": slot.last_exit or None,
                "last_error": slot.last_error or None,
            }
            for slot in self.slots
        ]

    # Starting, publishing, ending.

    def start(self, generation: Published) -> None:
        """Starts a worker in every slot; each gets `generation` after its HELLO."""
        self.handover.begin(generation)
        for slot in self.slots:
            self._start(slot)
        self._beat = self._loop.call_later(self.timing.beat, self._look)

    async def wait_ready(self, timeout: float) -> None:
        """Returns once every slot is ready, none can be (see hopeless), or `timeout` seconds are over."""
        deadline = self._loop.time() + timeout
        while len(self.ready()) < len(self.slots) and not self.hopeless() and not self.ending.begun:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - self._loop.time())
            except TimeoutError:
                return

    async def publish(self, generation: Published, commit: Callable[[], None], plan: Plan) -> list[str]:
        """Makes a generation active everywhere, or nowhere. Returned is why it cannot be: worker by worker, an address
        that cannot be used, or that the gateway is draining. `commit()` is called at the very moment: in the same turn
        workers begin to follow. `plan`: how listeners change with it. Sockets are opened last: clients of an address
        are not to be reset because another part of the reload is refused."""
        opened: list[OpenListener] = []
        try:
            problems = await self.handover.prepare(generation)
            if not problems:
                opened, problems = await self._open(plan)
        except BaseException:
            self.handover.abandon()
            raise
        if not problems and self.ending.begun:
            problems = ["the gateway is draining"]
        if problems:
            self.handover.abandon()
            for each in opened:
                each.close()
            return problems
        self.sockets.commit(plan, opened)
        commit()
        await self.handover.commit()
        await self._sharing.retire()
        return []

    async def _open(self, plan: Plan) -> tuple[list[OpenListener], list[str]]:
        """On a thread: looking for the process that has a port takes a while."""
        if not plan.added:
            return [], []
        opening = asyncio.ensure_future(asyncio.to_thread(self.sockets.open, plan))
        try:
            return await asyncio.shield(opening), []
        except StartError as error:
            return [], [str(error)]
        except asyncio.CancelledError:
            opening.add_done_callback(_close_opened)
            raise

    async def keep_only(self, numbers: Sequence[int]) -> None:
        """Of these listeners the sockets stay; the queues of the others are emptied and closed."""
        removed = tuple(each.number for each in self.sockets.listeners if each.number not in numbers)
        self.sockets.commit(Plan(tuple(numbers), removed=removed), ())
        await self._sharing.retire()

    def serves(self) -> bool:
        """Whether a worker takes clients, has some, or does so from one moment to the next."""
        return any(slot.state in ("loading", "ready") for slot in self.slots)

    def kill_all(self) -> None:
        """The last resort of a failing supervisor."""
        self.ending.begun = True
        for slot in self.slots:
            slot.cancel_timer()
            if slot.pid is not None:
                kill_group(slot.pid)

    def close(self) -> None:
        """Gives back what belongs to the slots. Only once no worker is left."""
        if self._beat is not None:
            self._beat.cancel()
        self.ending.close()
        for slot in self.slots:
            slot.cancel_timer()
            if slot.channel is not None:
                slot.channel.close()
            slot.segment.close()
        self.limits.close()
        self.handover.close()
        self.slots = []
        self.sockets.close()

    # Messages from workers.

    def on_hello(self, number: int, message: Hello) -> None:
        """A new worker is connected: it gets the active generation."""
        slot = self.slots[number]
        if slot.state != "starting" or message.pid != slot.pid:
            return
        slot.state = "loading"
        slot.cancel_timer()
        self.handover.greet(slot)

    def on_loaded(self, number: int, message: Loaded) -> None:
        """A worker has loaded a generation, or keeps the one it had; a new one that has none is of no use."""
        slot = self.slots[number]
        if message.ok:
            slot.last_error = ""
        else:
            slot.last_error = error = message.error or "no reason given"
            words = "a worker cannot load a generation"
            self._log.error("load_failed", words, slot=number, generation=message.generation, error=error)
        self.handover.on_loaded(slot, message)
        current = self.handover.current
        if not message.ok and slot.state == "loading" and current is not None and message.generation == current.number:
            self._kill(slot, "it cannot load its first generation")

    def on_active(self, number: int, message: Active) -> None:
        """A worker decides by a generation: from its first one on it serves."""
        slot = self.slots[number]
        self.handover.on_active(slot, message)
        if slot.state == "loading":
            self._became_ready(slot)

    def on_closed(self, number: int, message: Closed) -> None:
        """A worker has emptied and closed sockets that a reload removed."""
        self._sharing.on_closed(self.slots[number], message.sockets)

    def on_full(self, number: int, full: bool) -> None:
        """A worker has no descriptors left for clients, or has some again: meanwhile its siblings accept for it."""
        slot = self.slots[number]
        if slot.state != "ready" or slot.full == full:
            return
        slot.full = full
        self._share(slot)
        if full and self._loop.time() - slot.full_said > FULL_PAUSE:
            slot.full_said = self._loop.time()
            self._log.warning("worker_full", "too few open files are allowed: a worker accepts no client", slot=number)

    def _share(self, slot: Slot) -> None:
        """Siblings accept for a slot as long as it has no worker that serves, or that one is full or stands still."""
        wanted = slot.state != "ready" or slot.full or slot.still > 0
        if slot.state not in ("draining", "stopped") and not self.ending.begun and slot.adopted != wanted:
            slot.adopted = wanted
            self._tell_siblings(slot, contract.ADOPT if wanted else contract.RELEASE)
            words = "siblings accept for a worker" if wanted else "a worker accepts alone again"
            self._log.debug("adopted" if wanted else "released", words, slot=slot.number, full=slot.full)

    def on_drained(self, number: int) -> None:
        """A worker is about to exit."""
        self._log.debug("drained", "a worker has no tunnel left", slot=number)

    # The life of one slot.

    def _start(self, slot: Slot) -> None:
        slot.timer = None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [
            *self._command,
            *(
                "--slot",
                str(slot.number),
                "--slots",
                str(len(self.slots)),
                "--listeners",
                ",".join(map(str, self.sockets.numbers())),
            ),
            *("--bus", self.bus.endpoint if self.bus is not None else ""),
            *(("--shared",) if self.sockets.shared else ()),
        ]
        try:
            ours.setblocking(False)
            shared = (slot.segment.fd, self.limits.fd, self.handover.active.fd, self._lines)
            pid = spawn(command, [theirs.fileno(), *shared, *self.sockets.descriptors()], block=True)
        except OSError as error:
            ours.close()
            self._lost(slot, f"it could not be started: {errno_text(error)}")
            return
        finally:
            theirs.close()
        slot.pid, slot.channel, slot.state = pid, ours, "starting"
        self._sharing.inherited(slot)
        with contextlib.suppress(OSError):
            slot.files = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._reaper.watch(pid, lambda ended: self._on_exit(slot, ended))
        slot.timer = self._loop.call_later(self.timing.hello, self._kill, slot, "it did not send HELLO in time")
        self._log.debug("worker_started", "a worker was started", slot=slot.number, pid=pid)

    def _became_ready(self, slot: Slot) -> None:
        slot.cancel_timer()
        slot.state = "ready"
        slot.full, slot.still = False, 0
        slot.ready_since = self._loop.time()
        slot.timer = self._loop.call_later(self.timing.healthy, self._became_healthy, slot)
        if slot.adopted:
            slot.adopted = False
            self._tell_siblings(slot, contract.RELEASE)
        for orphan in self.slots:
            if orphan.adopted:
                self._send(slot, {"op": contract.ADOPT, "slot": orphan.number})
        if self.ending.drain_seconds is not None:
            self.ending.drain_worker(slot, self.ending.drain_seconds)
        else:
            self._sharing.on_ready(slot)
        self._changed.set()

    def _became_healthy(self, slot: Slot) -> None:
        slot.timer = None
        if slot.crashing:
            self._log.info("crash_loop_over", "a worker serves again", slot=slot.number)
        slot.crashing, slot.failures = False, 0
        slot.deaths.clear()

    def _on_exit(self, slot: Slot, ended: Exit) -> None:
        slot.cancel_timer()
        slot.pid, slot.last_pid = None, slot.pid
        if slot.channel is not None:
            slot.channel.close()
            slot.channel = None
        if slot.files is not None:
            os.close(slot.files)
            slot.files = None
        self.on_death(slot)
        slot.segment.reap()
        self.limits.clear(slot.number)
        self.handover.on_exit(slot)
        self._sharing.on_exit(slot)
        self._lost(slot, str(ended), ended.clean)

    def _lost(self, slot: Slot, why: str, clean: bool = False) -> None:
        """The slot has no process (any more): replace it, unless all are ending."""
        slot.last_exit = why
        if slot.state in ("ready", "draining") and self._loop.time() - slot.ready_since >= self.timing.settled:
            slot.failures = 0
        slot.state = "backoff"
        if not slot.adopted:
            slot.adopted = True
            self._tell_siblings(slot, contract.ADOPT)
        # Else the queues wait for a worker; sockets that are closed here have none.
        if self.ending.begun and (self.ending.settling is None or self.ready() or not self.sockets.listeners):
            slot.state = "stopped"
            if not clean:
                self._log.debug("worker_ended", "a worker ended while stopping", slot=slot.number, how=why)
            self.ending.check()
            return
        delay = 0.0
        if slot.failures:
            delay = min(self.timing.backoff_most, self.timing.backoff_first * 2 ** min(slot.failures - 1, 20))
        slot.failures += 1
        slot.restarts += 1
        self._note_death(slot, why)
        self._log.warning("worker_lost", "a worker ended and is replaced", slot=slot.number, how=why, restart_in=delay)
        # Never from here at once: a spawn that fails would come back to this line.
        slot.timer = self._loop.call_later(delay, self._start, slot)
        self._changed.set()

    def _note_death(self, slot: Slot, why: str) -> None:
        now = self._loop.time()
        slot.deaths.append(now)
        while slot.deaths[0] < now - self.timing.loop:
            slot.deaths.popleft()
        if not slot.crashing and (slot.failures >= CRASH_LOOP or len(slot.deaths) >= CRASH_LOOP):
            slot.crashing = True
            words = f"{len(slot.deaths)} workers of one slot died within {self.timing.loop:g} s"
            self._log.error("crash_loop", words, slot=slot.number, how=why)

    def _look(self) -> None:
        """Whether every loop that serves has turned since the last look. Looks are counted, not seconds: a machine that
        was frozen for an hour is not a reason to kill a worker."""
        self._beat = self._loop.call_later(self.timing.beat, self._look)
        for slot in self.slots:
            turns, slot.turns = slot.turns, slot.segment.counters()["turns"]
            if slot.pid is None or slot.state not in ("ready", "draining"):
                slot.still = 0
                self._share(slot)
                continue
            slot.still = slot.still + 1 if slot.turns == turns else 0
            self._share(slot)
            if slot.still >= self.timing.beats:
                slot.still = 0
                self.hung += 1
                self._kill(slot, f"its loop has not turned for {self.timing.beat * self.timing.beats:g} s")

    def _kill(self, slot: Slot, why: str) -> None:
        slot.cancel_timer()
        if slot.pid is None:
            return
        if why:
            self._log.error("worker_killed", "a worker is killed", slot=slot.number, pid=slot.pid, why=why)
        kill_group(slot.pid)

    def _tell_siblings(self, slot: Slot, op: str) -> None:
        for sibling in self.slots:
            if sibling is not slot and sibling.state == "ready":
                self._send(sibling, {"op": op, "slot": slot.number})

    def _send(self, slot: Slot, message: Mapping[str, object]) -> bool:
        return self.bus is not None and self.bus.send(slot.number, message)

    def _on_ending(self) -> None:
        self._changed.set()
        self._sharing.ended()


def _close_opened(opening: "asyncio.Future[list[OpenListener]]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        for each in opening.result():
            each.close()
