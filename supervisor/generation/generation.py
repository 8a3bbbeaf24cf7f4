"""One generation after another: what a compiled configuration becomes, and how it takes effect.

A result is prepared first (everything that can fail: validation, limits, the access log's target, loading by every
worker), then committed. Until then nothing has changed; from that moment on every worker decides by it.
"""

import asyncio
import dataclasses
import itertools
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec

from gateway.contract import Settings
from gateway.policy.image import PolicyImage
from supervisor.config.config import Config
from supervisor.config.tls import ClientTls, Expiry
from supervisor.control.curve import ServerKeys, keys_folder, load_server
from supervisor.generation.compilation import CompileResult
from supervisor.generation.compiler import CompileFailed, Compiler
from supervisor.generation.credentials import CredentialValues
from supervisor.generation.listeners import listener_changes, placed
from supervisor.generation.reload import Outcome, restart_needed
from supervisor.generation.renewal import read_again, renewed
from supervisor.generation.replaced_image import ReplacedImage
from supervisor.generation.tickets import TicketSecret
from supervisor.host.errors import StartError
from supervisor.host.limits import tunnel_cap
from supervisor.identity.passwords import dummy_hash
from supervisor.identity.tokens import TokenReader
from supervisor.identity.verifier import Verifier
from supervisor.logs.access_log import AccessLog, Opened
from supervisor.logs.log import Log
from supervisor.policy.builder import validate
from supervisor.segment.rule_slots import RuleSlots
from supervisor.workers.pool import Pool
from supervisor.workers.slot import Published

__all__ = ["Generation", "Generations", "Prepared", "Refused"]


