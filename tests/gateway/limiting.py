"""Settings of limits for the tests that need them without a configuration."""

from gateway.contract import LimitSettings, SourceLimitSettings

__all__ = ["settings"]


def settings(tunnels: int = 100, per_source: int = 10, **by_kind: int) -> LimitSettings:
    """As a generation carries them; `by_kind` differs from small defaults."""
    limits = SourceLimitSettings(requests=20, lookups=10, dials=15, provisional=5)
    limits.update(by_kind)  # type: ignore[typeddict-item]
    return LimitSettings(
        tunnels=tunnels,
        tunnels_per_source=per_source,
        streams_per_connection=1000,
        per_source=limits,
        request_timeout=10.0,
        dial_timeout=5.0,
        idle_timeout=60.0,
        half_close_timeout=60.0,
        keep_alive=60.0,
    )
