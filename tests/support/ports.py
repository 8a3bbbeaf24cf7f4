"""Ports for what a test starts: from below those the kernel hands to clients, a share for each process of the run."""

import itertools
import os
import socket
from collections.abc import Iterator
from typing import Final

FIRST: Final = 12_000
SHARE: Final = 1_000
SHARES: Final = 16  # up to 28,000; Linux gives clients ports from 32,768 on


def _candidates() -> Iterator[int]:
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SHARES
    first = FIRST + process * SHARE
    # Another run on this machine starts elsewhere in the share.
    start = os.getpid() % SHARE
    return (first + (start + i) % SHARE for i in itertools.count())


_ports: Final = _candidates()


def free_port(host: str = "127.0.0.1") -> int:
    """A port without a listener, that no client socket is given and no other process of this run asks for."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in itertools.islice(_ports, SHARE):
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port from {FIRST} on is free")
