"""The supervisor's half of the table of limits: its layout is the worker's, a dead worker's column is zeroed."""

import fcntl
import mmap
import os
from collections.abc import Iterator

import pytest

from supervisor.segment.limit_table import LimitTable
from tests.support.limiting import settings
from tests.support.proto_probe import Limits


@pytest.fixture
def shared() -> Iterator[LimitTable]:
    table = LimitTable(2)
    yield table
    table.close()


def views(table: LimitTable) -> list[Limits]:
    """The table as two workers see it."""
    found = [Limits(memoryview(mmap.mmap(table.fd, 0)), worker) for worker in range(2)]
    for limits in found:
        limits.load(settings(100, 100), [])
    return found


def test_a_dead_workers_column_is_free_again(shared: LimitTable) -> None:
    first, second = views(shared)
    for _ in range(3):
        assert first.take("10.0.0.1", "tunnels") and first.take(None, "tunnels")
    assert second.take("10.0.0.1", "tunnels") and second.take(None, "tunnels")
    shared.clear(0)
    assert second.held("10.0.0.1", "tunnels") == second.held(None, "tunnels") == 1
    shared.clear(1)
    assert second.held("10.0.0.1", "tunnels") == second.held(None, "tunnels") == 0


def test_no_worker_can_shrink_it(shared: LimitTable) -> None:
    size = os.fstat(shared.fd).st_size
    for other in (size - 4096, size + 4096):
        with pytest.raises(PermissionError):
            os.ftruncate(shared.fd, other)
    with pytest.raises(PermissionError):
        fcntl.fcntl(shared.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_each_table_has_a_key_of_its_own(shared: LimitTable) -> None:
    other = LimitTable(2)
    try:
        assert os.pread(shared.fd, 16, 0) == os.pread(other.fd, 16, 0)
        assert os.pread(shared.fd, 16, 16) != os.pread(other.fd, 16, 16)
    finally:
        other.close()
