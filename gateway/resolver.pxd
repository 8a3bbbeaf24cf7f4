# Names to addresses: /etc/hosts, then DNS through c-ares on the worker's own epoll.
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from gateway.csrc cimport sl_addr
from gateway.loop cimport Handler, Loop

cdef extern from "<ares.h>" nogil:
    struct ares_channeldata:
        pass
    ctypedef ares_channeldata *ares_channel

cdef enum:
    MAX_ADDRESSES = 32         # of one answer; the rest is ignored

cdef enum ResolveStatus:
    RESOLVE_FAILED = 0         # the name does not resolve: NXDOMAIN, no address, SERVFAIL, a single label outside /etc/hosts
    RESOLVE_OK = 1
    RESOLVE_TIMEOUT = 2

cdef class Waiter(Handler):
    # Who waits for an answer. `addresses` are valid during the call only. Called at most once, maybe before lookup() returns.
    cdef void on_resolved(self, int status, const sl_addr *addresses, int count) noexcept

cdef class HostsFile:
    cdef object path
    cdef object stamp          # (mtime_ns, size, inode) of what was read
    cdef uint64_t checked      # loop milliseconds of the last stat
    cdef dict names            # canonical name -> bytes of sl_addr records

    cdef bytes find(self, bytes name, uint64_t now)

cdef class Resolver:
    cdef Loop loop
    cdef HostsFile hosts
    cdef ares_channel channel
    cdef dict sockets          # descriptor -> ResolverSocket
    cdef Handler clock         # c-ares' own retry timer
    cdef uint64_t timeout      # milliseconds for a whole look-up
    cdef int asked             # look-ups that c-ares still holds
    cdef bint retired          # another resolver took over: end when the last look-up has
    cdef readonly uint64_t queries
    cdef readonly uint64_t failures

    cdef void lookup(self, const char *name, size_t length, Waiter waiter) noexcept
    cdef void processed(self) noexcept
    cdef void retire(self) noexcept
    cdef void shut(self) noexcept

cdef class ResolverSocket(Handler):
    cdef Resolver resolver
    cdef int fd

cdef class ResolverClock(Handler):
    cdef Resolver resolver

cdef class Lookup(Handler):
    cdef Resolver resolver
    cdef Waiter waiter

    cdef void finish(self, int status, const sl_addr *addresses, int count) noexcept
