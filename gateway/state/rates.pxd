# Requests a second that listeners take, over all workers: this worker's view of csrc/shared/rate_table.h.
from libc.stdint cimport uint32_t, uint64_t

from gateway.c.limit_table cimport sl_limits
from gateway.c.rate_table cimport sl_rates

cdef class Rate:
    # What one policy lets pass at one listener.
    cdef bytes name              # of the policy: what its sources are known by
    cdef uint32_t total          # of all sources; 0: no such limit
    cdef uint32_t identity       # of each identity that has no limit of its own; 0: no such limit
    cdef dict overrides          # identity -> (requests a second, name of the limit that they share)

cdef class Rates:
    cdef sl_rates table
    cdef dict by_listener        # label of a listener -> Rate; empty: nothing is limited

    # Whether a request of an identity may pass at `now`, in milliseconds of the loop: then it is counted. `who`: b""
    # for all sources without one, which count as one. `keyed`: the table with the key of the hash.
    cdef bint take(self, const sl_limits *keyed, Rate rate, bytes who, uint64_t now) noexcept
