"""The number of the active generation: one word of shared memory that workers read and the supervisor alone writes.

Workers look at it at the beginning of each turn, so a generation that all of them have loaded becomes active everywhere
by one store (DECISIONS.md section 5).
"""

import fcntl
import mmap
import os
from typing import Final

__all__ = ["ActiveGeneration"]

_SIZE: Final = mmap.PAGESIZE
_SEAL_FUTURE_WRITE: Final = 0x10  # F_SEAL_FUTURE_WRITE, Linux 5.1: the mapping made before it stays writable


class ActiveGeneration:
    """The word, 0 before the first generation. `fd` is for workers: it gives read-only mappings."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("sluice-active", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, _SIZE)
            self._map = mmap.mmap(self.fd, _SIZE)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | _SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, seals)
        except BaseException:
            os.close(self.fd)
            raise
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")

    @property
    def number(self) -> int:
        """The word as workers read it."""
        return self._words[0]

    def store(self, number: int) -> None:
        """As one whole word, never half written."""
        self._words[0] = number

    def close(self) -> None:
        self._words.release()
        self._bytes.release()
        self._map.close()
        os.close(self.fd)
