# The table of workloads of a generation, mapped read-only (csrc/shared/workloads.h).
from libc.stdint cimport uint64_t

from gateway.c.addr cimport sl_addr
from gateway.c.judge cimport sl_source_key
from gateway.c.workloads cimport sl_workload, sl_workload_status, sl_workloads

cdef class Workloads:
    cdef sl_workloads table
    cdef void *mapping
    cdef size_t mapped         # bytes

    # Who has an address; *found is NULL unless it is SL_WORKLOAD_KNOWN, and lives as long as the table is mapped.
    cdef sl_workload_status look_up(self, const sl_addr *addr, const sl_workload **found) noexcept
    # The mark of the pod that has an address; 0: none.
    cdef uint64_t pod_of(self, const sl_addr *addr) noexcept
    # Fills in the workload of the address of `who`, and returns the mark of its pod; 0: none.
    cdef uint64_t place(self, sl_source_key *who) noexcept
    cdef void unmap(self) noexcept
    cdef bint unmap_step(self, size_t most) noexcept
