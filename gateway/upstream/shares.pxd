# How many requests of each source are under way: an open-addressed table. Zeroed, it is empty.
from libc.stdint cimport uint32_t, uint64_t

cdef struct Share:
    uint64_t source            # 0: free
    uint32_t count

cdef struct Shares:
    Share *entries             # malloc'd; NULL: none yet
    uint32_t size              # a power of two, or 0
    uint32_t used              # entries that are not free

cdef uint32_t shares_of(const Shares *shares, uint64_t source) noexcept
# One more, and one less. Without memory a source that is new is not counted.
cdef void shares_enter(Shares *shares, uint64_t source) noexcept
cdef void shares_leave(Shares *shares, uint64_t source) noexcept
cdef void shares_free(Shares *shares) noexcept
