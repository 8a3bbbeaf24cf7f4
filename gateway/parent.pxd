# Parent gateways (`upstreams` of sluice.yaml): which there are, and asking one for a tunnel.
from libc.stdint cimport uint16_t, uint32_t

from gateway.csrc cimport sl_addr
from gateway.handshake cimport Handshake
from gateway.loop cimport Handler, Loop
from gateway.resolver cimport Waiter
from gateway.source_pool cimport SourcePool

cdef enum:
    MAX_PARENT_ADDRESSES = 16

cdef class Parent:
    # One of them, as a generation has it.
    cdef readonly str name
    cdef readonly str kind                          # "http", "socks5" or "http2tunnel"
    cdef readonly bint shared                       # many tunnels share a connection to it: they go by a Passage
    cdef readonly tuple identity                    # equal for those that the same connections lead to
    cdef sl_addr addresses[MAX_PARENT_ADDRESSES]    # in the order to try
    cdef uint16_t ports[MAX_PARENT_ADDRESSES]
    cdef readonly int count
    cdef bytes user                                 # None: no credentials
    cdef bytes password

    cdef str host(self, bytes name, const sl_addr *address)
    # host:port as a request has it, for `name`, or for `address` where that is None.
    cdef str target(self, bytes name, const sl_addr *address, uint16_t port)
    # A new asking for it. Raises for what no request can carry.
    cdef Handshake handshake(self, bytes name, const sl_addr *address, uint16_t port)

# Whoever waits for a parent's answer. One of the two is called, at most once, and never after cancel().
cdef class Introduced(Waiter):
    cdef void on_introduced(self, int outcome) noexcept   # SL_OUTCOME_CONNECTED, else why not
    # The same from a Passage. Connected: `fd` is the tunnel's, non-blocking and not watched; else -1. `reason` is an
    # sl_reason that explains a refusal, or -1.
    cdef void on_passed(self, int fd, int outcome, int reason) noexcept

# A tunnel's way through a connection that many share: asked for, then behind the tunnel's upstream descriptor as long
# as that one is open.
cdef class Passage(Handler):
    # Nobody waits for it any more, before it was told.
    cdef void cancel(self) noexcept
    # Connected: whose way it is. That one hears on_cut (opening.pxd) when it breaks, and ends by itself then.
    cdef void lead(self, Handler tunnel) noexcept
    # The tunnel is about to be reset, so what is behind it has to be: its descriptor cannot say so.
    cdef void cut(self) noexcept
    # Where its connection comes from; family 0 when unknown.
    cdef void local(self, sl_addr *address) noexcept

# All shared connections of a worker.
cdef class Passages:
    # `owner` hears on_passed, never before this returns. The connection comes from `source` unless that is None.
    cdef Passage ask(self, Parent parent, SourcePool source, Introduced owner, str target)
    # `parents` are those of a new generation: connections to others end with their last tunnel.
    cdef void keep_only(self, list parents) noexcept
    # The worker ends: what is outgoing has a chance to leave.
    cdef void close(self) noexcept

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
