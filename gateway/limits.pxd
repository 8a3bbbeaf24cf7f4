# What every source holds at once, over all workers: this worker's view of the shared table (csrc/limit_table.h).
from libc.stdint cimport uint32_t, uint64_t

from gateway.csrc cimport SL_LIMIT_COUNT, sl_addr, sl_limits

cdef class Limits:
    cdef sl_limits table
    cdef object mapping                   # keeps the table mapped
    cdef uint32_t most[SL_LIMIT_COUNT]    # that one source may hold
    cdef uint32_t most_tunnels            # that the gateway may hold
    cdef readonly uint64_t strays         # places given back that were not held: errors of ours

    # Whom to count: a hash that nobody outside can aim at.
    cdef uint64_t of_peer(self, const sl_addr *peer) noexcept
    cdef uint64_t of_user(self, bytes user) noexcept
    cdef uint64_t named(self, source) except? 0

    # `place` is where the caller keeps what it holds, 0 for nothing. enter: False when there is none to be had; True at
    # once when one is held. leave: does nothing when none is held. So one place is never counted or given back twice.
    cdef bint enter(self, uint64_t source, int kind, uint32_t *place) noexcept
    cdef bint enter_gateway(self, int kind, uint32_t *place) noexcept
    cdef void leave(self, int kind, uint32_t *place) noexcept
