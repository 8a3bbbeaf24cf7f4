"""The end of every property test: no difference over all seeds, and no case that is too rare to be trusted."""

from collections import Counter
from collections.abc import Callable, Iterable

__all__ = ["check_seeds"]


def check_seeds(
    seeds: Iterable[int], compare: Callable[[int], tuple[object, Counter[str]]], covered: Iterable[str], least: int
) -> Counter[str]:
    """Runs `compare` with each seed, which answers the first difference, or None, and what was hit; each of `covered`
    has to be hit `least` times. Answers the sum of the hits."""
    hits: Counter[str] = Counter()
    for seed in seeds:
        difference, more = compare(seed)
        assert difference is None, "\n".join(map(str, difference)) if isinstance(difference, tuple) else difference
        hits += more
    for what in covered:
        assert hits[what] >= least, f"{what} is too rare to be trusted: {hits}"
    return hits
