"""Budgets for what costs a client little and us more. See budget.pxd.

Each kind has a burst and a rate that no honest client comes near; a frame that was earned (a window update for data
that was sent) costs nothing. Fixed figures, not settings: they part tunnels from attacks, not small from large.
"""

from libc.stdint cimport uint32_t, uint64_t

from gateway.c.segment cimport (
    SL_H2_ABUSE_COUNT, SL_H2_ABUSE_EMPTY, SL_H2_ABUSE_ERRORS, SL_H2_ABUSE_PRIORITY, SL_H2_ABUSE_REFUSED,
    SL_H2_ABUSE_RESETS, SL_H2_ABUSE_SETTINGS, SL_H2_ABUSE_UNKNOWN, SL_H2_ABUSE_WINDOW,
)

cdef enum:
    LONGEST = 60000            # milliseconds that are counted as refill at once


cdef uint32_t rate(int kind) noexcept nogil:
    """Frames a second, for good."""
    if kind == SL_H2_ABUSE_WINDOW:
        return 2000
    if kind == SL_H2_ABUSE_RESETS or kind == SL_H2_ABUSE_REFUSED or kind == SL_H2_ABUSE_PRIORITY:
        return 100
    if kind == SL_H2_ABUSE_SETTINGS:
        return 1
    if kind in (SL_H2_ABUSE_EMPTY, SL_H2_ABUSE_ERRORS, SL_H2_ABUSE_UNKNOWN):
        return 50
    return 10


cdef void budgets_begin(Budgets *budgets, uint64_t now) noexcept nogil:
    cdef int kind
    budgets.when = now
    for kind in range(<int> SL_H2_ABUSE_COUNT):
        budgets.left[kind] = budgets_burst(kind)


cdef void budgets_refill(Budgets *budgets, uint64_t now) noexcept nogil:
    cdef uint64_t passed
    cdef int kind
    if now <= budgets.when:
        return
    passed = min(now - budgets.when, <uint64_t> LONGEST)
    budgets.when = now
    for kind in range(<int> SL_H2_ABUSE_COUNT):
        # A rate a second is, a millisecond, as many thousandths.
        budgets.left[kind] = <uint32_t> min(
            budgets.left[kind] + passed * rate(kind), <uint64_t> budgets_burst(kind))


cdef bint budgets_spend(Budgets *budgets, int kind) noexcept nogil:
    if budgets.left[kind] < UNIT:
        return False
    budgets.left[kind] -= UNIT
    return True


cdef void budgets_floor(Budgets *budgets) noexcept nogil:
    cdef int kind
    for kind in range(<int> SL_H2_ABUSE_COUNT):
        budgets.left[kind] = max(budgets.left[kind], budgets_burst(kind) // 4)


cdef bint budgets_are_low(const Budgets *budgets) noexcept nogil:
    cdef int kind
    for kind in range(<int> SL_H2_ABUSE_COUNT):
        if budgets.left[kind] < budgets_burst(kind) // 2:
            return True
    return False
