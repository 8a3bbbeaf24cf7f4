"""Passwords and their scrypt hashes (RFC 7914): made, read, verified. It keeps no cache, reads no file and runs no
thread.

A hash reads `scrypt$N$r$p$salt$key`, salt and key in base64. No message repeats what a hash holds.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

# New hashes: 32 MiB and about 0.1 s of one core. Dear for a thief of the file, and cheap enough for a gateway that
# every client can make verify: the verifier's queue is bounded, its results are cached.
COST: Final = (1 << 15, 8, 1)
LONGEST_PASSWORD: Final = 255  # RFC 1929 section 2: PLEN is one byte
# Bounds of hashes that are read: 64 MiB and about 16 times the work of COST at most.
LOWEST_N: Final = 1 << 10
WEAK_N: Final = 1 << 14
MOST_MEMORY: Final = 64 << 20
MOST_WORK: Final = 1 << 22
SALT_BYTES: Final = (8, 64)
KEY_BYTES: Final = (16, 64)


class PasswordHash(msgspec.Struct, frozen=True):
    """A parsed hash; within the bounds above."""

    n: int
    r: int
    p: int
    salt: bytes
    key: bytes

    def matches(self, password: bytes) -> bool:
        """Whether `password` is the one; compares in constant time."""
        return hmac.compare_digest(self.derive(password), self.key)

    def derive(self, password: bytes) -> bytes:
        """The key that `password` gives."""
        memory = 128 * self.r * (self.n + self.p + 2) + 4096
        cost = {"n": self.n, "r": self.r, "p": self.p, "maxmem": memory}
        return hashlib.scrypt(password, salt=self.salt, dklen=len(self.key), **cost)

    def __str__(self) -> str:
        """The text for users.yaml."""
        salt, key = (base64.b64encode(part).decode() for part in (self.salt, self.key))
        return f"scrypt${self.n}${self.r}${self.p}${salt}${key}"


def hash_password(password: bytes, cost: tuple[int, int, int] = COST) -> str:
    """A new hash with a salt of its own. Raises ValueError for what cannot be a password."""
    if not is_password(password):
        raise ValueError(f"a password has 1 to {LONGEST_PASSWORD} bytes, none of them NUL")
    blank = PasswordHash(*cost, os.urandom(16), bytes(32))
    return str(msgspec.structs.replace(blank, key=blank.derive(password)))


def verify_password(password: bytes, text: str) -> bool:
    """Whether `password` gives this hash. Raises ValueError when `text` is not a hash."""
    return parse_hash(text).matches(password) and is_password(password)


def is_password(password: bytes) -> bool:
    """Whether this can be a password. No NUL: HMAC pads its key with them, so one at the end would change nothing."""
    return 0 < len(password) <= LONGEST_PASSWORD and b"\0" not in password


def credential_of(text: str) -> int:
    """A mark of a hash that does not give it away: 64 bits of its digest, never 0. Workers keep with it that
    a password was right, and see by it that a reload has changed the password."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") or 1


def dummy_hash(hashes: Iterable[str] = ()) -> str:
    """A hash that no password fits and that costs what most of `hashes` cost.

    Checking an unknown user against it takes as long as checking a known one, so time does not tell which names exist.
    """
    costs = Counter((found.n, found.r, found.p, len(found.key)) for found in map(parse_hash, hashes))
    n, r, p, size = costs.most_common(1)[0][0] if costs else (*COST, 32)
    return str(PasswordHash(n, r, p, os.urandom(16), os.urandom(size)))


def parse_hash(text: str) -> PasswordHash:
    """Reads `scrypt$N$r$p$salt$key`. Raises ValueError, whose text says what is wrong and quotes nothing."""
    parts = text.split("$")
    if len(parts) != 6 or parts[0] != "scrypt":
        raise ValueError("a hash reads scrypt$N$r$p$salt$key")
    if not all(part.isascii() and part.isdecimal() and len(part) <= 9 for part in parts[1:4]):
        raise ValueError("N, r and p of a hash are decimal numbers")
    n, r, p = (int(part) for part in parts[1:4])
    if n < LOWEST_N or n & (n - 1):
        raise ValueError(f"N of a hash is a power of two, at least {LOWEST_N}")
    if r < 1 or p < 1 or 128 * n * r > MOST_MEMORY or n * r * p > MOST_WORK:
        raise ValueError(f"N, r and p of a hash are too large: at most {MOST_MEMORY >> 20} MiB and N*r*p {MOST_WORK}")
    salt, key = _base64(parts[4]), _base64(parts[5])
    if not SALT_BYTES[0] <= len(salt) <= SALT_BYTES[1] or not KEY_BYTES[0] <= len(key) <= KEY_BYTES[1]:
        raise ValueError("salt (8 to 64 bytes) or key (16 to 64 bytes) of a hash has the wrong length")
    return PasswordHash(n, r, p, salt, key)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("salt and key of a hash are base64") from None
