"""How many files may be open, and how many tunnels fit in them."""

import math
import resource

from supervisor.host.errors import StartError

__all__ = ["RESERVED_FILES", "raise_nofile", "tunnel_cap"]

RESERVED_FILES = 256  # of each worker: listeners, DNS, pipes, logs
FILES_PER_TUNNEL = 2


def raise_nofile() -> int:
    """Raises the soft limit of open files to the hard one, for us and the workers; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard


def tunnel_cap(wanted: int, explicit: bool, workers: int, nofile: int) -> tuple[int, str]:
    """(tunnels that may be open at once, a warning or ""). Raises StartError where the configuration cannot be kept.

    The cap is min(limits.tunnels, workers x (nofile - 256) / 2) (DESIGN.md section 3); a limit that the user set is a
    promise, the default is not.
    """
    fit = workers * (nofile - RESERVED_FILES) // FILES_PER_TUNNEL
    need = math.ceil(wanted * FILES_PER_TUNNEL / workers) + RESERVED_FILES
    if fit >= wanted:
        return wanted, ""
    suggestion = f"raise the hard limit of open files to {need} (`ulimit -Hn {need}`, LimitNOFILE={need})"
    if fit < 1:
        raise StartError(
            f"no tunnel fits: {nofile} open files are allowed, each worker keeps {RESERVED_FILES} for itself",
            suggestion,
        )
    if explicit:
        raise StartError(
            f"limits.tunnels: {wanted} cannot be met: {workers} worker(s) with {nofile} open files each carry {fit}",
            f"{suggestion}, or set limits.tunnels to {fit} or less",
        )
    return fit, f"at most {fit} tunnels instead of {wanted}: only {nofile} open files are allowed; {suggestion}"
