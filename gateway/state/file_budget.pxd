# Descriptors of a worker: how many there may be, which of them are promised, and the pipes that take what is left.
from libc.stdint cimport uint64_t

from gateway.c.pipe_pool cimport sl_pipe_pool
from gateway.state.meter cimport Meter

cdef class FileBudget:
    cdef Meter meter           # keeps the counters of the pipes mapped
    cdef object on_full        # called with True when no client is accepted any more, with False when it goes on
    cdef bint full             # too few descriptors are left: no client is accepted
    cdef uint64_t limit        # descriptors that this process may have
    cdef uint64_t apart        # those that are no client's and no upstream's
    cdef uint64_t extra_dials  # attempts under way beside the first one of their request
    cdef uint64_t clients      # client connections, and HTTP/2 streams that ask or are a tunnel
    cdef uint64_t streams      # such streams among them: they have no descriptor of a client
    cdef uint64_t multiplexed  # HTTP/2 connections among them: they dial nothing themselves
    cdef sl_pipe_pool pipes    # for bulk

    # Whether there are descriptors for so many more clients and extra dials, with `rest` left over.
    cdef bint has_room(self, uint64_t clients, uint64_t dials, uint64_t rest) noexcept
    # Reads the limit, which may be changed from outside (prlimit(2)).
    cdef void ask_limit(self) noexcept
    # Pipes get the descriptors that no client was promised.
    cdef void spare_pipes(self) noexcept
    cdef void set_full(self, bint full) noexcept
