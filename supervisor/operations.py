"""The operations of the control endpoint: each takes the request's other keys and gives the answer's.

Nothing here blocks; the operations that wait (reload, explain) are coroutines.
"""

import asyncio
import importlib.metadata
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from supervisor.admin import metrics
from supervisor.control.control import Answer, NotFound, Operation, Refused
from supervisor.host.lookup import LookupFailed
from supervisor.observation import Observation
from supervisor.policy.explanation import (
    QuestionError,
    at_listener,
    explain,
    name_to_resolve,
    read_question,
    with_addresses,
)
from supervisor.policy.reach import reach
from supervisor.policy.rule_listing import ListingError, page_of
from supervisor.running import Running
from supervisor.tunnels.filter import FilterError, TunnelFilter, make_filter
from supervisor.tunnels.live import MOST_ITEMS, NoSuchTunnel

__all__ = ["Operations", "version"]

DISTRIBUTION: Final = "sluice"


def version() -> str:
    """Of the installed distribution; a source tree that was never installed has none."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "0+source"


class Operations:
    """They read the gateway's parts, reload and drain."""

    def __init__(self, running: Running, observation: Observation, drain: Callable[[], float]) -> None:
        """The gateway need not have started. `drain` gives the seconds that tunnels have."""
        self._running = running
        self._observation = observation
        self._drain = drain
        self.version = version()

    def table(self) -> Mapping[str, Operation]:
        """By op."""
        return {
            "ping": self.ping,
            "version": self.tell_version,
            "stats": self.stats,
            "tunnels": self.tunnels,
            "kill": self.kill,
            "reload": self.reload,
            "drain": self.drain,
            "policy": self.policy,
            "explain": self.explain,
        }

    def ping(self, request: Mapping[str, object]) -> Answer:
        """{}: alive, and the loop turns."""
        _no_more(request)
        return {}

    def tell_version(self, request: Mapping[str, object]) -> Answer:
        """{version}."""
        _no_more(request)
        return {"version": self.version}

    def stats(self, request: Mapping[str, object]) -> Answer:
        """The figures of `sluice stats`; with {routes: true} also those of each route."""
        rest = dict(request)
        routes = rest.pop("routes", False)
        _no_more(rest)
        return self.statistics(routes is True)

    def statistics(self, routes: bool = False) -> Answer:
        """{version, generation, workers, counters, ...}: counters as the metrics, without their prefix and summed over
        their labels; `by_label` has the sums by their most telling one, `routes` where wanted those of by_route()."""
        running = self._running
        current, pool = running.generations.current, running.pool
        taken = self._observation.snapshot(self.version)
        return {
            "version": self.version,
            "generation": current.number if current is not None else 0,
            "workers": pool.describe() if pool is not None else [],
            "counters": metrics.counters(taken),
            "by_label": metrics.by_label(taken),
            "draining": running.draining,
            "uptime": round(time.monotonic() - running.started_at, 3),
            "reloads": {**running.generations.reloads, "joined": running.reloader.joined},
            "problems": list(running.generations.last_problems),
            "restart_needed": list(running.generations.restart_needed),
            "supervisor": self._own_counters(),
            **({"routes": metrics.by_route(taken)} if routes else {}),
        }

    def _own_counters(self) -> dict[str, int]:
        running = self._running
        bus, control = running.bus, running.control
        return {
            "worker_restarts": sum(slot.restarts for slot in running.slots),
            "workers_hung": running.pool.hung if running.pool is not None else 0,
            "bus_malformed": bus.malformed if bus is not None else 0,
            "bus_strangers": bus.strangers if bus is not None else 0,
            "bus_dropped": bus.dropped if bus is not None else 0,
            "control_malformed": control.malformed if control is not None else 0,
            "control_dropped": control.dropped if control is not None else 0,
            "control_refused": control.refused if control is not None else 0,
            "http_cut": self._observation.endpoints.ended_early(),
            "tunnels_lost": self._observation.tunnels.lost,
            "compile_starts": running.compiler.starts,
            "compile_files": running.compiler.files,
            "compile_bytes": running.compiler.bytes,
            "verifier_waiting": running.verifier.waiting(),
            "verifier_busy": running.verifier.busy,
            "log_written": running.access_log.written,
            "orphans_reaped": running.reaper.orphans,
        }

    async def tunnels(self, request: Mapping[str, object]) -> Answer:
        """{items, next}: live tunnels. {from, to, rule} filter (tunnels/filter.py), {limit, after} page."""
        rest = dict(request)
        limit, after = _page(rest)
        try:
            match = make_filter(msgspec.convert(rest, TunnelFilter))
            page = await self._observation.tunnels.page(match, limit, after)
        except (msgspec.ValidationError, FilterError, ValueError) as wrong:
            raise Refused(str(wrong)) from None
        return {"items": page.items, "next": page.next}

    async def kill(self, request: Mapping[str, object]) -> Answer:
        """{id, ended}: the tunnel was reset; `ended` is false when its worker has not followed yet."""
        wanted = request.get("id")
        if not isinstance(wanted, str) or len(request) != 1:
            raise Refused("kill takes an `id`, as `tunnels` lists them")
        try:
            ended = await self._observation.tunnels.kill(wanted)
        except NoSuchTunnel as wrong:
            raise NotFound(str(wrong)) from None
        return {"id": wanted, "ended": ended}

    async def reload(self, request: Mapping[str, object]) -> Answer:
        """{generation, warnings, restart_needed, listeners}; a refusal carries every problem, a line each."""
        _no_more(request)
        if self._running.draining:
            raise Refused("the gateway is draining: it takes no new configuration")
        outcome = await asyncio.shield(self._running.reloader.request("control"))
        if not outcome.ok:
            raise Refused("\n".join(outcome.problems))
        return {
            "generation": outcome.generation,
            "warnings": outcome.warnings,
            "restart_needed": outcome.restart_needed,
            "listeners": outcome.listeners,
        }

    def drain(self, request: Mapping[str, object]) -> Answer:
        """{seconds}: accepting has stopped, tunnels have so long. The process stays."""
        _no_more(request)
        if self._running.generations.current is None or self._running.pool is None:
            raise Refused("the gateway has not started yet")
        return {"seconds": self._drain()}

    async def policy(self, request: Mapping[str, object]) -> Answer:
        """{generation, config, loaded_at (Unix seconds), counts, warnings, items, next} of the active generation: its
        rules, in pages by {limit, after}."""
        rest = dict(request)
        limit, after = _page(rest)
        _no_more(rest)
        current = self._running.generations.current
        if current is None:
            raise Refused("no generation is active yet")
        try:
            # On a thread: a large policy takes longer than a turn may.
            items, following = await asyncio.to_thread(page_of, current.rules, current.number, limit, after)
        except ListingError as wrong:
            raise Refused(str(wrong)) from None
        return {
            "generation": current.number,
            "config": current.config.path,
            "loaded_at": time.time() - (time.monotonic() - current.loaded_at),
            "counts": dict(current.counts),
            "warnings": current.warnings,
            "items": items,
            "next": following,
        }

    async def explain(self, request: Mapping[str, object]) -> Answer:
        """The decision for one question, by the active image: what `sluice explain` prints for files."""
        current = self._running.generations.current
        if current is None:
            raise Refused("no generation is active yet")
        image = await self._running.generations.mapped(current)
        config = current.config
        try:
            question = at_listener(config, read_question(request))
            if question.reach:
                # On a thread: it looks at every rule.
                return await asyncio.to_thread(reach, image, config, current.rules, current.number, question)
            answer = explain(image, config, question)
            if (name := name_to_resolve(question, answer)) is not None:
                found = await self._running.lookups.resolve(name, config.dns_settings())
                # A reload may have come while DNS was asked: the answer stays that of one generation.
                answer = with_addresses(image, config, question, answer, found)
        except (QuestionError, LookupFailed) as wrong:
            raise Refused(str(wrong)) from None
        return answer


def _page(request: dict[str, object]) -> tuple[int, str | None]:
    """Takes `limit` and `after` out of a request for a list."""
    limit, after = request.pop("limit", MOST_ITEMS), request.pop("after", None)
    if type(limit) is not int or not 1 <= limit <= MOST_ITEMS:
        raise Refused(f"limit is a number from 1 to {MOST_ITEMS}")
    if after is not None and not isinstance(after, str):
        raise Refused("after is the `next` of a page")
    return limit, after


def _no_more(request: Mapping[str, object]) -> None:
    if request:
        raise Refused(f"unexpected keys: {', '.join(sorted(request))}"[:200])
