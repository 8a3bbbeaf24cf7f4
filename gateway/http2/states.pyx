"""States of an HTTP/2 connection on a socket. See states.pxd; docs draw them from transitions()."""

from libc.stdint cimport uint8_t

from gateway.io.states cimport named

cdef enum:
    STATES = 4

cdef uint8_t[STATES] FOLLOWERS  # of each state, a bit for each that may follow
FOLLOWERS[<int> CARRIER_OPEN] = 1 << CARRIER_LEAVING | 1 << CARRIER_GONE
FOLLOWERS[<int> CARRIER_LEAVING] = 1 << CARRIER_FINISHED | 1 << CARRIER_GONE
FOLLOWERS[<int> CARRIER_FINISHED] = 1 << CARRIER_GONE
FOLLOWERS[<int> CARRIER_GONE] = 0

NAMES = ("open", "leaving", "finished", "gone")


cdef bint may_follow(CarrierState state, CarrierState next) noexcept nogil:
    return FOLLOWERS[<int> state] >> <int> next & 1


def transitions():
    """The table by names, for tests and docs: each state and those that may follow it."""
    return named(NAMES, FOLLOWERS)
