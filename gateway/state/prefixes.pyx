"""Networks that an address may lie in. See prefixes.pxd."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc

from gateway.c.addr cimport sl_prefix_contains, sl_prefix_parse


@cython.final
cdef class Prefixes:
    """`networks` are CIDRs as text. Raises ValueError for an invalid one."""

    def __init__(self, networks):
        cdef bytes text
        if networks:
            self.items = <sl_prefix *> malloc(len(networks) * sizeof(sl_prefix))
            if self.items is NULL:
                raise MemoryError
        for network in networks:
            text = network.encode("ascii")
            if not sl_prefix_parse(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), &self.items[self.count]):
                raise ValueError(f"not a network: {network}")
            self.count += 1

    def __dealloc__(self):
        free(self.items)

    cdef bint contain(self, const sl_addr *addr) noexcept:
        cdef size_t i
        for i in range(self.count):
            if sl_prefix_contains(&self.items[i], addr):
                return True
        return False
