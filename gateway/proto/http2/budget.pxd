# Budgets for what costs a client little and the gateway more: one for each kind, refilled as time passes.
from libc.stdint cimport uint32_t, uint64_t

from gateway.c.segment cimport (
    SL_H2_ABUSE_CONTINUATION, SL_H2_ABUSE_COUNT, SL_H2_ABUSE_PING, SL_H2_ABUSE_PRIORITY, SL_H2_ABUSE_REFUSED,
    SL_H2_ABUSE_RESETS, SL_H2_ABUSE_SETTINGS, SL_H2_ABUSE_WINDOW,
)

cdef enum:
    UNIT = 1000                # of a budget for one frame

cdef struct Budgets:
    uint64_t when              # milliseconds: the last refill
    uint32_t left[SL_H2_ABUSE_COUNT]   # thousandths of one

# Of a kind, in thousandths: the frames that may come at once.
cdef inline uint32_t budgets_burst(int kind) noexcept nogil:
    if kind == SL_H2_ABUSE_RESETS or kind == SL_H2_ABUSE_REFUSED:
        return 1200 * UNIT     # a client may open and give up all its streams at once
    if kind == SL_H2_ABUSE_WINDOW:
        return 10000 * UNIT
    if kind == SL_H2_ABUSE_PRIORITY:
        return 2000 * UNIT
    if kind == SL_H2_ABUSE_SETTINGS:
        return 50 * UNIT
    if kind == SL_H2_ABUSE_PING or kind == SL_H2_ABUSE_CONTINUATION:
        return 200 * UNIT
    return 500 * UNIT

cdef void budgets_begin(Budgets *budgets, uint64_t now) noexcept nogil
# Time goes on.
cdef void budgets_refill(Budgets *budgets, uint64_t now) noexcept nogil
# One more of this kind (an sl_h2_abuse); False when that is too many.
cdef bint budgets_spend(Budgets *budgets, int kind) noexcept nogil
# Own work earns the client `count` more of a kind: beside each DATA frame, so it is inline.
cdef inline void budgets_earn(Budgets *budgets, int kind, uint32_t count) noexcept nogil:
    cdef uint64_t earned = budgets.left[kind] + <uint64_t> count * UNIT
    budgets.left[kind] = <uint32_t> min(earned, <uint64_t> budgets_burst(kind))
# At least a quarter of each burst is left.
cdef void budgets_floor(Budgets *budgets) noexcept nogil
# Whether less than half of some burst is left.
cdef bint budgets_are_low(const Budgets *budgets) noexcept nogil
