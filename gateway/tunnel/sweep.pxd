# Work over every live connection, in slices short enough that no turn of the loop grows long.
from libc.stdint cimport uint32_t, uint64_t

from gateway.state.parts cimport WorkerParts
from gateway.io.loop cimport Handler
from gateway.tunnel.tunnel cimport Tunnel

cdef class Sweep(Handler):
    cdef WorkerParts parts
    cdef list waiting          # connections to be visited yet, of those at the beginning
    cdef object on_finished    # called without arguments at the end; None: not called

    cdef void meet(self, Handler connection) noexcept
    cdef void visit(self, Tunnel tunnel) noexcept
    cdef void visit_opening(self, Handler request) noexcept

cdef class Kill(Sweep):
    cdef uint64_t sequence

cdef class IntervalLog(Sweep):
    pass

cdef class Expiry(Sweep):
    pass

cdef class Look(Sweep):
    cdef uint32_t since        # milliseconds since the last look
