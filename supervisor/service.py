"""The running gateway: everything that is open while it serves. supervisor.py says when, this module says what.

It starts step by step and gives everything back in close(), from whatever step it had reached: no process, no socket
file and no lock is left behind.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import zmq

from gateway import contract
from supervisor.companion import Companion, Companions
from supervisor.config.config import Config
from supervisor.control.control import ControlServer
from supervisor.generation.generation import Refused
from supervisor.generation.reload import RENEWAL, Outcome
from supervisor.generation.renewal import FileWatch
from supervisor.host.endpoint import ControlLock
from supervisor.host.errors import StartError
from supervisor.host.inherited import Inherited
from supervisor.host.limits import raise_nofile
from supervisor.host.listening import ListenerSockets
from supervisor.host.notify import Notifier
from supervisor.host.reaper import Reaper
from supervisor.host.takeover import Giver, Offer
from supervisor.logs.access_log import reopen_or_say
from supervisor.logs.log import Log
from supervisor.observation import Observation, listed_tunnels
from supervisor.operations import Operations, version
from supervisor.running import Running
from supervisor.succession import Succession
from supervisor.workers import bus as messages
from supervisor.workers.bus import Bus
from supervisor.workers.pool import Pool
from supervisor.workers.slot import Timing

__all__ = ["Service"]

ANSWERS: Final = 0.5  # seconds that answers under way have to leave


class Service:
    """Everything runs in the event loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reaper: Reaper,
        log: Log,
        config_path: str,
        worker_command: Sequence[str],
        compile_command: Sequence[str],
        timing: Timing | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        """Opens nothing yet."""
        self._loop = loop
        self._reaper = reaper
        self._log = log
        self._worker_command = worker_command
        self._timing = timing
        self._running = Running(
            loop, reaper, log, config_path, compile_command,
            reload=self._reload, unchecked=self._unchecked, complain=self._say_from_thread,
        )  # fmt: skip
        self._observation = Observation(self._running, loop, log)
        self._lock: ControlLock | None = None
        self._succession = Succession(loop, log, notifier)
        self._giver: Giver | None = None
        self.handed_over = asyncio.Event()  # to `successor`, a pid
        self.successor = 0
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._companions = Companions(reaper, log)
        self._watches: list[asyncio.Task[None]] = []  # of files that change on disk

    @property
    def config(self) -> Config:
        """Of the active generation. Only once started."""
        assert self._running.generations.current is not None
        return self._running.generations.current.config

    def workers(self) -> list[int]:
        """Process ids of the live workers."""
        return [slot.pid for slot in self._running.slots if slot.pid is not None]

    # Starting.

    async def start(
        self, companions: Sequence[Companion] = (), takeover: bool = False, inherited: Inherited | None = None
    ) -> None:
        """Returns once the gateway serves. Raises StartError; close() gives back what was opened. `takeover`: from the
        gateway that runs with this endpoint, if there is one. `inherited`: sockets that a service manager has."""
        self._running.generations.nofile = raise_nofile()
        try:
            prepared = await self._running.generations.prepare()
        except Refused as error:
            raise StartError("\n".join(["the configuration cannot be used:", *error.problems])) from None
        config = prepared.config
        try:
            if takeover:
                await self._succession.take(config)
            taken = self._succession.taken
            self._lock = ControlLock(config.control, taken.lock if taken is not None else None)
            sockets = await self._succession.open(config, self._lock, inherited or Inherited())
            try:
                self._observation.endpoints.open(config, taken.named("admin", "metrics") if taken is not None else ())
            except BaseException:
                sockets.close()
                raise
        except BaseException:
            prepared.discard()
            raise
        generation = self._running.generations.commit(prepared)
        pool = self._open_pool(sockets, self._lock)
        if taken is None:
            self._open_control(self._lock)
        for companion in companions:
            self._companions.start(companion)
        pool.start(generation.published())
        self._running.aim_spans(version())
        await self._wait_for_workers(pool)
        await self._finish_takeover(self._lock)
        self._succession.keep()
        self._giver = Giver(self._loop, self._lock.takeover, self._offer, self._hand_over, self._say_of_takeover)
        self._say_ready(sockets)
        for watch in (
            FileWatch(self._marks, self._renew),
            FileWatch(self._credential_marks, self._renew_credentials),
        ):
            self._watches.append(self._loop.create_task(watch.run()))

    def _marks(self) -> Mapping[str, str]:
        current = self._running.generations.current
        return current.marks if current is not None and not self._running.draining else {}

    def _credential_marks(self) -> Mapping[str, str]:
        current = self._running.generations.current
        return current.credentials.marks if current is not None and current.credentials is not None else {}

    async def _renew_credentials(self) -> None:
        if self._running.pool is not None:
            await self._running.generations.renew_credentials(self._running.pool)

    async def _renew(self) -> None:
        await asyncio.shield(self._running.reloader.request(RENEWAL))

    async def _finish_takeover(self, lock: ControlLock) -> None:
        """Workers serve here: the endpoint is ours."""
        if self._succession.taken is not None:
            await self._succession.finish(lock)
            self._open_control(lock)

    def _open_pool(self, sockets: ListenerSockets, lock: ControlLock) -> Pool:
        running = self._running
        pool = running.pool = Pool(
            self._loop,
            self._reaper,
            self._log,
            sockets,
            command=self._worker_command,
            timing=self._timing,
            lines=self._observation.lines.fd,
            tunnel_records=listed_tunnels(running.generations.nofile),
        )
        pool.on_death = self._observation.tunnels.worker_died
        self._context = zmq.Context()
        try:
            running.bus = pool.bus = Bus(self._loop, self._context, lock.bus, pool, self._on_message)
        except zmq.ZMQError as error:
            raise _unopened(lock.bus, error) from None
        return pool

    def _open_control(self, lock: ControlLock) -> None:
        running = self._running
        assert self._context is not None
        operations = Operations(running, self._observation, self.drain)
        try:
            running.control = ControlServer(
                self._loop,
                self._context,
                lock.control,
                lock.stats,
                operations.table(),
                operations.statistics,
                self._log,
                keys=running.generations.keys,
            )
        except zmq.ZMQError as error:
            raise _unopened(lock.control, error) from None
        self._observation.serve(self.config, operations.table(), operations.version)

    async def _wait_for_workers(self, pool: Pool) -> None:
        while not pool.ready():
            await pool.wait_ready(pool.timing.hello + pool.timing.load)
            if why := pool.hopeless():
                raise StartError(f"no worker starts: {why}", "what the workers wrote stands above")
            if not pool.ready():
                self._log.error("not_ready", "no worker serves yet")

    def _say_ready(self, sockets: ListenerSockets) -> None:
        config = self.config
        assert self._running.pool is not None
        for listener, opened in zip(config.listeners, sockets.listeners, strict=True):
            self._log.info(
                "listening",
                f"{listener.protocol} on {opened.address}",
                listener=listener.name,
                auth=listener.auth,
                workers=config.workers,
            )
        words = f"`sluice stats -c {config.path}` asks at {config.control}; so do reload, tunnels and drain"
        self._log.info("control", words)
        slots = self._running.pool.slots
        late = len(slots) - len(self._running.pool.ready())
        if late:
            self._log.warning("workers_late", f"{late} of {len(slots)} workers do not serve yet")
        number = self._running.generations.current.number if self._running.generations.current is not None else 0
        self._log.info("ready", "the gateway serves", generation=number, pid=os.getpid())

    # Serving.

    def _on_message(self, slot: int, message: messages.Message) -> None:
        pool = self._running.pool
        assert pool is not None
        if isinstance(message, messages.Verify):
            self._verify(slot, message)
        elif isinstance(message, messages.VerifyToken):
            self._verify_token(slot, message)
        elif isinstance(message, messages.Rejected):
            self._running.verifier.failed(message.source)
        elif isinstance(message, messages.Hello):
            pool.on_hello(slot, message)
        elif isinstance(message, messages.Loaded):
            pool.on_loaded(slot, message)
        elif isinstance(message, messages.Active):
            pool.on_active(slot, message)
        elif isinstance(message, messages.Full):
            pool.on_full(slot, message.full)
        elif isinstance(message, messages.Closed):
            pool.on_closed(slot, message)
        elif isinstance(message, messages.Drained):
            pool.on_drained(slot)
        elif isinstance(message, messages.Parent):
            said = self._log.info if message.ok else self._log.warning
            said("upstream", message.text, upstream=message.name, slot=slot)

    def _verify(self, slot: int, message: messages.Verify) -> None:
        answer = self._answer_to(slot, message.id)
        self._running.verifier.check(
            message.source,
            message.user,
            message.password,
            lambda result, credential: answer({"result": result, "credential": credential}),
        )

    def _verify_token(self, slot: int, message: messages.VerifyToken) -> None:
        answer = self._answer_to(slot, message.id)
        self._running.verifier.check_token(
            message.source,
            message.token,
            lambda result, facts, reason: answer({"result": result, "token": facts, "reason": reason}),
        )

    def _answer_to(self, slot: int, number: int) -> Callable[[dict[str, object]], None]:
        """Sends the answer to a check of the worker that lives in a slot now."""
        pid = self._running.pool.pid_of(slot) if self._running.pool is not None else None

        def answer(verdict: dict[str, object]) -> None:
            # Ids are a worker's own: an answer must not reach the next worker of its slot.
            pool, bus = self._running.pool, self._running.bus
            if pool is not None and bus is not None and pool.pid_of(slot) == pid:
                bus.send(slot, {"op": contract.VERIFIED, "id": number, **verdict})

        return answer

    def _unchecked(self, source: int, seconds: float) -> None:
        """Logins of a source fail too often: every worker refuses them for a while."""
        if self._running.pool is not None and self._running.bus is not None:
            for slot in self._running.pool.ready():
                self._running.bus.send(slot.number, {"op": contract.UNCHECKED, "source": source, "seconds": seconds})

    def reload_by_signal(self) -> None:
        """SIGHUP."""
        self._running.reloader.request("SIGHUP")

    async def _reload(self, origin: str) -> Outcome:
        if self._running.draining or self._running.pool is None:
            return Outcome(False, 0, ["the gateway is draining"])
        if origin == RENEWAL:
            return await self._running.generations.renew(self._running.pool)
        outcome = await self._running.generations.reload(self._running.pool, origin)
        if outcome.listeners:
            self._succession.keep()
        self._running.aim_spans(version())
        if self._running.control is not None:
            self._running.control.admit(self._running.generations.keys)
        return outcome

    def reopen_logs(self) -> None:
        """SIGUSR1."""
        reopen_or_say(self._running.access_log, lambda text: self._log.error("reopen_failed", text))

    def _say_from_thread(self, text: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._log.error, "access_log", text)

    # Ending.

    def drain(self) -> float:
        """Stops accepting; the workers end with their tunnels, at the latest after the seconds returned."""
        assert self._running.pool is not None
        if not self._running.draining:
            self._running.draining = True
            self._log.info("draining", "no new connections are accepted", seconds=self.config.drain)
            if self._giver is not None:
                self._giver.close()
            self._running.compiler.kill()  # there is no reload any more
            self._succession.drain(self._running.pool, self.config)
        return self.config.drain

    # Handing over.

    def _offer(self) -> Offer:
        if self._running.draining or self._lock is None:
            raise StartError("it is draining")
        sockets, managed = self._succession.offered()
        return Offer(self._lock.descriptor, [*sockets, *self._observation.endpoints.sockets()], managed)

    async def _hand_over(self, pid: int, kept: Sequence[str] | None) -> None:
        """Leaves the endpoint to another gateway, whose workers accept already at the addresses `kept`, and drains."""
        running, lock = self._running, self._lock
        if running.draining or lock is None or running.pool is None:
            return
        running.draining = True
        running.compiler.kill()
        lock.hand_over()
        self.successor = pid
        words = "another process serves from here on; this one drains"
        self._log.info("handed_over", words, successor=pid, seconds=self.config.drain)
        await self._observation.close(ANSWERS)
        control, running.control = running.control, None
        if control is not None:
            await control.finish(ANSWERS)
            control.close()
            await lock.left(ANSWERS)
        self._succession.hand_over(running.pool, self.config, kept)
        self.handed_over.set()

    def _say_of_takeover(self, event: str, words: str, pid: int) -> None:
        said = self._log.info if event == "takeover" else self._log.warning
        said(event, words, process=pid)

    def serves(self) -> bool:
        """Whether a worker takes clients, has some, or does so from one moment to the next."""
        return self._running.pool is not None and self._running.pool.serves()

    async def drain_and_wait(self) -> None:
        """Until the last tunnel has ended, or was ended."""
        assert self._running.pool is not None
        self.drain()
        await self._running.pool.ending.wait_stopped()

    async def stop_and_wait(self) -> None:
        """Ends every worker now."""
        assert self._running.pool is not None
        self._running.draining = True
        self._log.info("stopping", "the gateway stops")
        self._running.pool.ending.stop()
        await self._running.pool.ending.wait_stopped()

    async def close(self, patience: float) -> None:
        """Gives everything back, whatever was reached. Children that are left are killed and reaped."""
        self._running.draining = True
        for watch in self._watches:
            watch.cancel()
        if self._giver is not None:
            self._giver.close()
        self._succession.close()
        if self._running.pool is not None:
            self._running.pool.kill_all()
        self._running.compiler.kill()
        self._companions.kill()
        await self._children_gone(patience)
        await self._running.reloader.close()
        await self._observation.close(ANSWERS)
        if self._running.control is not None:
            await self._running.control.finish(ANSWERS)
            self._running.control.close()
        if self._running.bus is not None:
            self._running.bus.close()
        self._running.verifier.close()
        self._observation.lines.close()
        await self._running.spans.close()
        await self._observation.tunnels.settle()
        await self._running.access_log.close()
        if self._running.pool is not None:
            self._running.pool.close()
        self._running.generations.close()
        if self._context is not None:
            self._context.destroy(linger=0)
        if self._lock is not None:
            self._lock.release()

    async def _children_gone(self, patience: float) -> None:
        deadline = self._loop.time() + patience
        while self._loop.time() < deadline:
            self._reaper.reap()
            workers = [slot for slot in self._running.slots if slot.pid is not None]
            if self._companions.gone() and not workers and self._running.compiler.pid is None:
                return
            await asyncio.sleep(0.01)


def _unopened(endpoint: str, error: zmq.ZMQError) -> StartError:
    return StartError(f"control endpoint {endpoint} cannot be opened: {error}", "set another control.endpoint")
