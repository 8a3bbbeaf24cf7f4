"""One generation after another: what a compiled configuration becomes, and how it comes in force.

A result is prepared first (everything that can fail: validation, limits, the access log's target), then committed.
Until then nothing has changed; after that every worker has been told.
"""

import asyncio
import dataclasses
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import msgspec

from gateway.contract import Settings
from gateway.policy import PolicyImage
from supervisor.access_log import AccessLog, Opened
from supervisor.compilation import CompileResult
from supervisor.config import Config
from supervisor.curve import ServerKeys, keys_folder, load_server
from supervisor.errors import StartError
from supervisor.host_port import join
from supervisor.limits import tunnel_cap
from supervisor.log import Log
from supervisor.policy.builder import validate
from supervisor.reload import CompileFailed, Compiler, Outcome, restart_needed
from supervisor.rule_slots import RuleSlots
from supervisor.slot import Published
from supervisor.users import dummy_hash
from supervisor.verifier import Verifier
from supervisor.workers import Pool

__all__ = ["Generation", "Generations", "Prepared", "Refused"]


@dataclass(frozen=True, slots=True)
class Generation:
    """What is in force. `config` is as read; where a restart is needed, `settings` are still the old ones."""

    number: int
    image: int
    settings: Settings
    config: Config
    counts: Mapping[str, int]
    warnings: list[str]
    loaded_at: float  # seconds of the monotonic clock

    def published(self) -> Published:
        """As workers get it."""
        return Published(self.number, self.image, cast(Mapping[str, object], self.settings))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A result that can come in force."""

    result: CompileResult
    image: int
    config: Config
    settings: Settings
    dummy: str
    access_log: Opened
    keys: ServerKeys | None
    rule_slots: RuleSlots

    def discard(self) -> None:
        """It does not come in force after all."""
        self.access_log.discard()
        os.close(self.image)


class Refused(Exception):
    """The configuration cannot come in force; `problems` are lines for people."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Generations:
    """The generation in force, and the way to the next one."""

    def __init__(self, path: str, compiler: Compiler, verifier: Verifier, access_log: AccessLog, log: Log) -> None:
        """`path`: of sluice.yaml."""
        self._path = path
        self._compiler = compiler
        self._verifier = verifier
        self._access_log = access_log
        self._log = log
        self._warned = ""
        self._mapping: tuple[int, PolicyImage] | None = None  # of which generation
        self.nofile = 1024  # open files that each process may have
        self.current: Generation | None = None
        self.keys: ServerKeys | None = None  # of a control endpoint over tcp://
        self.rule_slots = RuleSlots()
        self.reloads = {"ok": 0, "failed": 0}
        self.last_problems: list[str] = []
        self.restart_needed: list[str] = []

    async def prepare(self) -> Prepared:
        """Compiles the files as they are now, and checks everything that can be checked. Raises Refused."""
        try:
            result = await self._compiler.compile(self._path, self._serving(), self.rule_slots.known())
        except CompileFailed as error:
            raise Refused([str(error)]) from None
        image = result.image
        try:
            if not result.ok or result.config is None or result.settings is None or image is None:
                raise Refused(result.problem_lines() or ["the compile process gave no reason"])
            slots = self.rule_slots.followed_by(result.rule_slots)
            # On a thread: a large image takes longer than the loop may stand still.
            await asyncio.to_thread(validate, image)
            dummy = await asyncio.to_thread(dummy_hash, result.users.values())
            settings = self._with_limits(result.config, result.settings)
            keys = self._read_keys(result.config)
            opened = self._access_log.open(result.config.logs.access)
        except (StartError, ValueError, OSError) as error:
            _close(image)
            raise Refused([str(error)]) from None
        except BaseException:
            _close(image)
            raise
        return Prepared(result, image, result.config, settings, dummy, opened, keys, slots)

    async def commit(self, prepared: Prepared, pool: Pool | None) -> tuple[Generation, list[str]]:
        """Puts it in force; the answer says which workers did not follow. Without a pool only the supervisor
        changes."""
        old = self.current
        self._mapping = None
        self.rule_slots = prepared.rule_slots
        self.current = new = Generation(
            number=old.number + 1 if old is not None else 1,
            image=prepared.image,
            settings=prepared.settings,
            config=prepared.config,
            counts=prepared.result.counts,
            warnings=prepared.result.warning_lines(),
            loaded_at=time.monotonic(),
        )
        self.keys = prepared.keys
        self._verifier.set_users(prepared.result.users, prepared.dummy, prepared.config.limits.login_failures)
        self._log.set_level(prepared.config.logs.level)
        self._access_log.take(prepared.access_log)
        for warning in new.warnings:
            self._log.warning("configuration", warning)
        problems = await pool.publish(new.published()) if pool is not None else []
        if old is not None:
            os.close(old.image)
        return new, problems

    async def mapped(self, generation: Generation) -> PolicyImage:
        """The image of the generation in force, mapped once, and until the next one. On a thread: the checksum of a
        large one takes longer than a turn may."""
        if self._mapping is None or self._mapping[0] != generation.number:
            own = os.dup(generation.image)  # a reload may close the other one meanwhile
            try:
                image = await asyncio.to_thread(PolicyImage.from_fd, own)
            finally:
                os.close(own)
            if generation is not self.current:
                return image
            self._mapping = (generation.number, image)
        return self._mapping[1]

    async def reload(self, pool: Pool, origin: str) -> Outcome:
        """One reload, start to end. Does not raise for what is wrong in files."""
        assert self.current is not None
        self._log.info("reload", "the configuration is read again", origin=origin)
        try:
            prepared = await self.prepare()
        except Refused as error:
            return self._failed(error.problems)
        running = self.current
        if pool.ending:
            prepared.discard()
            return self._failed(["the gateway is draining"])
        changed = restart_needed(running.config, prepared.config)
        new, problems = await self.commit(self._keeping(running, prepared, changed), pool)
        self.restart_needed = changed
        if changed:
            self._log.warning("restart_needed", f"changed, and in force only after a restart: {', '.join(changed)}")
        if problems:
            return self._failed(problems)
        self.reloads["ok"] += 1
        self.last_problems = []
        self._log.info("reloaded", "a new generation is in force", generation=new.number)
        return Outcome(True, new.number, [], new.warnings, changed)

    def close(self) -> None:
        """Gives the image back."""
        if self.current is not None:
            os.close(self.current.image)
            self.current = self._mapping = None

    def _read_keys(self, config: Config) -> ServerKeys | None:
        """Those of the endpoint in force: a changed one waits for a restart. Raises StartError."""
        control = self.current.config.control if self.current is not None else config.control
        return load_server(keys_folder(self._path)) if control.startswith("tcp://") else None

    def _serving(self) -> list[str]:
        """The addresses in force, which a changed sluice.yaml may no longer name: no tunnel may lead there either."""
        if self.current is None:
            return []
        return [join(host, port) for host, port in self.current.config.endpoints()]

    def _failed(self, problems: list[str]) -> Outcome:
        self.reloads["failed"] += 1
        self.last_problems = problems
        for problem in problems:
            self._log.error("reload_failed", problem)
        generation = self.current.number if self.current is not None else 0
        return Outcome(False, generation, problems)

    def _with_limits(self, config: Config, settings: Settings) -> Settings:
        """The tunnels that the limit of open files allows."""
        workers = self.current.config.workers if self.current is not None else config.workers
        cap, warning = tunnel_cap(config.limits.tunnels, config.limits.tunnels_set, workers, self.nofile)
        if warning and warning != self._warned:
            self._log.warning("tunnels_limited", warning)
        self._warned = warning
        changed = settings.copy()
        changed["limits"] = settings["limits"].copy()
        changed["limits"]["tunnels"] = cap
        return changed

    @staticmethod
    def _keeping(running: Generation, prepared: Prepared, changed: list[str]) -> Prepared:
        """The sockets are those of the start: what changed about them waits for a restart, and is reported until
        then."""
        settings = prepared.settings
        if "listeners" in changed:
            settings = settings.copy()
            settings["listeners"] = running.settings["listeners"]
        config = msgspec.structs.replace(prepared.config, **{key: getattr(running.config, key) for key in changed})
        return dataclasses.replace(prepared, config=config, settings=settings)


def _close(image: int | None) -> None:
    if image is not None:
        os.close(image)
