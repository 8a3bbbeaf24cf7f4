"""What the control endpoint can be asked: each operation takes the request's other keys and gives the answer's.

Nothing here blocks; the operations that wait (reload, explain) are coroutines.
"""

import asyncio
import importlib.metadata
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from supervisor import metrics
from supervisor.control import Answer, NotFound, Operation, Refused
from supervisor.explanation import QuestionError, explain, name_to_resolve, read_question, with_addresses
from supervisor.lookup import LookupFailed
from supervisor.tunnel_filter import FilterError, TunnelFilter, make_filter
from supervisor.tunnels import MOST_ITEMS, NoSuchTunnel

if TYPE_CHECKING:
    from supervisor.service import Service

__all__ = ["Operations", "version"]

DISTRIBUTION: Final = "sluice"


def version() -> str:
    """Of the installed distribution; a source tree that was never installed has none."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "0+source"


class Operations:
    """Reads the service, and asks it to reload and drain."""

    def __init__(self, service: "Service") -> None:
        """The service need not have started."""
        self._service = service
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
        """What `sluice stats` shows."""
        _no_more(request)
        return self.statistics()

    def statistics(self) -> Answer:
        """{version, generation, workers, counters, ...}: counters as the metrics, without their prefix and summed over
        their labels; `by_label` has the sums by their most telling one."""
        service = self._service
        current, pool = service.generations.current, service.pool
        taken = service.observation.snapshot(self.version)
        return {
            "version": self.version,
            "generation": current.number if current is not None else 0,
            "workers": pool.describe() if pool is not None else [],
            "counters": metrics.counters(taken),
            "by_label": metrics.by_label(taken),
            "draining": service.draining,
            "uptime": round(time.monotonic() - service.started_at, 3),
            "reloads": {**service.generations.reloads, "joined": service.reloader.joined},
            "problems": list(service.generations.last_problems),
            "restart_needed": list(service.generations.restart_needed),
            "supervisor": self._own_counters(),
        }

    def _own_counters(self) -> dict[str, int]:
        service = self._service
        bus, control = service.bus, service.control
        return {
            "worker_restarts": sum(slot.restarts for slot in service.pool.slots) if service.pool is not None else 0,
            "workers_hung": service.pool.hung if service.pool is not None else 0,
            "bus_malformed": bus.malformed if bus is not None else 0,
            "bus_strangers": bus.strangers if bus is not None else 0,
            "bus_dropped": bus.dropped if bus is not None else 0,
            "control_malformed": control.malformed if control is not None else 0,
            "control_dropped": control.dropped if control is not None else 0,
            "control_refused": control.refused if control is not None else 0,
            "http_cut": service.observation.ended_early(),
            "tunnels_lost": service.observation.tunnels.lost,
            "verifier_waiting": service.verifier.waiting(),
            "verifier_busy": service.verifier.busy,
            "log_written": service.access_log.written,
            "orphans_reaped": service.orphans_reaped,
        }

    async def tunnels(self, request: Mapping[str, object]) -> Answer:
        """{items, next}: live tunnels. {from, to, rule} filter (tunnel_view.TunnelFilter), {limit, after} page."""
        rest = dict(request)
        limit, after = rest.pop("limit", MOST_ITEMS), rest.pop("after", None)
        if type(limit) is not int or not 1 <= limit <= MOST_ITEMS:
            raise Refused(f"limit is a number from 1 to {MOST_ITEMS}")
        if after is not None and not isinstance(after, str):
            raise Refused("after is the `next` of a page")
        try:
            match = make_filter(msgspec.convert(rest, TunnelFilter))
            page = await self._service.observation.tunnels.page(match, limit, after)
        except (msgspec.ValidationError, FilterError, ValueError) as wrong:
            raise Refused(str(wrong)) from None
        return {"items": page.items, "next": page.next}

    async def kill(self, request: Mapping[str, object]) -> Answer:
        """{id, ended}: the tunnel was reset; `ended` is false when its worker has not followed yet."""
        wanted = request.get("id")
        if not isinstance(wanted, str) or len(request) != 1:
            raise Refused("kill takes an `id`, as `tunnels` lists them")
        try:
            ended = await self._service.observation.tunnels.kill(wanted)
        except NoSuchTunnel as wrong:
            raise NotFound(str(wrong)) from None
        return {"id": wanted, "ended": ended}

    async def reload(self, request: Mapping[str, object]) -> Answer:
        """{generation, warnings, restart_needed}; a refusal carries every problem, a line each."""
        _no_more(request)
        if self._service.draining:
            raise Refused("the gateway is draining: it takes no new configuration")
        outcome = await asyncio.shield(self._service.reloader.request("control"))
        if not outcome.ok:
            raise Refused("\n".join(outcome.problems))
        return {
            "generation": outcome.generation,
            "warnings": outcome.warnings,
            "restart_needed": outcome.restart_needed,
        }

    def drain(self, request: Mapping[str, object]) -> Answer:
        """{seconds}: accepting has stopped, tunnels have so long. The process stays."""
        _no_more(request)
        if self._service.generations.current is None or self._service.pool is None:
            raise Refused("the gateway has not started yet")
        return {"seconds": self._service.drain()}

    def policy(self, request: Mapping[str, object]) -> Answer:
        """{generation, config, loaded_at (Unix seconds), counts, warnings} of the generation in force."""
        _no_more(request)
        current = self._service.generations.current
        if current is None:
            raise Refused("no generation is in force yet")
        return {
            "generation": current.number,
            "config": current.config.path,
            "loaded_at": time.time() - (time.monotonic() - current.loaded_at),
            "counts": dict(current.counts),
            "warnings": current.warnings,
        }

    async def explain(self, request: Mapping[str, object]) -> Answer:
        """The decision for one question, by the image in force: what `sluice explain` prints for files."""
        current = self._service.generations.current
        if current is None:
            raise Refused("no generation is in force yet")
        image = await self._service.generations.mapped(current)
        listeners = current.config.listeners
        try:
            question = read_question(request)
            answer = explain(image, listeners, question)
            if (name := name_to_resolve(question, answer)) is not None:
                found = await self._service.lookups.resolve(name, current.config.dns_settings())
                # A reload may have come while DNS was asked: the answer stays that of one generation.
                answer = with_addresses(image, listeners, question, answer, found)
        except (QuestionError, LookupFailed) as wrong:
            raise Refused(str(wrong)) from None
        return answer


def _no_more(request: Mapping[str, object]) -> None:
    if request:
        raise Refused(f"unexpected keys: {', '.join(sorted(request))}"[:200])
