# Names whose addresses are known without a query: those of /etc/hosts, those of this machine, and those remembered.
from libc.stdint cimport uint64_t

from gateway.c.addr cimport sl_addr
from gateway.dns.cache cimport DnsCache
from gateway.dns.hosts cimport HostsFile
from gateway.io.loop cimport Loop

cdef class KnownNames:
    cdef Loop loop
    cdef HostsFile hosts
    cdef DnsCache cache
    cdef readonly uint64_t hits  # answers from the cache
    cdef uint64_t *hit_tally   # the owner's counter of them; NULL: none

    # A canonical name: a ResolveStatus, RESOLVE_UNKNOWN when a query is needed. Room for MAX_ADDRESSES.
    cdef int find(self, bytes name, sl_addr *addresses, int *count) noexcept
