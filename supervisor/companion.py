"""Children that live and die with the gateway, as the demo's origin does."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from supervisor.host.errors import StartError, errno_text
from supervisor.host.process import kill_group, spawn
from supervisor.host.reaper import Exit, Reaper
from supervisor.logs.log import Log

__all__ = ["Companion", "Companions"]


@dataclass(slots=True)
class Companion:
    """A child that lives and dies with the gateway. It gets `fds` from 3 up, and as stdin a pipe that ends with us."""

    name: str
    command: Sequence[str]
    fds: Sequence[int] = ()
    pid: int | None = None
    pipe: int | None = None


class Companions:
    """Those of one gateway."""

    def __init__(self, reaper: Reaper, log: Log) -> None:
        self._reaper = reaper
        self._log = log
        self._all: list[Companion] = []

    def start(self, companion: Companion) -> None:
        """Raises StartError."""
        theirs, ours = os.pipe()
        try:
            companion.pid = spawn(companion.command, companion.fds, stdin=theirs)
        except OSError as error:
            os.close(ours)
            raise StartError(f"{companion.name} cannot be started: {errno_text(error)}") from None
        finally:
            os.close(theirs)
        companion.pipe = ours
        self._all.append(companion)
        self._reaper.watch(companion.pid, lambda ended: self._on_end(companion, ended))

    def kill(self) -> None:
        """Ends all; the reaper learns how."""
        for companion in self._all:
            pipe, companion.pipe = companion.pipe, None
            if companion.pid is not None:
                kill_group(companion.pid)
            if pipe is not None:
                os.close(pipe)

    def gone(self) -> bool:
        """Whether each has been reaped."""
        return all(companion.pid is None for companion in self._all)

    def _on_end(self, companion: Companion, ended: Exit) -> None:
        companion.pid = None
        if companion.pipe is not None:
            os.close(companion.pipe)
            companion.pipe = None
            self._log.warning("companion_ended", f"{companion.name} ended", how=str(ended))
