# Live tunnels are judged again under a new generation (DECISIONS.md section 5).
from gateway.c.judge cimport sl_decision
from gateway.state.record cimport Record
from gateway.tunnel.sweep cimport Sweep
from gateway.tunnel.tunnel cimport Tunnel

cdef class Rejudge(Sweep):
    cdef void note(self, int result) noexcept
    cdef void judge(self, Record record, sl_decision *out) noexcept
    cdef void lose(self, Tunnel tunnel) noexcept
    cdef void revoke(self, Tunnel tunnel, const sl_decision *decision) noexcept
