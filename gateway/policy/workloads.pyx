"""Which workload an address belongs to: the table that a generation brings along, mapped read-only (DECISIONS.md 8)."""

import fcntl
import os

from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, mmap

from gateway.c.addr cimport sl_addr_parse
from gateway.c.workloads cimport (
    SL_WORKLOAD_ACCOUNT, SL_WORKLOAD_KNOWN, SL_WORKLOAD_NAMESPACE, SL_WORKLOAD_OWNER, SL_WORKLOAD_OWNER_KIND,
    SL_WORKLOAD_POD, SL_WORKLOAD_UNKNOWN, sl_workload_text, sl_workloads_find, sl_workloads_known, sl_workloads_open,
)
from gateway.policy.mapping cimport give_back, give_back_some

__all__ = ["Workloads", "WorkloadsError"]

TEXTS = {
    "namespace": SL_WORKLOAD_NAMESPACE, "service_account": SL_WORKLOAD_ACCOUNT, "pod": SL_WORKLOAD_POD,
    "owner_kind": SL_WORKLOAD_OWNER_KIND, "owner": SL_WORKLOAD_OWNER,
}


class WorkloadsError(ValueError):
    """A table of workloads that cannot be used; the text says why."""


cdef class Workloads:
    """A mapped table. Make one with from_fd(); the end of the object unmaps it."""

    def __dealloc__(self):
        self.unmap()

    @staticmethod
    def from_fd(int fd):
        """Maps the table a descriptor holds, which may be closed afterwards. Raises WorkloadsError, OSError."""
        cdef Workloads self = Workloads.__new__(Workloads)
        cdef int wanted = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
        try:
            seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        except OSError:
            raise WorkloadsError("the table of workloads is not in a memfd") from None
        if seals & wanted != wanted:  # one that shrinks would end its readers
            raise WorkloadsError("the table of workloads is not sealed")
        size = os.fstat(fd).st_size
        if size == 0:
            raise WorkloadsError("the table of workloads is empty")
        self.mapping = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0)
        if self.mapping == MAP_FAILED:
            self.mapping = NULL
            raise OSError("the table of workloads cannot be mapped")
        self.mapped = size
        if not sl_workloads_open(&self.table, self.mapping, self.mapped):
            raise WorkloadsError("the table of workloads is malformed")
        return self

    cdef void unmap(self) noexcept:
        self.table.header = NULL
        give_back(&self.mapping, self.mapped)

    cdef bint unmap_step(self, size_t most) noexcept:
        """Unmaps `most` bytes more, a multiple of a page's; True once nothing is left."""
        self.table.header = NULL
        return give_back_some(&self.mapping, &self.mapped, most)

    cdef sl_workload_status look_up(self, const sl_addr *addr, const sl_workload **found) noexcept:
        return sl_workloads_find(&self.table, addr, found)

    cdef uint64_t pod_of(self, const sl_addr *addr) noexcept:
        cdef const sl_workload *found
        sl_workloads_find(&self.table, addr, &found)
        return 0 if found is NULL else found.pod

    cdef uint64_t place(self, sl_source_key *who) noexcept:
        cdef const sl_workload *found
        cdef sl_workload_status status = sl_workloads_find(&self.table, &who.addr, &found)
        if status != SL_WORKLOAD_KNOWN:
            who.workload_unknown = status == SL_WORKLOAD_UNKNOWN
            return 0
        who.workload_namespace = sl_workload_text(found, SL_WORKLOAD_NAMESPACE)
        who.workload_account = sl_workload_text(found, SL_WORKLOAD_ACCOUNT)
        who.workload_selectors, who.workload_selector_count = &found.selectors[0], found.selector_count
        return found.pod

    def find(self, str address not None):
        """The workload of an address: {namespace, service_account, pod, owner_kind, owner}, texts that may be empty;
        None where no pod has it. Raises ValueError for what is not an address."""
        cdef sl_addr addr
        cdef const sl_workload *found
        cdef bytes raw = address.encode("utf-8", "replace")
        if not sl_addr_parse(raw, len(raw), &addr):
            raise ValueError("not an IP address")
        if self.look_up(&addr, &found) != SL_WORKLOAD_KNOWN:
            return None
        return {name: sl_workload_text(found, <int> which).decode("utf-8", "backslashreplace")
                for name, which in TEXTS.items()}

    def is_unknown(self, str address not None):
        """Whether it is an address of pods that no known pod has. Raises ValueError for what is not an address."""
        cdef sl_addr addr
        cdef const sl_workload *found
        cdef bytes raw = address.encode("utf-8", "replace")
        if not sl_addr_parse(raw, len(raw), &addr):
            raise ValueError("not an IP address")
        return self.look_up(&addr, &found) == SL_WORKLOAD_UNKNOWN

    def __len__(self):
        """Addresses that belong to a pod."""
        return sl_workloads_known(&self.table)
