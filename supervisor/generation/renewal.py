"""Certificates, keys, CAs, revocation lists and keys of tokens that change on disk: noticed, and read again by
themselves.

Tools renew them by rename or by a swap of symlinks (cert-manager, SPIRE, Kubernetes secrets), a certificate and its key
one after the other: so a change counts once nothing has changed for one look more. Files that cannot be used are told
of once, and the old ones stay, until something changes again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from gateway.contract import Settings
from supervisor.config.config import Config
from supervisor.config.tls import ClientTls, ReadTls
from supervisor.generation.listeners import placed
from supervisor.generation.token_keys import ReadTokens, read_issuers
from supervisor.host.file_marks import marks_of
from supervisor.identity.issuers import marks
from supervisor.source.problems import Problems, render

PERIOD: Final = 1.0  # seconds between two looks


def read_again(config: Config, originations: Mapping[str, ClientTls]) -> tuple[ReadTls, ReadTokens, list[str]]:
    """TLS and tokens as their files are now, and what is wrong with them, one a line. Blocks."""
    from supervisor.config.certificates import read_tls  # takes a while to load

    problems = Problems()
    read = read_tls(config, originations, problems)
    tokens = read_issuers(config, problems)
    return read, tokens, render(tuple(problems.errors), problems.errors_left_out)


def renewed(config: Config, settings: Settings, read: ReadTls, tokens: ReadTokens, numbers: Sequence[int]) -> Settings:
    """The settings with TLS and tokens as they were read; `numbers`: the sockets of the listeners, which stay. Raises
    StartError."""
    known = {listener["name"]: listener for listener in settings["listeners"]}
    wanted = []
    for listener in config.listeners:
        entry = known[listener.name].copy()
        entry["tls"] = read.listeners.get(listener.name, entry["tls"])
        wanted.append(entry)
    changed = settings.copy()
    changed["token_keys"] = marks(tokens.issuers)
    changed["upstreams"] = [
        entry | {"tls": read.upstreams.get(entry["name"], entry["tls"])} for entry in settings["upstreams"]
    ]
    changed["originations"] = settings["originations"] | read.originations
    changed["request_originations"] = settings["request_originations"] | read.originations
    changed["system_ca"] = read.system_ca or settings["system_ca"]
    changed["listeners"] = placed(settings["listeners"], wanted, numbers)
    return changed


class FileWatch:
    """Looks at the files of the active generation; `marks` are those that it was made from, `renew` makes another."""

    def __init__(self, marks: Callable[[], Mapping[str, str]], renew: Callable[[], Awaitable[object]]) -> None:
        self._marks = marks
        self._renew = renew
        self._seen: Mapping[str, str] = {}
        self._tried: Mapping[str, str] = {}

    async def run(self, period: float = PERIOD) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(period)
            await self.look()

    async def look(self) -> None:
        """One look; renews where the files have changed, and stand as they did at the look before."""
        known = self._marks()
        found = await asyncio.to_thread(marks_of, list(known))
        before, self._seen = self._seen, found
        if found == known or found != before or found == self._tried:
            return
        self._tried = found
        await self._renew()
