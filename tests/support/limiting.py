"""Settings and a table of limits for the tests that need them without a configuration and a supervisor."""

import mmap

from gateway.contract import LimitSettings, SourceLimitSettings
from supervisor.segment.limit_table import MAGIC, VERSION, size_of

__all__ = ["settings", "table"]


def table(workers: int = 2) -> memoryview:
    """As the supervisor makes it, but for the key: that is 0."""
    memory = mmap.mmap(-1, size_of(workers))
    memory[:16] = MAGIC.to_bytes(8, "little") + VERSION.to_bytes(4, "little") + workers.to_bytes(4, "little")
    return memoryview(memory)


def settings(tunnels: int = 100, per_source: int = 10, **by_kind: int) -> LimitSettings:
    """As a generation carries them; `by_kind` differs from small defaults."""
    limits = SourceLimitSettings(requests=20, lookups=10, dials=15, provisional=5)
    limits.update(by_kind)  # type: ignore[typeddict-item]
    return LimitSettings(
        tunnels=tunnels,
        tunnels_per_source=per_source,
        streams_per_connection=1000,
        handshakes=1000,
        per_source=limits,
        request_timeout=10.0,
        dial_timeout=5.0,
        idle_timeout=60.0,
        half_close_timeout=60.0,
        keep_alive=60.0,
    )
