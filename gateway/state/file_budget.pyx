"""Descriptors of a worker. See file_budget.pxd.

Every client counts twice: the one that is accepted is promised the socket that is dialed for it. A stream has that
alone, and the connection it is one of has none.
"""

import os
import resource

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from gateway.c.pipe_pool cimport sl_pipe_counts, sl_pipe_pool_free, sl_pipe_pool_init, sl_pipe_pool_limit
from gateway.c.segment cimport SL_COUNTER_PIPES_IDLE

cdef enum:
    PIPES_MOST = 1024          # that hold bytes at once, 256 MiB in all
    PIPE_FILES_KEPT = 128      # descriptors that pipes leave to others
    FILES_MOST = 1 << 30       # what no limit of open files means


@cython.final
@cython.no_gc_clear  # the pool counts into the mapping to the end
cdef class FileBudget:
    """It knows numbers, and no connection: the roster keeps them up to date."""

    def __cinit__(self, Meter meter):
        self.meter = meter
        sl_pipe_pool_init(&self.pipes, <sl_pipe_counts *> &meter.segment.counters[<unsigned> SL_COUNTER_PIPES_IDLE], 0)

    def __dealloc__(self):
        if self.meter is not None:
            sl_pipe_pool_free(&self.pipes)

    def measure(self):
        """Before the first client: how many descriptors there may be, and how many serve other ends than clients."""
        self.ask_limit()
        self.apart = len(os.listdir("/proc/self/fd"))
        self.spare_pipes()

    def keep(self, int change):
        """So many more descriptors serve other ends than clients, or fewer."""
        self.apart += change

    def has_room_apart(self, uint64_t files):
        """Whether so many more descriptors may serve other ends than clients."""
        return self.has_room(0, 0, files)

    cdef bint has_room(self, uint64_t clients, uint64_t dials, uint64_t rest) noexcept:
        clients += self.clients
        rest += 2 * (self.pipes.counts.idle + self.pipes.counts.busy)
        return (self.apart + 2 * clients - self.streams - self.multiplexed + self.extra_dials + dials + rest
                <= self.limit)

    cdef void ask_limit(self) noexcept:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.limit = FILES_MOST if limit == resource.RLIM_INFINITY else limit

    cdef void spare_pipes(self) noexcept:
        cdef uint64_t taken = self.apart + 2 * self.clients - self.streams - self.multiplexed + PIPE_FILES_KEPT
        cdef uint64_t left = (self.limit - taken) // 2 if self.limit > taken else 0
        sl_pipe_pool_limit(&self.pipes, <uint32_t> min(left, <uint64_t> PIPES_MOST))

    cdef void set_full(self, bint full) noexcept:
        if full != self.full:
            self.full = full
            self.on_full(full)
