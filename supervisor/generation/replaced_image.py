"""The image of the generation before the active one, held until every worker has unmapped it.

The kernel frees the pages of a large image at once with its last reference, which takes milliseconds. A worker's loop
must not stand still for that: this process holds the image longer than workers do, and closes it on a thread.
"""

import asyncio
import os
from typing import Final

__all__ = ["ReplacedImage"]

HELD: Final = 5.0  # seconds: workers judge their tunnels again, and unmap it, within a few turns


class ReplacedImage:
    """At most one image, with its table of workloads: the next ones take their place."""

    def __init__(self) -> None:
        self._files: tuple[int, ...] = ()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, *files: int) -> None:
        """Its descriptors. From within an event loop."""
        loop = asyncio.get_running_loop()
        self._give_back(loop)
        self._files = files
        self._timer = loop.call_later(HELD, self._give_back, loop)

    def close(self) -> None:
        """At once."""
        for file in self._taken():
            os.close(file)

    def _give_back(self, loop: asyncio.AbstractEventLoop) -> None:
        for file in self._taken():
            loop.run_in_executor(None, os.close, file)

    def _taken(self) -> tuple[int, ...]:
        if self._timer is not None:
            self._timer.cancel()
        files, self._files = self._files, ()
        return files
