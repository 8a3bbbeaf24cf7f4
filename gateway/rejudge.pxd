# Live tunnels are judged again under a new generation (DECISIONS.md section 5).
from libc.stdint cimport uint64_t

from gateway.csrc cimport sl_decision
from gateway.record cimport Record
from gateway.sweep cimport Sweep
from gateway.tunnel cimport Tunnel

cdef class Rejudge(Sweep):
    cdef readonly uint64_t allowed
    cdef readonly uint64_t kept
    cdef readonly uint64_t killed
    cdef readonly uint64_t draining

    cdef void judge(self, Record record, sl_decision *out) noexcept
    cdef void revoke(self, Tunnel tunnel, const sl_decision *decision) noexcept
