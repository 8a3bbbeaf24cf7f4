"""The worker slots: each has a segment and sockets for life, and one worker process after another.

A slot's worker goes through these states; whoever dies is replaced on the same sockets, by whatever way it died:

    starting --HELLO--> loading --LOADED--> ready --DRAIN--> draining --exit--> stopped
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

import msgspec

from gateway import contract
from supervisor.bus import Bus, Hello, Loaded
from supervisor.errors import errno_text
from supervisor.limit_table import LimitTable
from supervisor.log import Log
from supervisor.process import Exit, Reaper, kill_group, python_command, spawn
from supervisor.segment import Segment
from supervisor.slot import Published, Slot, Timing
from supervisor.sockets import ListenerSockets

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
        tunnel_records: int = 1024,
    ) -> None:
        """`tunnel_records`: how many live tunnels of one worker can be listed."""
        self._loop = loop
        self._reaper = reaper
        self._log = log
        self._sockets = sockets
        self._command = list(command)
        self.timing = timing or Timing()
        self.slots: list[Slot] = []
        self.bus: Bus | None = None
        self.on_death: Callable[[Slot], None] = lambda slot: None  # before the slot is reaped
        self.current: Published | None = None
        self.ending = False  # draining or stopping: nobody is replaced
        self._settling: asyncio.TimerHandle | None = None  # between drain() and DRAIN
        self._drain_seconds: float | None = None  # once DRAIN was sent
        self.hung = 0  # workers killed because their loop stood still
        self._beat: asyncio.TimerHandle | None = None
        self._stopped = asyncio.Event()
        self._changed = asyncio.Event()
        self.limits = LimitTable(len(sockets.sockets))
        try:
            for number in range(len(sockets.sockets)):
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
        """Starts a worker in every slot; each gets `generation` when it says HELLO."""
        self.current = generation
        for slot in self.slots:
            self._start(slot)
        self._beat = self._loop.call_later(self.timing.beat, self._look)

    async def wait_ready(self, timeout: float) -> None:
        """Returns once every slot is ready, none can be (see hopeless), or `timeout` seconds are over."""
        deadline = self._loop.time() + timeout
        while len(self.ready()) < len(self.slots) and not self.hopeless() and not self.ending:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - self._loop.time())
            except TimeoutError:
                return

    async def publish(self, generation: Published) -> list[str]:
        """Hands a generation to every live worker and waits for all of them. Returns what went wrong, worker by
        worker."""
        self.current = generation
        waiting = {}
        for slot in self.slots:
            if slot.state in ("loading", "ready"):
                slot.waiting[generation.number] = waiting[slot.number] = self._loop.create_future()
                self._give(slot, generation)
        if waiting:
            await asyncio.wait(waiting.values(), timeout=self.timing.load)
        problems = []
        for number, answer in waiting.items():
            self.slots[number].waiting.pop(generation.number, None)
            late = f"no answer within {self.timing.load:g} s"
            error = answer.result() if answer.done() else late
            if error:
                self.slots[number].last_error = error
                problems.append(f"worker {number} keeps generation {self.slots[number].generation}: {error}")
            answer.cancel()
        return problems

    def drain(self, seconds: float) -> None:
        """No new connections; workers end with their last tunnel, at the latest after `seconds`.

        Everything the kernel has said yes to is served: first no new handshake begins, then those under way end in the
        queues, then the workers empty these. Nobody is replaced from here on; only a worker that is still starting is
        waited for where no other is there to empty the queues."""
        if self.ending:
            return
        self.ending = True
        self._sockets.refuse_new()
        left = max(0.0, seconds - self.timing.settle)
        self._settling = self._loop.call_later(self.timing.settle, self._drain_workers, left)

    def _drain_workers(self, seconds: float) -> None:
        self._settling = None
        self._drain_seconds = seconds
        serving = bool(self.ready())
        for slot in self.slots:
            if slot.state != "ready" and not slot.adopted:
                slot.adopted = True
                self._tell_siblings(slot, contract.ADOPT)
        for slot in self.slots:
            if slot.state == "ready":
                self._drain_worker(slot, seconds)
            elif slot.pid is not None and serving:
                slot.cancel_timer()
                self._kill(slot, "")  # it serves nobody yet
            elif slot.pid is None:
                slot.cancel_timer()
                slot.state = "stopped"
        # The workers hold copies and accept what is queued; ours would only keep a queue that nobody empties.
        self._sockets.close()
        self._check_stopped()

    def _drain_worker(self, slot: Slot, seconds: float) -> None:
        slot.cancel_timer()
        if not self._send(slot, {"op": contract.DRAIN, "seconds": seconds}):
            self._kill(slot, "it does not read the bus")
            return
        slot.state = "draining"
        slot.timer = self._loop.call_later(
            seconds + self.timing.drain_grace, self._kill, slot, "it did not drain in time"
        )

    def stop(self) -> None:
        """Ends every worker now: STOP, and SIGKILL for whoever does not."""
        self.ending = True
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        for slot in self.slots:
            slot.cancel_timer()
            if slot.pid is None:
                slot.state = "stopped"
            elif self._send(slot, {"op": contract.STOP}):
                slot.state = "draining"
                slot.timer = self._loop.call_later(self.timing.stop, self._kill, slot, "it did not stop in time")
            else:
                self._kill(slot, "")
        self._sockets.close()
        self._check_stopped()

    async def wait_stopped(self) -> None:
        """After drain() or stop(): until the last worker has been reaped."""
        await self._stopped.wait()

    def kill_all(self) -> None:
        """The last resort of a failing supervisor."""
        self.ending = True
        for slot in self.slots:
            slot.cancel_timer()
            if slot.pid is not None:
                kill_group(slot.pid)

    def close(self) -> None:
        """Gives back what belongs to the slots. Only once no worker is left."""
        for timer in (self._beat, self._settling):
            if timer is not None:
                timer.cancel()
        for slot in self.slots:
            slot.cancel_timer()
            if slot.channel is not None:
                slot.channel.close()
            slot.segment.close()
        self.limits.close()
        self.slots = []
        self._sockets.close()

    # What workers say.

    def on_hello(self, number: int, message: Hello) -> None:
        """A new worker is connected: it gets the generation in force."""
        slot = self.slots[number]
        if slot.state != "starting" or message.pid != slot.pid or self.current is None:
            return
        slot.state = "loading"
        slot.cancel_timer()
        slot.timer = self._loop.call_later(
            self.timing.load, self._kill, slot, "it did not load its first generation in time"
        )
        self._give(slot, self.current)

    def on_loaded(self, number: int, message: Loaded) -> None:
        """A worker serves by a generation, or keeps the one it had; a new one that has none is of no use."""
        slot = self.slots[number]
        error = "" if message.ok else message.error or "no reason given"
        if message.ok:
            slot.generation = message.generation
            slot.last_error = ""
        else:
            slot.last_error = error
            self._log.error(
                "load_failed",
                "a worker cannot load a generation",
                slot=number,
                generation=message.generation,
                error=error,
            )
        answer = slot.waiting.pop(message.generation, None)
        if answer is not None and not answer.done():
            answer.set_result(error)
        if slot.state == "loading" and self.current is not None and message.generation == self.current.number:
            if message.ok:
                self._became_ready(slot)
            else:
                self._kill(slot, "it cannot load its first generation")

    def on_full(self, number: int, full: bool) -> None:
        """A worker has no descriptors left for clients, or has some again: meanwhile its siblings accept for it."""
        slot = self.slots[number]
        if slot.state != "ready" or slot.full == full:
            return
        slot.full = full
        self._share(slot)
        if full and self._loop.time() - slot.full_said > FULL_PAUSE:
            slot.full_said = self._loop.time()
            self._log.warning("worker_full", "too few open files are allowed: a worker accepts nobody", slot=number)

    def _share(self, slot: Slot) -> None:
        """Siblings accept for a slot as long as it has no worker that serves, or that one is full or stands still."""
        wanted = slot.state != "ready" or slot.full or slot.still > 0
        if slot.state not in ("draining", "stopped") and not self.ending and slot.adopted != wanted:
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
                str(len(self._sockets.addresses)),
            ),
            *("--bus", self.bus.endpoint if self.bus is not None else ""),
        ]
        try:
            ours.setblocking(False)
            shared = (slot.segment.fd, self.limits.fd)
            pid = spawn(command, [theirs.fileno(), *shared, *self._sockets.descriptors()], block=True)
        except OSError as error:
            ours.close()
            self._lost(slot, f"it could not be started: {errno_text(error)}")
            return
        finally:
            theirs.close()
        slot.pid, slot.channel, slot.state = pid, ours, "starting"
        with contextlib.suppress(OSError):
            slot.files = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        slot.generation = 0
        self._reaper.watch(pid, lambda ended: self._on_exit(slot, ended))
        slot.timer = self._loop.call_later(self.timing.hello, self._kill, slot, "it did not say HELLO in time")
        self._log.debug("worker_started", "a worker was started", slot=slot.number, pid=pid)

    def _give(self, slot: Slot, generation: Published) -> None:
        """The image on the channel, then its announcement on the bus."""
        error = ""
        try:
            if slot.channel is not None:
                packet = msgspec.msgpack.encode({"generation": generation.number})
                socket.send_fds(slot.channel, [packet], [generation.image])
        except BlockingIOError:
            error = "it does not read its channel"
        except OSError as failure:
            error = f"its channel is broken: {errno_text(failure)}"
        if not error and not self._send(
            slot, {"op": contract.LOAD, "generation": generation.number, "settings": generation.settings}
        ):
            error = "it does not read the bus"
        if error and slot.state == "loading":
            self._kill(slot, error)
        elif error:
            # Most likely it is dead and not reaped yet; its successor will begin with this generation.
            self._loop.call_later(self.timing.reaped, self._unreached, slot, generation.number, error)

    def _unreached(self, slot: Slot, generation: int, error: str) -> None:
        answer = slot.waiting.get(generation)
        if answer is not None and not answer.done():
            answer.set_result(error)

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
        if self._drain_seconds is not None:
            self._drain_worker(slot, self._drain_seconds)
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
        for answer in slot.waiting.values():
            if not answer.done():
                answer.set_result("")  # no live worker any more; the next one in its slot gets the current generation
        slot.waiting.clear()
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
        if self.ending and (self._settling is None or self.ready()):  # else the queues wait for somebody
            slot.state = "stopped"
            if not clean:
                self._log.debug("worker_ended", "a worker ended while stopping", slot=slot.number, how=why)
            self._check_stopped()
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
        was frozen for an hour is no reason to kill anybody."""
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

    def _check_stopped(self) -> None:
        self._changed.set()
        if self.ending and all(slot.pid is None for slot in self.slots):
            self._stopped.set()
