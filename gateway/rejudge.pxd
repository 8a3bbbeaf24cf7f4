# Live tunnels are judged again under a new generation (DECISIONS.md section 5).
from gateway.csrc cimport sl_decision
from gateway.record cimport Record
from gateway.sweep cimport Sweep
from gateway.tunnel cimport Tunnel

cdef class Rejudge(Sweep):
    cdef void note(self, int result) noexcept
    cdef void judge(self, Record record, sl_decision *out) noexcept
    cdef void compare_ways(self, Record record, sl_decision *decision) noexcept
    cdef void revoke(self, Tunnel tunnel, const sl_decision *decision) noexcept
