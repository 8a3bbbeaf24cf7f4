"""Files that hold one secret, read into memory that no core file has and no child inherits (madvise(2), MADV_DONTDUMP
and MADV_DONTFORK). No object of Python ever holds the bytes, and they are wiped when they are given back."""

import contextlib
import mmap
import os
import stat
from typing import Final

__all__ = ["LONGEST_SECRET", "Secret", "read_secret", "shared"]

LONGEST_SECRET: Final = 16 << 10  # bytes: servers take no longer fields
READABLE: Final = 0x21, 0x7E  # visible ASCII


class Secret:
    """The bytes of one secret, from `read_secret`."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, LONGEST_SECRET + mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory.madvise(mmap.MADV_DONTDUMP)
        self._memory.madvise(mmap.MADV_DONTFORK)
        self.length = 0

    def fill(self, descriptor: int) -> str:
        """Reads a file to its end, less the end of its line; what is wrong with it, or ""."""
        most = LONGEST_SECRET + 2
        with memoryview(self._memory) as memory:
            while self.length <= most and (got := os.readv(descriptor, [memory[self.length : most + 1]])):
                self.length += got
        for end in (0x0A, 0x0D):
            if self.length and self._memory[self.length - 1] == end:
                self.length -= 1
        return self._fault()

    def _fault(self) -> str:
        if self.length > LONGEST_SECRET:
            return f"is longer than {LONGEST_SECRET} bytes"
        if not self.length:
            return "is empty"
        low, high = READABLE
        for at in range(self.length):
            byte = self._memory[at]
            if byte in (0x0A, 0x0D):
                return "has more than one line"
            if not byte:
                return "holds a NUL byte"
            if not low <= byte <= high and not (byte == 0x20 and 0 < at < self.length - 1):
                return "holds a byte that is not visible ASCII, or a space at an end"
        return ""

    def write(self, descriptor: int) -> None:
        """Behind what the file has."""
        with memoryview(self._memory) as memory:
            done = 0
            while done < self.length:
                done += os.writev(descriptor, [memory[done : self.length]])

    def same(self, other: "Secret | None") -> bool:
        """Whether both hold the same bytes."""
        if other is None or other.length != self.length:
            return False
        differs = 0
        for at in range(self.length):
            differs |= self._memory[at] ^ other._memory[at]
        return not differs

    def close(self) -> None:
        """Wipes it. A second call does nothing."""
        if not self._memory.closed:
            self._memory[:] = bytes(len(self._memory))
            self._memory.close()
        self.length = 0


def read_secret(path: str) -> tuple[Secret | None, str]:
    """The secret in a file; None, and what is wrong, in words that go behind its name and never show its content."""
    try:
        # O_NONBLOCK: opening a FIFO without a writer must not hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as wrong:
        return None, f"cannot be read: {os.strerror(wrong.errno or 0)}"
    secret = Secret()
    try:
        fault = secret.fill(descriptor) if stat.S_ISREG(os.fstat(descriptor).st_mode) else "is not a regular file"
    except OSError as wrong:
        fault = f"cannot be read: {os.strerror(wrong.errno or 0)}"
    finally:
        os.close(descriptor)
    if not fault:
        return secret, ""
    secret.close()
    return None, fault


def shared(secrets: list[Secret | None]) -> int:
    """A descriptor of memory that has all of them, one behind the other; the caller closes it. Raises OSError."""
    descriptor = os.memfd_create("sluice-credentials", os.MFD_CLOEXEC)
    try:
        for secret in secrets:
            if secret is not None:
                secret.write(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise
    return descriptor
