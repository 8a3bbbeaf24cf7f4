# Parent gateways (`upstreams` of sluice.yaml): which there are, and asking one for a tunnel.
from libc.stdint cimport uint16_t, uint32_t

from gateway.csrc cimport sl_addr
from gateway.handshake cimport Handshake
from gateway.loop cimport Handler, Loop
from gateway.resolver cimport Waiter

cdef enum:
    MAX_PARENT_ADDRESSES = 16

cdef class Parent:
    # One of them, as a generation has it.
    cdef readonly str name
    cdef readonly str kind                          # "http" or "socks5"
    cdef sl_addr addresses[MAX_PARENT_ADDRESSES]    # in the order to try
    cdef uint16_t ports[MAX_PARENT_ADDRESSES]
    cdef readonly int count
    cdef bytes user                                 # None: no credentials
    cdef bytes password

    # A new asking for `name`, or for `address` where that is None. Raises for what no request can carry.
    cdef Handshake handshake(self, bytes name, const sl_addr *address, uint16_t port)

# Whoever waits for a parent's answer. Told at most once, and never after cancel().
cdef class Introduced(Waiter):
    cdef void on_introduced(self, int outcome) noexcept   # SL_OUTCOME_CONNECTED, else why not

# One connection to a parent while it is asked. The descriptor stays its owner's, and so do deadlines.
cdef class Introduction(Handler):
    cdef Loop loop
    cdef Introduced owner
    cdef Handshake codec
    cdef int fd

    cdef void start(self) noexcept
    cdef bint say(self) noexcept
    cdef void listen(self, bint ended) noexcept
    cdef void tell(self, int outcome) noexcept
    cdef void cancel(self) noexcept
