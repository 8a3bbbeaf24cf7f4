# The connections of a worker, their streams and tunnels, and whether it drains.
from libc.stdint cimport uint64_t

from gateway.io.loop cimport Handler
from gateway.state.file_budget cimport FileBudget
from gateway.state.meter cimport Meter

cdef class Roster:
    cdef Meter meter
    cdef FileBudget files      # is told of each that comes and goes
    cdef object on_empty       # called when a drain has no connection left
    cdef bint draining
    cdef set connections       # every client connection, and every HTTP/2 stream that asks or is a tunnel
    cdef set parents           # connections to parents
    cdef uint64_t flows        # streams of those that still carry something: a drain waits for them
    cdef uint64_t tunnels      # open ones

    cdef void entered(self, Handler connection)
    cdef void left(self, Handler connection)
    # A request has become a tunnel: the place of one is the other's.
    cdef void replaced(self, Handler request, Handler tunnel)
    cdef void stream_entered(self, Handler stream)
    # Just before left().
    cdef void stream_left(self)
    # An HTTP/2 connection, just before entered() and left().
    cdef void multiplexed_entered(self) noexcept
    cdef void multiplexed_left(self) noexcept
    cdef void tunnel_began(self) noexcept
    cdef void tunnel_ended(self) noexcept
    # A connection to a parent, or one of its streams that carries a tunnel: each has a descriptor that is not a
    # client's and no upstream's.
    cdef void parent_entered(self, Handler connection)
    cdef void parent_left(self, Handler connection)
    cdef void flow_entered(self) noexcept
    cdef void flow_left(self) noexcept
    cdef void tell_empty(self) noexcept
    cdef void count_clients(self) noexcept
