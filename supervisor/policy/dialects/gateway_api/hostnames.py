"""Hostnames of routes and listeners: "" = every host, `*.name` = every name below, else one name."""

__all__ = ["Hostnames", "covers", "labels_of", "meet"]


def covers(wide: str, narrow: str) -> bool:
    """Whether every host of `narrow` is one of `wide`."""
    if not wide or wide == narrow:
        return True
    return wide.startswith("*") and narrow.endswith(wide[1:])


def meet(one: str, other: str) -> str | None:
    """The hosts of both: the narrower of the two, None where they share none."""
    if covers(one, other):
        return other
    return one if covers(other, one) else None


def labels_of(pattern: str) -> int:
    """Labels of a hostname, `*` not counted; 0 for every host."""
    name = pattern.removeprefix("*.")
    return name.count(".") + 1 if name else 0


class Hostnames:
    """A set of hostnames that finds out quickly whether another one shares hosts with it."""

    def __init__(self) -> None:
        self.patterns: set[str] = set()
        self.above: set[str] = set()  # every pattern that covers one of them

    def add(self, pattern: str) -> None:
        self.patterns.add(pattern)
        self.above.update(_covering(pattern))

    def meets(self, pattern: str) -> bool:
        """Whether a host is in both."""
        return pattern in self.above or any(one in self.patterns for one in _covering(pattern))


def _covering(pattern: str) -> list[str]:
    """The pattern, and every one that covers it."""
    found = ["", pattern]
    rest = pattern.removeprefix("*.")
    while "." in rest:
        rest = rest.partition(".")[2]
        found.append(f"*.{rest}")
    return found
