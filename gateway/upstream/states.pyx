"""States of a connection to a parent. See states.pxd; docs draw transitions()."""

from libc.stdint cimport uint8_t

from gateway.io.states cimport named

cdef enum:
    STATES = 5

cdef uint8_t[STATES] FOLLOWERS  # of each state, a bit for each that may follow
FOLLOWERS[<int> PARENT_GREETING] = 1 << PARENT_SERVING | 1 << PARENT_RETIRED | 1 << PARENT_GONE
FOLLOWERS[<int> PARENT_SERVING] = 1 << PARENT_DOUBTED | 1 << PARENT_RETIRED | 1 << PARENT_GONE
FOLLOWERS[<int> PARENT_DOUBTED] = 1 << PARENT_SERVING | 1 << PARENT_RETIRED | 1 << PARENT_GONE
FOLLOWERS[<int> PARENT_RETIRED] = 1 << PARENT_GONE
FOLLOWERS[<int> PARENT_GONE] = 0

NAMES = ("greeting", "serving", "doubted", "retired", "gone")


cdef bint parent_may_become(ParentState state, ParentState next) noexcept nogil:
    return FOLLOWERS[<int> state] >> <int> next & 1


def transitions():
    """The table by names, for tests and docs: each state and those that may follow it."""
    return named(NAMES, FOLLOWERS)
