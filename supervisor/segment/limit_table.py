"""The table of limits that all workers share, seen from the supervisor: made once, a dead worker's column zeroed.

The layout is that of csrc/shared/limit_table.h (gateway/tables); the table of csrc/shared/rate_table.h follows, of
which nothing has to be zeroed.
"""

import fcntl
import mmap
import os
import struct
from typing import Final

from gateway import tables

__all__ = ["COLUMNS_AT", "COLUMN_SIZE", "MAGIC", "VERSION", "LimitTable", "size_of"]

MAGIC: Final[int] = tables.LIMITS_MAGIC
VERSION: Final[int] = tables.LIMITS_VERSION
COLUMNS_AT: Final[int] = tables.LIMITS_COLUMNS_AT
COLUMN_SIZE: Final[int] = tables.LIMITS_COLUMN_SIZE
RATES_SIZE: Final[int] = tables.RATES_SIZE

_HEADER = struct.Struct("<QII16s")  # magic, version, columns, the key of the hash


def size_of(slots: int) -> int:
    """Bytes of both tables for so many workers."""
    return COLUMNS_AT + slots * COLUMN_SIZE + RATES_SIZE


class LimitTable:
    """One column for each worker slot. Each worker is the only writer of its column; clear() writes when it is dead."""

    def __init__(self, slots: int) -> None:
        size = size_of(slots)
        self.fd = os.memfd_create("sluice-limits", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, size)
            # A worker that shrank it would kill the others with SIGBUS.
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._map = mmap.mmap(self.fd, size)
        except BaseException:
            os.close(self.fd)
            raise
        _HEADER.pack_into(self._map, 0, MAGIC, VERSION, slots, os.urandom(16))

    def clear(self, slot: int) -> None:
        """After the slot's worker died: what it held is free again."""
        start = COLUMNS_AT + slot * COLUMN_SIZE
        self._map[start : start + COLUMN_SIZE] = bytes(COLUMN_SIZE)

    def close(self) -> None:
        self._map.close()
        os.close(self.fd)
