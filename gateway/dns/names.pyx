"""Names whose addresses are known without a query. See names.pxd.

Single labels come from /etc/hosts alone; `localhost` and .onion never go to DNS (RFC 6761 section 6.3, RFC 7686 section
2).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcpy

from gateway.c.addr cimport sl_addr_parse
from gateway.dns.cache cimport Answer
from gateway.dns.resolution cimport MAX_ADDRESSES, RESOLVE_FAILED, RESOLVE_OK, RESOLVE_UNKNOWN, turned

cdef sl_addr LOCALHOST[2]
sl_addr_parse(b"::1", 3, &LOCALHOST[0])
sl_addr_parse(b"127.0.0.1", 9, &LOCALHOST[1])


@cython.final
cdef class KnownNames:
    """`entries`: how many answers are remembered."""

    def __cinit__(self, Loop loop, hosts_path, entries):
        self.loop = loop
        self.hosts = HostsFile(loop, hosts_path)
        self.cache = DnsCache(entries)

    cdef int find(self, bytes text, sl_addr *addresses, int *count) noexcept:
        cdef bytes fixed = self.hosts.find(text)
        cdef Answer answer
        count[0] = 0
        if fixed is not None:
            count[0] = min(<int> (<size_t> PyBytes_GET_SIZE(fixed) // sizeof(sl_addr)), <int> MAX_ADDRESSES)
            memcpy(addresses, PyBytes_AS_STRING(fixed), <size_t> count[0] * sizeof(sl_addr))
            return RESOLVE_OK
        if text == b"localhost" or text.endswith(b".localhost"):
            count[0] = 2
            memcpy(addresses, LOCALHOST, sizeof(LOCALHOST))
            return RESOLVE_OK
        if b"." not in text or text.endswith(b".onion"):
            return RESOLVE_FAILED
        answer = self.cache.find(text, self.loop.now)
        if answer is None:
            return RESOLVE_UNKNOWN
        self.hits += 1
        if self.hit_tally is not NULL:
            self.hit_tally[0] += 1
        count[0] = turned(answer, addresses)
        return answer.status
