# Parent gateways (`upstreams` of sluice.yaml): which there are, and asking one for a tunnel.
from libc.stdint cimport uint16_t, uint32_t

from gateway.c.addr cimport sl_addr
from gateway.c.leg cimport sl_leg
from gateway.proto.client_handshake cimport Handshake
from gateway.io.loop cimport Handler, Loop
from gateway.parent.source_pool cimport SourcePool
from gateway.tls.client cimport TlsClient, TlsClients
from gateway.tls.session cimport TlsSession

cdef enum:
    MAX_PARENT_ADDRESSES = 16

cdef class Parent:
    # One of them, as a generation has it.
    cdef readonly str name
    cdef readonly str kind                          # "http", "socks5" or "http2tunnel"
    cdef readonly bint shared                       # many tunnels share a connection to it: they go by a ParentStream
    cdef readonly tuple identity                    # equal for those that the same connections lead to
    cdef sl_addr addresses[MAX_PARENT_ADDRESSES]    # in the order to try
    cdef uint16_t ports[MAX_PARENT_ADDRESSES]
    cdef readonly int count
    cdef bytes user                                 # None: no credentials
    cdef bytes password
    cdef readonly bint announces                    # a PROXY header names the client first
    cdef TlsClient tls                              # None: cleartext

    cdef str host(self, bytes name, const sl_addr *address)
    # host:port as a request has it, for `name`, or for `address` without one.
    cdef str target(self, bytes name, const sl_addr *address, uint16_t port)
    # A new asking for it. Raises for what no request can carry.
    cdef Handshake handshake(self, bytes name, const sl_addr *address, uint16_t port)

# A tunnel's way through a connection that many share: asked for, then behind the tunnel's upstream descriptor as long
# as that one is open.
cdef class ParentStream(Handler):
    cdef bint answered         # the next three are known
    cdef int outcome           # sl_outcome; connected: `fd` is the tunnel's
    cdef int reason            # an sl_reason that explains a refusal, or -1
    cdef int fd                # non-blocking, not watched; -1: taken, or none
    cdef bint broken           # the way is gone: what was received before stands in the tunnel's descriptor
    cdef const char *why       # static text: how the parent has broken its TLS session; NULL: it has not
    cdef TlsSession tls        # of its connection, or of the handshake that failed; None: cleartext, or no connection

    # The descriptor, the caller's from now on.
    cdef int take(self) noexcept
    # The owner gives it up before an answer, or behind one whose descriptor it did not take.
    cdef void cancel(self) noexcept
    # Connected: the owner of the way. It gets a turn (on_turn) when the way breaks, and ends itself.
    cdef void lead(self, Handler tunnel) noexcept
    # The tunnel is about to be reset, so what is behind it has to be: its descriptor cannot say so.
    cdef void cut(self) noexcept
    # Where its connection comes from; family 0 when unknown.
    cdef void local(self, sl_addr *address) noexcept

# All shared connections of a worker.
cdef class ParentStreams:
    # The owner gets a turn (on_turn) when it is answered. The connection comes from `source`, or from any address.
    cdef ParentStream ask(self, Parent parent, SourcePool source, Handler owner, str target)
    # `parents` are those of a new generation: connections to others end with their last tunnel.
    cdef void keep_only(self, list parents) noexcept
    # The worker ends: what is outgoing has a chance to leave.
    cdef void close(self) noexcept

# How asking stands, for the owner to act upon.
cdef enum ParentStep:
    PARENT_UNASKED = 0         # an internal error: there is no request for it
    PARENT_WAITS = 1           # for the next event
    PARENT_CONNECTED = 2
    PARENT_FAILED = 3          # the parent has refused, or left

# One connection to a parent while it is asked. The leg stays its owner's, and so do events and deadlines.
cdef class ParentRequest:
    cdef Loop loop
    cdef Handshake codec
    cdef sl_leg *leg           # connected and watched; set before start()
    cdef bytes unsent          # bytes that the leg did not take yet; None: none
    cdef bint ended            # EPOLLRDHUP, EPOLLHUP or EPOLLERR was reported

    # Sends first.
    cdef ParentStep start(self) noexcept
    cdef ParentStep on_event(self, uint32_t events) noexcept
    cdef bint say(self) noexcept
    cdef bint put(self) noexcept
    cdef ParentStep read(self) noexcept
