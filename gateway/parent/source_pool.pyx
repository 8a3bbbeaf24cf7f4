"""The addresses that connections of one rule come from: they take turns, and nothing is dialed from any other.

An address that is not this machine's, or that has no free port left for the destination, is passed over; where none is
left, or none of the destination's family was given, the dial fails. It never falls back to what the system would
choose: an operator who lists source addresses has had these, and no others, allowed elsewhere.
"""

import json

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EADDRINUSE, EADDRNOTAVAIL, EINVAL
from libc.string cimport memcmp

from gateway.c.addr cimport sl_addr_parse
from gateway.c.dial_error cimport SL_DIAL_SOURCELESS
from gateway.io.sockets cimport dial, local_address


cdef bint is_link_local(const sl_addr *addr) noexcept:
    return addr.family == 6 and addr.bytes[0] == 0xFE and addr.bytes[1] & 0xC0 == 0x80


cdef class SourcePool:
    """`attributes` is the rule's text in the image: JSON whose `sourceAddress` lists addresses. One that cannot be read
    makes an empty pool, from which nothing can be dialed."""

    def __init__(self, str attributes):
        cdef sl_addr address
        cdef bytes text
        self.addresses = b""
        try:
            listed = json.loads(attributes)["sourceAddress"]
            for entry in listed:
                text = entry.encode("ascii")
                if not sl_addr_parse(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), &address):
                    raise ValueError(entry)
                self.addresses += (<const char *> &address)[:sizeof(sl_addr)]
        except (ValueError, KeyError, TypeError, AttributeError):
            self.addresses = b""

    cdef int count(self) noexcept:
        return <int> (<size_t> PyBytes_GET_SIZE(self.addresses) // sizeof(sl_addr))

    cdef const sl_addr *at(self, int index) noexcept:
        return <const sl_addr *> PyBytes_AS_STRING(self.addresses) + index

    cdef int connect(self, const sl_addr *addr, uint16_t port) noexcept:
        cdef const sl_addr *source
        cdef int i, fd, count = self.count(), failed = -SL_DIAL_SOURCELESS
        for i in range(count):
            source = self.at(<int> ((self.turn + <unsigned> i) % <unsigned> count))
            if source.family != addr.family:
                continue
            fd = dial(addr, port, source)
            if fd in (-EADDRNOTAVAIL, -EADDRINUSE):
                failed = -EADDRNOTAVAIL  # it has no free port for this destination
                continue
            # EINVAL: this source cannot go there, as a loopback address cannot leave the machine; unless no source can.
            if fd == -SL_DIAL_SOURCELESS or fd == -EINVAL and not is_link_local(addr):
                continue
            self.turn += <unsigned> i + 1
            return fd
        return failed

    cdef bint has(self, int fd) noexcept:
        cdef sl_addr bound
        cdef uint16_t port
        cdef int i
        local_address(fd, &bound, &port)
        for i in range(self.count()):
            if bound.family == self.at(i).family and memcmp(bound.bytes, self.at(i).bytes, sizeof(bound.bytes)) == 0:
                return True
        return False
