# Connections that begin on a client's leg that another one has read from: what it is for shows late. An interface.
from libc.stdint cimport uint8_t

from gateway.c.leg cimport sl_leg
from gateway.state.request cimport Request

# What was reported of a leg, and not acted upon.
cdef struct LegState:
    uint8_t readable           # bool: an edge has not been acted upon
    uint8_t hangup             # bool: EPOLLRDHUP, EPOLLHUP or EPOLLERR
    uint8_t urgent             # bool: EPOLLPRI

cdef class Beginnings:
    # HTTP inside the tunnel who.inside, whose first bytes are `data`: each request is judged by itself. `http2`: the
    # preface of HTTP/2, whole. The leg is the new connection's, whatever comes.
    cdef void carry_requests(self, Request who, sl_leg *leg, LegState state, bytes data, bint http2) noexcept
    # A CONNECT behind other requests of `who`, of which `data` is the beginning: the connection is that one's.
    cdef void connect(self, Request who, sl_leg *leg, LegState state, bytes data) noexcept
