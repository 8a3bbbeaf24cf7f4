"""The compile process, `python -m supervisor.compile --config PATH --result-fd N`: reads all, answers once, ends.

`--serving HOST:PORT`, any number of times, names what a running gateway listens on: sluice.yaml may have changed since.
`--rule-slots-fd N` is a file with the msgpack of the metrics slots that rules have already.

It runs apart from the supervisor, at low priority, because it reads what people wrote: it may take long, and may run
out of memory. It exits with 0 also for a configuration it refuses; any other status means that it crashed.
"""

import argparse
import contextlib
import gc
import os
import resource
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from supervisor import machine
from supervisor.compilation import NICE, OUT_OF_MEMORY, Report, send_result
from supervisor.config import Config, load_config
from supervisor.policy.compiler import Built, build_image
from supervisor.policy.loader import load_policy
from supervisor.policy.strangers import warn_of_strangers, warn_of_void_passthrough
from supervisor.problems import Place, Problems, quote
from supervisor.rule_slots import RuleSlots
from supervisor.upstreams import read_passwords
from supervisor.users import User, load_users

LEAST_MEMORY: Final = 64 << 20  # bytes: what a small policy takes, however little is free


def compile_config(
    path: str, serving: Sequence[tuple[str, int]] = (), known: Mapping[str, int] | None = None
) -> tuple[Report, int | None]:
    """Compiles the sluice.yaml at `path`: the report and, when ok, the image's descriptor, which the caller closes.
    `serving`: what the running gateway listens on. `known`: the metrics slots that rules have already."""
    start = time.monotonic()
    problems = Problems()
    config: Config | None = None
    users: tuple[User, ...] = ()
    built: Built | None = None
    passwords: dict[str, bytes] = {}
    slots = RuleSlots(known)
    try:
        config = load_config(path)
    except Problems as wrong:
        problems = wrong
    else:
        for warning in config.warnings:
            problems.warn(warning)
        users = _users(config, problems)
        passwords = read_passwords(config.upstreams, problems)
        policy = load_policy(config.policy.paths, config.policy.places, problems)
        built = build_image(config, users, policy, problems, serving, slots)
        if built:
            warn_of_strangers(config, users, policy.rules, problems)
            warn_of_void_passthrough(config, policy.rules, problems)
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
        settings=config.settings(passwords) if config else None,
        users={user.name: user.hash for user in users},
        counts=built.counts if built else {},
        rule_slots=slots.known() if built else {},
        seconds=time.monotonic() - start,
    )
    return report, built.descriptor if built else None


def _users(config: Config, problems: Problems) -> tuple[User, ...]:
    if config.identity.users is None:
        return ()
    if not os.path.lexists(config.identity.users):
        words = f"the users file {quote(config.identity.users)} does not exist"
        problems.error(config.identity.users_place, words, "`sluice user add` makes it")
        return ()
    return load_users(config.identity.users, problems)


def _known_slots(descriptor: int | None) -> dict[str, int]:
    if descriptor is None:
        return {}
    with open(descriptor, "rb") as file:
        return msgspec.msgpack.decode(file.read(), type=dict[str, int])


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def confine() -> None:
    """Takes memory that runs short from this process alone: it is the first that the kernel ends, and it gets no more
    address space than it has now and three quarters of what is free.

    A container whose memory runs out may be ended as a whole (memory.oom.group): the limit comes before that.
    """
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
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


def main() -> int:
    """Answers over the inherited socket; OUT_OF_MEMORY where that takes more memory than there is."""
    try:
        return _main()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # at once: whatever cleans up needs memory


def _main() -> int:
    parser = argparse.ArgumentParser(prog="supervisor.compile", description="Compiles sluice.yaml for the supervisor.")
    parser.add_argument("--config", required=True)
    parser.add_argument("--result-fd", required=True, type=int)
    parser.add_argument("--serving", action="append", default=[], type=_endpoint, metavar="HOST:PORT")
    parser.add_argument("--rule-slots-fd", type=int)
    arguments = parser.parse_args()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    confine()
    gc.disable()  # the process ends before garbage counts; walking millions of nodes again and again would
    report, image = compile_config(arguments.config, arguments.serving, _known_slots(arguments.rule_slots_fd))
    with socket.socket(fileno=arguments.result_fd) as sock:
        send_result(sock, report, image)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
