# Networks that an address may lie in.
from gateway.c.addr cimport sl_addr, sl_prefix

cdef class Prefixes:
    cdef sl_prefix *items      # malloc'd; NULL: none
    cdef size_t count

    cdef bint contain(self, const sl_addr *addr) noexcept
