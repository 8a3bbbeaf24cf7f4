"""Requests a second that a policy lets pass at a listener."""

import msgspec

__all__ = ["Rate"]


class Rate(msgspec.Struct, frozen=True):
    """`name` is the policy's title. 0 = no such limit. `overrides`: limits in place of `identity`, each with the
    service accounts, as namespace/name, that share it."""

    name: str
    listener: str
    total: int
    identity: int
    overrides: tuple[tuple[int, tuple[str, ...]], ...]
