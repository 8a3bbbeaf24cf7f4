# Whether a destination is this machine, as the kernel routes it now.
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from gateway.c.addr cimport sl_addr
from gateway.c.image cimport sl_image
from gateway.c.local cimport sl_local
from gateway.io.loop cimport Handler, Loop
from gateway.parent.source_pool cimport SourcePool

cdef class LocalRoutes(Handler):
    cdef Loop loop
    cdef sl_local local
    cdef bint changed          # the subscription has an event: it is read and watched again before the next question
    cdef uint16_t first_port   # net.ipv4.ip_local_port_range, as read at range_read
    cdef uint16_t last_port
    cdef uint64_t range_read   # loop milliseconds; 0: never

    cdef void refresh(self) noexcept
    # Whether the gateway listens on `port` and a connection to `addr`, from one of `pool` or (None) from where the
    # system chooses, would end on this machine. Ports of others cost no system call.
    cdef bint is_own(self, const sl_image *image, const sl_addr *addr, uint16_t port, SourcePool pool) noexcept
    cdef bint is_local(self, const sl_addr *addr, uint16_t port, SourcePool pool) noexcept
    # Whether a connection to `addr` and `port` might be given that very port, and so be connected to itself.
    cdef bint may_meet_itself(self, const sl_addr *addr, uint16_t port) noexcept
    cdef void read_range(self) noexcept
