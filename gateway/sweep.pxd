# Work over every live connection, in slices short enough that no turn of the loop grows long.
from libc.stdint cimport uint32_t, uint64_t

from gateway.context cimport Context
from gateway.loop cimport Handler
from gateway.tunnel cimport Tunnel

cdef enum:
    SLICE_US = 1000            # DESIGN.md section 2: long work runs in slices of at most 1 ms

cdef class Sweep(Handler):
    cdef Context context
    cdef list waiting          # connections not yet visited, as they stood when the sweep began
    cdef object on_finished    # called with no argument, or None

    cdef void meet(self, Handler connection) noexcept
    cdef void visit(self, Tunnel tunnel) noexcept
    cdef void visit_opening(self, Tunnel request) noexcept

cdef class Kill(Sweep):
    cdef uint64_t sequence

cdef class IntervalLog(Sweep):
    pass

cdef class Look(Sweep):
    cdef uint32_t since        # milliseconds since the last one
