"""The running gateway: everything that is open while it serves. supervisor.py says when, this module says what.

It starts step by step and gives everything back in close(), from whatever step it had reached: no process, no socket
file and no lock is left behind.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import zmq

from gateway import contract
from supervisor import bus as messages
from supervisor.access_log import AccessLog, reopen_or_say
from supervisor.bus import Bus
from supervisor.config import Config
from supervisor.control import ControlServer
from supervisor.endpoint import ControlLock
from supervisor.errors import StartError, errno_text
from supervisor.generation import Generations, Refused
from supervisor.limits import raise_nofile
from supervisor.log import Log
from supervisor.lookup import Lookups
from supervisor.observation import Observation, listed_tunnels
from supervisor.operations import Operations
from supervisor.process import Exit, Reaper, kill_group, spawn
from supervisor.reload import Compiler, Outcome, Reloader
from supervisor.slot import Timing
from supervisor.sockets import ListenerSockets, PortInUse, open_listeners
from supervisor.users import verify_password
from supervisor.verifier import Verifier
from supervisor.workers import Pool

__all__ = ["Companion", "Service"]

# Workers of a gateway that was killed close their sockets as soon as they notice: their ports are waited for so long.
PATIENCE: Final = 2.0
ANSWERS: Final = 0.5  # seconds that answers under way have to leave


@dataclass(slots=True)
class Companion:
    """A child that lives and dies with the gateway. It gets `fds` from 3 up, and as stdin a pipe that ends with us."""

    name: str
    command: Sequence[str]
    fds: Sequence[int] = ()
    pid: int | None = None
    pipe: int | None = field(default=None)


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
    ) -> None:
        """Opens nothing yet."""
        self._loop = loop
        self._reaper = reaper
        self._log = log
        self._worker_command = worker_command
        self._timing = timing
        self.compiler = Compiler(loop, reaper, compile_command)
        self.lookups = Lookups(reaper)
        self.verifier = Verifier(loop, verify_password, self._unchecked)
        self.access_log = AccessLog(self._say_from_thread)
        self.generations = Generations(config_path, self.compiler, self.verifier, self.access_log, log)
        self.reloader = Reloader(loop, self._reload, log)
        self.observation = Observation(self, loop, log)
        self.started_at = time.monotonic()
        self.draining = False
        self.pool: Pool | None = None
        self.bus: Bus | None = None
        self.control: ControlServer | None = None
        self._lock: ControlLock | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._companions: list[Companion] = []

    @property
    def config(self) -> Config:
        """Of the generation in force. Only once started."""
        assert self.generations.current is not None
        return self.generations.current.config

    # Starting.

    async def start(self, companions: Sequence[Companion] = ()) -> None:
        """Returns once the gateway serves. Raises StartError; close() gives back what was opened."""
        self.generations.nofile = raise_nofile()
        try:
            prepared = await self.generations.prepare()
        except Refused as error:
            raise StartError("\n".join(["the configuration cannot be used:", *error.problems])) from None
        config = prepared.config
        try:
            self._lock = ControlLock(config.control)
            sockets = await self._open_sockets(config, self._lock)
            try:
                self.observation.open(config)
            except BaseException:
                sockets.close()
                raise
        except BaseException:
            prepared.discard()
            raise
        generation, _ = await self.generations.commit(prepared, None)
        self._open_parts(sockets, self._lock)
        for companion in companions:
            self._start_companion(companion)
        assert self.pool is not None
        self.pool.start(generation.published())
        await self._wait_for_workers(self.pool)
        self._say_ready(sockets)

    async def _open_sockets(self, config: Config, lock: ControlLock) -> ListenerSockets:
        wanted = [(listener.name, listener.address) for listener in config.listeners]
        deadline = self._loop.time() + (PATIENCE if lock.found_stale else 0)
        while True:
            try:
                return open_listeners(wanted, config.workers)
            except PortInUse:
                if self._loop.time() >= deadline:
                    raise
            await asyncio.sleep(0.05)

    def _open_parts(self, sockets: ListenerSockets, lock: ControlLock) -> None:
        self.pool = Pool(
            self._loop,
            self._reaper,
            self._log,
            sockets,
            command=self._worker_command,
            timing=self._timing,
            tunnel_records=listed_tunnels(self.generations.nofile),
        )
        self.pool.on_death = self.observation.tunnels.worker_died
        self._context = zmq.Context()
        operations = Operations(self)
        try:
            self.bus = self.pool.bus = Bus(self._loop, self._context, lock.bus, self.pool, self._on_message)
            self.control = ControlServer(
                self._loop,
                self._context,
                lock.control,
                lock.stats,
                operations.table(),
                operations.statistics,
                self._log,
                keys=self.generations.keys,
            )
        except zmq.ZMQError as error:
            raise StartError(
                f"control endpoint {lock.control} cannot be opened: {error}", "set another control.endpoint"
            ) from None
        self.observation.serve(self.config, operations)

    async def _wait_for_workers(self, pool: Pool) -> None:
        while not pool.ready():
            await pool.wait_ready(pool.timing.hello + pool.timing.load)
            if why := pool.hopeless():
                raise StartError(f"no worker starts: {why}", "what the workers wrote stands above")
            if not pool.ready():
                self._log.error("not_ready", "no worker serves yet")

    def _say_ready(self, sockets: ListenerSockets) -> None:
        config = self.config
        assert self.pool is not None
        for listener, address in zip(config.listeners, sockets.addresses, strict=True):
            self._log.info(
                "listening",
                f"{listener.protocol} on {address}",
                listener=listener.name,
                auth=listener.auth,
                workers=config.workers,
            )
        self._log.info("control", f"`sluice stats`, `sluice reload` and `sluice drain` reach it at {config.control}")
        late = len(self.pool.slots) - len(self.pool.ready())
        if late:
            self._log.warning("workers_late", f"{late} of {len(self.pool.slots)} workers do not serve yet")
        number = self.generations.current.number if self.generations.current is not None else 0
        self._log.info("ready", "the gateway serves", generation=number, pid=os.getpid())

    def _start_companion(self, companion: Companion) -> None:
        ours: int | None = None
        theirs, ours = os.pipe()
        try:
            companion.pid = spawn(companion.command, companion.fds, stdin=theirs)
        except OSError as error:
            os.close(ours)
            raise StartError(f"{companion.name} cannot be started: {errno_text(error)}") from None
        finally:
            os.close(theirs)
        companion.pipe = ours
        self._companions.append(companion)
        self._reaper.watch(companion.pid, lambda ended: self._companion_ended(companion, ended))

    def _companion_ended(self, companion: Companion, ended: Exit) -> None:
        companion.pid = None
        if companion.pipe is not None:
            os.close(companion.pipe)
            companion.pipe = None
            self._log.warning("companion_ended", f"{companion.name} ended", how=str(ended))

    # Serving.

    def _on_message(self, slot: int, message: messages.Message) -> None:
        assert self.pool is not None
        if isinstance(message, messages.Log):
            self.access_log.write_batch(message.text, message.count, message.level)
        elif isinstance(message, messages.Verify):
            self._verify(slot, message)
        elif isinstance(message, messages.Rejected):
            self.verifier.failed(message.source)
        elif isinstance(message, messages.Hello):
            self.pool.on_hello(slot, message)
        elif isinstance(message, messages.Loaded):
            self.pool.on_loaded(slot, message)
        elif isinstance(message, messages.Full):
            self.pool.on_full(slot, message.full)
        elif isinstance(message, messages.Drained):
            self.pool.on_drained(slot)
        elif isinstance(message, messages.Parent):
            said = self._log.info if message.ok else self._log.warning
            said("upstream", message.text, upstream=message.name, slot=slot)

    def _verify(self, slot: int, message: messages.Verify) -> None:
        pid = self.pool.pid_of(slot) if self.pool is not None else None
        number = message.id

        def answer(result: int, credential: int) -> None:
            # Ids are a worker's own: an answer must not reach the next worker of its slot.
            if self.pool is not None and self.bus is not None and self.pool.pid_of(slot) == pid:
                said = {"op": contract.VERIFIED, "id": number, "result": result, "credential": credential}
                self.bus.send(slot, said)

        self.verifier.check(message.source, message.user, message.password, answer)

    def _unchecked(self, source: int, seconds: float) -> None:
        """Logins of a source fail too often: every worker refuses them for a while."""
        if self.pool is not None and self.bus is not None:
            for slot in self.pool.ready():
                self.bus.send(slot.number, {"op": contract.UNCHECKED, "source": source, "seconds": seconds})

    def reload_by_signal(self) -> None:
        """SIGHUP."""
        self.reloader.request("SIGHUP")

    async def _reload(self, origin: str) -> Outcome:
        if self.draining or self.pool is None:
            return Outcome(False, 0, ["the gateway is draining"])
        outcome = await self.generations.reload(self.pool, origin)
        if self.control is not None:
            self.control.admit(self.generations.keys)
        return outcome

    def reopen_logs(self) -> None:
        """SIGUSR1."""
        reopen_or_say(self.access_log, lambda text: self._log.error("reopen_failed", text))

    def _say_from_thread(self, text: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._log.error, "access_log", text)

    # Ending.

    @property
    def orphans_reaped(self) -> int:
        """Children of others that came to us as PID 1 or subreaper."""
        return self._reaper.orphans

    def drain(self) -> float:
        """Stops accepting; the workers end with their tunnels, at the latest after the seconds returned."""
        assert self.pool is not None
        if not self.draining:
            self.draining = True
            self._log.info("draining", "no new connections are accepted", seconds=self.config.drain)
            self.pool.drain(self.config.drain)
        return self.config.drain

    async def drain_and_wait(self) -> None:
        """Until the last tunnel has ended, or was ended."""
        assert self.pool is not None
        self.drain()
        await self.pool.wait_stopped()

    async def stop_and_wait(self) -> None:
        """Ends every worker now."""
        assert self.pool is not None
        self.draining = True
        self._log.info("stopping", "the gateway stops")
        self.pool.stop()
        await self.pool.wait_stopped()

    async def close(self, patience: float) -> None:
        """Gives everything back, whatever was reached. Children that are left are killed and reaped."""
        self.draining = True
        if self.pool is not None:
            self.pool.kill_all()
        self.compiler.kill()
        for companion in self._companions:
            pipe, companion.pipe = companion.pipe, None
            if companion.pid is not None:
                kill_group(companion.pid)
            if pipe is not None:
                os.close(pipe)
        await self._children_gone(patience)
        await self.reloader.close()
        await self.observation.close(ANSWERS)
        if self.control is not None:
            await self.control.finish(ANSWERS)
            self.control.close()
        if self.bus is not None:
            await self.bus.settle()
            self.bus.close()
        self.verifier.close()
        await self.observation.tunnels.settle()
        await self.access_log.close()
        if self.pool is not None:
            self.pool.close()
        self.generations.close()
        if self._context is not None:
            self._context.destroy(linger=0)
        if self._lock is not None:
            self._lock.release()

    async def _children_gone(self, patience: float) -> None:
        deadline = self._loop.time() + patience
        while self._loop.time() < deadline:
            self._reaper.reap()
            alive = [companion for companion in self._companions if companion.pid is not None]
            workers = [slot for slot in self.pool.slots if slot.pid is not None] if self.pool is not None else []
            if not alive and not workers and self.compiler.pid is None:
                return
            await asyncio.sleep(0.01)
