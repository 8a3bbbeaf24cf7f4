# What a client may do that costs it little and us more: a budget for each kind, refilled as time passes.
from libc.stdint cimport uint32_t, uint64_t

from gateway.csrc cimport SL_H2_ABUSE_COUNT

cdef struct Budgets:
    uint64_t when              # milliseconds: the last refill
    uint32_t left[SL_H2_ABUSE_COUNT]   # thousandths of one

cdef void budgets_begin(Budgets *budgets, uint64_t now) noexcept nogil
# Time goes on.
cdef void budgets_refill(Budgets *budgets, uint64_t now) noexcept nogil
# One more of this kind (an sl_h2_abuse); False when that is too many.
cdef bint budgets_spend(Budgets *budgets, int kind) noexcept nogil
# What we did earns the client `count` more of a kind.
cdef void budgets_earn(Budgets *budgets, int kind, uint32_t count) noexcept nogil
# What is left is not less than a quarter of each burst.
cdef void budgets_floor(Budgets *budgets) noexcept nogil
# Whether less than half of some burst is left.
cdef bint budgets_are_low(const Budgets *budgets) noexcept nogil
