"""The parts of the running gateway in one place: service.py opens and closes them, observation.py reads them, and
operations.py asks them to act.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from supervisor.control.control import ControlServer
from supervisor.generation.compiler import Compiler
from supervisor.generation.generation import Generations
from supervisor.generation.reload import Outcome, Reloader
from supervisor.host.lookups import Lookups
from supervisor.host.reaper import Reaper
from supervisor.identity.passwords import verify_password
from supervisor.identity.verifier import Verifier
from supervisor.logs.access_log import AccessLog
from supervisor.logs.log import Log
from supervisor.tracing.outlet import Outlet, Target
from supervisor.workers.bus import Bus
from supervisor.workers.pool import Pool
from supervisor.workers.slot import Slot

__all__ = ["Running"]


class Running:
    """`pool`, `bus` and `control` are None until the gateway has got that far, and stay once they are there."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reaper: Reaper,
        log: Log,
        config_path: str,
        compile_command: Sequence[str],
        *,
        reload: Callable[[str], Awaitable[Outcome]],
        unchecked: Callable[[int, float], None],
        complain: Callable[[str], None],
    ) -> None:
        """`reload` takes its origin; `unchecked` a source and for how many seconds its logins are refused;
        `complain` is called from the access log's thread."""
        self.reaper: Final = reaper
        self.started_at: Final = time.monotonic()
        self.compiler: Final = Compiler(
            loop, reaper, compile_command, say=lambda text: log.warning("compile_ended", text)
        )
        self.lookups: Final = Lookups(reaper)
        self.verifier: Final = Verifier(loop, verify_password, unchecked)
        self.access_log: Final = AccessLog(complain)
        self.generations: Final = Generations(config_path, self.compiler, self.verifier, self.access_log, log)
        self.reloader: Final = Reloader(loop, reload, log)
        self.spans: Final = Outlet(loop, reaper, log, lambda: [slot.segment for slot in self.slots])
        self.draining = False
        self.pool: Pool | None = None
        self.bus: Bus | None = None
        self.control: ControlServer | None = None

    def aim_spans(self, version: str) -> None:
        """Spans go where the active configuration says."""
        assert self.generations.current is not None
        config = self.generations.current.config
        endpoint, gateway = config.tracing.endpoint, config.gateway
        self.spans.aim(Target(endpoint, gateway.name, gateway.namespace, version) if endpoint is not None else None)

    @property
    def slots(self) -> Sequence[Slot]:
        """Of all workers; none before there is a pool."""
        return self.pool.slots if self.pool is not None else ()
