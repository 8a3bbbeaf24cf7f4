"""One compilation, `python -m supervisor.generation.compile --config PATH --result-fd N`: one answer, then its end.

`--manifest PATH`, any number of times, is read in place of policy.paths. Commands start it so; a running gateway forks
it from a process kept warm (warm.py).

It runs apart from all else, at low priority, because it reads what people wrote: it may take long, and may run out of
memory. It exits with 0 also for a configuration it refuses; any other status means that it crashed.
"""

import argparse
import contextlib
import gc
import os
import resource
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from gateway.contract import RateSettings
from supervisor.config.config import Config
from supervisor.config.reader import load_config, load_defaults
from supervisor.config.tls import ClientTls, ReadTls
from supervisor.config.upstreams import read_passwords
from supervisor.generation.building import build
from supervisor.generation.compilation import OUT_OF_MEMORY, Report, send_result
from supervisor.generation.credentials import check_files
from supervisor.generation.token_keys import ReadTokens, read_issuers
from supervisor.host import machine
from supervisor.host.process import yield_to_traffic
from supervisor.identity.issuers import marks
from supervisor.identity.users import User, load_users
from supervisor.policy.compiler import Built
from supervisor.policy.remembered import Reading, Remembered
from supervisor.policy.resources.rates import Rate
from supervisor.policy.resources.status import Status
from supervisor.policy.rule_listing import pack
from supervisor.policy.strangers import warn_of_strangers, warn_of_void_passthrough
from supervisor.policy.void_rules import warn_of_void_rules
from supervisor.segment.rule_slots import RuleSlots
from supervisor.source.problems import Place, Problem, Problems, quote

LEAST_MEMORY: Final = 64 << 20  # bytes: what a small policy takes, however little is free


class Compiled(NamedTuple):
    """A report and, when ok, descriptors that the caller closes: the image, and the table of workloads where pods are
    known."""

    report: Report
    image: int | None = None
    workloads: int | None = None


def compile_config(
    path: str,
    serving: Sequence[tuple[str, int]] = (),
    known: Mapping[str, int] | None = None,
    manifests: Sequence[str] = (),
    reading: Reading | None = None,
) -> tuple[Report, int | None]:
    """As compile_all, without the table of workloads."""
    report, image, workloads = compile_all(path, serving, known, manifests, reading)
    if workloads is not None:
        os.close(workloads)
    return report, image


