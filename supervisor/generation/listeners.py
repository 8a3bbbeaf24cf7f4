"""Listeners from one generation to the next: where each stands in the settings, and what a reload changes about them.

A connection knows its listener by its place in the settings. So a name keeps its place for good, also after its
listener has been removed: tunnels that it let in live on, and are judged and logged as its own.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.contract import ListenerSettings
from supervisor.config.config import Config, Listener
from supervisor.host.errors import StartError

__all__ = ["MOST_PLACES", "listener_changes", "placed"]

MOST_PLACES: Final = 256  # a connection keeps its place in 8 bits


def placed(
    before: Sequence[ListenerSettings], wanted: Sequence[ListenerSettings], numbers: Sequence[int]
) -> list[ListenerSettings]:
    """The listeners `wanted`, which have the sockets `numbers`, at their places; `before` are those of the generation
    before. Sockets that are not in use any more are `leaving`, for one generation. Raises StartError where names have
    used up all places."""
    entries = [_without_sockets(old, numbers) for old in before]
    places = {entry["name"]: place for place, entry in enumerate(entries)}
    for listener, number in zip(wanted, numbers, strict=True):
        entry = listener.copy()
        entry["sockets"] = number
        place = places.get(entry["name"], len(entries))
        if place < len(entries):
            entry["leaving"] = entries[place]["leaving"]
            entries[place] = entry
        else:
            entries.append(entry)
    if len(entries) > MOST_PLACES:
        words = f"listeners have had {len(entries)} names since the gateway started, and {MOST_PLACES} is the most"
        raise StartError(words, "use old names again, or restart with `sluice run --takeover`")
    return entries


def _without_sockets(old: ListenerSettings, numbers: Sequence[int]) -> ListenerSettings:
    """As it stays for its live tunnels. Its keys stay as long as clients that began with it may still come."""
    entry = old.copy()
    gone = old["sockets"] is not None and old["sockets"] not in numbers
    entry["leaving"] = [old["sockets"]] if gone and old["sockets"] is not None else []
    entry["sockets"] = None
    if not gone:
        entry["tls"] = None
    return entry


def listener_changes(old: Config, new: Config) -> list[str]:
    """The differences, a line for each listener: `mesh: added, auto on 127.0.0.1:1080`."""
    before = {listener.name: listener for listener in old.listeners}
    after = {listener.name: listener for listener in new.listeners}
    gone = {listener.address: listener for listener in old.listeners if listener.name not in after}
    found = []
    for name, listener in after.items():
        if (was := before.get(name)) is not None:
            found += _differences(was, listener)
        elif (was := gone.pop(listener.address, None)) is not None:
            found.append(f"{name}: was {was.name}, on {listener.address}")
            found += _differences(was, listener)
        else:
            found.append(f"{name}: added, {listener.protocol} on {listener.address}")
    return found + [f"{listener.name}: removed from {listener.address}" for listener in gone.values()]


def _differences(was: Listener, now: Listener) -> list[str]:
    found = [f"{now.name}: moved from {was.address} to {now.address}"] if was.address != now.address else []
    keys = [
        field.encode_name
        for field in msgspec.structs.fields(Listener)
        if field.name not in ("name", "host", "port") and getattr(was, field.name) != getattr(now, field.name)
    ]
    if keys:
        said = {"inner_name": "innerName"}
        found.append(f"{now.name}: changed {', '.join(said.get(key, key) for key in keys)}")
    return found
