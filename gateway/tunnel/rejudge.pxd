# Live tunnels are judged again under a new generation (DECISIONS.md section 5).
from gateway.c.judge cimport sl_decision
from gateway.state.parts cimport WorkerParts
from gateway.tunnel.sweep cimport Sweep
from gateway.tunnel.tunnel cimport Tunnel

cdef class Rejudge(Sweep):
    cdef void lose(self, Tunnel tunnel) noexcept
    cdef void revoke(self, Tunnel tunnel, const sl_decision *decision) noexcept

# One more was judged again: sl_rejudged.
cdef void note_rejudged(WorkerParts parts, int result) noexcept
