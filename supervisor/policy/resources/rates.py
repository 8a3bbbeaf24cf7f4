"""Requests a second that a policy lets pass at a listener."""

import msgspec

from gateway.contract import RateSettings

__all__ = ["Rate"]


class Rate(msgspec.Struct, frozen=True):
    """`name` is the policy's title. 0 = no such limit. `overrides`: limits in place of `identity`, each with the service
    accounts, as namespace/name, that share it."""

    name: str
    listener: str
    total: int
    identity: int
    overrides: tuple[tuple[int, tuple[str, ...]], ...]

    def settings(self) -> RateSettings:
        """As a worker gets it."""
        return RateSettings(
            name=self.name,
            listener=self.listener,
            total=self.total,
            identity=self.identity,
            overrides=[(rate, list(clients)) for rate, clients in self.overrides],
        )
