"""Figures that the exporter's process shares with the supervisor: a page of memory with one writer."""

import mmap
import os
from enum import IntEnum

__all__ = ["Count", "Counts"]

SIZE = 4096  # bytes


class Count(IntEnum):
    """Places of 64-bit numbers. The first three count spans, by what became of them."""

    EXPORTED = 0
    REJECTED = 1
    FAILED = 2
    FAILING = 3  # exports that failed in a row
    STATUS = 4  # HTTP status of the last failure; 0: there was no answer


class Counts:
    """Made by the supervisor; the exporter opens the same descriptor."""

    def __init__(self, fd: int | None = None) -> None:
        """`fd`: of a page that exists; None: a new one."""
        self.fd = os.memfd_create("sluice-spans", os.MFD_CLOEXEC) if fd is None else fd
        if fd is None:
            os.ftruncate(self.fd, SIZE)
        self._map = mmap.mmap(self.fd, SIZE)
        self._words = memoryview(self._map).cast("Q")

    def __getitem__(self, count: Count) -> int:
        return self._words[count]

    def __setitem__(self, count: Count, value: int) -> None:
        self._words[count] = value

    def add(self, count: Count, amount: int) -> None:
        self._words[count] += amount

    @property
    def done(self) -> int:
        """Spans that nothing more happens to."""
        return self[Count.EXPORTED] + self[Count.REJECTED] + self[Count.FAILED]

    def close(self) -> None:
        self._words.release()
        self._map.close()
        os.close(self.fd)
