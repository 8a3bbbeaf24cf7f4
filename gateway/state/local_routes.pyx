"""Whether a destination is this machine, as the kernel routes it now (DECISIONS.md section 3, "Own addresses").

csrc/net/local.c asks and remembers; this watches its subscription for the next event, once: a machine whose routes
change all the time wakes a worker once per question, not once per change.
"""

import os

from libc.errno cimport errno
from libc.stdint cimport uint32_t

from gateway.c.addr cimport sl_addr_embedded
from gateway.c.judge cimport sl_own_asked
from gateway.c.local cimport sl_local_close, sl_local_drain, sl_local_forget, sl_local_is, sl_local_open
from gateway.io.sockets cimport EPOLLIN, EPOLLONESHOT

cdef enum:
    RANGE_AGE = 1000           # milliseconds that the range of ephemeral ports is believed
    HIGHEST_PORT = 65535

RANGE_FILE = "/proc/sys/net/ipv4/ip_local_port_range"  # also for IPv6


cdef class LocalRoutes(Handler):
    """See local_routes.pxd. Lives as long as its worker."""

    def __cinit__(self, Loop loop):
        self.loop = loop
        self.changed = True
        # Where a sandbox has no netlink every destination at a port of the gateway counts as local: the safe answer.
        if sl_local_open(&self.local):
            if not loop.watch(self.local.events, self, 0, EPOLLIN | EPOLLONESHOT):
                raise OSError(errno, os.strerror(errno))
            loop.keep(self)

    def __dealloc__(self):
        sl_local_close(&self.local)

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        sl_local_forget(&self.local)
        self.changed = True

    cdef void refresh(self) noexcept:
        if self.changed and self.local.events >= 0:
            sl_local_drain(&self.local)
            self.changed = not self.loop.rewatch(self.local.events, self, 0, EPOLLIN | EPOLLONESHOT)
            if self.changed:
                sl_local_forget(&self.local)

    cdef bint is_own(self, const sl_image *image, const sl_addr *addr, uint16_t port, SourcePool pool) noexcept:
        cdef sl_addr asked[2]
        cdef unsigned i, count = sl_own_asked(image, addr, port, asked)
        for i in range(count):
            if self.is_local(&asked[i], port, pool):
                return True
        return False

    cdef bint is_local(self, const sl_addr *addr, uint16_t port, SourcePool pool) noexcept:
        cdef int i
        self.refresh()
        if sl_local_is(&self.local, addr, port, NULL):
            return True
        if pool is not None:
            for i in range(pool.count()):
                if pool.at(i).family == addr.family and sl_local_is(&self.local, addr, port, pool.at(i)):
                    return True
        return False

    cdef bint may_meet_itself(self, const sl_addr *addr, uint16_t port) noexcept:
        cdef sl_addr inner
        if self.range_read == 0 or self.loop.now - self.range_read >= RANGE_AGE:
            self.read_range()
        if port < self.first_port or port > self.last_port:
            return False
        if addr.family == 6 and sl_addr_embedded(addr, &inner) and self.is_local(&inner, 0, None):
            return True
        return self.is_local(addr, 0, None)

    cdef void read_range(self) noexcept:
        self.range_read = self.loop.now
        try:
            # As bytes: a text file loads its codec, which a worker without privileges may not be able to read.
            with open(RANGE_FILE, "rb", buffering=0) as file:
                first, last = file.read(64).split()
            self.first_port, self.last_port = int(first), int(last)
        except (OSError, ValueError):
            self.first_port, self.last_port = 1, HIGHEST_PORT

    cdef void close(self) noexcept:
        # An error in one call is counted by the loop and must not end the subscription.
        self.changed = True