@dataclass(frozen=True, slots=True)
class Generation:
    """The active configuration. `config` is as read; where a restart is needed, `settings` are still the old ones."""

    number: int
    image: int
    settings: Settings
    config: Config
    counts: Mapping[str, int]
    warnings: list[str]
    loaded_at: float  # seconds of the monotonic clock
    rules: bytes = b""  # rule_listing.py
    originations: Mapping[str, ClientTls] = field(default_factory=dict)  # TLS of rules, by the image's text
    expiries: Sequence[Expiry] = ()  # of certificates and revocation lists
    marks: Mapping[str, str] = field(default_factory=dict)  # of their files and those of keys, as they were read
    workloads: int | None = None  # the table of workloads; None: no pod is known
    credentials: CredentialValues | None = None  # None: there are none

    @property
    def files(self) -> tuple[int, ...]:
        """The descriptors that it holds."""
        return (self.image,) if self.workloads is None else (self.image, self.workloads)

    def published(self) -> Published:
        """As workers get it."""
        share = self.credentials.share if self.credentials is not None else None
        return Published(self.number, self.files, cast(Mapping[str, object], self.settings), share)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A result that can become active."""

    result: CompileResult
    image: int
    config: Config
    settings: Settings
    dummy: str
    access_log: Opened
    keys: ServerKeys | None
    rule_slots: RuleSlots
    tokens: TokenReader
    credentials: CredentialValues | None = None

    def discard(self) -> None:
        """It does not become active after all."""
        self.access_log.discard()
        if self.credentials is not None:
            self.credentials.close()
        self.result.close()


class Refused(Exception):
    """The configuration cannot take effect; `problems` are lines for people."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Generations:
    """The active generation, and the way to the next one."""

    def __init__(self, path: str, compiler: Compiler, verifier: Verifier, access_log: AccessLog, log: Log) -> None:
        """`path`: of sluice.yaml."""
        self._path = path
        self._compiler = compiler
        self._verifier = verifier
        self._access_log = access_log
        self._log = log
        self._warned = ""
        self._mapping: tuple[int, PolicyImage] | None = None  # of which generation
        self._replaced = ReplacedImage()
        self._number = 0  # given last; one that no worker could load is not given again
        self._credential_numbers = itertools.count(1)
        self.nofile = 1024  # open files that each process may have
        self.current: Generation | None = None
        self.keys: ServerKeys | None = None  # of a control endpoint over tcp://
        self._tickets = TicketSecret()
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
            tokens = await asyncio.to_thread(TokenReader, result.issuers)
            credentials = await self._read_credentials(result.config)
            settings = self._with_limits(result.config, result.settings, credentials)
            keys = self._read_keys(result.config)
            opened = self._access_log.open(result.config.logs.access)
        except (StartError, ValueError, OSError) as error:
            result.close()
            raise Refused([str(error)]) from None
        except BaseException:
            result.close()
            raise
        return Prepared(result, image, result.config, settings, dummy, opened, keys, slots, tokens, credentials)

    async def _read_credentials(self, config: Config) -> CredentialValues | None:
        """Their values; None without any. Raises Refused."""
        if not config.credentials:
            return None
        values = CredentialValues(config.credentials, self._credential_numbers)
        values.take(await asyncio.to_thread(values.read))
        if faults := values.faults():  # they were sound when the configuration was compiled
            values.close()
            raise Refused(faults)
        return values

    def commit(self, prepared: Prepared) -> Generation:
        """Makes it active in the supervisor."""
        new = self._next(prepared)
        self._commit(prepared, new)
        return new

    def _next(self, prepared: Prepared) -> Generation:
        self._number += 1
        return Generation(
            number=self._number,
            image=prepared.image,
            settings=prepared.settings,
            config=prepared.config,
            counts=prepared.result.counts,
            warnings=prepared.result.warning_lines(),
            loaded_at=time.monotonic(),
            rules=prepared.result.rules,
            originations=prepared.result.originations,
            expiries=prepared.result.expiries,
            marks=prepared.result.marks,
            workloads=prepared.result.workloads,
            credentials=prepared.credentials,
        )

    def _commit(self, prepared: Prepared, new: Generation) -> None:
        old, self.current = self.current, new
        self._mapping = None
        self.rule_slots = prepared.rule_slots
        self.keys = prepared.keys
        self._verifier.set_users(prepared.result.users, prepared.dummy, prepared.config.limits.login_failures)
        self._verifier.set_tokens(prepared.tokens)
        self._log.set_level(prepared.config.logs.level)
        self._access_log.take(prepared.access_log)
        self._compiler.accepted()
        for warning in new.warnings:
            self._log.warning("configuration", warning)
        if old is not None:
            self._replaced.take(*old.files)  # a worker that starts from here on gets the new one
            if old.credentials is not None:
                old.credentials.close()

    async def mapped(self, generation: Generation) -> PolicyImage:
        """The image of the active generation, mapped once, and until the next one. On a thread: the checksum of a
        large one takes longer than a turn may."""
        if self._mapping is None or self._mapping[0] != generation.number:
            own = [os.dup(file) for file in generation.files]  # a reload may close the others at any time
            try:
                image = await asyncio.to_thread(PolicyImage.from_fd, own[0])
                image.attach(*own[1:])
            finally:
                for file in own:
                    os.close(file)
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
        changed = restart_needed(running.config, prepared.config)
        try:
            plan = pool.sockets.plan((listener.name, listener.address) for listener in prepared.config.listeners)
            prepared = self._keeping(running, prepared, changed, plan.numbers)
        except StartError as error:
            prepared.discard()
            return self._failed([str(error)])
        new = self._next(prepared)
        try:
            problems = await pool.publish(new.published(), lambda: self._commit(prepared, new), plan)
        finally:
            if self.current is not new:
                prepared.discard()
        if problems:
            return self._failed(problems)
        self.restart_needed = changed
        listeners = listener_changes(running.config, new.config)
        for line in listeners:
            self._log.info("listener_changed", line)
        if changed:
            self._log.warning("restart_needed", f"changed, and takes effect only after a restart: {', '.join(changed)}")
        self.reloads["ok"] += 1
        self.last_problems = []
        read = prepared.result.files_parsed
        self._log.info("reloaded", "a new generation is active", generation=new.number, files_read=read)
        return Outcome(True, new.number, [], new.warnings, changed, listeners)

    async def renew(self, pool: Pool) -> Outcome:
        """Reads the certificates, keys, CAs, revocation lists and keys of tokens of the active configuration again, and
        nothing else: policy that is being edited stays as it is. All or nothing, as a reload is."""
        current = self.current
        assert current is not None
        self._log.info("renewal", "files of TLS or tokens have changed, and are read again")
        read, tokens, problems = await asyncio.to_thread(read_again, current.config, current.originations)
        if problems:
            return self._failed(problems)
        reader = await asyncio.to_thread(TokenReader, tokens.issuers)
        try:
            plan = pool.sockets.plan((listener.name, listener.address) for listener in current.config.listeners)
            settings = renewed(current.config, current.settings, read, tokens, plan.numbers)
        except StartError as error:
            return self._failed([str(error)])
        settings["tickets"] = self._tickets.settings()
        self._number += 1
        new = dataclasses.replace(
            current,
            number=self._number,
            image=os.dup(current.image),
            workloads=os.dup(current.workloads) if current.workloads is not None else None,
            settings=settings,
            loaded_at=time.monotonic(),
            expiries=read.expiries,
            marks=read.marks | tokens.marks,
        )
        try:
            problems = await pool.publish(new.published(), lambda: self._replace(new, reader), plan)
        finally:
            if self.current is not new:
                _close(new.files)
        if problems:
            return self._failed(problems)
        self.reloads["ok"] += 1
        self.last_problems = []
        self._log.info("renewed", "new certificates and keys are active", generation=new.number)
        return Outcome(True, new.number, [], new.warnings)

    def _replace(self, new: Generation, tokens: TokenReader) -> None:
        old, self.current = self.current, new
        self._verifier.set_tokens(tokens)
        self._mapping = None
        if old is not None:
            self._replaced.take(*old.files)

    async def renew_credentials(self, pool: Pool) -> None:
        """Reads the files of the active generation's credentials again. A value that cannot be used is taken away,
        until its file can be used again."""
        while (values := self.current.credentials if self.current is not None else None) is not None:
            reading = await asyncio.to_thread(values.read)
            if self.current is not None and self.current.credentials is values:
                break
            reading.close()  # a reload has come, and may have read the files before they changed
        else:
            return
        for name, fault in values.take(reading):
            if fault:
                self._log.error("credential_unavailable", fault, credential=name)
            else:
                self._log.info("credential_renewed", "a new value is active", credential=name)
        pool.handover.renew_credentials()

    def close(self) -> None:
        """Gives the images back."""
        self._replaced.close()
        if self.current is not None:
            if self.current.credentials is not None:
                self.current.credentials.close()
            _close(self.current.files)
            self.current = self._mapping = None

    def _read_keys(self, config: Config) -> ServerKeys | None:
        """Those of the active endpoint: a changed one waits for a restart. Raises StartError."""
        control = self.current.config.control if self.current is not None else config.control
        return load_server(keys_folder(self._path)) if control.startswith("tcp://") else None

    def _serving(self) -> list[tuple[str, int]]:
        """Active addresses that stay although a changed sluice.yaml may no longer name them: no tunnel may lead there
        either."""
        return self.current.config.fixed_endpoints() if self.current is not None else []

    def _failed(self, problems: list[str]) -> Outcome:
        self.reloads["failed"] += 1
        self.last_problems = problems
        for problem in problems:
            self._log.error("reload_failed", problem)
        generation = self.current.number if self.current is not None else 0
        return Outcome(False, generation, problems)

    def _with_limits(self, config: Config, settings: Settings, credentials: CredentialValues | None) -> Settings:
        """The tunnels that the limit of open files allows, the secret of session tickets, and the numbers of
        credentials."""
        workers = self.current.config.workers if self.current is not None else config.workers
        cap, warning = tunnel_cap(config.limits.tunnels, config.limits.tunnels_set, workers, self.nofile)
        if warning and warning != self._warned:
            self._log.warning("tunnels_limited", warning)
        self._warned = warning
        changed = settings.copy()
        changed["tickets"] = self._tickets.settings()
        changed["credentials"] = credentials.settings() if credentials is not None else []
        changed["limits"] = settings["limits"].copy()
        changed["limits"]["tunnels"] = cap
        return changed

    @staticmethod
    def _keeping(running: Generation, prepared: Prepared, changed: list[str], numbers: Sequence[int]) -> Prepared:
        """Listeners keep their places, and `changed` keys their values: these wait for a restart, and are reported
        until that. Raises StartError."""
        settings = prepared.settings.copy()
        settings["listeners"] = placed(running.settings["listeners"], settings["listeners"], numbers)
        config = msgspec.structs.replace(prepared.config, **{key: getattr(running.config, key) for key in changed})
        return dataclasses.replace(prepared, config=config, settings=settings)


def _close(files: Iterable[int]) -> None:
    for file in files:
        os.close(file)
