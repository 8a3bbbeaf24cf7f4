"""Sets of characters as sorted ranges of code points, and the UTF-8 of them as sequences of ranges of bytes."""

import functools
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["ANY", "CLASSES", "Ranges", "fold", "invert", "merge", "sequences"]

Ranges = tuple[tuple[int, int], ...]  # both included, sorted, with a gap between any two

LAST: Final = 0x10FFFF
ANY: Final[Ranges] = ((0, LAST),)
SURROGATES: Final = (0xD800, 0xDFFF)  # no UTF-8 has them (RFC 3629 section 3)
LENGTHS: Final = ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, LAST))  # of one, two, three and four bytes
# The last letter that has another case is Adlam's; beyond it no folding is looked for.
LAST_CASED: Final = 0x1E943


def _of(text: str) -> Ranges:
    return merge((ord(letter), ord(letter)) for letter in text)


def merge(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted, and as few as can be."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def invert(ranges: Ranges) -> Ranges:
    """All other characters."""
    inverse, at = [], 0
    for low, high in ranges:
        if low > at:
            inverse.append((at, low - 1))
        at = high + 1
    if at <= LAST:
        inverse.append((at, LAST))
    return tuple(inverse)


DIGIT: Final = ((48, 57),)
LOWER: Final = ((97, 122),)
UPPER: Final = ((65, 90),)
WORD: Final = merge((*DIGIT, *LOWER, *UPPER, (95, 95)))
# Perl's and POSIX's, all of them ASCII.
CLASSES: Final[dict[str, Ranges]] = {
    "d": DIGIT,
    "s": _of("\t\n\f\r "),
    "w": WORD,
    "alnum": merge((*DIGIT, *LOWER, *UPPER)),
    "alpha": merge((*LOWER, *UPPER)),
    "ascii": ((0, 127),),
    "blank": _of("\t "),
    "cntrl": ((0, 31), (127, 127)),
    "digit": DIGIT,
    "graph": ((33, 126),),
    "lower": LOWER,
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": _of("\t\n\v\f\r "),
    "upper": UPPER,
    "word": WORD,
    "xdigit": merge((*DIGIT, (65, 70), (97, 102))),
}


@functools.cache
def _cases() -> dict[int, frozenset[int]]:
    """For each letter with another case all that are like it but for case."""
    alike: dict[str, set[int]] = {}
    for point in range(LAST_CASED + 1):
        letter = chr(point)
        # Where the full folding has several letters, the simple one is the lower case (Unicode's CaseFolding, C and S).
        folded = letter.casefold() if len(letter.casefold()) == 1 else letter.lower()
        if len(folded) == 1 and (folded != letter or letter.upper() != letter):
            alike.setdefault(folded, {ord(folded)}).add(point)
    return {point: frozenset(group) for group in alike.values() if len(group) > 1 for point in group}


def fold(ranges: Ranges) -> Ranges:
    """With every letter that one of them is but for its case."""
    more = list(ranges)
    for point, group in _cases().items():
        if any(low <= point <= high for low, high in ranges):
            more.extend((other, other) for other in group)
    return merge(more)


def sequences(ranges: Ranges) -> Iterator[tuple[tuple[int, int], ...]]:
    """The UTF-8 of the characters: sequences of one to four ranges of bytes. No two of them share a text."""
    for low, high in ranges:
        for first, last in ((low, min(high, SURROGATES[0] - 1)), (max(low, SURROGATES[1] + 1), high)):
            for shortest, longest in LENGTHS:
                if max(first, shortest) <= min(last, longest):
                    yield from _split(max(first, shortest), min(last, longest))


def _split(low: int, high: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Of characters with equally long UTF-8: cut until each byte takes all values of its range whatever the others."""
    first, last = chr(low).encode(), chr(high).encode()
    for kept in range(1, len(first)):
        mask = (1 << 6 * kept) - 1  # of the last `kept` bytes
        if low & ~mask != high & ~mask:
            if low & mask:
                yield from _split(low, low | mask)
                yield from _split((low | mask) + 1, high)
                return
            if high & mask != mask:
                yield from _split(low, (high & ~mask) - 1)
                yield from _split(high & ~mask, high)
                return
    yield tuple(zip(first, last, strict=True))
