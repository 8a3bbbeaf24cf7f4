"""The word of the active generation: the supervisor writes it, workers can only read."""

import mmap
import os

import pytest

from supervisor.segment.active import ActiveGeneration


def test_a_store_is_seen_through_every_mapping() -> None:
    active = ActiveGeneration()
    with mmap.mmap(active.fd, 0, prot=mmap.PROT_READ) as read:
        assert active.number == int.from_bytes(read[:8], "little") == 0
        active.store(2**63 + 5)
        assert active.number == int.from_bytes(read[:8], "little") == 2**63 + 5
    active.close()


def test_a_worker_cannot_write_it() -> None:
    active = ActiveGeneration()
    with pytest.raises(PermissionError):
        mmap.mmap(active.fd, 0)
    with pytest.raises(PermissionError):
        os.pwrite(active.fd, bytes(8), 0)
    with pytest.raises(PermissionError):
        os.ftruncate(active.fd, 0)
    active.store(3)
    assert active.number == 3
    active.close()
