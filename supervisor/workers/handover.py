"""How a generation comes to all workers at once: prepare, then commit (DECISIONS.md section 5).

    prepare   every live worker loads it and answers LOADED; one that is silent is killed
    commit    one store to the word that all loops read; each answers ACTIVE once it has judged its live tunnels again
    abandon   instead of commit: one worker cannot load it, so that none does

A worker that greets while a generation is being prepared waits for the outcome and gets the active one.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from gateway import contract
from supervisor.host.errors import errno_text
from supervisor.segment.active import ActiveGeneration
from supervisor.workers.bus import Active, Loaded
from supervisor.workers.slot import Published, Slot, Timing

__all__ = ["Handover"]


class Handover:
    """One generation at a time. `send(slot, message)` is the bus's, `kill(slot, why)` the pool's, and `share(slot)`
    gives a worker the listening sockets it lacks, or says why it cannot."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        slots: Sequence[Slot],
        timing: Timing,
        send: Callable[[Slot, Mapping[str, object]], bool],
        kill: Callable[[Slot, str], None],
        share: Callable[[Slot], str],
    ) -> None:
        self._loop = loop
        self._slots = slots
        self._timing = timing
        self._send = send
        self._kill = kill
        self._share = share
        self._waiting: dict[int, asyncio.Future[str]] = {}  # by slot: an error, or "" where all is well
        self._loading: Published | None = None
        self.active = ActiveGeneration()
        self.current: Published | None = None  # what new workers get

    def begin(self, generation: Published) -> None:
        """The first one, before any worker."""
        self.current = generation
        self.active.store(generation.number)

    async def prepare(self, generation: Published) -> list[str]:
        """Every live worker loads it. Returned is, worker by worker, why it cannot be loaded; with an empty list
        commit() has to follow, else abandon()."""
        self._loading = generation
        asked = [slot for slot in self._slots if slot.state in ("loading", "ready")]
        self._wait_for(asked)
        for slot in asked:
            self._give(slot, generation)
        answers = await self._answers(asked, f"it did not answer to a generation within {self._timing.load:g} s")
        return [f"worker {number} cannot load the new generation: {error}" for number, error in answers if error]

    async def commit(self) -> None:
        """Makes the prepared generation active everywhere by one store, and waits until each worker has judged its
        live tunnels by it. Its new sockets are in the channels before that store."""
        assert self._loading is not None
        asked = [slot for slot in self._slots if slot.state in ("loading", "ready") and not slot.held]
        for slot in asked:
            if error := self._share(slot):
                self._kill(slot, error)  # its successor inherits them
        self.current = self._loading
        self.active.store(self.current.number)
        self._wait_for(asked)
        for slot in asked:
            self._send(slot, {"op": contract.ACTIVATE, "generation": self.current.number})  # it may be asleep
        self._settle()
        await self._answers(asked, f"it did not follow a generation within {self._timing.load:g} s")

    def abandon(self) -> None:
        """It does not become active: the old one stays everywhere."""
        assert self._loading is not None
        for slot in self._slots:
            if slot.state in ("loading", "ready", "draining") and not slot.held:
                self._send(slot, {"op": contract.UNLOAD, "generation": self._loading.number})
        self._settle()

    def _settle(self) -> None:
        """The outcome is known: workers that greeted before it get the active generation."""
        self._loading = None
        for slot in self._slots:
            if slot.held:
                slot.held = False
                self.greet(slot)

    def greet(self, slot: Slot) -> None:
        """A new worker gets the active generation, at once or when it is known which that is."""
        if self._loading is not None:
            slot.held = True
        elif self.current is not None:
            slot.cancel_timer()
            words = "it did not load its first generation in time"
            slot.timer = self._loop.call_later(self._timing.load, self._kill, slot, words)
            if error := self._share(slot):
                self._kill(slot, error)
                return
            self._give(slot, self.current)

    # Answers.

    def on_loaded(self, slot: Slot, message: Loaded) -> None:
        """A worker has loaded a generation, or reports why it cannot."""
        if self._loading is not None and message.generation == self._loading.number:
            self._answer(slot, "" if message.ok else message.error or "no reason given")

    def on_active(self, slot: Slot, message: Active) -> None:
        """A worker decides by a generation."""
        if self._loading is None and self.current is not None and message.generation == self.current.number:
            self._answer(slot, "")

    def on_exit(self, slot: Slot) -> None:
        """No live worker any more; the next one in its slot gets what is active."""
        slot.held = False
        self._answer(slot, "")

    def close(self) -> None:
        """Gives the shared word back."""
        self.active.close()

    def _answer(self, slot: Slot, error: str) -> None:
        answer = self._waiting.get(slot.number)
        if answer is not None and not answer.done():
            answer.set_result(error)

    def _wait_for(self, asked: Iterable[Slot]) -> None:
        self._waiting = {slot.number: self._loop.create_future() for slot in asked}

    async def _answers(self, asked: Iterable[Slot], why: str) -> list[tuple[int, str]]:
        """Slots and their errors, once each has answered. One that is silent is killed: its successor does better."""
        waiting = self._waiting
        try:
            if waiting:
                _, silent = await asyncio.wait(waiting.values(), timeout=self._timing.load)
                for slot in asked:
                    if waiting[slot.number] in silent:
                        self._kill(slot, why)
                if silent:
                    await asyncio.wait(silent, timeout=self._timing.stop)  # until it is reaped
            return [(number, answer.result()) for number, answer in waiting.items() if answer.done()]
        finally:
            self._waiting = {}

    # The way to one worker.

    def _give(self, slot: Slot, generation: Published) -> None:
        """The image on the channel, then its announcement on the bus."""
        error = self._give_credentials(slot, generation)
        try:
            if slot.channel is not None and not error:
                packet = msgspec.msgpack.encode({"generation": generation.number})
                socket.send_fds(slot.channel, [packet], generation.files)
        except BlockingIOError:
            error = "it does not read its channel"
        except OSError as failure:
            error = f"its channel is broken: {errno_text(failure)}"
        load = {"op": contract.LOAD, "generation": generation.number, "settings": generation.settings}
        if not error and not self._send(slot, load):
            error = "it does not read the bus"
        if not error:
            return
        if slot.number in self._waiting:
            # Most likely it is dead and not reaped yet; its successor begins with what is active.
            self._loop.call_later(self._timing.reaped, self._unreached, slot, self._waiting[slot.number], error)
        else:
            self._kill(slot, error)

    def renew_credentials(self) -> None:
        """Every worker gets the values of the active generation again: some have changed."""
        for slot in self._slots:
            if self.current is None or slot.held or slot.state not in ("loading", "ready", "draining"):
                continue
            if error := self._give_credentials(slot, self.current):
                self._kill(slot, error)  # it would go on with old values; its successor gets the new ones

    def _give_credentials(self, slot: Slot, generation: Published) -> str:
        """Their values on the channel; why that is not possible, or ""."""
        if slot.channel is None or generation.credentials is None:
            return ""
        try:
            lengths, descriptor = generation.credentials()
            try:
                socket.send_fds(slot.channel, [msgspec.msgpack.encode({"credentials": lengths})], [descriptor])
            finally:
                os.close(descriptor)
        except BlockingIOError:
            return "it does not read its channel"
        except OSError as failure:
            return f"its channel is broken: {errno_text(failure)}"
        return ""

    def _unreached(self, slot: Slot, answer: "asyncio.Future[str]", error: str) -> None:
        if not answer.done():
            self._kill(slot, error)
