# Addresses that a request is dialed at in place of those of the destination that it asks for: a backend's.
from libc.stdint cimport uint16_t

cdef class Detour:
    cdef bytes host            # to be resolved, at `port`; None: `endpoints`
    cdef uint16_t port
    cdef bytes endpoints       # sl_addr each
    cdef list ports            # of each endpoint
    cdef list lifts            # bool of each: the guard's private ranges are open to it
    cdef object key            # what tells its connections from others'
