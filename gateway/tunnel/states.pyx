"""States of a tunnel's inspection, which begins in one of the first two. See states.pxd; docs draw transitions()."""

from libc.stdint cimport uint8_t

from gateway.io.states cimport named

cdef enum:
    STATES = 5

cdef uint8_t[STATES] FOLLOWERS  # of each state, a bit for each that may follow
FOLLOWERS[<int> INSPECTION_WATCHING] = 1 << INSPECTION_PASSED | 1 << INSPECTION_DENIED | 1 << INSPECTION_ENDED
FOLLOWERS[<int> INSPECTION_HOLDING] = 1 << INSPECTION_PASSED | 1 << INSPECTION_DENIED | 1 << INSPECTION_ENDED
FOLLOWERS[<int> INSPECTION_PASSED] = 0
FOLLOWERS[<int> INSPECTION_DENIED] = 1 << INSPECTION_ENDED
FOLLOWERS[<int> INSPECTION_ENDED] = 0

NAMES = ("watching", "holding", "passed", "denied", "ended")


cdef bint inspection_may_become(InspectionState state, InspectionState next) noexcept nogil:
    return FOLLOWERS[<int> state] >> <int> next & 1


def transitions():
    """The table by names, for tests and docs: each state and those that may follow it."""
    return named(NAMES, FOLLOWERS)
