# A tunnel between two sockets: a SOCKS or HTTP/1 connection becomes one.
from gateway.c.leg cimport sl_leg
from gateway.tunnel.tunnel cimport Tunnel

cdef class SocketTunnel(Tunnel):
    cdef sl_leg client

    # The answer that the client did not take yet, in front of all that the upstream will send.
    cdef void answer(self, bytes text) noexcept