def compile_all(
    path: str,
    serving: Sequence[tuple[str, int]] = (),
    known: Mapping[str, int] | None = None,
    manifests: Sequence[str] = (),
    reading: Reading | None = None,
    statuses: bool = False,
    as_cluster: bool = False,
) -> Compiled:
    """Compiles the sluice.yaml at `path`. `serving`: what the running gateway listens on. `known`: the metrics slots
    that rules have already. `manifests`: absolute paths that take the place of policy.paths; with them `path` may name
    no file, for every default. `reading` may know policy files that were read before; the result is the same without
    it. `statuses`: the report has the conditions of resources. `as_cluster`: objects are judged one by one, as those of
    a cluster are."""
    start = time.monotonic()
    problems = Problems()
    config: Config | None = None
    users: tuple[User, ...] = ()
    built: Built | None = None
    passwords: dict[str, bytes] = {}
    tls, tokens = ReadTls(), ReadTokens()
    originations: dict[str, ClientTls] = {}
    slots = RuleSlots(known)
    conditions: tuple[Status, ...] = ()
    refused: tuple[Problem, ...] = ()
    rates: list[RateSettings] = []
    reading = reading if reading is not None else Reading(Remembered())
    try:
        config = load_config(path) if not manifests or os.path.lexists(path) else load_defaults(path)
    except Problems as wrong:
        problems = wrong
    else:
        for warning in config.warnings:
            problems.warn(warning)
        users = _users(config, problems)
        if manifests:
            named = msgspec.structs.replace(config.policy, paths=tuple(manifests), places=tuple(map(Place, manifests)))
            config = msgspec.structs.replace(config, policy=named)
        passwords = read_passwords(config.upstreams, problems)
        tokens = read_issuers(config, problems)
        check_files(config.credentials, problems)
        config, policy, originations, tls, built, refused = build(
            config, users, problems, reading, serving, slots, as_cluster
        )
        conditions = policy.statuses if statuses else ()
        rates = [_settings(rate) for rate in policy.rates]
        if built:
            warn_of_strangers(config, users, policy, problems)
            warn_of_void_passthrough(config, policy.rules, problems)
            warn_of_void_rules(config, policy.rules, problems)
        if built and not built.counts["rules"] and not config.policy.passthrough:
            hint = "name manifests in policy.paths" if not config.policy.paths else ""
            problems.warning(Place(config.path), "there is no policy: every request will be denied", hint)
    report = Report(
        ok=built is not None,
        problems=tuple(problems.errors),
        warnings=tuple(problems.warnings),
        problems_left_out=problems.errors_left_out,
        warnings_left_out=problems.warnings_left_out,
        config=config,
        settings=config.settings(passwords, tls, marks(tokens.issuers), rates) if config else None,
        users={user.name: user.hash for user in users},
        counts=built.counts if built else {},
        originations=originations,
        expiries=tls.expiries,
        marks=tls.marks | tokens.marks,
        issuers=tokens.issuers,
        rule_slots=slots.known() if built else {},
        rules=pack(policy.rules) if built else b"",
        seconds=time.monotonic() - start,
        files_opened=reading.opened,
        files_parsed=reading.parsed,
        statuses=conditions,
        refused=refused,
    )
    return Compiled(report, built.descriptor, built.workloads) if built else Compiled(report)


def _settings(rate: Rate) -> RateSettings:
    """A limit as a worker gets it."""
    overrides = [(each, list(clients)) for each, clients in rate.overrides]
    return RateSettings(
        name=rate.name, listener=rate.listener, total=rate.total, identity=rate.identity, overrides=overrides
    )


def _users(config: Config, problems: Problems) -> tuple[User, ...]:
    if config.identity.users is None:
        return ()
    if not os.path.lexists(config.identity.users):
        words = f"the users file {quote(config.identity.users)} does not exist"
        problems.error(config.identity.users_place, words, "`sluice user add` makes it")
        return ()
    return load_users(config.identity.users, problems)


def confine() -> None:
    """Takes memory that runs short from this process alone: it is the first that the kernel ends, and it gets no more
    address space than it has now and three quarters of what is free.

    A container whose memory runs out may be ended as a whole (memory.oom.group): the limit comes before that.
    """
    end_first(1000)
    free = machine.free_memory()
    if free is None:
        return
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    most = used + max(free * 3 // 4, LEAST_MEMORY)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    for limit in (soft, hard):
        if limit != resource.RLIM_INFINITY:
            most = min(most, limit)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def end_first(score: int) -> None:
    """Where memory runs short the kernel ends the process with the highest score, at most 1000."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(str(score))


def main() -> int:
    """Answers over the inherited socket; OUT_OF_MEMORY where that takes more memory than there is."""
    try:
        return _main()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # at once: whatever cleans up needs memory


def _main() -> int:
    parser = argparse.ArgumentParser(
        prog="supervisor.generation.compile", description="Compiles sluice.yaml for the supervisor."
    )
    parser.add_argument("--config", required=True)
    parser.add_argument("--result-fd", required=True, type=int)
    parser.add_argument("--manifest", action="append", default=[], metavar="PATH")
    parser.add_argument("--statuses", action="store_true")
    parser.add_argument("--as-cluster", action="store_true")
    arguments = parser.parse_args()
    yield_to_traffic()
    confine()
    gc.disable()  # the process ends before garbage counts; walking millions of nodes again and again would
    compiled = compile_all(
        arguments.config,
        manifests=arguments.manifest,
        statuses=arguments.statuses,
        as_cluster=arguments.as_cluster,
    )
    with socket.socket(fileno=arguments.result_fd) as sock:
        send_result(sock, *compiled)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
