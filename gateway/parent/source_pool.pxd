# The addresses that connections of one rule come from (sourceAddress of a policy).
from libc.stdint cimport uint16_t

from gateway.c.addr cimport sl_addr

cdef class SourcePool:
    cdef bytes addresses       # packed sl_addr records, as the rule lists them
    cdef unsigned turn         # index of the address that is first next time

    cdef int count(self) noexcept
    cdef const sl_addr *at(self, int index) noexcept
    # Starts a connection from one of them. Returns the descriptor; else -errno, -SL_DIAL_SOURCELESS when none can be
    # used, -EADDRNOTAVAIL when none that can has a free port.
    cdef int connect(self, const sl_addr *addr, uint16_t port) noexcept
    # Whether a connected socket comes from one of them.
    cdef bint has(self, int fd) noexcept
