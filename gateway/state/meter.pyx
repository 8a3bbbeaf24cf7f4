"""The counters of a worker, in its slot's segment. See meter.pxd."""

import os
import time

cimport cython
from libc.stdint cimport uint64_t

from gateway.c.segment cimport (
    SL_COUNTER_LIMITED, SL_COUNTER_LONGEST_TURN, SL_COUNTER_TURNS, SL_COUNTER_UNRAISABLE, SL_FAMILY_LIMITED,
    sl_segment_open,
)


@cython.final
@cython.no_gc_clear  # others count into the mapping to the end
cdef class Meter:
    """Opens `segment`, a writable memoryview of the segment of `slot`. Raises ValueError for one of another version."""

    def __cinit__(self, Loop loop, int slot, segment):
        cdef unsigned char[::1] view = segment
        cdef uint64_t now = <uint64_t> (time.time() * 1000)
        self.loop, self.slot, self.mapping = loop, slot, segment
        self.segment = sl_segment_open(&view[0], view.shape[0], os.getpid(), now)
        if self.segment is NULL:
            raise ValueError("the shared segment belongs to another version")
        loop.segment = self.segment
        self.prefix = f"{slot}-{self.segment.start:x}-"

    cdef void limited(self, int scope) noexcept:
        self.count(SL_COUNTER_LIMITED)
        self.labelled(SL_FAMILY_LIMITED, scope, 0, 0, 0)[0] += 1

    def publish(self):
        """Copies the loop's own figures into the segment; called at each beat and on exit."""
        self.add(SL_COUNTER_TURNS, self.loop.turns - self.published_turns)
        self.add(SL_COUNTER_UNRAISABLE, self.loop.failures - self.published_failures)
        self.published_turns, self.published_failures = self.loop.turns, self.loop.failures
        if self.loop.longest_turn > self.segment.counters[<unsigned> SL_COUNTER_LONGEST_TURN]:
            self.set_gauge(SL_COUNTER_LONGEST_TURN, self.loop.longest_turn)
        self.loop.longest_turn = 0  # the segment keeps it, beyond this worker
